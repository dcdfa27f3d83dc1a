"""Algorithm 1 (step 1, the VEC) and Algorithm 2 (step 2, the decoder): the whole method.

Both are generators.  They train on the batches that they are given and yield every loss of each
batch; what surrounds them (epochs, schedules, devices, progress, checkpoints) is the engine's.
``share`` draws the noise, and counts the labels, of batches that several processes share out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ssavae.consistency import Consistency
from ssavae.losses import (
    loss_adv,
    loss_class,
    loss_consistency,
    loss_detail,
    loss_disc,
    loss_kl,
    loss_latent,
    loss_rec,
    loss_student,
)
from ssavae.networks import VEC, reparameterize
from ssavae.training.distributed.context import SINGLE_PROCESS, Batches, Context

Losses = dict[str, Tensor]
Backward = Callable[[Tensor], None]


def train_vec(
    vec: VEC,
    batches: Batches,
    optimizer: Optimizer,
    backward: Backward,
    *,
    weight_kl: float,
    weight_detail: float,
    variance: float,
    consistency: Consistency | None = None,
    share: Context = SINGLE_PROCESS,
) -> Iterator[Losses]:
    """Algorithm 1: train encoder and classifier so that the labels structure the latent space.

    Minimises ``loss_class + weight_kl * loss_kl + weight_detail * loss_detail + weight_consistency *
    loss_consistency`` over E, C and the auxiliary decoder.  The paper's plain reading is the first two.

    Yields
    ------
    dict
        The batch's losses by name, detached, on the device.
    """
    vec.train()
    for x, y in batches:
        mu, logvar, _ = vec.encoder(x)
        z = reparameterize(mu, logvar, share.normal)
        losses = {
            "loss_class": loss_class(vec.classifier(z), y).sum() / share.n_labelled(y),
            "loss_kl": loss_kl(mu, logvar).mean(),
        }
        total = losses["loss_class"] + weight_kl * losses["loss_kl"]
        if weight_detail and vec.detail is not None:
            losses["loss_detail"] = loss_detail(x, vec.detail(z), variance).mean()
            total = total + weight_detail * losses["loss_detail"]
        if consistency is not None:
            mu, logvar, _ = vec.encoder(consistency.change(x))
            logits = vec.classifier(reparameterize(mu, logvar, share.normal))
            known = consistency.probs(x)
            losses["loss_consistency"] = loss_consistency(
                logits, known, y, consistency.threshold(known)
            ).mean()
            total = total + consistency.weight * losses["loss_consistency"]
        step(total, optimizer, backward)
        if consistency is not None:
            consistency.follow()
        yield {name: loss.detach() for name, loss in losses.items()}


def train_student(
    vec: VEC,
    student: nn.Module,
    batches: Batches,
    optimizer: Optimizer,
    backward: Backward,
    *,
    variance: float,
) -> Iterator[Losses]:
    """Train a student of the frozen VEC's encoder: a smaller network that puts rows in the same places.

    Minimises ``loss_student`` over S alone. No label is used, and batches may be changed at random: the
    encoder says of every row, whatever it is, where it belongs.

    Yields
    ------
    dict
        The batch's losses by name, detached, on the device.
    """
    student.train()
    for x, _ in batches:
        with frozen(vec):
            with torch.no_grad():
                mu, logits = vec(x)
            mu_student = student(x)
            told = vec.classifier(mu_student)
            loss = loss_student(mu_student, told, mu, logits, variance).mean()
            step(loss, optimizer, backward)
        yield {"loss_student": loss.detach()}


def train_decoder(
    vec: VEC,
    decoder: nn.Module,
    discriminator: nn.Module,
    batches: Batches,
    optimizer: Optimizer,
    optimizer_disc: Optimizer,
    backward: Backward,
    *,
    beta: float,
    gamma: float,
    weights: tuple[float, ...],
    weight_latent: float,
    share: Context = SINGLE_PROCESS,
) -> Iterator[Losses]:
    """Algorithm 2: train the decoder against the frozen VEC's features, a discriminator and the code.

    The decoder minimises ``loss_rec + beta * loss_adv + gamma * loss_latent``, the discriminator
    ``loss_disc``.  A term whose weight is 0 costs nothing: with ``beta = 0`` the discriminator
    rests, with ``beta = gamma = 0`` nothing is generated from the prior.

    Yields
    ------
    dict
        The batch's losses by name, detached, on the device.
    """
    decoder.train()
    discriminator.train()
    for x, _ in batches:
        with frozen(vec):
            with torch.no_grad():
                mu, logvar, features = vec.encoder(x)
                z = reparameterize(mu, logvar, share.normal)
                codes = torch.cat([z, share.normal(z)]) if beta or gamma else z
            decoded = decoder(codes)  # x_rec, then x_gen
            mu_rec, _, features_rec = vec.encoder(decoded if gamma else decoded[: len(x)])
            losses = {
                "loss_rec": loss_rec(features, tuple(h[: len(x)] for h in features_rec), weights).mean()
            }
            total = losses["loss_rec"]
            if beta:
                played, pull = contest(discriminator, x, decoded.detach(), optimizer_disc, backward)
                losses |= played
                total = total + beta * (decoded * pull).sum()
            if gamma:
                losses["loss_latent"] = loss_latent(codes, mu_rec, weight_latent).mean()
                total = total + gamma * losses["loss_latent"]
            step(total, optimizer, backward)
        yield {name: loss.detach() for name, loss in losses.items()}


def contest(
    discriminator: nn.Module, x: Tensor, decoded: Tensor, optimizer: Optimizer, backward: Backward
) -> tuple[Losses, Tensor]:
    r"""Move the discriminator by ``loss_disc``, and return both players' losses and the decoder's pull.

    The pull is the gradient of the mean ``loss_adv`` at the decoded rows. One pass of D serves both
    players: their losses are functions of the same logits, and weigh decoded rows alike, so that

    .. math:: \nabla_x \, loss\_adv = -e^{-D(x)} \; \nabla_x \, loss\_disc

    Parameters
    ----------
    x : (B, ...)
    decoded : (2 B, ...)
        x_rec, then x_gen; no gradient reaches what decoded them.
    """
    decoded.requires_grad_()
    logits = discriminator(torch.cat([x, decoded])).chunk(3)
    told = torch.cat(logits[1:]).detach()
    losses = {"loss_adv": loss_adv(told).mean(), "loss_disc": loss_disc(*logits).mean()}
    step(losses["loss_disc"], optimizer, backward)
    # beyond -60 a gradient of loss_disc is too small for single precision to be scaled up again
    scale = -(-told.clamp(min=-60.0)).exp()
    assert decoded.grad is not None
    return losses, decoded.grad * scale.view(-1, *[1] * (decoded.ndim - 1))


def step(loss: Tensor, optimizer: Optimizer, backward: Backward) -> None:
    """One update: only the optimiser's own parameters move."""
    optimizer.zero_grad(set_to_none=True)
    backward(loss)
    optimizer.step()


@contextmanager
def frozen(module: nn.Module) -> Iterator[nn.Module]:
    """Hold a module still: evaluation mode, no gradient into it, though gradients pass through it.

    Mode and ``requires_grad`` of every part are put back at the end, whatever happens.
    """
    modes = [(part, part.training) for part in module.modules()]
    wanted = [(p, p.requires_grad) for p in module.parameters()]
    module.eval().requires_grad_(False)
    try:
        yield module
    finally:
        for part, training in modes:
            part.training = training
        for parameter, requires_grad in wanted:
            parameter.requires_grad_(requires_grad)


# One hundredth of the share of variance: with it the paper's regimes of beta fall where it reports them
# (docs/decisions.md): up to 0.003 reconstruction rules, from 0.005 images are clear, at 0.1 they stray.
# With the other, gamma = 0.1 puts most of these right; more of it serves the encoder alone.
REC_SCALE, LATENT_SCALE = 0.01, 0.3


def feature_weights(vec: VEC, x: Tensor) -> tuple[float, ...]:
    r"""Weights of the layers in ``loss_rec``: each layer's error counts in units of its own variance.

    .. math:: w_l = s / (L \, \bar{v}_l)

    with v_l the mean variance of an element of h_l over the rows of x, so that ``loss_rec`` is s times
    the share of the features' variance that a reconstruction misses, whatever network and data; s is
    ``REC_SCALE``.
    """
    with frozen(vec), torch.no_grad():
        features = vec.encoder(x)[2]
    share = REC_SCALE / len(features)
    return tuple(share / _mean_variance(h) for h in features)


def latent_weight(mu: Tensor) -> float:
    r"""Weight in ``loss_latent``: the distance counts in units of the codes' own variance.

    .. math:: w = s / \bar{v}

    with v the mean variance of an element of mu over the rows and s ``LATENT_SCALE``, so that one gamma
    fits latent spaces of any size and spread.
    """
    return LATENT_SCALE / _mean_variance(mu)


def _mean_variance(h: Tensor) -> float:
    """Mean variance of an element over the rows, kept above 0."""
    return max(float(h.var(dim=0).mean()), 1e-12)
