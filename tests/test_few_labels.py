"""What labels serve, where there are none, one of each class, or a class that only the test holds."""

from typing import Any

import numpy as np
import pytest

from ssavae import SSAVAE, load
from ssavae.metrics.classification import expected_calibration_error
from ssavae.metrics.latent import knn_accuracy

OPTIONS = {
    "default": {},
    "plain": {"weight_consistency": 0.0},
    "helped": {"weight_consistency": 1.0},
    "held out": {"validation_fraction": 0.2, "patience": 2},
    "map": {"latent_dim": 2, "weight_detail": 0.0},
}
QUICK = {"n_epochs": 3, "n_epochs_decoder": 2, "batch_size": 16, "widths": (8, 8), "random_state": 0}
ONLY_IN_TEST = 2


def first_of_each(y: np.ndarray, classes: list[int]) -> np.ndarray:
    """Labels of one row of each of these classes, -1 elsewhere."""
    few = np.full(len(y), -1)
    for c in classes:
        few[np.flatnonzero(y == c)[0]] = c
    return few


CASES = {
    "no label": lambda y: np.full(len(y), -1),
    "one label a class": lambda y: first_of_each(y, [0, 1, 2]),
    "a class of the test alone": lambda y: first_of_each(y, [0, 1]),
}


@pytest.fixture(params=["toy_table", "toy_images"])
def data(request) -> tuple[np.ndarray, np.ndarray]:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("option", OPTIONS)
def test_what_needs_no_class_works_and_what_does_says_so(data, case: str, option: str, tmp_path):
    X, y = data
    known = CASES[case](y)
    model = SSAVAE(**QUICK | OPTIONS[option]).fit(X, known)
    codes = model.transform(X)
    assert np.isfinite(codes).all()
    assert np.isfinite(np.asarray(model.reconstruct(X), dtype=float)).all()
    assert np.isfinite(model.novelty(X)).all()
    assert model.is_novel(X, alpha=0.05).dtype == bool
    assert model.is_trusted(codes).dtype == bool
    for sampler in ("aggregate", "prior"):
        assert np.asarray(model.sample(5, sampler=sampler, random_state=0)).shape == (5, *X.shape[1:])
    model.save(tmp_path / "model")
    assert np.array_equal(load(tmp_path / "model").transform(X), codes)
    check_classes(model, X, y, known)


def check_classes(model: SSAVAE, X: np.ndarray, y: np.ndarray, known: np.ndarray) -> None:
    """What a model with classes gives, or the one clear error of a model without."""
    assert model.classes_.tolist() == sorted(set(known[known >= 0].tolist()))
    if len(model.classes_) == 0:
        for ask in (model.predict, model.predict_proba, model.predict_set, model.suggest):
            with pytest.raises(ValueError, match="label"):
                ask(X)
        return
    probs = model.predict_proba(X)
    assert probs.shape == (len(X), len(model.classes_))
    assert np.allclose(probs.sum(axis=1), 1.0, atol=1e-6)
    assert set(model.predict(X)) <= set(model.classes_)
    for c in model.classes_:
        assert np.asarray(model.sample(3, y=c, random_state=0)).shape == (3, *X.shape[1:])
    asked = model.suggest(X, 7, y=known)
    assert len(set(asked.tolist())) == 7
    assert not set(asked.tolist()) & set(np.flatnonzero(known >= 0).tolist())


@pytest.mark.parametrize("option", OPTIONS)
def test_a_class_that_only_the_test_holds_counts_as_missed(data, option: str):
    X, y = data
    seen: Any = np.where(y == ONLY_IN_TEST, -1, y)
    model = SSAVAE(**QUICK | OPTIONS[option]).fit(X[y != ONLY_IN_TEST], seen[y != ONLY_IN_TEST])
    right = model.predict(X) == y
    assert not right[y == ONLY_IN_TEST].any()
    assert model.score(X, y) == pytest.approx(right.mean())
    # those who measure get indices, where the class without a place is -1 and is left out
    known = y != ONLY_IN_TEST
    assert np.isfinite(expected_calibration_error(model.predict_proba(X[known]), y[known]))
    codes = model.transform(X)
    assert 0 <= knn_accuracy(codes[known], y[known], codes, y, k=3) <= known.mean() + 1e-9


def test_one_label_of_each_class_cannot_be_parted_for_calibration(data):
    X, y = data
    model = SSAVAE(**QUICK, calibration_folds=2)
    with pytest.raises(
        ValueError, match="calibration_folds=2 wants so many labelled rows of every class: one has 1"
    ):
        model.fit(X, CASES["one label a class"](y))
