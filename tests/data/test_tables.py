"""Tables as other programs write them: separators, decimal commas, encodings, compressions, parts, lists."""

import bz2
import gzip
import lzma
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssavae.data.label_budget import read_labels
from ssavae.data.labelled import Reading
from ssavae.data.loading import load_dataset
from ssavae.data.partition import read_like


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@given(
    x=st.lists(
        st.tuples(st.floats(-1e4, 1e4).map(lambda v: round(v, 2)), st.integers(-99, 99)),
        min_size=4,
        max_size=9,
    ),
    sep=st.sampled_from(";\t|"),
    decimal=st.sampled_from(".,"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.filterwarnings("ignore:.*as its first lines say")
def test_what_is_certain_is_sniffed(tmp_path, x, sep, decimal, encoding):
    frame = pd.DataFrame(x, columns=["größe", "n"]).assign(
        state=["u", "v"] * (len(x) // 2) + ["u"] * (len(x) % 2)
    )
    frame.to_csv(
        tmp_path / "a.csv", index=False, sep=sep, decimal=decimal, encoding=encoding, float_format="%.2f"
    )
    data = load_dataset(tmp_path / "a.csv", Reading(label="state"))
    np.testing.assert_allclose(data.x_train, x)
    assert (
        data.feature_names == ("größe", "n")
        and data.y_train is not None
        and data.y_train.tolist() == [*frame.state]
    )


def test_what_is_sniffed_is_said_in_one_line(tmp_path):
    path = write(tmp_path / "a.csv", "a;b\n1,5;2\n3,5;4\n")
    with pytest.warns(UserWarning, match=r"read with --sep ';' --decimal ','") as caught:
        load_dataset(path)
    assert len(caught) == 1
    load_dataset(path, Reading(sep=";", decimal=","))  # given: nothing to say


def test_thousands_or_decimals_are_not_guessed(tmp_path):
    path = write(tmp_path / "a.csv", "a;b\n1,500;2\n3,250;4\n")
    with pytest.warns(UserWarning, match="--sep"), pytest.raises(ValueError, match="--decimal ,"):
        load_dataset(path)
    assert np.asarray(load_dataset(path, Reading(sep=";", decimal=",")).x_train)[0, 0] == 1.5


def test_an_encoding_is_given(tmp_path):
    path = write(tmp_path / "a.csv", "größe,b\n1,2\n", "cp1252")
    with pytest.raises(ValueError, match=r"is not UTF-8: row 1, column 1.*--encoding, often cp1252"):
        load_dataset(path)
    assert load_dataset(path, Reading(encoding="cp1252")).feature_names == ("größe", "b")


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        (Reading(sep="ab"), "sep='ab' must be one character"),
        (Reading(decimal=";"), "decimal=';' must be"),
        (Reading(sep=",", decimal=","), "cannot both be"),
        (Reading(encoding="klingon"), "encoding='klingon' is unknown"),
    ],
)
def test_options_of_text_tables(tmp_path, reading, message):
    with pytest.raises(ValueError, match=message):
        load_dataset(write(tmp_path / "a.csv", "a,b\n1,2\n"), reading)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zip"])
def test_compressed_tables(tmp_path, suffix):
    content = b"a\tb\n1\t2\n3\t4\n"
    path = tmp_path / f"x.tsv{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.tsv", content)
    else:
        path.write_bytes({".gz": gzip, ".bz2": bz2, ".xz": lzma}[suffix].compress(content))
    data = load_dataset(path)
    assert np.asarray(data.x_train).tolist() == [[1, 2], [3, 4]] and data.name == "x"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=rf"x\.tsv\{suffix}"):
        load_dataset(path)


def test_a_compressed_table_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("ssavae.data.files.guards.UNPACKED_BYTES", 10_000)
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 100_000))
    with pytest.raises(ValueError, match=r"a\.csv\.gz.*it would unpack to"):
        load_dataset(path)


@pytest.mark.parametrize(("header", "is_said"), [("0.1,1.1,0", True), ("0,1,2", False), ("a,b,c", False)])
def test_a_header_of_numbers(tmp_path, recwarn, header, is_said):
    path = write(tmp_path / "a.csv", f"{header}\n" + "".join(f"0.{i},1.{i},{i % 2}\n" for i in range(10, 20)))
    load_dataset(path)
    assert [str(w.message).endswith("numbers the columns from 0") for w in recwarn.list] == [True] * is_said
    recwarn.clear()
    data = load_dataset(path, Reading(label="2", no_header=True)) if header[0] == "0" else None
    assert data is None or (len(data.x_train) == 11 and data.feature_names == ("0", "1"))


def test_all_refused_columns_are_in_one_message(tmp_path):
    rows = "".join(
        f"{i},Person {i},2024-01-{i % 28 + 1},[1, {i}]\n".replace("[1, ", '"[1, ').replace("]", ']"')
        for i in range(60)
    )
    with pytest.raises(
        ValueError,
        match=r"'name'.*names.*'when' holds dates.*'emb' holds lists.*--drop name --drop when --drop emb",
    ):
        load_dataset(write(tmp_path / "a.csv", f"n,name,when,emb\n{rows}"))


@pytest.mark.parametrize(
    "values", [range(100, 150), [f"{i % 30}.5" for i in range(60)], [i // 2 * 10 + i % 2 for i in range(200)]]
)
def test_a_label_that_is_a_quantity(tmp_path, values):
    path = write(tmp_path / "a.csv", "a,price\n" + "".join(f"1,{v}\n" for v in values))
    with pytest.raises(
        ValueError, match=r"label 'price' has .* different values .*a class needs several rows"
    ):
        load_dataset(path, Reading(label="price"))


def test_labels_of_one_row_each_beside_unlabelled_rows_are_fine(tmp_path):
    path = write(tmp_path / "a.csv", "a,y\n" + "".join(f"1,c{i}\n" for i in range(30)) + "2,\n" * 60)
    assert len(load_dataset(path, Reading(label="y")).x_train) == 90


def test_a_wide_csv_takes_about_as_long_as_pandas(tmp_path):
    pd.DataFrame(np.arange(8000.0).reshape(2, 4000)).add_prefix("g").to_csv(tmp_path / "a.csv", index=False)
    alone = cpu_seconds(lambda: pd.read_csv(tmp_path / "a.csv"))
    assert cpu_seconds(lambda: load_dataset(tmp_path / "a.csv")) < 5 * alone + 1


def cpu_seconds(read: Callable[[], object]) -> float:
    """Seconds of the fastest of three readings: in one of them garbage of other tests may be collected."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        read()
        seconds.append(time.process_time() - start)
    return min(seconds)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("sep", ",;")
def test_suggestions_that_a_spreadsheet_saved_are_labels(tmp_path, sep, encoding):
    path = write(tmp_path / "a.csv", "row,label\n3,u\n4,\n5, \n6,v\n".replace(",", sep), encoding)
    assert read_labels(path, "") == {3: "u", 6: "v"}


def test_prediction_reads_each_file_in_its_own_dialect(tmp_path):
    reading = Reading(label="y", drop=("id",))
    path = write(tmp_path / "a.csv", "a;b\n1,5;2\n2,5;3\n")
    with pytest.warns(UserWarning, match="--sep"):
        data = read_like(str(path), reading, "table")
    assert np.asarray(data.x_train).tolist() == [[1.5, 2], [2.5, 3]]


@pytest.mark.parametrize("index", [np.arange(6), np.arange(1, 7), np.array([5, 0, 3, 1, 17, 2])])
def test_the_index_that_pandas_writes_is_no_column(tmp_path, index):
    frame = pd.DataFrame({"a": np.arange(6.0), "y": list("uvuvuv")}, index=index)
    frame.to_csv(tmp_path / "a.csv")
    with pytest.warns(UserWarning, match="column 1 has no name and numbers the rows: it is left out"):
        data = load_dataset(tmp_path / "a.csv", Reading(label="y"))
    assert data.feature_names == ("a",) and np.asarray(data.x_train)[:, 0].tolist() == frame.a.tolist()
    frame.a = ["1", "2", "3", "x", "5", "6"]
    frame.to_csv(tmp_path / "a.csv")
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="column 'a' holds text in row 5"):
        load_dataset(tmp_path / "a.csv", Reading(label="y"))


def test_separators_at_the_end_of_all_lines_make_no_column(tmp_path):
    path = write(tmp_path / "a.csv", "a,y,,\n1,u,,\n2,v,,\n")
    with pytest.warns(UserWarning, match="column [34] has no name and no values"):
        assert load_dataset(path, Reading(label="y")).feature_names == ("a",)


@pytest.mark.parametrize("cells", ["0.5,0.5,0.7", "u,v,u"])
def test_a_column_with_values_is_read_without_a_name(tmp_path, cells):
    text = "".join(f"{cell},{i},u\n" for i, cell in enumerate(cells.split(",")))
    data = load_dataset(write(tmp_path / "a.csv", ",a,y\n" + text), Reading(label="y"))
    assert np.asarray(data.x_train).shape == (3, 2)


def test_spaces_after_separators_belong_to_no_name(tmp_path):
    path = write(tmp_path / "a.csv", "a, b, y\n1, 2, u\n3, 4, v\n")
    data = load_dataset(path, Reading(label="y"))
    assert data.feature_names == ("a", "b") and np.asarray(data.x_train).tolist() == [[1, 2], [3, 4]]
    assert np.asarray(data.y_train).tolist() == ["u", "v"]


@pytest.mark.parametrize(
    ("cells", "content"),
    [
        (["5%", "12.5 %", "7"], "numbers with a percent sign"),
        (["$5", "-$1,200.50", "7"], "amounts with a currency sign"),
        (["5 €", "1.200,50 €", "7"], "amounts with a currency sign"),
        (["1,200.5", "12,000", "7"], "numbers with thousands separators"),
        (["1\u202f200", "12\u00a0000", "7"], "numbers with thousands separators"),
        (["−5.5", "−3", "7"], "numbers whose minus sign is no hyphen"),
    ],
)
def test_numbers_written_for_people_are_no_categories(tmp_path, cells, content):
    path = write(tmp_path / "a.csv", "a;b\n" + "".join(f"{cell};1\n" for cell in cells))
    with pytest.warns(UserWarning, match="--sep"), pytest.raises(ValueError) as caught:
        load_dataset(path)
    assert f"column 'a' holds {content}, in row 2 {cells[0]!r}" in str(caught.value)


@pytest.mark.parametrize("words", [["50%", "half", "100%"], ["2x4", "1st", "3A"], ["a-b", "c d", "−"]])
def test_words_with_such_signs_are_categories(tmp_path, words):
    path = write(tmp_path / "a.csv", "a;b\n" + "".join(f"{word};1\n" for word in words))
    with pytest.warns(UserWarning, match="--sep"):
        assert np.asarray(load_dataset(path).x_train)[:, 0].tolist() == words


# ---- parquet


def test_columns_of_lists_are_spread(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"emb": [[1.0, 2.0], [3.0, 4.0]], "n": [5, 6], "y": ["u", "v"]})
    frame.to_parquet(tmp_path / "a.parquet")
    data = load_dataset(tmp_path / "a.parquet", Reading(label="y"))
    assert data.feature_names == ("emb[0]", "emb[1]", "n")
    assert np.asarray(data.x_train).tolist() == [[1, 2, 5], [3, 4, 6]]
    assert load_dataset(tmp_path / "a.parquet", Reading(label="y", drop=("emb",))).feature_names == ("n",)
    frame.at[1, "emb"] = [3.0]
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="column 'emb' differ in shape"):
        load_dataset(tmp_path / "a.parquet", Reading(label="y"))


def test_binary_columns_and_records_are_refused_by_name(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"raw": [b"a", b"b"], "who": [{"x": 1}, {"x": 2}], "n": [5, 6]})
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"'raw' holds binary data; column 'who' .*--drop raw --drop who"):
        load_dataset(tmp_path / "a.parquet")


@pytest.mark.parametrize("large", [False, True])
def test_a_folder_of_parts_is_one_table(tmp_path, monkeypatch, large):
    pytest.importorskip("pyarrow")
    for i in range(11):
        pd.DataFrame({"a": [float(i)], "b": [2.0]}).to_parquet(tmp_path / f"part-{i}.parquet")
    (tmp_path / "_SUCCESS").touch()
    if large:
        monkeypatch.setattr("ssavae.data.tables.RESIDENT_BYTES", 0)
    data = load_dataset(tmp_path)
    assert np.asarray(data.x_train)[:, 0].tolist() == list(range(11))
    pd.DataFrame({"a": [1.0]}).to_parquet(tmp_path / "part-5.parquet")
    with pytest.raises(ValueError, match=r"part-5\.parquet has other columns than .*part-0\.parquet"):
        load_dataset(tmp_path)


def test_folders_of_parts_may_name_a_column(tmp_path):
    pytest.importorskip("pyarrow")
    for state in ("u", "v"):
        (tmp_path / f"state={state}").mkdir()
        pd.DataFrame({"a": [1.0, 2.0]}).to_parquet(tmp_path / f"state={state}" / "0.parquet")
    y = load_dataset(tmp_path, Reading(label="state")).y_train
    assert y is not None and y.tolist() == ["u", "u", "v", "v"]
