"""Labels: every sign that a row has none, class names of every type, and what -1 may mean."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssavae.preprocessing.labels import (
    check_labels,
    class_indices,
    encode_labels,
    is_labelled,
    labelled_rows,
    parse_labels,
    warn_of_unknown_classes,
)

MARKS = [-1, -1.0, np.int64(-1), None, np.nan, np.float32(np.nan), pd.NA, pd.NaT, np.datetime64("NaT")]
TEXT_MARKS = [*MARKS, "", "  ", "nan", "NaN"]


@given(st.data())
def test_every_mark_of_a_missing_label_is_read_as_one(data):
    names = data.draw(st.sampled_from([[3, 7], ["a", "b"], [True, False]]))
    marks = TEXT_MARKS if names == ["a", "b"] else MARKS
    pool = st.sampled_from(range(len(names) + len(marks)))
    chosen = data.draw(st.lists(pool, min_size=1, max_size=20))
    values = [[*names, *marks][i] for i in chosen]
    y = np.array([*values, *names, None], dtype=object)[:-1]
    is_name = [*(i < len(names) for i in chosen), True, True]
    assert is_labelled(y).tolist() == is_name
    indices, classes = encode_labels(y)
    assert classes.tolist() == sorted(names)
    assert (indices >= 0).tolist() == is_name
    assert encode_labels(y, classes)[0].tolist() == indices.tolist()


@pytest.mark.parametrize("classes", [np.array([3, 7]), np.array([3.0, 7.0]), np.array(["3", "7"], object)])
@pytest.mark.parametrize("y", [[3, 7, 8], [3.0, 7.0, 8.0], ["3", "7", "x"], np.array(["3", "7", "x"])])
def test_classes_are_compared_as_text_where_one_side_is_text(y, classes):
    assert encode_labels(y, classes)[0].tolist() == [0, 1, -1]


def test_unknown_classes_are_named_once_and_counted():
    with pytest.warns(UserWarning, match="2 of 3 labels .* know \\(elm, oak\\).* classes are 3, 7"):
        assert warn_of_unknown_classes(["elm", "oak", "3", None], np.array([3, 7])) == 2
    with pytest.warns(UserWarning, match="nothing is measured"):
        warn_of_unknown_classes(["elm"], np.array([3, 7]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert warn_of_unknown_classes(["3", None], np.array([3, 7])) == 0
        assert warn_of_unknown_classes(["3", None], np.empty(0, object)) == 0


@pytest.mark.parametrize(
    "y",
    [
        np.ma.masked_array([5, 6, 99], mask=[False, False, True]),
        np.ma.masked_array([5.0, 6.0, 99.0], mask=[False, False, True]),
        pd.Series([5, 6, None], dtype="Int64"),
        pd.Series([5, 6, None]),
        pd.Series([5, 6, None], dtype="int64[pyarrow]"),
        pd.Series([5, 6, None], dtype="category"),
        pd.DataFrame({"y": [5, 6, None]}),
        pl.Series([5, 6, None]),
        [5, 6, None],
        [5.0, 6.0, float("nan")],
        np.array([5, 6, -1], dtype=np.int8),
        parse_labels(["5.0", "6", ""]),
    ],
    ids=lambda y: f"{type(y).__module__.split('.')[0]}-{getattr(y, 'dtype', '')}",
)
def test_whole_labels_with_gaps_stay_whole(y):
    indices, classes = encode_labels(y)
    assert indices.tolist() == [0, 1, -1]
    assert classes.tolist() == [5, 6] and classes.dtype.kind == "i"


def test_floats_without_gaps_and_fractions_stay_floats():
    assert encode_labels([5.0, 6.0])[1].dtype.kind == "f"
    assert encode_labels([0.5, 6.0, np.nan])[1].tolist() == [0.5, 6.0]


NUMPY_2 = hasattr(np.dtypes, "StringDType")
STRINGS = [np.array(["a", "b", ""], dtype=np.dtypes.StringDType())] if NUMPY_2 else []


@pytest.mark.parametrize(
    "y",
    [
        np.ma.masked_array(["a", "b", "c"], mask=[False, False, True]),
        np.array(["a", "b", ""]),
        np.array([b"a", b"b", b""]).astype(str),
        *STRINGS,
        pd.Series(["a", "b", None], dtype="string"),
        pd.Series(["a", "b", None], dtype="category"),
        pl.Series(["a", "b", None]),
        ["a", "b", -1],
    ],
    ids=lambda y: f"{type(y).__module__.split('.')[0]}-{getattr(y, 'dtype', '')}",
)
def test_text_with_gaps(y):
    indices, classes = encode_labels(y)
    assert (indices.tolist(), classes.tolist()) == ([0, 1, -1], ["a", "b"])


@pytest.mark.parametrize(
    ("y", "indices", "classes"),
    [
        ([3, -1, 7, 3], [0, -1, 1, 0], [3, 7]),
        (["b", "a", "b"], [1, 0, 1], ["a", "b"]),
        ([True, False, True], [1, 0, 1], [False, True]),
        (np.array([5, None, -1, 4], dtype=object), [1, -1, -1, 0], [4, 5]),
        (np.array([2**63, 1], dtype=np.uint64), [1, 0], [1, 2**63]),
        (["NA", "b"], [0, 1], ["NA", "b"]),
    ],
)
def test_labels_of_any_type(y, indices, classes):
    encoded, names = encode_labels(y)
    assert encoded.tolist() == indices
    assert names.tolist() == classes
    assert encode_labels(y, names)[0].tolist() == indices


def test_unseen_classes_are_labels_without_an_index():
    y: Any = np.array(["z", "a"])
    assert encode_labels(y, np.array(["a", "b"]))[0].tolist() == [-1, 0]
    assert is_labelled(y).all()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1, 1, -1], "one class only, 1.*-1 was read as 'no label'; if it is a class, give it"),
        ([1, 1, None], "one class only, 1.*pass y=None"),
        ([0, 1], "y has 2 labels, X has 3 rows"),
        ([0.5, 1.25, 2.0], "Unknown label type"),
        ([0.0, np.inf, 1.0], "y contains infinity"),
        (np.array(["a", 1, "b"], dtype=object), "mixes labels"),
    ],
)
def test_invalid_labels_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        check_labels(y, 3)


@pytest.mark.parametrize("kind", [int, float, object])
@pytest.mark.parametrize("values", [[-1, 0, 1, 1], [-2, -1, 0, 3], [-1, -1, -1, -1, -2, 2]])
def test_minus_one_that_may_be_a_class_is_mentioned(values, kind):
    n = values.count(-1)
    with pytest.warns(UserWarning, match=rf"{n} of {len(values)} rows have the label -1: -1 was read as"):
        check_labels(np.array(values, dtype=kind), len(values))


@pytest.mark.parametrize("values", [[-1, -1, 0, 1], [-1, 0, 1, 2], [-1, 1, 2], [None, 0, 1], [-2, 3]])
def test_minus_one_that_marks_rows_is_not_mentioned(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_labels(values, len(values))


def test_no_labels_at_all():
    for y in (None, [-1, -1], np.array([None, None], dtype=object), ["", ""]):
        labels, classes = check_labels(y, 2)
        assert labels.tolist() == [-1, -1]
        assert len(classes) == 0


@pytest.mark.parametrize(
    ("y", "message"),
    [(None, "y is None"), ([1, 2], "2 labels, X has 3 rows"), ([-1, None, -1], "none of the 3 rows has")],
)
def test_rows_to_score_need_labels(y, message):
    with pytest.raises(ValueError, match=message):
        labelled_rows(y, 3)


def test_class_names_become_indices():
    classes = np.array(["a", "b"])
    assert class_indices(["b", "a"], classes, 2).tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"'c' is no class of this model: choose of 'a', 'b'"):
        class_indices("c", classes, 2)
    with pytest.raises(ValueError, match="names 3 classes for n=2"):
        class_indices(["a", "b", "a"], classes, 2)
