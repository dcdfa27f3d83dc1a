"""Tests of ``warm_start``: training that goes on from the last fit."""

from typing import Any

import numpy as np
import pytest

from ssavae import SSAVAE, load

SHORT: dict[str, Any] = {"n_epochs": 1, "n_epochs_decoder": 1, "random_state": 0}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 60)
    centres = np.array([[0, 0, 0, 9], [5, 0, 5, 9], [0, 5, 5, 9]], dtype=float)
    return centres[y] + rng.normal(0, 1, (180, 4)), y


@pytest.fixture(scope="module")
def folder(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("warm") / "model"
    SSAVAE(n_epochs=30, n_epochs_decoder=5, random_state=0).fit(*rows).save(path)
    return path


def short_fit(folder, X, y, **params):
    return load(folder).set_params(**SHORT, **params).fit(X, y)


def test_a_short_fit_goes_on_from_a_loaded_model(folder, rows):
    X, y = rows
    few = np.where(np.arange(180) % 6 == 0, y, -1)
    warm = short_fit(folder, X, few, warm_start=True)
    assert warm.score(X, y) > max(0.9, short_fit(folder, X, few).score(X, y) + 0.1)


def test_scaling_stays_that_of_the_first_fit(folder, rows):
    X, y = rows
    warm = short_fit(folder, X[:120] + 1.0, y[:120], warm_start=True)
    np.testing.assert_array_equal(warm.network_inputs(X), load(folder).network_inputs(X))


def test_a_new_class_gets_a_new_classifier_on_the_old_map(folder, rows):
    X, y = rows
    names = np.array(["a", "b", "c", "d"])[np.where(X[:, 3] > 10, 3, y)]
    warm = short_fit(folder, X, names, warm_start=True)
    assert warm.classes_.tolist() == ["a", "b", "c", "d"]
    assert warm.predict_proba(X).shape == (180, 4)


def test_without_an_earlier_fit_it_is_an_ordinary_fit(rows):
    X, y = rows
    ordinary = SSAVAE(**SHORT).fit(X, y).transform(X)
    np.testing.assert_array_equal(SSAVAE(**SHORT, warm_start=True).fit(X, y).transform(X), ordinary)


@pytest.mark.parametrize(
    ("change", "params", "message"),
    [
        (lambda X: X[:, :3], {}, "3 features"),
        (lambda X: X, {"latent_dim": 3}, "warm_start=True goes on with"),
        (lambda X: X, {"widths": (8, 8)}, "warm_start=True goes on with"),
    ],
)
def test_a_fit_of_other_columns_or_sizes_is_refused(folder, rows, change, params, message):
    X, y = rows
    with pytest.raises(ValueError, match=message):
        short_fit(folder, change(X), y, warm_start=True, **params)
