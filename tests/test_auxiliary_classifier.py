"""The auxiliary classifier of step 1: what learns from labels, what from guesses, and what it is good for."""

import numpy as np
import pytest
import torch
from torch.optim import SGD

from ssavae import SSAVAE, load
from ssavae.algorithms import vec_step
from ssavae.consistency import Consistency, Teacher
from ssavae.losses import loss_distill
from ssavae.networks import VEC, AuxiliaryClassifier, Encoder, Spec, build_vec

SPEC = Spec((6,), latent_dim=2, n_classes=3, bounded=False, widths=(8, 8))
ENSEMBLE = Spec((6,), latent_dim=2, n_classes=3, bounded=False, widths=(8, 8), n_members=4)
X = torch.randn(12, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(12) % 3


def after_one_update(y: torch.Tensor) -> tuple[VEC, dict[str, torch.Tensor]]:
    """Return the VEC after one update, the same for every y but for what the labels do, and the losses."""
    torch.manual_seed(0)
    vec = build_vec(SPEC, with_detail=False, with_auxiliary=True)
    losses = vec_step(
        vec,
        X,
        y,
        torch.randn(12, 2),
        12,
        optimizer=SGD(vec.parameters(), lr=0.1),
        backward=torch.Tensor.backward,
        weight_kl=0.02,
        weight_detail=0.0,
        weight_distill=1.0,
        variance=1.0,
    )
    return vec, losses


def same_weights(a: torch.nn.Module | None, b: torch.nn.Module | None) -> bool:
    assert a is not None and b is not None
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_the_classifier_of_the_code_learns_from_labels_by_the_guesses_alone():
    vec, losses = after_one_update(Y)
    other, _ = after_one_update((Y + 1) % 3)
    assert set(losses) == {"loss_class", "loss_kl", "loss_distill"}
    assert same_weights(vec.classifier, other.classifier)
    assert not same_weights(vec.auxiliary, other.auxiliary)
    assert not same_weights(vec.encoder, other.encoder)


def test_guesses_get_no_gradient_and_are_followed():
    logits = torch.zeros(1, 3, requires_grad=True)
    guesses = torch.tensor([[2.0, 0.0, 0.0]], requires_grad=True)
    loss_distill(logits, guesses.detach().softmax(dim=1)).sum().backward()
    assert guesses.grad is None and logits.grad is not None
    assert torch.allclose(logits.grad, 1 / 3 - guesses.detach().softmax(dim=1))
    at_the_guess = loss_distill(guesses, guesses.softmax(dim=1))
    assert at_the_guess < loss_distill(torch.zeros(1, 3), guesses.softmax(dim=1))


def test_each_member_has_an_auxiliary_classifier_and_apart_from_training_they_are_averaged():
    encoder, auxiliary = Encoder(ENSEMBLE), AuxiliaryClassifier(ENSEMBLE)
    h = encoder.eval()(X).features[-1]
    of_members = auxiliary.train()(h).unflatten(0, (4, 12))
    width = h.shape[1] // 4
    alone = h.clone()
    alone[:, width:] = 0.0  # the features of the first member
    assert torch.allclose(auxiliary(alone).unflatten(0, (4, 12))[0], of_members[0])
    assert not torch.allclose(auxiliary(alone).unflatten(0, (4, 12))[1], of_members[1])
    assert torch.allclose(auxiliary.eval()(h), of_members.mean(dim=0), atol=1e-6)


def test_the_teacher_guesses_by_the_auxiliary_classifier():
    vec = build_vec(SPEC, with_detail=False, with_auxiliary=True)
    teacher = Teacher(vec, SPEC.n_classes)
    probs = Consistency(teacher, vec, teacher.vec, weight=1.0).probs(X)
    assert teacher.vec.auxiliary is not None
    h = teacher.vec.encoder.eval()(X)[2][-1]
    assert torch.allclose(probs, teacher.vec.auxiliary(h).softmax(dim=1))
    before = teacher.vec.auxiliary.get_parameter("linear.bias").clone()
    with torch.no_grad():
        for parameter in vec.parameters():
            parameter.add_(1.0)
    teacher.update(vec)
    assert not torch.equal(teacher.vec.auxiliary.get_parameter("linear.bias"), before)


def clusters(n_classes: int, rows_each: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of so many overlapping classes in 20 columns."""
    rng = np.random.default_rng(0)
    y = np.arange(n_classes * rows_each) % n_classes
    X = 1.2 * rng.normal(size=(n_classes, 20))[y] + rng.normal(size=(len(y), 20))
    return X, y


def test_a_map_of_two_dimensions_reads_many_classes_of_which_few_rows_have_a_label():
    X, y = clusters(16, 40)
    is_labelled = np.arange(len(y)) < 3 * 16
    few = np.where(is_labelled, y, -1)
    options = {"weight_consistency": 0.0, "n_members": 1, "widths": (64,), "n_epochs": 50}
    accuracy = {}
    for weight in (0.0, 1.0):
        model = SSAVAE(2, weight_distill=weight, n_epochs_decoder=0, random_state=0, **options).fit(X, few)
        accuracy[weight] = model.score(X[~is_labelled], y[~is_labelled])
    assert accuracy[1.0] > accuracy[0.0] + 0.2


@pytest.mark.parametrize("n_members", [1, 4])
def test_it_is_dropped_after_step_1_and_a_saved_model_is_the_same_without_it(tmp_path, toy_table, n_members):
    X, y = toy_table
    few = np.where(np.arange(len(y)) < 12, y, -1)
    options = {"n_epochs": 3, "n_epochs_decoder": 2, "widths": (8,), "random_state": 0}
    model = SSAVAE(weight_distill=1.0, n_members=n_members, **options).fit(X, few)
    assert model.vec_.auxiliary is None
    assert {"loss_class", "loss_distill"} <= set(model.history_[0])
    model.save(tmp_path / "model")
    assert np.array_equal(load(tmp_path / "model").transform(X), model.transform(X))
    with_pretrained = SSAVAE(weight_distill=1.0, n_members=n_members, **options).fit(X, few, vec=model)
    assert np.array_equal(with_pretrained.reconstruct(X), model.reconstruct(X))
