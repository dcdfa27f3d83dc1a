"""The rules of the method: who may move, who may not, and that what should move does."""

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam

from ssavae.algorithms import (
    LATENT_SCALE,
    REC_SCALE,
    contest,
    feature_weights,
    frozen,
    latent_weight,
    step,
    train_decoder,
    train_vec,
)
from ssavae.losses import loss_adv, loss_latent, loss_rec
from ssavae.networks import Decoder, Discriminator, Spec, build_vec

SPEC = Spec((1, 8, 8), latent_dim=2, n_classes=3, bounded=True)
BACKWARD = torch.Tensor.backward


@pytest.fixture
def batches(toy_images):
    X, y = toy_images
    x, y = torch.from_numpy(X)[:, None], torch.from_numpy(y)
    return [(x[i::4], y[i::4]) for i in range(4)]


@pytest.fixture
def vec(batches):
    vec = build_vec(SPEC, with_detail=True)
    list(run_vec(vec, batches))
    return vec


def run_vec(vec, batches, weight_kl=0.02, weight_detail=5.0, rate=1e-3):
    optimizer = Adam(vec.parameters(), rate)
    return train_vec(
        vec, batches, optimizer, BACKWARD, weight_kl=weight_kl, weight_detail=weight_detail, variance=0.05
    )


def run_decoder(vec, batches, beta=0.01, gamma=0.1, players=None, optimizer: Callable = Adam):
    decoder, discriminator = players or (Decoder(SPEC), Discriminator(SPEC))
    return train_decoder(
        vec,
        decoder,
        discriminator,
        batches,
        optimizer(decoder.parameters(), 1e-3),
        optimizer(discriminator.parameters(), 1e-3),
        BACKWARD,
        beta=beta,
        gamma=gamma,
        weights=feature_weights(vec, batches[0][0]),
        weight_latent=1.0,
    )


def snapshot(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def moved(module: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}


def trainable(module: nn.Module) -> set[str]:
    return {name for name, _ in module.named_parameters()}


def test_algorithm_1_yields_its_losses_by_name(vec, batches):
    assert {frozenset(losses) for losses in run_vec(vec, batches)} == {
        frozenset({"loss_class", "loss_kl", "loss_detail"})
    }
    assert "loss_detail" not in next(iter(run_vec(vec, batches, weight_detail=0.0)))


def test_algorithm_1_moves_every_parameter(batches):
    vec = build_vec(SPEC, with_detail=True)
    before = snapshot(vec)
    list(run_vec(vec, batches))
    assert trainable(vec) - moved(vec, before) == set()


def test_algorithm_2_moves_every_parameter_of_both_players(vec, batches):
    players = Decoder(SPEC), Discriminator(SPEC)
    before = [snapshot(player) for player in players]
    list(run_decoder(vec, batches, players=players))
    assert [trainable(p) - moved(p, b) for p, b in zip(players, before, strict=True)] == [set(), set()]


@pytest.mark.parametrize("training", [True, False])
def test_algorithm_2_leaves_the_vec_bit_identical(vec, batches, training):
    vec.train(training)
    vec.classifier.requires_grad_(False)
    before, wanted = snapshot(vec), [p.requires_grad for p in vec.parameters()]
    vec.zero_grad(set_to_none=True)
    list(run_decoder(vec, batches))
    assert moved(vec, before) == set()
    assert {part.training for part in vec.modules()} == {training}
    assert [p.requires_grad for p in vec.parameters()] == wanted
    assert all(p.grad is None for p in vec.parameters())


def test_the_vec_is_put_back_when_a_batch_fails(vec, batches):
    vec.train()
    broken = [(torch.zeros(2, 1, 8, 9), torch.zeros(2, dtype=torch.long))]
    with pytest.raises(RuntimeError):
        list(run_decoder(vec, broken + batches))
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


def test_neither_player_s_step_reaches_the_other(vec, batches):
    players = Decoder(SPEC), Discriminator(SPEC)
    gradients: list[list[list]] = []

    class Watching(SGD):
        """Keeps both players' gradients as they stand when one of them steps."""

        def step(self, closure=None):
            gradients.append([gradients_of(module) for module in players])
            return super().step(closure)

    list(run_decoder(vec, batches[:2], players=players, optimizer=Watching))
    of_disc, of_decoder, again_disc, again_decoder = gradients
    assert all(g is None for g in of_disc[0])  # D's first step: the decoder has no gradient yet
    assert all(torch.equal(a, b) for a, b in zip(of_disc[1], of_decoder[1], strict=True))  # D's stay
    assert all(torch.equal(a, b) for a, b in zip(of_decoder[0], again_disc[0], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(again_disc[1], again_decoder[1], strict=True))


def test_the_pull_is_the_gradient_of_the_adversarial_loss(float64):
    discriminator = Discriminator(SPEC)
    x, decoded = torch.rand(6, 1, 8, 8), torch.rand(12, 1, 8, 8)
    other = copy.deepcopy(discriminator.state_dict())
    still = SGD(discriminator.parameters(), 0.0)
    losses, pull = contest(discriminator, x, decoded.clone(), still, BACKWARD)
    discriminator.load_state_dict(other)  # spectral norm moves on with every pass
    plain = decoded.clone().requires_grad_()
    logits = discriminator(torch.cat([x, plain]))[6:]
    loss = loss_adv(logits).mean()
    loss.backward()
    assert torch.allclose(losses["loss_adv"], loss)
    assert plain.grad is not None and torch.allclose(pull, plain.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("logit", [-100.0, -40.0, 0.0, 40.0, 100.0])
def test_the_pull_is_finite_however_sure_the_discriminator_is(logit):
    class Sure(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.slope = nn.Parameter(torch.ones(()))

        def forward(self, x):
            return self.slope * x.flatten(1).sum(dim=1)

    decoded = torch.full((4, 1, 1, 1), logit)
    judge = Sure()
    losses, pull = contest(judge, torch.zeros(2, 1, 1, 1), decoded, SGD(judge.parameters(), 0.0), BACKWARD)
    assert torch.isfinite(pull).all() and torch.isfinite(losses["loss_disc"])
    if abs(logit) <= 40:
        assert pull.flatten().tolist() == pytest.approx([-float(torch.sigmoid(torch.tensor(-logit))) / 4] * 4)


def test_terms_without_weight_cost_nothing(vec, batches):
    players = Decoder(SPEC), Discriminator(SPEC)
    before, seen = snapshot(players[1]), []
    players[0].register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    losses = next(iter(run_decoder(vec, batches, beta=0.0, gamma=0.0, players=players)))
    assert set(losses) == {"loss_rec"}
    assert seen == [len(batches[0][0])]  # nothing was generated from the prior
    assert moved(players[1], before) == set()


def test_unlabelled_rows_change_the_kl_and_never_the_class_loss(vec, batches):
    x, y = batches[0]
    hidden = torch.where(torch.arange(len(y)) < 5, y, -1)

    def losses(x, y):
        torch.manual_seed(0)
        optimizer = SGD(vec.parameters(), 0.0)
        vec.eval()
        quiet = train_vec(vec, [(x, y)], optimizer, BACKWARD, weight_kl=1.0, weight_detail=0.0, variance=1.0)
        with frozen_batch_norm(vec):
            return next(quiet)

    few, other = losses(x, hidden), losses(torch.cat([x[:5], 1.0 - x[5:]]), hidden)
    assert float(few["loss_class"]) == pytest.approx(float(other["loss_class"]), rel=1e-5)
    assert float(few["loss_kl"]) != pytest.approx(float(other["loss_kl"]), rel=1e-3)


class frozen_batch_norm:  # noqa: N801  # reads like a context manager
    """Keeps batch normalisation at its running statistics, so that rows do not meet through it."""

    def __init__(self, module):
        self.norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]

    def __enter__(self):
        self.hooks = [
            m.register_forward_pre_hook(lambda module, _: module.eval() and None) for m in self.norms
        ]

    def __exit__(self, *_):
        for hook in self.hooks:
            hook.remove()


def test_a_batch_without_labels_is_fine(vec, batches):
    x, y = batches[0]
    before = snapshot(vec.classifier)
    losses = next(iter(run_vec(vec, [(x, torch.full_like(y, -1))])))
    assert float(losses["loss_class"]) == 0.0
    assert all(torch.isfinite(value) for value in losses.values())
    assert moved(vec.classifier, before) == set()


def test_training_beats_no_training(batches):
    vec = build_vec(SPEC, with_detail=True)
    history = [
        {k: float(v) for k, v in losses.items()} for _ in range(30) for losses in run_vec(vec, batches)
    ]
    assert history[-1]["loss_class"] < 0.3 * history[0]["loss_class"]
    assert history[-1]["loss_detail"] < 0.5 * history[0]["loss_detail"]
    players = Decoder(SPEC), Discriminator(SPEC)
    train = partial(run_decoder, vec, batches, players=players)
    rec = [float(losses["loss_rec"]) for _ in range(30) for losses in train()]
    assert rec[-1] < 0.6 * rec[0]


def test_the_discriminator_learns_to_tell_and_its_scores_vary(vec, batches):
    players = Decoder(SPEC), Discriminator(SPEC)
    scores = [
        float(losses["loss_disc"]) for _ in range(20) for losses in run_decoder(vec, batches, players=players)
    ]
    assert scores[-1] < scores[0]
    assert float(players[1](batches[0][0]).detach().std()) > 1e-4


def test_feature_weights_make_the_mean_features_score_the_scale(vec, batches):
    x = torch.cat([x for x, _ in batches])
    weights = feature_weights(vec, x)
    with frozen(vec), torch.no_grad():
        features = vec.encoder(x).features
        means = tuple(h.mean(dim=0, keepdim=True).expand_as(h) for h in features)
    assert float(loss_rec(features, means, weights).mean()) == pytest.approx(REC_SCALE, rel=0.05)


def test_the_latent_weight_makes_the_mean_code_score_the_scale():
    mu = torch.randn(500, 3) * torch.tensor([1.0, 2.0, 5.0])
    missed = loss_latent(mu, mu.mean(dim=0).expand_as(mu), latent_weight(mu)).mean()
    assert float(missed) == pytest.approx(LATENT_SCALE, rel=0.01)


def test_step_moves_only_the_optimisers_parameters():
    a, b = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    step((a * b).sum(), SGD([a], 0.5), BACKWARD)
    assert float(a.detach()) == 0.5
    assert float(b.detach()) == 1.0
