"""A warning where new rows are in another unit than the training rows, and none where they are ordinary."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

from ssavae import SSAVAE
from ssavae.preprocessing.columns import Column
from ssavae.preprocessing.preprocessor import Preprocessor

DIGITS = load_digits().images  # type: ignore[attr-defined]
IMAGES = {  # the same images, as libraries give them
    "bytes": np.rint(DIGITS * 255 / 16).astype(np.uint8),
    "16 bits": np.rint(DIGITS * 65535 / 16).astype(np.uint16),
    "0 to 1": (DIGITS / 16).astype(np.float32),
    "-1 to 1": DIGITS / 8 - 1,
    "normalised": (DIGITS / 16 - 0.13) / 0.31,
}


def n_warnings(preprocessor: Preprocessor, x: np.ndarray) -> int:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        preprocessor.warn_of_range(x)
    return len(caught)


@pytest.mark.parametrize("n", [1, 30, 800])
@pytest.mark.parametrize("asked", IMAGES)
@pytest.mark.parametrize("trained", IMAGES)
def test_images_in_another_range_are_warned_of(trained, asked, n):
    preprocessor = Preprocessor.fit(IMAGES[trained][:900])
    new = IMAGES[asked][900 : 900 + n]
    fills_half = {("-1 to 1", "0 to 1"), ("normalised", "0 to 1"), ("normalised", "-1 to 1")}
    expected = 0 if trained == asked or (trained, asked) in fills_half else 1
    assert n_warnings(preprocessor, new) == expected


@pytest.mark.parametrize("n", [1, 20, 300])
@pytest.mark.parametrize("factor", [1e-12, 1e-3, 1e3])
def test_signals_in_another_unit_are_warned_of(factor, n):
    x = np.random.default_rng(0).normal(5, 1, (600, 64, 2))
    preprocessor = Preprocessor.fit(x[:300], "signal")
    assert n_warnings(preprocessor, x[300 : 300 + n]) == 0
    new = x[300 : 300 + n] * [1.0, factor]
    with pytest.warns(UserWarning, match=r"the range of training: rows .* in channel 1.*: give them in"):
        preprocessor.warn_of_range(new)


COLUMNS = {
    "kelvin": (lambda rng, n: rng.normal(20, 5, n), lambda t: t + 273.15, 1),
    "millimetres": (lambda rng, n: rng.normal(1.7, 0.1, n), lambda x: 1000 * x, 1),
    "metres": (lambda rng, n: rng.normal(1700, 100, n), lambda x: x / 1000, 1),
    "fractions": (lambda rng, n: rng.uniform(0, 100, n), lambda x: x / 100, 20),
    "tonnes": (lambda rng, n: rng.lognormal(5, 1, n), lambda x: x / 1000, 20),
    "volts": (lambda rng, n: rng.normal(0, 1000, n), lambda x: x / 1000, 20),
}


@pytest.mark.parametrize("cells", [float, object])
@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_in_another_unit_is_warned_of(name, cells):
    draw, convert, fewest = COLUMNS[name]
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=400), draw(rng, 400)]).astype(cells)
    if cells is object:
        x = np.column_stack([x, np.array(["a", "b"] * 200, dtype=object)])
    preprocessor = Preprocessor.fit(x[:300], names=["x", name, "text"][: x.shape[1]])
    new = x[300:]
    assert n_warnings(preprocessor, new) == 0
    new[:, 1] = convert(new[:, 1])
    for n in {fewest, 100}:
        with pytest.warns(
            UserWarning, match=f"column '{name}' of X is about .*: give it in the unit"
        ) as caught:
            preprocessor.warn_of_range(new[:n])
        assert len(caught) == 1


@pytest.mark.parametrize("load", [load_breast_cancer, load_iris, load_wine, load_digits])
def test_ordinary_new_rows_are_not_warned_of(load):
    x, y = load(return_X_y=True)
    shuffled = np.random.default_rng(0).permutation(len(x))
    preprocessor = Preprocessor.fit(x[shuffled[::2]])
    new = shuffled[1::2]
    singles = sum(n_warnings(preprocessor, x[i : i + 1]) for i in new)
    assert singles <= 0.005 * len(new)
    batches = [new[i : i + 20] for i in range(0, 80, 20)]
    classes = [new[y[new] == c] for c in np.unique(y)]
    for rows in [new, *batches, *classes]:
        assert n_warnings(preprocessor, x[rows]) == 0


@pytest.mark.parametrize("name", ["lognormal", "cauchy", "rare", "error codes", "constant"])
def test_heavy_tails_are_not_warned_of(name):
    rng = np.random.default_rng(0)
    shape = (2000, 5)
    x = {
        "lognormal": rng.lognormal(0, 1.5, shape),
        "cauchy": rng.standard_cauchy(shape),
        "rare": rng.lognormal(0, 1.5, shape) * (rng.random(shape) < 0.05),
        "error codes": np.where(rng.random(shape) < 0.02, -9999.0, rng.normal(20, 5, shape)),
        "constant": np.where(np.arange(2000)[:, None] < 500, 3.0, 900.0) * np.ones(shape),
    }[name]
    preprocessor = Preprocessor.fit(x[:500])
    assert sum(n_warnings(preprocessor, x[i : i + 20]) for i in range(500, 2000, 20)) == 0
    assert sum(n_warnings(preprocessor, x[i : i + 1]) for i in range(500, 1000)) <= 5


def test_dark_images_and_black_ones_are_ordinary():
    x = IMAGES["bytes"].copy()
    x[::10] //= 8
    x[::25] = 0
    preprocessor = Preprocessor.fit(x[:900])
    assert not any(n_warnings(preprocessor, x[i : i + 1]) for i in range(900, 1200))


def test_models_of_before_know_no_range_of_tables_and_signals():
    x = np.random.default_rng(0).normal(size=(30, 20))
    for kind in ("table", "signal"):
        fitted = Preprocessor.fit(x, kind)
        names = ("kind", "row_shape", "dtype", "low", "scale", "names")
        values = {name: getattr(fitted, name) for name in names}
        columns = tuple(Column(each.kind, each.low, each.scale) for each in fitted.columns)
        older = Preprocessor(**values, columns=columns)
        assert n_warnings(older, 1e9 * x) == 0
        np.testing.assert_array_equal(older.forward(x), fitted.forward(x))
        np.testing.assert_allclose(older.inverse(fitted.forward(x)), x, atol=1e-5)


def test_every_method_of_a_model_warns_once_and_its_values_stay_those_of_the_row():
    frame = pd.DataFrame(np.random.default_rng(0).normal(1.7, 0.1, (60, 3)), columns=["a", "b", "c"])
    model = SSAVAE(n_epochs=1, n_epochs_decoder=1, widths=(8,), random_state=0)
    y = np.arange(60) % 2
    model.fit(frame, y)
    expected = model.transform(frame)
    other = frame.assign(b=1000 * frame["b"])
    for method in (model.transform, model.predict, model.novelty, model.reconstruct):
        with pytest.warns(UserWarning, match="column 'b' of X is about 1.*e.03, in training") as caught:
            method(other)
        assert len(caught) == 1
    with pytest.warns(UserWarning, match="column 'b'"):
        mixed = model.transform(pd.concat([other] * 3 + [frame]))
    np.testing.assert_allclose(mixed[180:], expected, atol=1e-6)
