"""The student: it learns the encoder's codes, encodes rows in its stead, and changes nothing else."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.optim import Adam

from ssavae import SSAVAE, Exported, load
from ssavae.algorithms import student_step
from ssavae.networks import Spec, build_vec
from ssavae.onnx.export import export_onnx
from ssavae.training import steps

SPEC = Spec((1, 8, 8), latent_dim=2, n_classes=3, bounded=True, widths=(8,), student_widths=(32, 16))
SHORT: dict[str, Any] = {"n_epochs": 2, "n_epochs_student": 3, "n_epochs_decoder": 1, "batch_size": 32}
SHORT["random_state"] = 0


def without_student(model: SSAVAE) -> SSAVAE:
    """Return a copy that encodes rows by the encoder itself."""
    other = copy.deepcopy(model)
    other.vec_.student = None
    return other


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X.reshape(-1, 8, 8), y


@pytest.fixture(scope="module")
def model(digits):
    X, y = digits
    wide: dict[str, Any] = {"widths": (16, 32, 32), "student_widths": (128, 64)}
    return SSAVAE(n_epochs=12, n_epochs_student=100, n_epochs_decoder=3, random_state=0, **wide).fit(
        X[:1400], y[:1400]
    )


def test_a_step_moves_all_of_the_student_and_nothing_else(toy_images):
    x = torch.from_numpy(toy_images[0])[:, None]
    vec = build_vec(SPEC, with_detail=False)
    student = vec.student
    assert student is not None
    before = {name: value.clone() for name, value in vec.state_dict().items()}
    vec.student = None  # as steps.wrap_vec leaves it out
    optimizer = Adam(student.parameters(), 1e-2)
    losses = [
        student_step(vec, student, x, optimizer=optimizer, backward=torch.Tensor.backward, variance=1.0)
        for _ in range(40)
    ]
    vec.student = student
    moved = {name for name, value in vec.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {f"student.{name}" for name in student.state_dict()}
    assert losses[-1]["loss_student"] < 0.3 * losses[0]["loss_student"]


def test_its_codes_of_new_rows_are_near_those_of_the_encoder(model, digits):
    X, y = digits[0][1400:], digits[1][1400:]
    own = model.transform(X)
    encoder = without_student(model).transform(X)
    assert not np.array_equal(own, encoder)
    assert np.square(own - encoder).mean() < 0.2 * encoder.var()
    agree = (model.predict(X) == without_student(model).predict(X)).mean()
    assert agree > 0.85
    assert model.score(X, y) > without_student(model).score(X, y) - 0.07


def test_reconstruction_and_novelty_are_those_of_its_codes(model, digits):
    X = digits[0][1400:1430]
    np.testing.assert_allclose(model.reconstruct(X), model.inverse_transform(model.transform(X)), atol=1e-4)
    np.testing.assert_allclose(model.transform(X)[3:4], model.transform(X[3:4]), atol=1e-5)
    assert not np.array_equal(model.novelty(X), without_student(model).novelty(X))


def test_its_training_is_in_the_history_and_step_2_leaves_it_alone(model, digits):
    X = digits[0][:1400]
    assert list(dict.fromkeys(row["step"] for row in model.history_)) == ["vec", "student", "decoder"]
    again = copy.deepcopy(model).set_params(n_epochs_decoder=1).fit_decoder(X)
    assert np.array_equal(again.transform(X), model.transform(X))
    assert sum(row["step"] == "student" for row in again.history_) == 100


def test_it_is_saved_loaded_and_exported(model, digits, tmp_path):
    X = digits[0][1400:]
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.student_widths == (128, 64)
    assert np.array_equal(loaded.transform(X), model.transform(X))
    pytest.importorskip("onnxscript")
    export_onnx(model, tmp_path / "onnx")
    np.testing.assert_allclose(Exported(tmp_path / "onnx").transform(X), model.transform(X), atol=1e-4)


def test_step_1_is_the_same_to_the_bit_without_one(digits):
    X, y = digits[0][:300], digits[1][:300]
    plain, other = (SSAVAE(student_widths=widths, **SHORT).fit(X, y) for widths in (None, (16,)))
    assert np.array_equal(plain.transform(X), without_student(other).transform(X))


def test_another_model_s_vec_brings_its_student(digits):
    X, y = digits[0][:300], digits[1][:300]
    whole = SSAVAE(student_widths=(16,), **SHORT).fit(X, y)
    step_1 = SSAVAE(student_widths=(16,), **{**SHORT, "n_epochs_decoder": 0}).fit(X, y)
    model = SSAVAE(student_widths=(16,), **SHORT).fit(X, y, vec=step_1)
    assert np.array_equal(model.transform(X), whole.transform(X))
    assert np.array_equal(model.reconstruct(X), whole.reconstruct(X))
    assert [row["step"] for row in model.history_] == [row["step"] for row in whole.history_]


@pytest.mark.parametrize("kind", ["table", "signal"])
def test_tables_and_signals_have_one_too(kind):
    rng = np.random.default_rng(0)
    y = np.arange(240) % 3
    X = rng.normal(size=(240, 24)) + 3.0 * np.eye(3)[y].repeat(8, axis=1)
    epochs: dict[str, Any] = {"n_epochs": 30, "n_epochs_student": 60, "n_epochs_decoder": 1}
    model = SSAVAE(kind=kind, student_widths=(32,), batch_size=20, random_state=0, **epochs)
    model.fit(X[:200], y[:200])
    assert model.score(X[200:], y[200:]) > 0.9
    assert (
        np.square(model.transform(X) - without_student(model).transform(X)).mean()
        < 0.2 * model.transform(X).var()
    )


@pytest.mark.parametrize(("stage", "batch"), [("student", 3), ("decoder", 2)])
def test_a_run_stopped_in_or_after_its_training_and_resumed_is_the_run_never_stopped(
    digits, tmp_path, monkeypatch, stage, batch
):
    X, y = digits[0][:300], digits[1][:300]
    whole = SSAVAE(student_widths=(16,), **SHORT).fit(X, y)
    stopped = SSAVAE(student_widths=(16,), checkpoint_folder=tmp_path, checkpoint_every=1, **SHORT)
    step = getattr(steps, f"{stage}_step")
    n_steps = 0

    def dying(*args, **kwargs):
        nonlocal n_steps
        losses = step(*args, **kwargs)
        if n_steps == batch:
            raise OSError("died")
        n_steps += 1
        return losses

    with monkeypatch.context() as patched:
        patched.setattr(steps, step.__name__, dying)
        with pytest.raises(OSError, match="died"):
            stopped.fit(X, y)
    resumed = SSAVAE(student_widths=(16,), checkpoint_folder=tmp_path, **SHORT).fit(X, y, resume=True)
    for part in ("vec_", "decoder_", "discriminator_"):
        states = [getattr(each, part).state_dict() for each in (whole, resumed)]
        assert all(torch.equal(value, states[1][key]) for key, value in states[0].items()), part
