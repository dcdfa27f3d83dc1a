"""Rows to network inputs and back, and labels of any type."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ssavae.preprocessing.inputs import check_finite
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
