"""What stands on both sides of a split."""

import numpy as np
import pytest

from ssavae.data.leakage import CHUNK, audit, duplicated, overlapping

RNG = np.random.default_rng(0)


def test_equal_rows_are_found_whatever_their_shape_and_type():
    x = RNG.integers(0, 255, (50, 8, 8)).astype(np.uint8)
    assert duplicated(x, x[[3, 7]]).all()
    assert not duplicated(x, 255 - x[:2]).any()
    y = np.array([[0.0, np.nan], [1.0, 2.0]])
    assert duplicated(y, np.array([[-0.0, np.nan], [1.0, 2.5]])).tolist() == [True, False]


@pytest.mark.parametrize("shift", [1, 37, 128 - CHUNK])
def test_windows_of_one_record_are_found_at_any_offset(shift):
    record = RNG.normal(size=4000).astype(np.float32)
    train = np.stack([record[i : i + 128] for i in range(0, 2000, 128)])
    later = np.stack([record[i : i + 128] for i in range(shift, 1800, 400)])
    fresh = np.stack([record[i : i + 128] for i in range(2100, 3800, 128)])
    assert overlapping(train, later).all()
    assert not overlapping(train, fresh).any()
    assert overlapping(train[..., None], later[..., None]).all()


def test_silence_is_no_overlap():
    train, test = RNG.normal(size=(4, 64)), RNG.normal(size=(4, 64))
    train[:, :20] = test[:, -20:] = 0.0
    assert not overlapping(train, test).any()


def test_every_finding_says_how_many_and_gives_an_example():
    x = RNG.normal(size=(6, 40))
    groups = np.array(["a", "a", "b", "c", "c", "d"])
    same, shared, both = audit(x[:3], x[2:], groups[:3], groups[2:], signals=True)
    assert (same.n_test, same.example) == (1, "test row 0")
    assert (shared.n_test, shared.example) == (0, "")
    assert (both.n_test, both.example) == (1, "group b") and "of 1 groups" in both.what
    assert [finding.n_test for finding in audit(x[:3], x[3:])] == [0]


def test_copies_are_found_in_tables_with_text_whatever_its_length():
    train = np.array([["ABB", 1.0], ["a maker with a long name", 2.0]], dtype=object)
    test = np.array([["ABB", 1.0], ["GE", 1.0]], dtype=object)
    assert duplicated(train, test).tolist() == [True, False]
