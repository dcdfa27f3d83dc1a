"""The student: it learns where the encoder puts rows, codes them in its place, and changes nothing else."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.optim import Adam

from ssavae import SSAVAE, Exported, load
from ssavae.algorithms import train_student
from ssavae.networks import Spec, build_vec
from ssavae.onnx.export import export_onnx
from ssavae.training import stages

SPEC = Spec((1, 8, 8), latent_dim=2, n_classes=3, bounded=True, widths=(8,), student_widths=(32, 16))
SHORT: dict[str, Any] = {"n_epochs": 2, "n_epochs_student": 3, "n_epochs_decoder": 1, "batch_size": 32}
SHORT["random_state"] = 0


def without(model: SSAVAE) -> SSAVAE:
    """A copy that codes rows by the encoder itself."""
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
    return SSAVAE(n_epochs=20, n_epochs_student=150, n_epochs_decoder=10, random_state=0, **wide).fit(
        X[:1400], y[:1400]
    )


def test_it_alone_moves_and_all_of_it(toy_images):
    X, y = toy_images
    batches = [(torch.from_numpy(X)[:, None], torch.from_numpy(y))] * 40
    vec = build_vec(SPEC, with_detail=False)
    student = vec.student
    assert student is not None
    before = {name: value.clone() for name, value in vec.state_dict().items()}
    vec.student = None  # as stages.placed_vec leaves it out
    optimizer = Adam(student.parameters(), 1e-2)
    training = train_student(vec, student, batches, optimizer, torch.Tensor.backward, variance=1.0)
    losses = [float(found["loss_student"]) for found in training]
    vec.student = student
    moved = {name for name, value in vec.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {f"student.{name}" for name in student.state_dict()}
    assert losses[-1] < 0.3 * losses[0]


def test_it_puts_new_rows_where_the_encoder_does(model, digits):
    X, y = digits[0][1400:], digits[1][1400:]
    own, encoder = model.transform(X), without(model).transform(X)
    assert not np.array_equal(own, encoder)
    assert np.square(own - encoder).mean() < 0.2 * encoder.var()
    agree = (model.predict(X) == without(model).predict(X)).mean()
    assert agree > 0.85
    assert model.score(X, y) > without(model).score(X, y) - 0.07


def test_what_is_said_of_a_row_is_said_of_its_place_on_the_map(model, digits):
    X = digits[0][1400:1430]
    np.testing.assert_allclose(model.reconstruct(X), model.inverse_transform(model.transform(X)), atol=1e-4)
    np.testing.assert_allclose(model.transform(X)[3:4], model.transform(X[3:4]), atol=1e-5)
    assert not np.array_equal(model.novelty(X), without(model).novelty(X))


def test_its_training_stands_in_the_history_and_step_2_leaves_it_alone(model, digits):
    X = digits[0][:1400]
    assert list(dict.fromkeys(row["step"] for row in model.history_)) == ["vec", "student", "decoder"]
    again = copy.deepcopy(model).set_params(n_epochs_decoder=1).fit_decoder(X)
    assert np.array_equal(again.transform(X), model.transform(X))
    assert sum(row["step"] == "student" for row in again.history_) == 150


def test_it_is_saved_loaded_and_exported(model, digits, tmp_path):
    X = digits[0][1400:]
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.student_widths == (128, 64)
    assert np.array_equal(loaded.transform(X), model.transform(X))
    export_onnx(model, tmp_path / "onnx")
    np.testing.assert_allclose(Exported(tmp_path / "onnx").transform(X), model.transform(X), atol=1e-4)


def test_step_1_is_the_same_to_the_bit_without_one(digits):
    X, y = digits[0][:300], digits[1][:300]
    plain, other = (SSAVAE(student_widths=widths, **SHORT).fit(X, y) for widths in (None, (16,)))
    assert np.array_equal(plain.transform(X), without(other).transform(X))


def test_another_model_s_vec_brings_its_student(digits):
    X, y = digits[0][:300], digits[1][:300]
    whole = SSAVAE(student_widths=(16,), **SHORT).fit(X, y)
    step_1 = SSAVAE(student_widths=(16,), **{**SHORT, "n_epochs_decoder": 0}).fit(X, y)
    found = SSAVAE(student_widths=(16,), **SHORT).fit(X, y, vec=step_1)
    assert np.array_equal(found.transform(X), whole.transform(X))
    assert np.array_equal(found.reconstruct(X), whole.reconstruct(X))
    assert [row["step"] for row in found.history_] == [row["step"] for row in whole.history_]


@pytest.mark.parametrize("kind", ["table", "signal"])
def test_tables_and_signals_have_one_too(kind):
    rng = np.random.default_rng(0)
    y = np.arange(240) % 3
    X = rng.normal(size=(240, 24)) + 3.0 * np.eye(3)[y].repeat(8, axis=1)
    epochs: dict[str, Any] = {"n_epochs": 30, "n_epochs_student": 60, "n_epochs_decoder": 1}
    model = SSAVAE(kind=kind, student_widths=(32,), batch_size=20, random_state=0, **epochs)
    model.fit(X[:200], y[:200])
    assert model.score(X[200:], y[200:]) > 0.9
    assert np.square(model.transform(X) - without(model).transform(X)).mean() < 0.2 * model.transform(X).var()


@pytest.mark.parametrize(("at", "batch"), [("student", 3), ("decoder", 2)])
def test_a_run_stopped_in_or_after_its_training_goes_on_as_if_never_stopped(
    digits, tmp_path, monkeypatch, at, batch
):
    X, y = digits[0][:300], digits[1][:300]
    whole = SSAVAE(student_widths=(16,), **SHORT).fit(X, y)
    stopped = SSAVAE(student_widths=(16,), checkpoint_folder=tmp_path, checkpoint_every=1, **SHORT)
    real = getattr(stages, f"train_{at}")

    def dying(*args, **kwargs):
        for i, losses in enumerate(real(*args, **kwargs)):
            if i == batch:
                raise OSError("died")
            yield losses

    with monkeypatch.context() as patched:
        patched.setattr(stages, real.__name__, dying)
        with pytest.raises(OSError, match="died"):
            stopped.fit(X, y)
    resumed = SSAVAE(student_widths=(16,), checkpoint_folder=tmp_path, **SHORT).fit(X, y, resume=True)
    for part in ("vec_", "decoder_", "discriminator_"):
        states = [getattr(each, part).state_dict() for each in (whole, resumed)]
        assert all(torch.equal(value, states[1][key]) for key, value in states[0].items()), part
