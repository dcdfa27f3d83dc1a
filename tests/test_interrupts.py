"""Calls that are interrupted or refused: nothing is lost, and nothing is half changed."""

import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from ssavae import SSAVAE, load
from ssavae.training import steps

QUICK: dict[str, Any] = {
    "n_epochs": 3,
    "n_epochs_decoder": 2,
    "widths": (8,),
    "batch_size": 16,
    "random_state": 0,
}


def contents(model: SSAVAE) -> dict[str, Any]:
    """Return all that a model is: parameters, weights, and fitted attributes by their text."""
    weights = {
        f"{network}.{name}": value.clone()
        for network in ("vec_", "decoder_", "discriminator_")
        for name, value in getattr(model, network).state_dict().items()
    }
    fitted = {
        name: repr(value) for name, value in vars(model).items() if not isinstance(value, torch.nn.Module)
    }
    return {"weights": weights, "fitted": fitted, "calibration": model.calibration_.novelty_scores.tolist()}


def assert_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert before["fitted"] == after["fitted"] and before["calibration"] == after["calibration"]
    assert before["weights"].keys() == after["weights"].keys()
    for name, value in before["weights"].items():
        assert torch.equal(value, after["weights"][name]), name


def interrupt_in(monkeypatch: pytest.MonkeyPatch, name: str, at: int = 1, raises: bool = False) -> None:
    """Let Ctrl-C come in the call of this number of a function of ``training.steps``."""
    function = getattr(steps, name)
    calls = {"n": 0}

    def interrupted(*args: object, **kwargs: object) -> object:
        calls["n"] += 1
        if calls["n"] == at:
            if raises:
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGINT)
        return function(*args, **kwargs)

    monkeypatch.setattr(steps, name, interrupted)


@pytest.mark.parametrize(
    ("name", "at", "raises"),
    [
        ("decoder_step", 1, False),
        ("decoder_step", 6, False),
        ("decoder_step", 5, True),
        ("latent_weight", 1, True),
    ],
)
def test_a_stopped_fit_decoder_leaves_the_model_as_it_was(toy_table, monkeypatch, name, at, raises):
    X, y = toy_table
    model = SSAVAE(**QUICK).fit(X, y)
    before = contents(model)
    interrupt_in(monkeypatch, name, at, raises)
    with pytest.raises(KeyboardInterrupt):
        model.fit_decoder(X, beta=0.3)
    assert_same(before, contents(model))
    model.predict(X)


@pytest.mark.parametrize(
    "refused",
    [
        lambda m, X: m.fit_decoder(X, beta=-1.0),
        lambda m, X: m.fit_decoder(X, gamma=float("nan")),
        lambda m, X: m.fit_decoder(X, beta=0.1, gamma=float("inf")),
        lambda m, X: m.fit_decoder(X[:, :3], beta=0.1),
        lambda m, X: m.calibrate(X, np.zeros(3)),
    ],
)
def test_a_refused_call_changes_nothing(toy_table, refused: Callable[[SSAVAE, np.ndarray], object]):
    X, y = toy_table
    model = SSAVAE(**QUICK).fit(X, y)
    before = contents(model)
    with pytest.raises(ValueError):
        refused(model, X)
    assert_same(before, contents(model))


def test_fit_decoder_leaves_the_parameters_alone_and_says_what_it_took(toy_table, tmp_path):
    X, y = toy_table
    model = SSAVAE(**QUICK).fit(X, y)
    params = model.get_params()
    assert (model.beta_, model.gamma_) == (model.beta, model.gamma)
    model.fit_decoder(X, beta=0.0)
    assert model.get_params() == params
    assert (model.beta_, model.gamma_) == (0.0, model.gamma)
    assert "loss_adv" not in model.history_[-1]
    model.save(tmp_path)
    again = load(tmp_path)
    assert again.beta == again.beta_ == 0.0  # a model folder says how its decoder was trained
    assert "loss_adv" in model.fit_decoder(X).history_[-1] and model.beta_ == model.beta


@pytest.mark.parametrize(
    ("params", "name", "at", "where"),
    [
        ({}, "vec_step", 1, "step vec, epoch 1, batch 1"),
        ({}, "vec_step", 15, "step vec, epoch 3, batch 1"),
        ({"validation_fraction": 0.2}, "vec_step", 9, "step vec, epoch 2"),
        ({"weight_consistency": 1.0}, "vec_step", 9, "step vec, epoch 2"),
        ({"weight_distill": 1.0}, "vec_step", 9, "step vec, epoch 2"),
        (
            {"student_widths": (4,), "n_epochs_student": 2},
            "student_step",
            3,
            "step student, epoch 1, batch 3",
        ),
        ({"calibration_folds": 2}, "decoder_step", 3, "step decoder, epoch 1, batch 3"),
    ],
)
def test_a_stopped_fit_keeps_what_was_trained(toy_table, tmp_path, monkeypatch, params, name, at, where):
    X, y = toy_table
    model = SSAVAE(**QUICK | params)
    interrupt_in(monkeypatch, name, at)
    with pytest.raises(KeyboardInterrupt, match=f"stopped in {where}.*can be used"):
        model.fit(X, y)
    assert model.predict(X).shape == (120,) and np.isfinite(model.reconstruct(X)).all()
    assert np.isfinite(model.novelty(X)).all()
    model.save(tmp_path)
    assert (load(tmp_path).transform(X) == model.transform(X)).all()


def test_a_fit_stopped_before_there_is_a_map_is_not_fitted(toy_table, monkeypatch):
    X, y = toy_table
    model = SSAVAE(**QUICK, student_widths=(4,))
    interrupt_in(monkeypatch, "vec_step", 3)
    with pytest.raises(KeyboardInterrupt, match="nothing was saved"):
        model.fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_a_signal_in_samplers_or_folds_loses_no_networks(toy_table, monkeypatch):
    X, y = toy_table
    whole = SSAVAE(**QUICK, n_members=1).fit(X, y)
    model = SSAVAE(**QUICK, n_members=1, calibration_folds=2)
    interrupt_in(monkeypatch, "vec_step", 3 * 7 + 4)  # step 1 has 3 epochs of 7 batches
    with pytest.raises(KeyboardInterrupt, match="calibration_folds; the model can be used"):
        model.fit(X, y)
    assert (model.predict_proba(X) == whole.predict_proba(X)).all()
    assert (model.novelty(X) == whole.novelty(X)).all()
    fit_samplers = SSAVAE._fit_samplers

    def stopped(self: SSAVAE, training: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        fit_samplers(self, training)

    monkeypatch.setattr(SSAVAE, "_fit_samplers", stopped)
    with pytest.raises(KeyboardInterrupt, match="after the training; the model can be used"):
        model.fit(X, y)
    assert (model.predict_proba(X) == whole.predict_proba(X)).all()


def test_folds_that_cannot_be_are_refused_before_training(toy_table, monkeypatch):
    X, y = toy_table
    interrupt_in(monkeypatch, "vec_step", 1, raises=True)
    with pytest.raises(ValueError, match="calibration_folds=50 wants so many labelled rows"):
        SSAVAE(**QUICK, calibration_folds=50).fit(X, y)
