"""Calibration: temperature, prediction sets and novelty, on rows not used in training."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split

from ssavae import SSAVAE, load
from ssavae.inference.calibration import Calibration, conformal_limit, fit_temperature
from ssavae.inference.predictor import Predictor
from ssavae.metrics.classification import expected_calibration_error
from ssavae.preprocessing.splits import label_folds

RNG = np.random.default_rng(0)
QUICK = {"n_epochs": 60, "n_epochs_decoder": 20, "widths": (32, 16), "random_state": 0, "latent_dim": 4}


def drawn_from(logits: np.ndarray) -> np.ndarray:
    """Draw labels with exactly the probabilities of the logits."""
    cumulated = softmax(logits, axis=1).cumsum(axis=1)
    return (RNG.random((len(logits), 1)) > cumulated).sum(axis=1)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_a_known_temperature_is_recovered(temperature):
    logits = RNG.normal(0, 2, (20000, 5))
    y = drawn_from(logits)
    assert fit_temperature(logits * temperature, y) == pytest.approx(temperature, rel=0.05)


def test_unlabelled_rows_do_not_count():
    logits = RNG.normal(0, 2, (500, 3))
    y = drawn_from(logits)
    y[::2] = -1
    assert fit_temperature(logits, y) == fit_temperature(logits[y >= 0], y[y >= 0])
    assert fit_temperature(logits, np.full(500, -1)) == 1.0


@given(st.integers(1, 300), st.floats(0.01, 0.99))
def test_the_limit_is_the_smallest_that_covers(n, alpha):
    scores = np.arange(n, dtype=float)
    limit = conformal_limit(scores, alpha)
    covered = n + 1 if np.isinf(limit) else int(limit) + 1
    assert covered / (n + 1) >= 1 - alpha - 1e-9
    assert (covered - 1) / (n + 1) < 1 - alpha or covered == 1


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1])
def test_an_alpha_that_is_no_probability_is_refused(alpha):
    with pytest.raises(ValueError, match=f"alpha={alpha}"):
        conformal_limit(np.arange(3.0), alpha)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_sets_cover_what_they_promise(alpha):
    logits = RNG.normal(0, 2, (8000, 5))
    y = drawn_from(logits)
    fitted = Calibration.fit(3 * logits[:4000], y[:4000], np.arange(9.0)[:, None], held_out=True)
    probs = softmax(3 * logits[4000:] / fitted.temperature, axis=1)
    covered = fitted.sets(probs, alpha)[np.arange(4000), y[4000:]].mean()
    assert covered == pytest.approx(1 - alpha, abs=0.025)


def test_folds_hold_every_label_once():
    y = np.array([0, 1, -1, 0, 1, 1, 0, -1])
    folds = label_folds(y, 3, seed=0)
    assert sorted(np.concatenate(folds)) == [0, 1, 3, 4, 5, 6]
    assert all(set(y[fold]) == {0, 1} for fold in folds)
    with pytest.raises(ValueError, match="calibration_folds=4 wants"):
        label_folds(y, 4, seed=0)


def test_folds_part_no_group():
    y, groups = np.repeat([0, 1, -1, 0, 1, 0, 1], 3), np.repeat([0, 1, 2, 3, 4, 5, 6], 3)
    folds = label_folds(y, 3, seed=0, groups=groups)
    assert sorted(np.concatenate(folds)) == np.flatnonzero(y >= 0).tolist()
    assert all(set(groups[a]).isdisjoint(groups[b]) for a, b in combinations(folds, 2))
    with pytest.raises(ValueError, match="wants as many groups with labels: there are 6"):
        label_folds(
            y,
            7,
            seed=0,
            groups=np.where(y < 0, 0, groups),
        )
    with pytest.raises(ValueError, match="hide every label of class index"):
        label_folds(y, 2, seed=0, groups=y)


@pytest.fixture(scope="module")
def table():
    X, y = make_classification(3000, 10, n_informative=6, n_classes=3, flip_y=0.1, random_state=0)
    return train_test_split(X, y, test_size=1500, random_state=0)


@pytest.fixture(scope="module")
def held_out(table):
    X, _, y, _ = table
    # without the KL step 1 learns by heart, labels flipped at random too, and is too sure of itself
    surer = QUICK | {"n_epochs": 150, "n_epochs_decoder": 8, "weight_kl": 0.0, "weight_detail": 0.0}
    return SSAVAE(**surer, n_members=1, validation_fraction=0.3).fit(X, y)


def test_held_out_rows_calibrate_the_model(held_out, table):
    _, X_test, _, y_test = table
    calibrated = expected_calibration_error(held_out.predict_proba(X_test), y_test)
    raw = held_out._infer(X_test, Predictor.logits).astype(np.float64)
    assert calibrated < expected_calibration_error(softmax(raw, axis=1), y_test)
    assert held_out.calibration_.temperature > 1.2
    covered = held_out.predict_set(X_test, alpha=0.1)[np.arange(len(y_test)), y_test].mean()
    assert covered == pytest.approx(0.9, abs=0.04)
    assert held_out.is_novel(X_test, alpha=0.1).mean() == pytest.approx(0.1, abs=0.04)


def test_a_saved_model_keeps_its_confidence(held_out, table, tmp_path):
    held_out.save(tmp_path)
    again = load(tmp_path)
    assert again.calibration_.temperature == held_out.calibration_.temperature
    assert again.calibration_.held_out
    assert np.array_equal(again.predict_set(table[1]), held_out.predict_set(table[1]))
    assert np.array_equal(again.novelty(table[1]), held_out.novelty(table[1]))


def test_folds_calibrate_where_labels_are_few(table):
    X, X_test, y, y_test = table
    X, y = X[:900], y[:900]
    few = np.where(np.arange(900) < 90, y, -1)
    step_1: dict[str, Any] = QUICK | {"n_epochs": 40, "n_epochs_decoder": 1, "n_members": 1}
    model = SSAVAE(**step_1, calibration_folds=2).fit(X, few)
    assert len(model.calibration_.class_scores) == 90
    assert not model.calibration_.held_out
    plain = SSAVAE(**step_1).fit(X, few)
    for mine, same in zip(model.vec_.parameters(), plain.vec_.parameters(), strict=True):
        assert mine.equal(same)  # the siblings leave the model as it is
    better, worse = (expected_calibration_error(m.predict_proba(X_test), y_test) for m in (model, plain))
    assert better < worse
    covered = model.predict_set(X_test, alpha=0.2)[np.arange(len(y_test)), y_test].mean()
    assert covered == pytest.approx(0.8, abs=0.1)


def test_without_such_rows_sets_say_what_to_do(table):
    X, X_test, y, y_test = table
    model = SSAVAE(n_epochs=2, n_epochs_decoder=2, widths=(8,), n_members=1, random_state=0)
    model.fit(X[:500], y[:500])
    with pytest.raises(ValueError, match="validation_fraction or calibration_folds"):
        model.predict_set(X_test)
    with pytest.raises(ValueError, match=r"y has 3 labels, X has 1500 rows"):
        model.calibrate(X_test, y_test[:3])
    model.calibrate(X_test, y_test)
    assert model.predict_set(X_test).shape == (1500, 3)
    assert model.calibrate(X_test).calibration_.temperature == 1.0


def test_many_labels_hold_rows_out_unasked():
    X, y = make_classification(12000, 5, random_state=0)
    model = SSAVAE(n_epochs=1, n_epochs_decoder=1, widths=(8,), random_state=0).fit(X, y)
    assert len(model.calibration_.class_scores) == 600
    assert "val_loss" in model.history_[0]


def test_novelty_finds_rows_of_another_kind(held_out, table):
    X_test = table[1]
    unlike = X_test + RNG.normal(0, 4, X_test.shape)
    assert held_out.is_novel(unlike).mean() > 0.8
    with pytest.raises(ValueError, match=r"alpha=1\.5"):
        held_out.is_novel(X_test, alpha=1.5)


def test_the_map_is_trusted_where_rows_are_and_nowhere_else(held_out, table):
    codes = held_out.transform(table[1])
    far = codes.mean(axis=0) + 50 * np.eye(4)
    assert held_out.is_trusted(codes).mean() > 0.75
    assert not held_out.is_trusted(far).any()
    assert held_out.is_trusted(codes, alpha=0.5).mean() < held_out.is_trusted(codes).mean()
    with pytest.raises(ValueError, match=r"codes of this model are \(n, 4\)"):
        held_out.is_trusted(codes[:, :2])
