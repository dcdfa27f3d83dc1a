"""Consistency: strong augmentations, the teacher, and the accuracy that few labels gain by both."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.optim import SGD

from ssavae import SSAVAE
from ssavae.algorithms import vec_step
from ssavae.consistency import EMA_DECAY, Consistency, Teacher
from ssavae.losses import loss_class, loss_consistency
from ssavae.networks import Spec, build_vec
from ssavae.training.augmentations import STRONG, affine, jitter, swap_noise

SPEC = Spec((5,), latent_dim=2, n_classes=3, bounded=False, widths=(8,))


def test_a_label_goes_before_the_teacher_and_an_unsure_teacher_gives_none():
    logits = torch.randn(4, 3)
    probs = torch.tensor([[0.98, 0.01, 0.01], [0.98, 0.01, 0.01], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    y = torch.tensor([-1, 2, -1, 1])
    losses = loss_consistency(logits, probs, y, torch.tensor([0.95, 0.4, 0.4]))
    assert torch.equal(losses, loss_class(logits, torch.tensor([0, 2, -1, 1])))
    assert losses[2] == 0


@pytest.mark.parametrize(
    ("kind", "x"),
    [("image", torch.rand(16, 3, 20, 24)), ("table", torch.randn(16, 7)), ("signal", torch.randn(16, 2, 64))],
)
def test_augmentations_are_finite_and_differ_from_row_to_row_and_call_to_call(kind, x):
    once = STRONG[kind](x)
    twice = STRONG[kind](x)
    assert once.shape == x.shape and once.dtype == x.dtype
    assert torch.isfinite(once).all()
    assert not torch.equal(once, twice)
    same = STRONG[kind](x[:1].expand_as(x).contiguous())
    assert len({row.numpy().tobytes() for row in same}) == len(x)


def test_images_stay_in_their_range_and_near_their_position():
    x = torch.zeros(400, 1, 30, 30)
    x[:, :, 11:19, 11:19] = 1.0
    changed = affine(x)
    assert changed.min() >= 0 and changed.max() <= 1 + 1e-6
    assert (changed[:, 0, 14:16, 14:16] > 0.9).all()  # a shift of 2 pixels leaves the middle bright
    assert (changed[:, 0, :3] == 0).all()
    assert (changed - x).abs().flatten(1).max(dim=1).values.min() > 0.05


def test_swapped_values_stay_in_their_column():
    x = torch.arange(4.0) * 100 + torch.zeros(500, 4)
    # All rows are equal, so that only the noise changes a value.
    assert (swap_noise(x) - x).abs().max() < 1
    y = torch.randn(5000, 2)
    assert ((swap_noise(y) - y).abs() > 0.5).float().mean() == pytest.approx(0.2 * 0.72, abs=0.03)


def test_signals_are_rotated_not_reversed():
    ramp = torch.arange(64.0).repeat(50, 1, 1)
    steps = jitter(ramp).diff(dim=2)
    assert (steps.median(dim=2).values > 0).all()


def test_the_teacher_is_the_average_of_the_vec():
    vec: Any = build_vec(SPEC, with_detail=False)
    teacher: Any = Teacher(vec, SPEC.n_classes)
    first = vec.encoder.mu.weight.detach().clone()
    average = first.clone()
    for n in range(1, 30):
        with torch.no_grad():
            vec.encoder.mu.weight.add_(0.1)
        teacher.update(vec)
        rate = max(1 - EMA_DECAY, min(1.0, 10 / (9 + n)))
        average += rate * (vec.encoder.mu.weight.detach() - average)
    assert torch.allclose(teacher.vec.encoder.mu.weight, average, atol=1e-5)
    assert first.mean() < average.mean() < vec.encoder.mu.weight.mean()
    teacher.copy_to(vec)
    assert torch.equal(vec.encoder.mu.weight, teacher.vec.encoder.mu.weight)


def test_the_threshold_is_the_mean_confidence_and_lower_for_rare_classes():
    teacher = Teacher(build_vec(SPEC, with_detail=False), SPEC.n_classes)
    assert teacher.threshold(torch.full((4,), 1 / 3)).min() > 0.9  # at the beginning
    means = torch.tensor([0.9, 0.6, 0.3, 0.1])
    thresholds = [teacher.threshold(means) for _ in range(2000)]
    assert torch.allclose(thresholds[-1], torch.tensor([0.9, 0.45, 0.15]), atol=1e-3)


def test_the_teacher_gets_no_gradient_and_its_probs_of_a_row_depend_on_that_row_alone(toy_table):
    x = torch.from_numpy(toy_table[0]).float()
    y = torch.from_numpy(toy_table[1])
    vec = build_vec(SPEC, with_detail=False)
    teacher = Teacher(vec, SPEC.n_classes)
    consistency = Consistency(teacher, vec, teacher.vec, weight=1.0)
    losses = vec_step(
        vec,
        x,
        y,
        torch.randn(len(x), SPEC.latent_dim),
        len(x),
        swap_noise(x),
        torch.randn(len(x), SPEC.latent_dim),
        optimizer=SGD(vec.parameters(), 0.1),
        backward=torch.Tensor.backward,
        weight_kl=0.0,
        weight_detail=0.0,
        variance=1.0,
        consistency=consistency,
    )
    assert losses["loss_consistency"] > 0
    assert float(teacher.n_updates) == 1
    assert all(p.grad is None for p in teacher.parameters())
    assert torch.allclose(consistency.probs(x)[:3], consistency.probs(x[:3]), atol=1e-6)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X.reshape(-1, 8, 8) / 16, y, test_size=400, random_state=0, stratify=y)


def with_few_labels(y: np.ndarray, n: int) -> np.ndarray:
    few = np.full(len(y), -1)
    for c in np.unique(y):
        few[np.flatnonzero(y == c)[:n]] = c
    return few


def test_unlabelled_digits_help_where_labels_are_few(digits):
    X, X_test, y, y_test = digits
    few = with_few_labels(y, 5)
    scores = {}
    short = {"n_epochs": 18, "n_epochs_decoder": 0, "widths": (16, 32, 32), "random_state": 0}
    for weight in (0.0, None):  # None takes 1, since labels are few
        model = SSAVAE(**short, weight_consistency=weight, weight_distill=weight)
        scores[weight] = model.fit(X, few).score(X_test, y_test)
        assert ("loss_consistency" in model.history_[-1]) == (weight is None)
    assert scores[None] > scores[0.0] + 0.1


def test_with_many_labels_or_without_weight_the_method_is_the_paper_s(toy_images):
    X, y = toy_images
    short = {"n_epochs": 2, "n_epochs_decoder": 0, "widths": (8, 8), "random_state": 0}
    plain = SSAVAE(**short, weight_consistency=0.0).fit(X, y)
    default = SSAVAE(**short).fit(X, y)
    for a, b in zip(plain.vec_.parameters(), default.vec_.parameters(), strict=True):
        assert torch.equal(a, b)
    unlabelled = SSAVAE(**short).fit(X)
    assert "loss_consistency" not in unlabelled.history_[0]


def test_a_run_with_a_teacher_stopped_and_resumed_is_the_same_run(toy_table, tmp_path, monkeypatch):
    X, y = toy_table
    few = with_few_labels(y, 4)
    params = {"n_epochs": 6, "n_epochs_decoder": 2, "batch_size": 16, "widths": (8,), "random_state": 0}
    whole = SSAVAE(**params).fit(X, few)
    resumed = SSAVAE(**params, checkpoint_folder=tmp_path, checkpoint_every=7)
    updates = []
    update = Teacher.update

    def stop(teacher, vec):
        updates.append(vec)
        if len(updates) == 25:
            raise RuntimeError("power cut")
        update(teacher, vec)

    with monkeypatch.context() as patched:
        patched.setattr(Teacher, "update", stop)
        with pytest.raises(RuntimeError, match="power cut"):
            resumed.fit(X, few)
    resumed.fit(X, few, resume=True)
    for a, b in zip(whole.vec_.state_dict().values(), resumed.vec_.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert np.array_equal(whole.reconstruct(X), resumed.reconstruct(X))


def test_one_labelled_row_a_class_and_a_class_without_labels(toy_table):
    X, y = toy_table
    few = np.where(y == 2, -1, with_few_labels(y, 1))  # class 2 has rows, but no label
    model = SSAVAE(n_epochs=30, n_epochs_decoder=2, widths=(16,), random_state=0).fit(X, few)
    assert model.classes_.tolist() == [0, 1]
    assert np.isfinite(model.predict_proba(X)).all()
    assert model.score(X[y < 2], y[y < 2]) > 0.8
