"""Cells of a csv file: the same text means the same to training, prediction, monitoring and the explorer."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ssavae.analysis import monitoring
from ssavae.app.explorer.row_format import RowFormat
from ssavae.app.explorer.uploads import read_csv
from ssavae.data.label_budget import read_labels
from ssavae.data.labelled import Reading
from ssavae.data.loading import load_dataset
from ssavae.preprocessing.columns import MISSING_MARKS, Column
from ssavae.preprocessing.inputs import open_rows
from ssavae.preprocessing.preprocessor import Preprocessor

FIXTURES = Path(__file__).parents[1] / "fixtures" / "before_move"
HEADER = ["width", "ok", "colour"]
ROWS = [
    [" 3.0 ", "true", "red"],
    ["1e3", "True", " blue "],
    ["NA", "FALSE", "NA"],
    ["", "", ""],
    ["nan", "nan", "nan"],
    ["n/a", "n/a", "n/a"],
    ["-.5", "false", "1e3"],
    ["7", "TRUE", "true"],
]
EXPECTED = [
    [3.0, True, "red"],
    [1000.0, True, "blue"],
    [None, False, None],
    [None, None, None],
    [None, None, None],
    [None, None, None],
    [-0.5, False, "1e3"],
    [7.0, True, "true"],
]


def to_csv(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([HEADER, *rows])
    return text.getvalue()


def cells_of(rows: pd.DataFrame | np.ndarray) -> list[list[object]]:
    return [[None if pd.isna(cell) else cell for cell in row] for row in np.asarray(rows, dtype=object)]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text(to_csv(ROWS))
    return load_dataset(path).x_train


@pytest.fixture
def preprocessor(table) -> Preprocessor:
    return Preprocessor.fit(open_rows(table))


def test_the_missing_marks_are_those_of_pandas():
    from pandas._libs.parsers import STR_NA_VALUES

    assert MISSING_MARKS == STR_NA_VALUES


def test_training_reads_numbers_booleans_text_and_gaps(table, preprocessor):
    assert cells_of(table) == EXPECTED
    assert [column.kind for column in preprocessor.columns] == ["number", "category", "category"]
    assert [column.is_boolean for column in preprocessor.columns] == [False, True, False]


def test_a_column_parses_its_cells_as_training_does(preprocessor):
    parsed = [[c.parse(text) for c, text in zip(preprocessor.columns, row, strict=True)] for row in ROWS]
    assert parsed == EXPECTED


def test_the_explorer_reads_an_uploaded_csv_as_training_does(preprocessor):
    format = RowFormat(preprocessor, named=True, n_most=100)
    assert cells_of(read_csv(to_csv(ROWS).encode(), format)) == EXPECTED


def test_the_explorer_reads_text_in_json_as_training_does(preprocessor):
    format = RowFormat(preprocessor, named=True, n_most=100)
    rows = [dict(zip(HEADER, row, strict=True)) for row in ROWS]
    numbers = [row[0] for row in EXPECTED]
    table = format.read([row | {"width": number} for row, number in zip(rows, numbers, strict=True)])
    assert cells_of(table) == EXPECTED


def test_monitoring_reads_a_stream_as_training_reads_the_file(preprocessor, table, monkeypatch):
    class Model:
        preprocess_ = preprocessor
        feature_names_in_ = HEADER

    followed = []

    def follow(model, x, normal):
        followed.append(x)
        return monitoring.Track(*np.zeros((4, 1)), over=np.zeros(1, dtype=bool))

    monkeypatch.setattr(monitoring, "follow", follow)
    monkeypatch.setattr(monitoring, "table_of", lambda *_: {})
    list(monitoring.follow_stream(Model(), Reading(), to_csv(ROWS).splitlines(), None))  # type: ignore[arg-type]
    assert [row for x in followed for row in cells_of(x)] == EXPECTED
    expected = preprocessor.forward(open_rows(table).values)
    for x, inputs in zip(followed, expected, strict=True):
        np.testing.assert_array_equal(preprocessor.forward(open_rows(x).values)[0], inputs)


@pytest.mark.parametrize("i", range(6))  # in a file of its own, text like "1e3" or "true" is no text
def test_prediction_reads_a_single_row_as_training_did(tmp_path, preprocessor, table, i):
    path = tmp_path / "one.csv"
    path.write_text(to_csv([ROWS[i]]))
    row = open_rows(load_dataset(path).x_train)
    expected = preprocessor.forward(open_rows(table).values)[i]
    np.testing.assert_array_equal(preprocessor.forward(row.values)[0], expected)


def test_text_that_is_no_number_or_boolean_stays_text():
    assert Column("number").parse("1_000") == "1_000"
    assert Column("number").parse("NAN") == "NAN"
    assert Column("number").parse("٣") == "٣"
    assert Column("number").parse("-Inf") == -np.inf
    assert Column("category", categories=(True, False)).parse("yes") == "yes"
    assert Column("category", categories=("NA", "b")).parse("NA") == "NA"  # of a DataFrame


def test_labels_keep_names_that_would_be_missing_marks(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("row,label\n0,NA\n1,\n2,nan\n3,None\n")
    assert read_labels(path, "") == {0: "NA", 3: "None"}


@pytest.mark.parametrize("file", ["split.json", "labels.json"])
def test_a_csv_has_the_checksum_that_older_runs_noted(file):
    known = json.loads((FIXTURES / "table_run" / file).read_text())["rows_sha256"]
    loaded = load_dataset(FIXTURES / "parts.csv", Reading(label="state", group="machine"))
    assert loaded.rows_sha256 == known
    assert isinstance(loaded.x_train, pd.DataFrame)
    assert loaded.x_train.columns.tolist() == ["length", "count", "colour", "open", "price"]
