"""The rules of the method: which networks a step changes, which it leaves alone, and what it may read."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam
from torch.utils._python_dispatch import TorchDispatchMode

from ssavae.algorithms import (
    LATENT_SCALE,
    REC_SCALE,
    Losses,
    decoder_step,
    discriminator_step,
    feature_weights,
    frozen,
    latent_weight,
    student_step,
    update,
    vec_step,
)
from ssavae.consistency import Consistency, Teacher
from ssavae.losses import loss_adv, loss_latent, loss_rec
from ssavae.networks import Decoder, Discriminator, Spec, build_vec

SPEC = Spec((1, 8, 8), latent_dim=2, n_classes=3, bounded=True)
BACKWARD = torch.Tensor.backward


Batch = tuple[torch.Tensor, torch.Tensor]
Players = tuple[nn.Module, nn.Module]


@pytest.fixture
def batches(toy_images) -> list[Batch]:
    X, y = toy_images
    x = torch.from_numpy(X)[:, None]
    labels = torch.from_numpy(y)
    return [(x[i::4], labels[i::4]) for i in range(4)]


@pytest.fixture
def vec(batches):
    vec = build_vec(SPEC, with_detail=True)
    run_vec(vec, batches)
    return vec


def noise(x: torch.Tensor) -> torch.Tensor:
    return torch.randn(len(x), SPEC.latent_dim)


def run_vec(vec, batches, weight_kl=0.02, weight_detail=5.0, rate=1e-3) -> list[Losses]:
    """Update a VEC once on each batch; return the losses."""
    optimizer = Adam(vec.parameters(), rate)
    return [
        vec_step(
            vec,
            x,
            y,
            noise(x),
            (y >= 0).sum().clamp(min=1),
            optimizer=optimizer,
            backward=BACKWARD,
            weight_kl=weight_kl,
            weight_detail=weight_detail,
            variance=0.05,
        )
        for x, y in batches
    ]


def run_decoder(
    vec, batches, beta=0.01, gamma=0.1, players: Players | None = None, optimizer: Callable = Adam
) -> list[Losses]:
    """Update decoder and discriminator once on each batch; return the losses."""
    decoder, discriminator = players or (Decoder(SPEC), Discriminator(SPEC))
    optimizer_decoder = optimizer(decoder.parameters(), 1e-3)
    optimizer_disc = optimizer(discriminator.parameters(), 1e-3)
    weights = feature_weights(vec, batches[-1][0])
    return [
        decoder_step(
            vec,
            decoder,
            discriminator,
            x,
            noise(x),
            noise(x) if beta or gamma else None,
            optimizer=optimizer_decoder,
            optimizer_disc=optimizer_disc,
            backward=BACKWARD,
            beta=beta,
            gamma=gamma,
            weights=weights,
            weight_latent=1.0,
        )
        for x, _ in batches
    ]


def snapshot(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def moved(module: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}


def trainable(module: nn.Module) -> set[str]:
    return {name for name, _ in module.named_parameters()}


def test_algorithm_1_returns_its_losses_by_name(vec, batches):
    names = {frozenset(losses) for losses in run_vec(vec, batches)}
    assert names == {frozenset({"loss_class", "loss_kl", "loss_detail"})}
    (losses,) = run_vec(vec, batches[:1], weight_detail=0.0)
    assert "loss_detail" not in losses
    assert not any(loss.requires_grad for loss in losses.values())


def test_algorithm_1_moves_every_parameter(batches):
    vec = build_vec(SPEC, with_detail=True)
    before = snapshot(vec)
    run_vec(vec, batches)
    assert trainable(vec) - moved(vec, before) == set()


def test_algorithm_2_moves_every_parameter_of_both_players(vec, batches):
    players = Decoder(SPEC), Discriminator(SPEC)
    before = [snapshot(player) for player in players]
    run_decoder(vec, batches, players=players)
    assert [trainable(p) - moved(p, b) for p, b in zip(players, before, strict=True)] == [set(), set()]


@pytest.mark.parametrize("training", [True, False])
def test_algorithm_2_leaves_the_vec_bit_identical(vec, batches, training):
    vec.train(training)
    vec.classifier.requires_grad_(False)
    before = snapshot(vec)
    requires_grad = [p.requires_grad for p in vec.parameters()]
    vec.zero_grad(set_to_none=True)
    run_decoder(vec, batches)
    assert moved(vec, before) == set()
    assert {part.training for part in vec.modules()} == {training}
    assert [p.requires_grad for p in vec.parameters()] == requires_grad
    assert all(p.grad is None for p in vec.parameters())


def test_the_vec_is_restored_when_a_batch_fails(vec, batches):
    vec.train()
    broken = [(torch.zeros(2, 1, 8, 9), torch.zeros(2, dtype=torch.long))]
    with pytest.raises(RuntimeError):
        run_decoder(vec, broken + batches)
    assert all(p.requires_grad for p in vec.parameters())
    assert all(part.training for part in vec.modules())


def test_the_gradient_passes_through_the_frozen_encoder(vec):
    decoder = Decoder(SPEC)
    vec.zero_grad(set_to_none=True)
    with frozen(vec):
        vec.encoder(decoder(torch.randn(4, 2))).mu.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in decoder.end.parameters())
    assert all(p.grad is None for p in vec.parameters())


def gradients_of(module: nn.Module) -> list:
    return [None if p.grad is None else p.grad.clone() for p in module.parameters()]


def test_the_update_of_one_player_leaves_the_gradients_of_the_other_alone(vec, batches):
    players = Decoder(SPEC), Discriminator(SPEC)
    gradients: list[list[list]] = []

    class RecordingSGD(SGD):
        """Records the gradients of both players whenever one of them is updated."""

        def step(self, closure=None):
            gradients.append([gradients_of(module) for module in players])
            return super().step(closure)

    run_decoder(vec, batches[:2], players=players, optimizer=RecordingSGD)
    of_disc, of_decoder, next_disc, next_decoder = gradients
    assert all(g is None for g in of_disc[0])  # D's first step: the decoder has no gradient yet
    assert all(torch.equal(a, b) for a, b in zip(of_disc[1], of_decoder[1], strict=True))  # D's stay
    assert all(torch.equal(a, b) for a, b in zip(of_decoder[0], next_disc[0], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(next_disc[1], next_decoder[1], strict=True))


def test_grad_adv_is_the_gradient_of_the_adversarial_loss(float64):
    discriminator = Discriminator(SPEC)
    x = torch.rand(6, 1, 8, 8)
    decoded = torch.rand(12, 1, 8, 8)
    state = copy.deepcopy(discriminator.state_dict())
    optimizer = SGD(discriminator.parameters(), 0.0)
    losses, grad_adv = discriminator_step(discriminator, x, decoded.clone(), optimizer, BACKWARD)
    discriminator.load_state_dict(state)  # every pass changes the vectors of spectral norm
    leaf = decoded.clone().requires_grad_()
    loss = loss_adv(discriminator(torch.cat([x, leaf]))[6:]).mean()
    loss.backward()
    assert torch.allclose(losses["loss_adv"], loss)
    assert leaf.grad is not None and torch.allclose(grad_adv, leaf.grad, rtol=1e-9, atol=1e-12)


class SumDiscriminator(nn.Module):
    """The logit of a row is the sum of its pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.slope * x.flatten(1).sum(dim=1)


@pytest.mark.parametrize("logit", [-100.0, -40.0, 0.0, 40.0, 100.0])
def test_grad_adv_is_finite_for_any_logit(logit):
    decoded = torch.full((4, 1, 1, 1), logit)
    discriminator = SumDiscriminator()
    optimizer = SGD(discriminator.parameters(), 0.0)
    losses, grad_adv = discriminator_step(
        discriminator, torch.zeros(2, 1, 1, 1), decoded, optimizer, BACKWARD
    )
    assert torch.isfinite(grad_adv).all() and torch.isfinite(losses["loss_disc"])
    if abs(logit) <= 40:
        expected = -float(torch.sigmoid(torch.tensor(-logit))) / 4
        assert grad_adv.flatten().tolist() == pytest.approx([expected] * 4)


def test_terms_without_weight_cost_nothing(vec, batches):
    players = Decoder(SPEC), Discriminator(SPEC)
    before = snapshot(players[1])
    n_codes: list[int] = []
    players[0].register_forward_pre_hook(lambda module, args: n_codes.append(len(args[0])))
    (losses,) = run_decoder(vec, batches[:1], beta=0.0, gamma=0.0, players=players)
    assert set(losses) == {"loss_rec"}
    assert n_codes == [len(batches[0][0])]  # nothing was generated from the prior
    assert moved(players[1], before) == set()


def test_unlabelled_rows_change_the_kl_and_never_the_class_loss(vec, batches):
    x, y = batches[0]
    partly_labelled = torch.where(torch.arange(len(y)) < 5, y, -1)
    eps = noise(x)

    def losses(x: torch.Tensor, y: torch.Tensor) -> Losses:
        with batch_norm_in_eval_mode(vec):
            return vec_step(
                vec,
                x,
                y,
                eps,
                (y >= 0).sum(),
                optimizer=SGD(vec.parameters(), 0.0),
                backward=BACKWARD,
                weight_kl=1.0,
                weight_detail=0.0,
                variance=1.0,
            )

    original = losses(x, partly_labelled)
    inverted = losses(torch.cat([x[:5], 1.0 - x[5:]]), partly_labelled)
    assert float(original["loss_class"]) == pytest.approx(float(inverted["loss_class"]), rel=1e-5)
    assert float(original["loss_kl"]) != pytest.approx(float(inverted["loss_kl"]), rel=1e-3)


@contextmanager
def batch_norm_in_eval_mode(module: nn.Module) -> Iterator[None]:
    """Normalise by the running statistics, so that no row depends on the others."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    hooks = [norm.register_forward_pre_hook(lambda norm, _: norm.eval() and None) for norm in norms]
    yield
    for hook in hooks:
        hook.remove()


def test_a_batch_without_labels_is_fine(vec, batches):
    x, y = batches[0]
    before = snapshot(vec.classifier)
    (losses,) = run_vec(vec, [(x, torch.full_like(y, -1))])
    assert float(losses["loss_class"]) == 0.0
    assert all(torch.isfinite(value) for value in losses.values())
    assert moved(vec.classifier, before) == set()


def test_training_beats_no_training(batches):
    vec = build_vec(SPEC, with_detail=True)
    history = [losses for _ in range(30) for losses in run_vec(vec, batches)]
    assert history[-1]["loss_class"] < 0.3 * history[0]["loss_class"]
    assert history[-1]["loss_detail"] < 0.5 * history[0]["loss_detail"]
    players = Decoder(SPEC), Discriminator(SPEC)
    history = [losses for _ in range(30) for losses in run_decoder(vec, batches, players=players)]
    assert history[-1]["loss_rec"] < 0.6 * history[0]["loss_rec"]


def test_the_discriminator_learns_and_its_scores_vary(vec, batches):
    players = Decoder(SPEC), Discriminator(SPEC)
    history = [losses for _ in range(20) for losses in run_decoder(vec, batches, players=players)]
    assert history[-1]["loss_disc"] < history[0]["loss_disc"]
    assert float(players[1](batches[0][0]).detach().std()) > 1e-4


def test_with_feature_weights_the_loss_of_the_mean_features_is_the_scale(vec, batches):
    x = torch.cat([x for x, _ in batches])
    weights = feature_weights(vec, x)
    with frozen(vec), torch.no_grad():
        features = vec.encoder(x).features
        means = tuple(h.mean(dim=0, keepdim=True).expand_as(h) for h in features)
    assert float(loss_rec(features, means, weights).mean()) == pytest.approx(REC_SCALE, rel=0.05)


def test_with_the_latent_weight_the_loss_of_the_mean_code_is_the_scale():
    mu = torch.randn(500, 3) * torch.tensor([1.0, 2.0, 5.0])
    loss = loss_latent(mu, mu.mean(dim=0).expand_as(mu), latent_weight(mu)).mean()
    assert float(loss) == pytest.approx(LATENT_SCALE, rel=0.01)


def test_an_update_moves_only_the_optimiser_s_parameters():
    a = nn.Parameter(torch.ones(1))
    b = nn.Parameter(torch.ones(1))
    update((a * b).sum(), SGD([a], 0.5), BACKWARD)
    assert float(a.detach()) == 0.5
    assert float(b.detach()) == 1.0


# --------------------------------------------------------------- steps read nothing from the device

# Functions that copy values to the host, or whose result has a shape that depends on values.
READING_METHODS = (
    "item",
    "tolist",
    "numpy",
    "cpu",
    "__array__",
    "__bool__",
    "__float__",
    "__int__",
    "__index__",
)
READING_OPS = (
    "_local_scalar_dense",
    "equal",
    "allclose",
    "is_nonzero",
    "nonzero",
    "masked_select",
    "_unique2",
    "unique_dim",
)


class HostReadError(AssertionError):
    """A step has read a value back from the device."""


class NoReadingOps(TorchDispatchMode):
    """Raises for every operator that waits for the device, those of the backward pass included."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        indices = args[1] if name in ("index", "index_put", "index_put_") else ()
        by_mask = any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in indices)
        if name in READING_OPS or by_mask:
            raise HostReadError(f"{name} reads a value from the device")
        return func(*args, **(kwargs or {}))


@contextmanager
def no_host_reads() -> Iterator[None]:
    """Let every read of a tensor's value by the host raise HostReadError."""

    def forbid(name: str) -> Callable:
        def read(tensor: torch.Tensor, *args: object, **kwargs: object) -> None:
            raise HostReadError(f"Tensor.{name} reads a value from the device")

        return read

    with pytest.MonkeyPatch.context() as patched, NoReadingOps():
        for name in READING_METHODS:
            patched.setattr(torch.Tensor, name, forbid(name))
        yield


READS: dict[str, Callable[[torch.Tensor], object]] = {
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x.sum()),
    "int": lambda x: int(x.sum()),
    "a branch": lambda x: 1 if x.sum() > 0 else 2,
    "min of two": lambda x: max(x.sum(), 0.0),
    "an index": lambda x: [1, 2, 3][x.sum().long()],
    "a list": lambda x: x.tolist(),
    "numpy": lambda x: np.asarray(x),
    "a copy": lambda x: x.cpu(),
    "equal": lambda x: torch.equal(x, x),
    "allclose": lambda x: torch.allclose(x, x),
    "isfinite": lambda x: bool(torch.isfinite(x).all()),
    "a mask": lambda x: x[x > 0],
    "masked_select": lambda x: x.masked_select(x > 0),
    "nonzero": lambda x: torch.nonzero(x),
    "where": lambda x: torch.where(x > 0),
    "unique": lambda x: x.unique(),
    "a mask assigned": lambda x: x.clone().__setitem__(x > 0, torch.zeros(4)),
    "backward": lambda x: ReadingBackward.apply(x.requires_grad_()).sum().backward(),
}


class ReadingBackward(torch.autograd.Function):
    """Identity whose backward pass branches on the gradient."""

    @staticmethod
    def forward(ctx, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        return gradient if gradient.sum() > 0 else None


@pytest.mark.parametrize("read", READS)
def test_a_host_read_is_noticed(read):
    with pytest.raises(HostReadError), no_host_reads():
        READS[read](torch.ones(4))


@pytest.mark.parametrize("weight_consistency", [0.0, 1.0])
def test_vec_step_reads_nothing_from_the_device(batches, weight_consistency):
    x, y = batches[0]
    y = torch.where(torch.arange(len(y)) < 5, y, -1)
    vec = build_vec(SPEC, with_detail=True)
    teacher = Teacher(vec, SPEC.n_classes)
    consistency = Consistency(teacher, vec, teacher.vec, weight_consistency) if weight_consistency else None
    optimizer = Adam(vec.parameters(), 1e-3, fused=True)
    before = snapshot(vec)
    strong = (x.flip(3), noise(x)) if weight_consistency else (None, None)
    losses: Losses = {}
    for _ in range(2):  # the first creates the optimiser's state
        with no_host_reads():
            losses = vec_step(
                vec,
                x,
                y,
                noise(x),
                (y >= 0).sum().clamp(min=1),
                *strong,
                optimizer=optimizer,
                backward=BACKWARD,
                weight_kl=0.02,
                weight_detail=0.5,
                variance=0.05,
                consistency=consistency,
            )
    assert ("loss_consistency" in losses) == (weight_consistency > 0)
    assert trainable(vec) - moved(vec, before) == set()


def test_student_step_reads_nothing_from_the_device(batches):
    x, _ = batches[0]
    vec = build_vec(replace(SPEC, student_widths=(8,)), with_detail=False)
    student = vec.student
    assert student is not None
    vec.student = None
    optimizer = Adam(student.parameters(), 1e-3, fused=True)
    before = snapshot(student)
    for _ in range(2):
        with no_host_reads():
            student_step(vec, student, x, optimizer=optimizer, backward=BACKWARD, variance=1.0)
    assert trainable(student) - moved(student, before) == set()


@pytest.mark.parametrize(("beta", "gamma"), [(0.01, 0.1), (0.01, 0.0), (0.0, 0.1), (0.0, 0.0)])
def test_decoder_step_reads_nothing_from_the_device(vec, batches, beta, gamma):
    x, _ = batches[0]
    decoder = Decoder(SPEC)
    discriminator = Discriminator(SPEC)
    optimizer = Adam(decoder.parameters(), 1e-3, betas=(0.5, 0.99), fused=True)
    optimizer_disc = Adam(discriminator.parameters(), 1e-3, betas=(0.5, 0.99), fused=True)
    weights = feature_weights(vec, x)
    before = snapshot(decoder)
    for _ in range(2):
        with no_host_reads():
            decoder_step(
                vec,
                decoder,
                discriminator,
                x,
                noise(x),
                noise(x) if beta or gamma else None,
                optimizer=optimizer,
                optimizer_disc=optimizer_disc,
                backward=BACKWARD,
                beta=beta,
                gamma=gamma,
                weights=weights,
                weight_latent=1.0,
            )
    assert trainable(decoder) - moved(decoder, before) == set()
