"""Training with no label, with one of each class, and with a class that is in the test rows only."""

import numpy as np
import pytest

from ssavae import SSAVAE, load
from ssavae.metrics.classification import expected_calibration_error
from ssavae.metrics.latent import knn_accuracy

OPTIONS = {
    "default": {},
    "plain": {"weight_consistency": 0.0},
    "consistency": {"weight_consistency": 1.0},
    "validation": {"validation_fraction": 0.2, "patience": 2},
    "map": {"latent_dim": 2, "weight_detail": 0.0},
}
QUICK = {"n_epochs": 3, "n_epochs_decoder": 2, "batch_size": 16, "widths": (8, 8), "random_state": 0}
TEST_CLASS = 2


def first_of_each(y: np.ndarray, classes: list[int]) -> np.ndarray:
    """Return the labels of one row of each of these classes, -1 elsewhere."""
    few = np.full(len(y), -1)
    for c in classes:
        few[np.flatnonzero(y == c)[0]] = c
    return few


CASES = {
    "no label": lambda y: np.full(len(y), -1),
    "one label a class": lambda y: first_of_each(y, [0, 1, 2]),
    "a class of the test rows only": lambda y: first_of_each(y, [0, 1]),
}


@pytest.fixture(params=["toy_table", "toy_images"])
def data(request) -> tuple[np.ndarray, np.ndarray]:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("option", OPTIONS)
def test_methods_without_classes_work_and_those_with_classes_raise_or_work(
    data, case: str, option: str, tmp_path
):
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
    """Check the results of a model with classes, or the error of a model without."""
    assert model.classes_.tolist() == sorted(set(known[known >= 0].tolist()))
    if len(model.classes_) == 0:
        for method in (model.predict, model.predict_proba, model.predict_set, model.suggest):
            with pytest.raises(ValueError, match="label"):
                method(X)
        return
    probs = model.predict_proba(X)
    assert probs.shape == (len(X), len(model.classes_))
    assert np.allclose(probs.sum(axis=1), 1.0, atol=1e-6)
    assert set(model.predict(X)) <= set(model.classes_)
    for c in model.classes_:
        assert np.asarray(model.sample(3, y=c, random_state=0)).shape == (3, *X.shape[1:])
    suggested = set(model.suggest(X, 7, y=known).tolist())
    assert len(suggested) == 7
    assert not suggested & set(np.flatnonzero(known >= 0).tolist())


@pytest.mark.parametrize("option", OPTIONS)
def test_rows_of_a_class_that_was_not_trained_on_count_as_errors(data, option: str):
    X, y = data
    known = y != TEST_CLASS
    model = SSAVAE(**QUICK | OPTIONS[option]).fit(X[known], y[known])
    correct = model.predict(X) == y
    assert not correct[~known].any()
    assert model.score(X, y) == pytest.approx(correct.mean())
    # metrics take class indices, where an unknown class is -1 and is left out
    assert np.isfinite(expected_calibration_error(model.predict_proba(X[known]), y[known]))
    codes = model.transform(X)
    assert 0 <= knn_accuracy(codes[known], y[known], codes, y, k=3) <= known.mean() + 1e-9


def test_one_label_of_each_class_cannot_be_divided_into_folds(data):
    X, y = data
    model = SSAVAE(**QUICK, calibration_folds=2)
    with pytest.raises(
        ValueError, match="calibration_folds=2 wants so many labelled rows of every class: one has 1"
    ):
        model.fit(X, CASES["one label a class"](y))
