"""Columns of a table: numbers, integers, categories and missing values, into network inputs and back."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ssavae.preprocessing.columns import Column, as_numbers, object_cells, warn_of_columns
from ssavae.preprocessing.preprocessor import Preprocessor
from ssavae.preprocessing.scaling import LARGEST, TAIL

FLOATS = st.floats(-1e5, 1e5, width=32) | st.just(float("nan"))
CELLS = st.one_of(st.sampled_from(["red", "blue"]), st.none())


def mixed(n=40, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"width": rng.normal(5, 2, n), "count": rng.integers(0, 9, n)})
    frame["colour"] = rng.choice(["red", "green", "blue"], n)
    frame["ok"] = rng.random(n) < 0.5
    frame.loc[[1, 5], "width"] = np.nan
    frame.loc[[2, 5], "colour"] = None
    return frame


@given(hnp.arrays(np.float64, st.integers(2, 30), elements=FLOATS))
def test_numbers_and_gaps_come_back_to_float32(cells):
    preprocess = Preprocessor.fit(cells[:, None])
    inputs = preprocess.forward(cells[:, None])
    assert np.isfinite(inputs).all() and inputs.shape == (len(cells), preprocess.columns[0].width)
    back = preprocess.inverse(inputs)[:, 0]
    np.testing.assert_array_equal(np.isnan(back), np.isnan(cells))
    np.testing.assert_allclose(back, cells, atol=2e-6 * (1 + np.nanmax(np.abs(cells), initial=0)))


@given(st.lists(CELLS, min_size=2, max_size=30).filter(any))
def test_categories_come_back_as_they_were(cells):
    cells = np.array(cells, dtype=object)
    preprocess = Preprocessor.fit(cells[:, None])
    assert preprocess.inverse(preprocess.forward(cells[:, None]))[:, 0].tolist() == cells.tolist()


def test_a_mixed_table_comes_back_cell_by_cell():
    frame = mixed()
    cells = object_cells(frame)
    assert cells is not None
    preprocess = Preprocessor.fit(cells, names=list(frame.columns))
    assert [column.kind for column in preprocess.columns] == ["number", "whole", "category", "category"]
    assert preprocess.input_shape == (2 + 1 + 4 + 2,)
    back = pd.DataFrame(preprocess.inverse(preprocess.forward(cells)), columns=frame.columns)
    np.testing.assert_allclose(back["width"].astype(float), frame["width"], rtol=1e-6)
    assert back["count"].tolist() == frame["count"].tolist()
    assert back["colour"].fillna("").tolist() == frame["colour"].fillna("").tolist()
    assert back["ok"].tolist() == frame["ok"].tolist()


def test_integers_are_decoded_as_integers_within_their_type():
    x = np.array([[0, 5], [200, 7], [255, 9]], dtype=np.uint8)
    preprocess = Preprocessor.fit(x)
    back = preprocess.inverse(preprocess.forward(x) + np.array([[9.0, 0.1]], dtype=np.float32))
    assert back.dtype == np.uint8 and back[:, 0].tolist()[-1] == 255 and back[:, 1].tolist() == [5, 7, 9]


def test_an_error_code_does_not_rule_the_scale():
    cells = np.append(np.random.default_rng(0).normal(20, 2, 1000), [-9999.0] * 10)
    inputs = Preprocessor.fit(cells[:, None]).forward(cells[:, None])
    assert inputs[:1000].std() == pytest.approx(1.0, abs=0.1) and inputs.min() > -20


def test_what_training_did_not_have_is_warned_of():
    colour = Column("category", categories=("blue", "red"))
    width = Preprocessor("table", (1,), "float64", columns=(Column("number"),), names=("width",))
    cells = np.array(["red", "grey", None], dtype=object)
    with pytest.warns(UserWarning, match=r"'colour' has 'grey', which training did not have, in row 1, 2 in"):
        assert colour.one_hot(cells, "colour").tolist() == [[0, 1], [0, 0], [0, 0]]
    with pytest.warns(UserWarning, match="'width' has no value in row 1, 1 in all: its median"):
        assert width.forward(np.array([[2.0], [np.nan]])).tolist() == [[2], [0]]
    with pytest.raises(ValueError, match="column 'width' holds 'red' in row 0, but numbers in training"):
        width.forward(cells[:1, None])


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([1.0, "x"], r"column 'a' holds 'x' \(str\) in row 1 after cells of type 'number'"),
        (["x", None, 2], r"holds 2 \(int\) in row 2 after cells of type 'text'"),
        ([None, {}], r"holds \{\} \(dict\) in row 1: wanted are numbers"),
    ],
)
def test_columns_of_two_types_are_refused(cells, message):
    with pytest.raises(ValueError, match=message):
        as_numbers(np.array(cells, dtype=object), "a")


def test_names_are_no_categories_and_dates_no_numbers():
    with pytest.raises(ValueError, match="column 'id' holds 300 different values"):
        Column.fit_category(np.array([f"part {i}" for i in range(300)], dtype=object), "id")
    with pytest.raises(ValueError, match="column 'when' holds dates"):
        object_cells(pd.DataFrame({"when": pd.to_datetime(["2024-01-01"]), "kind": ["a"]}))


def test_only_tables_with_text_are_mixed():
    frame = mixed()
    assert object_cells(frame[["width", "count"]]) is None
    assert object_cells(np.ones((2, 2))) is None
    assert object_cells(np.array([[1, 2.0]], dtype=object)) is None
    cells = object_cells(frame.convert_dtypes())
    assert cells is not None and cells.shape == (40, 4)


def test_constant_and_duplicate_columns_are_named():
    x = np.c_[np.arange(5.0), np.full(5, 1e9), np.arange(5.0)]
    with pytest.warns(UserWarning) as warned:
        warn_of_columns(x, ["time", "volume", "clock"])
    assert [str(each.message) for each in warned] == [
        "constant column: volume",
        "duplicate column: clock (as time)",
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_columns(x[:, :1], ["time"])
    cells = np.array([["a", 1.0], ["a", 2.0]], dtype=object)
    with pytest.warns(UserWarning, match="constant column: kind"):
        warn_of_columns(cells, ["kind", "size"])


@pytest.mark.parametrize("kind", [float, object])
def test_a_column_that_numbers_the_rows_is_named(kind):
    rng = np.random.default_rng(0)
    ids = rng.permutation(40)[:30] + 1000  # a test part took ten of them
    x = np.column_stack([ids, rng.normal(size=30), ids * 7, ids // 2]).astype(kind)
    with pytest.warns(UserWarning, match="^row-numbering column: id .leave it out") as warned:
        warn_of_columns(x, ["id", "width", "price", "shelf"])
    assert len(warned) == 1


def test_the_documented_scaling_is_the_one_applied():
    page = (Path(__file__).parents[2] / "docs" / "onnx.md").read_text("utf-8")
    assert f"beyond |v| > {TAIL:g}, sign(v) ({TAIL:g} + log(1 + |v| - {TAIL:g}))" in page
    assert f"the exponent at most {LARGEST:g}" in page
