"""Scales do not depend on the unit: whatever it is, network inputs and codes are the same."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssavae import SSAVAE
from ssavae.preprocessing.preprocessor import Preprocessor

EXPONENTS = st.integers(-600, 600)  # of 2, by which numbers are multiplied without rounding
QUICK: dict[str, Any] = {"n_epochs": 1, "n_epochs_decoder": 0, "widths": (8, 8), "random_state": 0}


def rows(kind: str, seed: int) -> np.ndarray:
    """Rows of each kind: a table with gaps, an outlier and a constant, images, signals of two channels."""
    rng = np.random.default_rng(seed)
    if kind != "table":
        return rng.normal(0.3, 1.0, (12, 16, 2)) if kind == "signal" else rng.uniform(-3, 7, (6, 8, 8))
    x = np.column_stack([rng.normal(size=(30, 3)), np.ones(30), rng.random(30) < 0.1])
    x[3, 0] = np.nan
    x[4, 1] = 1e9
    return x


@pytest.mark.parametrize("kind", ["table", "image", "signal"])
@given(exponent=EXPONENTS, seed=st.integers(0, 9))
def test_network_inputs_do_not_depend_on_the_unit(kind, exponent, seed):
    x = rows(kind, seed)
    in_other_unit = np.ldexp(x, exponent)
    expected = Preprocessor.fit(x, kind).forward(x)
    preprocessor = Preprocessor.fit(in_other_unit, kind)
    inputs = preprocessor.forward(in_other_unit)
    scaled = np.ones(inputs.shape[1], dtype=bool)
    if kind == "table":  # a constant keeps scale 1
        scaled[preprocessor.input_names.index("3")] = False
    np.testing.assert_array_equal(inputs[:, scaled], expected[:, scaled])
    back = preprocessor.inverse(inputs)
    np.testing.assert_allclose(np.ldexp(back, -exponent), x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["table", "image", "signal"])
@pytest.mark.parametrize(
    ("dtype", "unit"),
    [("float32", 1e-13), ("float32", 1e-25), ("float32", 1e25), ("float64", 1e-200), ("float64", 1e200)],
)
def test_a_spread_that_the_dtype_can_hold_is_none_of_a_constant(kind, dtype, unit):
    x = np.nan_to_num(rows(kind, 0))
    inputs = Preprocessor.fit((x * unit).astype(dtype), kind).forward((x * unit).astype(dtype))
    expected = Preprocessor.fit(x, kind).forward(x)
    np.testing.assert_allclose(inputs, expected, atol=2e-3)


@pytest.mark.parametrize("kind", ["table", "image", "signal"])
@pytest.mark.parametrize(
    ("offset", "spread", "is_constant"), [(1e9, 1e-4, False), (1e-3, 1e-15, False), (1e9, 1e-7, True)]
)
def test_beside_an_offset_the_resolution_of_the_values_decides(kind, offset, spread, is_constant):
    x = offset + spread * np.random.default_rng(0).uniform(-1, 1, {"table": (50, 2)}.get(kind, (5, 16, 16)))
    inputs = Preprocessor.fit(x, kind).forward(x)
    assert (np.ptp(inputs) > 0.9) != is_constant


def test_integers_far_from_zero_keep_their_spread():
    x = 10**9 + np.random.default_rng(0).integers(-5, 6, (40, 32))
    inputs = Preprocessor.fit(x, "signal").forward(x)
    assert inputs.mean() == pytest.approx(0, abs=1e-4) and inputs.std() == pytest.approx(1, abs=1e-4)


def test_a_model_in_another_unit_has_the_same_codes():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 32))
    y = np.arange(40) % 2
    expected = SSAVAE(**QUICK, kind="signal").fit(x, y).transform(x)
    in_tesla = np.ldexp(x, -43)  # about 1e-13
    codes = SSAVAE(**QUICK, kind="signal").fit(in_tesla, y).transform(in_tesla)
    np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize("kind", ["table", "image", "signal"])
def test_numbers_too_far_apart_are_refused(kind):
    x = np.full({"table": (9, 2)}.get(kind, (9, 16, 16)), -1.7e308)
    x[3] = 1.7e308
    with pytest.raises(ValueError, match=r"reaches from -1.7e\+308 to 1.7e\+308.*extreme rows"):
        SSAVAE(**QUICK, kind=kind).fit(x)


@pytest.mark.parametrize("kind", ["image", "signal"])
def test_new_rows_beyond_what_a_network_can_take_are_refused(kind):
    x = np.random.default_rng(0).normal(size=(9, 16, 16)) * 1e-13
    with pytest.raises(ValueError, match="X holds NaN, infinity or numbers far beyond training"):
        Preprocessor.fit(x, kind).forward(x * 1e300)


def images(dtype: str, low: float, high: float) -> np.ndarray:
    x = np.random.default_rng(0).uniform(low, high, (5, 8, 8))
    x.ravel()[:2] = low, high
    return x.astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "low", "high", "expected"),
    [
        ("uint8", 0, 255, (0, 255)),
        ("uint8", 3, 190, (0, 255)),
        ("uint8", 0, 16, (0, 16)),
        ("uint8", 100, 140, (100, 140)),
        ("uint8", 0, 1, (0, 1)),
        ("bool", 0, 1, (0, 1)),
        ("uint16", 0, 4095, (0, 4095)),
        ("float32", 0.02, 0.97, (0, 1)),
        ("float64", 0, 1e-3, (0, 1e-3)),
        ("float64", 0.5, 0.501, (0.5, 0.501)),
        ("float64", -1, 1, (-1, 1)),
        ("float32", 0, 16, (0, 16)),
    ],
)
def test_images_are_scaled_from_their_range_or_from_what_they_nearly_fill(dtype, low, high, expected):
    x = images(dtype, low, high)
    preprocessor = Preprocessor.fit(x)
    found = (preprocessor.low[0], preprocessor.low[0] + preprocessor.scale[0])
    assert found == pytest.approx(expected)
    np.testing.assert_allclose(preprocessor.inverse(preprocessor.forward(x)), x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [0, 7, 255])
def test_constant_images_are_scaled_as_others_are(value):
    preprocessor = Preprocessor.fit(np.full((3, 8, 8), value, dtype=np.uint8))
    assert (preprocessor.low, preprocessor.scale) == ((0.0,), (255.0 if value > 1 else 1.0,))
