"""All columns of numbers in one step: the same bits as one by one, within the range of training, and fast."""

import time
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ssavae.preprocessing import table
from ssavae.preprocessing.preprocessor import Preprocessor
from ssavae.preprocessing.scaling import squash

NUMBERS = st.one_of(st.floats(-1e6, 1e6), st.integers(-3, 3).map(float), st.just(float("nan")))
TABLES = hnp.arrays(np.float64, st.tuples(st.integers(2, 12), st.integers(1, 6)), elements=NUMBERS)


def one_by_one(preprocessor: Preprocessor, x: np.ndarray) -> np.ndarray:
    inputs = []
    for column, cells in zip(preprocessor.columns, x.T, strict=True):
        missing = np.isnan(cells)
        value = squash((cells - column.low) / column.scale)
        inputs.append(np.where(missing, 0.0, value))
        if column.has_missing:
            inputs.append(missing)
    return np.column_stack(inputs).astype(np.float32)


@given(x=TABLES, block=st.sampled_from([1, 5, 2**18]))
def test_columns_in_one_step_are_those_one_by_one(x, block):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(table, "BLOCK_VALUES", block)
        preprocessor = Preprocessor.fit(x)
        assert preprocessor.forward(x).tobytes() == one_by_one(preprocessor, x).tobytes()
    alone = [Preprocessor.fit(x[:, [i]], names=["a"]).columns[0] for i in range(x.shape[1])]
    assert list(preprocessor.columns) == alone
    assert Preprocessor.fit(x.astype(object)).columns == preprocessor.columns


@given(x=TABLES, seed=st.integers(0, 99))
def test_decoded_numbers_lie_in_the_range_of_training(x, seed):
    preprocessor = Preprocessor.fit(x)
    noise = 30 * np.random.default_rng(seed).standard_cauchy((50, *preprocessor.input_shape))
    decoded = preprocessor.inverse(noise.astype(np.float32))
    for cells, training in zip(decoded.T, x.T, strict=True):
        known = training[~np.isnan(training)]
        drawn = cells[~np.isnan(cells)]
        if len(known):
            assert ((drawn >= known.min()) & (drawn <= known.max())).all()


def test_gaps_of_many_columns_are_one_warning():
    preprocessor = Preprocessor.fit(np.random.default_rng(0).normal(size=(9, 5)), names=list("abcde"))
    x = np.zeros((4, 5))
    x[2:, 1] = x[1, 3] = np.nan
    with pytest.warns(UserWarning) as caught:
        preprocessor.forward(x)
    assert [str(each.message) for each in caught] == [
        "column 'b' has no value in row 2, 2 in all, as have 1 more columns: its median in training is taken"
    ]


@pytest.mark.parametrize("has_text", [False, True])
def test_one_wide_row_takes_milliseconds(has_text):
    x = np.random.default_rng(0).normal(size=(24, 4000 if has_text else 20_000))
    if has_text:
        x = x.astype(object)
        x[:, 7] = ["a", "b"] * 12
    preprocessor = Preprocessor.fit(x)
    preprocessor.forward(x[:1])
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        preprocessor.warn_of_range(x[:1])
        preprocessor.inverse(preprocessor.forward(x[:1]))
    assert time.process_time() - start < 0.1


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "bool", "float32", "float64"])
@pytest.mark.parametrize("kind", ["table", "image", "signal"])
def test_decoded_rows_have_the_dtype_of_the_training_rows(kind, dtype):
    rng = np.random.default_rng(0)
    x = rng.normal(20, 8, (6, 8, 8) if kind == "image" else (6, 20)).round().clip(0)
    x = x > 20 if dtype == "bool" else x.astype(dtype)
    preprocessor = Preprocessor.fit(x, kind)
    decoded = preprocessor.inverse(preprocessor.forward(x))
    assert decoded.dtype == x.dtype
    np.testing.assert_allclose(decoded.astype(float), x.astype(float), rtol=1e-5, atol=1e-5)
