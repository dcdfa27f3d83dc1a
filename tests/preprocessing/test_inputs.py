"""The one door for X: rows are opened, scanned and hashed once, and a scan says what numpy says."""

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ssavae import SSAVAE
from ssavae.preprocessing import inputs, lazy
from ssavae.preprocessing.inputs import Rows, Scan, check_finite, labels_in, open_rows, scan_rows
from ssavae.preprocessing.lazy import LazyArray

QUICK: dict[str, Any] = {"n_epochs": 1, "n_epochs_decoder": 1, "widths": (8, 8), "random_state": 0}


def counting(counter: Counter, name: str, function: Callable) -> Callable:
    def counted(*args: object, **kwargs: object) -> object:
        counter[name] += 1
        return function(*args, **kwargs)

    return counted


@pytest.fixture
def calls(monkeypatch) -> Counter:
    """The number of calls of each function that opens, scans or hashes rows."""
    counter: Counter = Counter()
    for module, name in (
        (inputs, "load_if_small"),
        (inputs, "object_cells"),
        (inputs, "scan_rows"),
        (inputs, "content_of"),
        (lazy, "content_of"),
    ):
        monkeypatch.setattr(module, name, counting(counter, name, getattr(module, name)))
    return counter


ONCE = {"load_if_small": 1, "object_cells": 1, "scan_rows": 1, "content_of": 1}


def frame_with_text(toy_table) -> tuple[pd.DataFrame, np.ndarray]:
    X, y = toy_table
    frame = pd.DataFrame(X, columns=list("abcde"))
    frame["machine"] = np.where(y == 1, "press", "lathe")
    frame.loc[3, "b"] = np.nan
    return frame, y


class CountedRows:
    """Rows behind a LazyArray that counts how often each is read."""

    def __init__(self, x: np.ndarray, **fields: Any) -> None:
        self.n_reads = np.zeros(len(x), dtype=int)

        def read(indices: np.ndarray) -> np.ndarray:
            np.add.at(self.n_reads, indices, 1)
            return x[indices]

        self.array = LazyArray(x.shape, x.dtype, read, **fields)


# ------------------------------------------------------------------------------ one fit, one scan


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"validation_fraction": 0.2},
        {"calibration_folds": 2},
        {"weight_consistency": 1.0, "patience": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("data", ["images", "table", "table with text"])
def test_a_fit_opens_scans_and_hashes_rows_in_memory_once(calls, toy_images, toy_table, data, params):
    X, y = {"images": toy_images, "table": toy_table, "table with text": frame_with_text(toy_table)}[data]
    SSAVAE(**QUICK, **params).fit(X, y)
    assert dict(calls) == ONCE


def test_a_prediction_opens_and_scans_rows_once(toy_table, calls):
    X, y = frame_with_text(toy_table)
    model = SSAVAE(**QUICK, validation_fraction=0.2).fit(X, y)
    for method in (model.transform, model.predict, model.predict_set, model.novelty, model.suggest):
        calls.clear()
        method(X)
        assert dict(calls) == ONCE, method.__name__


def test_rows_that_were_opened_are_not_opened_again(calls, toy_images):
    X, y = toy_images
    rows = open_rows(X)
    model = SSAVAE(**QUICK).fit(rows, y)
    model.predict(rows)
    model.novelty(rows)
    assert dict(calls) == ONCE


class TrainingBeginsError(Exception):
    """Ends a fit where training would begin."""


@pytest.fixture
def fit_until_training(monkeypatch) -> Callable[..., None]:
    def stop(*args: object) -> None:
        raise TrainingBeginsError

    monkeypatch.setattr("ssavae.estimator.train_networks", stop)

    def fit(X: LazyArray, y: np.ndarray) -> None:
        with pytest.raises(TrainingBeginsError):
            SSAVAE(**QUICK).fit(X, y)

    return fit


def test_before_training_each_lazy_image_is_read_once_besides_a_sample(
    calls, fit_until_training, toy_images, monkeypatch
):
    monkeypatch.setattr("ssavae.preprocessing.ranges.COMPARED_ROWS", 5)
    monkeypatch.setattr(lazy, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(lazy, "CHUNK_BYTES", 10 * 8 * 8 * 4)
    X, y = toy_images
    rows = CountedRows(X)
    fit_until_training(rows.array, y)
    assert sorted(rows.n_reads) == [1] * 59 + [2] * 5
    assert (calls["scan_rows"], calls["load_if_small"]) == (1, 1)
    assert calls["content_of"] == 7  # chunks of 10 of 64 rows


def test_before_training_each_lazy_row_of_a_table_is_read_once_besides_the_sample_for_its_scales(
    calls, fit_until_training, toy_table, monkeypatch
):
    monkeypatch.setattr(lazy, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(lazy, "SAMPLE_VALUES", 50)
    X, y = toy_table
    rows = CountedRows(X)
    fit_until_training(rows.array, y)
    assert (rows.n_reads == 1).sum() == len(X) - 10
    assert rows.n_reads.min() == 1 and rows.n_reads.max() <= 3
    assert (calls["scan_rows"], calls["load_if_small"], calls["content_of"]) == (1, 1, 1)


def test_few_lazy_rows_are_read_once_in_a_whole_fit(calls, toy_images):
    X, y = toy_images
    rows = CountedRows(X)
    SSAVAE(**QUICK).fit(rows.array, y)
    assert (rows.n_reads == 1).all()  # into memory
    assert (calls["scan_rows"], calls["load_if_small"]) == (1, 1)


def test_rows_that_are_expensive_to_read_are_not_scanned_for_a_prediction(calls, toy_images, monkeypatch):
    X, y = toy_images
    model = SSAVAE(**QUICK).fit(X, y)
    monkeypatch.setattr(lazy, "RESIDENT_BYTES", 0)
    rows = CountedRows(X, is_cheap_to_scan=False)
    calls.clear()
    np.testing.assert_allclose(model.transform(rows.array), model.transform(X), atol=1e-6)
    assert calls["scan_rows"] == 1  # of X in memory
    assert (rows.n_reads == 1).all()


# ----------------------------------------------------------------------------------------- scans


def plain_scan(x: np.ndarray) -> Scan:
    """The scan of an array, computed by numpy from the definitions."""
    numbers = x.astype(np.float64)
    nan = np.argwhere(np.isnan(numbers)).tolist()
    infinite = np.argwhere(np.isinf(numbers)).tolist()
    has_gaps = x.ndim == 2 and len(nan) + len(infinite) > 0
    return Scan(
        sha256=hashlib.sha256(repr((x.shape, x.dtype.str)).encode() + x.tobytes()).hexdigest(),
        low=float(np.min(numbers)),
        high=float(np.max(numbers)),
        gaps=tuple(bool(np.isnan(column).any()) for column in numbers.T) if has_gaps else (),
        n_nan=len(nan),
        n_infinite=len(infinite),
        first_nan=tuple(nan[0]) if nan else None,
        first_infinite=tuple(infinite[0]) if infinite else None,
    )


SPECIAL = st.one_of(st.floats(width=32), st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0]))
TABLES = hnp.arrays(
    st.sampled_from([np.float32, np.float64]),
    st.tuples(st.integers(1, 12), st.integers(1, 5)),
    elements=SPECIAL,
)
IMAGES = hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.just(3), st.just(2)), elements=SPECIAL)
INTEGERS = hnp.arrays(st.sampled_from([np.uint8, np.int64, np.bool_]), st.sampled_from([(7, 2), (3, 2, 2)]))
ARRAYS = st.one_of(TABLES, IMAGES, INTEGERS)


@given(x=ARRAYS)
def test_a_scan_says_what_numpy_says(x):
    assert repr(scan_rows(x)) == repr(plain_scan(x))  # as text, in which NaN equals NaN


@given(x=ARRAYS, chunk_bytes=st.sampled_from([1, 24, 100, 2**24]))
def test_a_scan_in_chunks_is_that_of_the_whole(x, chunk_bytes):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lazy, "CHUNK_BYTES", chunk_bytes)
        assert repr(scan_rows(LazyArray(x.shape, x.dtype, x.__getitem__))) == repr(scan_rows(x))


def test_a_scan_of_a_table_with_text_counts_missing_numbers_alone():
    x = np.array([["a", 1.0, np.nan], ["b", -np.inf, 2.0], [None, np.nan, True]], dtype=object)
    scan = scan_rows(x)
    assert scan.gaps == (False, True, True)
    assert (scan.n_nan, scan.first_nan) == (2, (0, 2))
    assert (scan.n_infinite, scan.first_infinite) == (1, (1, 1))
    other = x.copy()
    other[0, 0] = "b"
    assert scan_rows(other).sha256 != scan.sha256


@given(x=TABLES, missing_allowed=st.booleans())
def test_nan_and_infinity_are_refused_at_their_first_position(x, missing_allowed):
    refused = np.isinf(x) if missing_allowed else ~np.isfinite(x)
    if not refused.any():
        check_finite(x, missing_allowed=missing_allowed)
        return
    row, column = np.argwhere(refused)[0].tolist()
    value = "NaN" if np.isnan(x[row, column]) else "infinity"
    with pytest.raises(ValueError, match=f"Input X contains {value}: row {row}, ") as error:
        check_finite(x, missing_allowed=missing_allowed)
    assert f"position ({column},), {refused.sum()} such values in all" in str(error.value)


# --------------------------------------------------------------------------------------- subsets


@pytest.mark.parametrize("is_lazy", [False, True])
def test_a_subset_of_images_has_its_own_range(is_lazy):
    x = np.zeros((10, 3, 2), dtype=np.float32)
    x[2, 0, 0] = -3.0
    x[7, 1, 1] = 9.0
    rows = Rows(LazyArray(x.shape, x.dtype, x.__getitem__) if is_lazy else x)
    assert (rows.scan.low, rows.scan.high) == (-3.0, 9.0)
    subset = rows.subset(np.array([1, 2, 3]))
    assert subset.is_lazy == is_lazy
    assert (subset.scan.low, subset.scan.high) == (-3.0, 0.0)
    assert (np.asarray(subset.values) == x[1:4]).all()


@pytest.mark.parametrize("is_lazy", [False, True])
def test_a_subset_of_a_table_has_its_own_gaps(is_lazy):
    x = np.ones((10, 3))
    x[2, 0] = x[7, 1] = np.nan
    names = ("a", "b", "c")
    rows = Rows(LazyArray(x.shape, x.dtype, x.__getitem__) if is_lazy else x, names)
    assert rows.scan.gaps == (True, True, False)
    subset = rows.subset(np.array([7, 0, 9]))
    assert subset.scan.gaps == (False, True, False)
    assert rows.subset(np.array([0, 1])).scan.gaps == (False, False, False)
    assert subset.names == names


def test_the_digest_of_a_subset_depends_on_the_rows_and_their_order():
    x = np.random.default_rng(0).random((10, 4))
    changed = x.copy()
    changed[9, 0] += 1.0
    digests = [
        Rows(values).subset(np.array(indices)).scan.sha256
        for values in (x, changed)
        for indices in ([0, 1, 2], [1, 0, 2], [0, 1], [0, 1, 2, 3])
    ]
    assert len(set(digests)) == len(digests)
    again = Rows(x.copy()).subset(np.array([0, 1, 2], dtype=np.int32))
    assert again.scan.sha256 == digests[0]


def test_a_subset_is_not_scanned_or_hashed_again(calls):
    x = np.random.default_rng(0).random((20, 8, 8)).astype(np.float32)
    rows = open_rows(x)
    subset = rows.subset(np.arange(10))
    check_finite(subset)
    assert subset.scan.sha256 == subset.scan.sha256
    assert (calls["scan_rows"], calls["content_of"]) == (1, 1)


# --------------------------------------------------------------------------------------- opening


def test_rows_are_opened_with_their_names():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3, 4]})
    rows = open_rows(frame)
    assert rows.names == ("a", "b") and rows.shape == (2, 2) and not rows.is_lazy
    assert open_rows(rows) is rows
    assert open_rows(frame.to_numpy()).names is None
    assert open_rows(frame.set_axis([0, 1], axis=1)).names is None


def test_taking_rows_of_a_lazy_array_reads_none():
    x = np.random.default_rng(0).random((6, 3))
    rows = CountedRows(x)
    taken = Rows(rows.array).take(np.array([5, 1]))
    assert len(taken) == 2 and rows.n_reads.sum() == 0
    assert (np.asarray(taken.values) == x[[5, 1]]).all()


def test_labels_are_those_of_pairs_alone():
    class Pairs(torch.utils.data.Dataset[object]):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> object:
            return np.zeros(2), torch.tensor(index)

    assert labels_in(Pairs()) == [0, 1, 2]
    assert labels_in(np.zeros((3, 2))) is None


@pytest.mark.parametrize("pack", [list, tuple, lambda rows: np.array(rows, dtype=object)])
@pytest.mark.parametrize("row", [np.asarray, list, torch.tensor])
def test_records_of_several_lengths_are_refused_with_both(pack: Callable, row: Callable):
    rows = [row([0.0] * 20), row([0.0] * 20), row([0.0] * 21)]
    with pytest.raises(ValueError, match=r"row 0 has \(20,\), row 2 \(21,\): cut them to one"):
        SSAVAE(kind="signal", **QUICK).fit(pack(rows))


def test_a_kind_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"kind='image' does not fit X of shape \(9, 64\)"):
        SSAVAE(kind="image", **QUICK).fit(np.zeros((9, 64)))
    with pytest.raises(ValueError, match=r"if they are signals of 3 channels, give kind='signal'"):
        SSAVAE(**QUICK).fit(np.zeros((9, 64, 3)))
