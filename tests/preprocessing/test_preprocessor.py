"""Rows to network inputs and back, and labels of any type."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ssavae.preprocessing.inputs import check_finite
from ssavae.preprocessing.labels import check_labels, class_indices, encode_labels
from ssavae.preprocessing.preprocessor import Preprocessor, detect_kind

REASONABLE = st.floats(-1e5, 1e5, width=32)


@given(hnp.arrays(np.float32, st.tuples(st.integers(2, 20), st.integers(1, 6)), elements=REASONABLE))
def test_a_table_comes_back_to_float32(x):
    preprocessor = Preprocessor.fit(x)
    back = preprocessor.inverse(preprocessor.forward(x))
    assert back.dtype == x.dtype
    spread = np.abs(x).max() + 1.0
    np.testing.assert_allclose(back, x, atol=2e-6 * spread)


@given(hnp.arrays(np.uint8, st.sampled_from([(3, 8, 9), (3, 9, 8, 1), (2, 8, 8, 3)])))
def test_images_come_back_bit_for_bit(x):
    preprocessor = Preprocessor.fit(x)
    inputs = preprocessor.forward(x)
    assert inputs.dtype == np.float32
    assert inputs.shape == (len(x), *preprocessor.input_shape)
    assert inputs.min() >= 0.0 and inputs.max() <= 1.0
    assert (preprocessor.inverse(inputs) == x).all()


def test_channels_go_first_and_come_back_last():
    x = np.random.default_rng(0).random((4, 8, 10, 3)).astype(np.float32)
    preprocessor = Preprocessor.fit(x)
    assert (preprocessor.forward(x)[:, 2] == x[..., 2]).all()
    signal = np.random.default_rng(0).normal(5, 3, (50, 20, 2))
    preprocessor = Preprocessor.fit(signal, "signal")
    inputs = preprocessor.forward(signal)
    assert inputs.shape == (50, 2, 20)
    assert inputs.mean(axis=(0, 2)) == pytest.approx([0, 0], abs=1e-5)
    np.testing.assert_allclose(preprocessor.inverse(inputs), signal, atol=1e-4)


def test_images_beyond_the_unit_interval_are_scaled_to_it():
    x = np.random.default_rng(0).uniform(-3, 7, (5, 8, 8))
    inputs = Preprocessor.fit(x).forward(x)
    assert (inputs.min(), inputs.max()) == (0.0, 1.0)


def test_a_constant_column_comes_back():
    x = np.c_[np.arange(5.0), np.full(5, 1e9)]
    preprocessor = Preprocessor.fit(x)
    assert np.isfinite(preprocessor.forward(x)).all()
    np.testing.assert_array_equal(preprocessor.inverse(preprocessor.forward(x))[:, 1], x[:, 1])


@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        ((5,), None, r"found X of shape \(5,\)"),
        ((5, 4), "image", "wanted"),
        ((5, 4), "picture", "kind='picture' is unknown"),
        ((5, 7, 28), None, "every side must be at least 8"),
        ((5, 15), "signal", "every side must be at least 16"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shape, kind, message):
    with pytest.raises(ValueError, match=message):
        Preprocessor.fit(np.zeros(shape), kind)


def test_rows_of_another_shape_are_refused():
    preprocessor = Preprocessor.fit(np.zeros((2, 8, 8)))
    with pytest.raises(
        ValueError, match=r"shape \(8, 9\), but the model was trained on rows of shape \(8, 8\)"
    ):
        preprocessor.forward(np.zeros((2, 8, 9)))


def test_kinds_are_detected():
    assert [detect_kind(s) for s in ((9, 3), (9, 8, 8), (9, 8, 8, 3))] == ["table", "image", "image"]


def test_nan_and_infinity_are_named_with_their_position():
    x = np.zeros((4, 3))
    x[2, 1] = np.inf
    with pytest.raises(ValueError, match=r"infinity: row 2, position \(1,\) \(column 'b'\), 1 such"):
        check_finite(x, ["a", "b", "c"])
    x[1, 2] = np.nan
    with pytest.raises(ValueError, match="contains NaN: row 1"):
        check_finite(x)


@pytest.mark.parametrize(
    ("y", "indices", "classes"),
    [
        ([3, -1, 7, 3], [0, -1, 1, 0], [3, 7]),
        (["b", "a", "b"], [1, 0, 1], ["a", "b"]),
        (np.array(["b", None, "a", np.nan], dtype=object), [1, -1, 0, -1], ["a", "b"]),
        (["b", np.nan, "a", None], [1, -1, 0, -1], ["a", "b"]),
        ([1.0, np.nan, 2.0], [0, -1, 1], [1.0, 2.0]),
        ([True, False, True], [1, 0, 1], [False, True]),
        (np.array([5, None, -1, 4], dtype=object), [1, -1, -1, 0], [4, 5]),
    ],
)
def test_labels_of_any_type(y, indices, classes):
    encoded, names = encode_labels(y)
    assert encoded.tolist() == indices
    assert names.tolist() == classes
    again, _ = encode_labels(y, names)
    assert again.tolist() == indices


def test_unseen_classes_are_unlabelled():
    assert encode_labels(np.array(["z", "a"]), np.array(["a", "b"]))[0].tolist() == [-1, 0]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1, 1, -1], "one class only, 1"),
        ([0, 1], "y has 2 labels, X has 3 rows"),
        ([0.5, 1.25, 2.0], "Unknown label type"),
        ([0.0, np.inf, 1.0], "y contains infinity"),
        (np.array(["a", 1, "b"], dtype=object), "mixes labels"),
    ],
)
def test_invalid_labels_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        check_labels(y, 3)


def test_no_labels_at_all():
    for y in (None, [-1, -1], np.array([None, None], dtype=object)):
        labels, classes = check_labels(y, 2)
        assert labels.tolist() == [-1, -1]
        assert len(classes) == 0


def test_class_names_become_indices():
    classes = np.array(["a", "b"])
    assert class_indices(["b", "a"], classes, 2).tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"'c' is no class of this model: choose of 'a', 'b'"):
        class_indices("c", classes, 2)
    with pytest.raises(ValueError, match="names 3 classes for n=2"):
        class_indices(["a", "b", "a"], classes, 2)
