"""Algorithm 1 (step 1, the VEC) and Algorithm 2 (step 2, the decoder): one update each.

A step is a function of networks and one batch. Noise and the number of labels are arguments, and
nothing here reads a value back from the device: the same step can be captured as a graph.
Epochs, schedules, devices and checkpoints are in ``ssavae.training``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import NormalDist
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ssavae.consistency import Consistency
from ssavae.detail import DetailLaw
from ssavae.losses import (
    loss_adv,
    loss_class,
    loss_consistency,
    loss_detail,
    loss_disc,
    loss_distill,
    loss_kl,
    loss_latent,
    loss_rec,
    loss_student,
)
from ssavae.networks import VEC, reparameterize

if TYPE_CHECKING:
    from jaxtyping import Float, Int

Losses = dict[str, Tensor]
Backward = Callable[[Tensor], None]


def vec_step(
    vec: VEC,
    x: Float[Tensor, "b *shape"],
    y: Int[Tensor, "b"],
    eps: Float[Tensor, "b k"],
    n_labelled: Tensor | float,
    x_strong: Float[Tensor, "b *shape"] | None = None,
    eps_strong: Float[Tensor, "b k"] | None = None,
    weights: Float[Tensor, "b *members"] | None = None,
    masks: tuple[Float[Tensor, "b u"], ...] = (),
    *,
    optimizer: Optimizer,
    backward: Backward,
    weight_kl: float,
    weight_detail: float,
    variance: float,
    weight_distill: float = 0.0,
    consistency: Consistency | None = None,
) -> Losses:
    """Algorithm 1: one update of encoder and classifier, by which labels structure the latent space.

    Minimises ``loss_class + weight_kl * loss_kl + weight_detail * loss_detail + weight_consistency *
    loss_consistency`` over E, C and the auxiliary decoder. The paper's plain reading is the first two. An
    auxiliary classifier B, where there is one, learns labels and pseudo-labels in place of C, and C learns
    from B: plus ``weight_distill * loss_distill``.

    Parameters
    ----------
    vec : VEC
    x, y : (B, ...), (B,)
        Network inputs and class indices, -1 where unlabelled.
    eps : (B, K)
        Noise from N(0, I).
    n_labelled : Tensor or float
        What the sum of ``loss_class`` is divided by: the number of labels in the batch, at least 1.
    x_strong, eps_strong : (B, ...), (B, K)
        The same rows under strong augmentation, and their noise; only used with ``consistency``.
    weights : (B,), (B, members) or None
        Weights of the rows in ``loss_class``, or of the rows for each member of the encoder.
    masks : tuple of (B, units)
        What each hidden layer of a table's encoder is multiplied by: see :func:`dropout_masks`.
    optimizer, backward
        Adam over the parameters of ``vec``; the function that computes gradients.
    weight_kl, weight_detail, weight_distill : float
    variance : float
        Mean variance of an input's element: see ``loss_detail``.
    consistency : Consistency or None

    Returns
    -------
    dict
        The losses by name, detached, on the device.
    """
    in_training(vec)
    mu, logvar, z, logits = _read(vec, x, eps, masks)
    k = len(mu) // len(x)  # members of the encoder
    y = _for_members(y, k)
    if weights is not None:
        weights = weights.T.flatten() if weights.ndim == 2 else _for_members(weights, k)
    losses = {
        "loss_class": loss_class(logits, y, weights).sum() / (k * n_labelled),
        "loss_kl": loss_kl(mu, logvar).mean(),
    }
    total = losses["loss_class"] + weight_kl * losses["loss_kl"]
    if vec.auxiliary is not None:
        losses["loss_distill"] = loss_distill(vec.classifier(z), logits.detach().softmax(dim=1)).mean()
        total = total + weight_distill * losses["loss_distill"]
    if weight_detail and vec.detail is not None:
        losses["loss_detail"] = loss_detail(_for_members(x, k), vec.detail(z), variance).mean()
        total = total + weight_detail * losses["loss_detail"]
    if consistency is not None:
        assert x_strong is not None and eps_strong is not None
        logits = _read(vec, x_strong, eps_strong, masks)[-1]
        probs = consistency.probs(x)
        threshold = consistency.threshold(probs)
        losses["loss_consistency"] = loss_consistency(logits, _for_members(probs, k), y, threshold).mean()
        total = total + consistency.weight * losses["loss_consistency"]
    update(total, optimizer, backward)
    if consistency is not None:
        consistency.update_teacher()
    return {name: loss.detach() for name, loss in losses.items()}


def _read(
    vec: VEC, x: Tensor, eps: Tensor, masks: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return mu, logvar, a draw z, and the class logits that learn from labels."""
    mu, logvar, features = vec.encoder(x, masks) if masks else vec.encoder(x)
    z = reparameterize(mu, logvar, _for_members(eps, len(mu) // len(x)))
    return mu, logvar, z, vec.label_logits(z, features)


def dropout_masks(noise: Float[Tensor, "b u"], rate: float) -> Float[Tensor, "b u"]:
    r"""Return what hidden units are multiplied by: 0 with probability ``rate``, else 1 / (1 - rate).

    So each row is coded by other units in each batch, and no unit learns it by heart (Srivastava 2014).

    Parameters
    ----------
    noise : (B, U)
        From N(0, I).
    rate : float
        Above 0 and below 1.

    Examples
    --------
    >>> dropout_masks(torch.tensor([[-3.0, 0.1], [2.0, -0.1]]), 0.5)
    tensor([[0., 2.],
            [2., 0.]])
    """
    return (noise > NormalDist().inv_cdf(rate)).to(noise.dtype) / (1.0 - rate)


def _for_members(rows: Tensor, k: int) -> Tensor:
    """Repeat rows for each of k members of an encoder, which all learn from every row."""
    return rows if k == 1 else rows.repeat(k, *[1] * (rows.ndim - 1))


def student_step(
    vec: VEC,
    student: nn.Module,
    x: Float[Tensor, "b *shape"],
    *,
    optimizer: Optimizer,
    backward: Backward,
    variance: float,
) -> Losses:
    """One update of a student: a smaller network that learns the codes of the frozen encoder.

    Minimises ``loss_student`` over S alone. No label is used, and x may be augmented: the encoder
    gives a target for any row.

    Parameters
    ----------
    vec : VEC
        Frozen during the step.
    student : nn.Module
        S: x -> mu.
    x : (B, ...)
    optimizer, backward
        As in :func:`vec_step`, over the parameters of S.
    variance : float
        Mean variance of an element of the encoder's codes: see ``loss_student``.

    Returns
    -------
    dict
        The loss by name, detached, on the device.
    """
    in_training(student)
    with frozen(vec):
        with torch.no_grad():
            mu, logits = vec(x)
        mu_student = student(x)
        loss = loss_student(mu_student, vec.classifier(mu_student), mu, logits, variance).mean()
        update(loss, optimizer, backward)
    return {"loss_student": loss.detach()}


def decoder_step(
    vec: VEC,
    decoder: nn.Module,
    discriminator: nn.Module,
    x: Float[Tensor, "b *shape"],
    eps: Float[Tensor, "b k"],
    z_prior: Float[Tensor, "b k"] | None,
    *,
    detail_law: DetailLaw | None = None,
    optimizer: Optimizer,
    optimizer_disc: Optimizer,
    backward: Backward,
    beta: float,
    gamma: float,
    weights: tuple[float, ...],
    weight_latent: float,
) -> Losses:
    """Algorithm 2: one update of the decoder against the frozen VEC's features, a discriminator and the code.

    The decoder minimises ``loss_rec + beta * loss_adv + gamma * loss_latent``, the discriminator
    ``loss_disc``. A term whose weight is 0 costs nothing: with ``beta = 0`` the discriminator is not
    updated, with ``beta = gamma = 0`` nothing is generated from the prior.

    Parameters
    ----------
    vec : VEC
        Frozen during the step: parameters, buffers, mode and ``requires_grad`` stay as they are.
    decoder, discriminator : nn.Module
    x : (B, ...)
    eps, z_prior : (B, K)
        Noise of q(z|x), and codes from the prior N(0, I); ``z_prior`` is None where beta = gamma = 0.
    detail_law : DetailLaw or None
        Of a code in two parts: ``z_prior`` then gets the place of each row on the map, and the detail of the
        next row in the law of the class at that place, so that the decoder learns to exchange details.
    optimizer, optimizer_disc, backward
        As in :func:`vec_step`.
    beta, gamma : float
        The paper's weights of ``loss_adv`` and ``loss_latent``.
    weights, weight_latent
        See :func:`feature_weights` and :func:`latent_weight`.

    Returns
    -------
    dict
        The losses by name, detached, on the device.
    """
    in_training(decoder)
    in_training(discriminator)
    with frozen(vec):
        with torch.no_grad():
            mu, logvar, features = vec.encoder(x)
            z = reparameterize(mu, logvar, eps)
            if z_prior is not None and detail_law is not None:
                z_prior = detail_law.exchanged(z, vec.classifier(z).softmax(dim=1))
            codes = z if z_prior is None else torch.cat([z, z_prior])
        decoded = decoder(codes)  # x_rec, then x_gen
        mu_rec, _, features_rec = vec.encoder(decoded if gamma else decoded[: len(x)])
        features_rec = tuple(h[: len(x)] for h in features_rec)
        losses = {"loss_rec": loss_rec(features, features_rec, weights).mean()}
        total = losses["loss_rec"]
        if beta:
            losses_disc, grad_adv = discriminator_step(
                discriminator, x, decoded.detach(), optimizer_disc, backward
            )
            losses |= losses_disc
            total = total + beta * (decoded * grad_adv).sum()
        if gamma:
            losses["loss_latent"] = loss_latent(codes, mu_rec, weight_latent).mean()
            total = total + gamma * losses["loss_latent"]
        update(total, optimizer, backward)
    return {name: loss.detach() for name, loss in losses.items()}


def discriminator_step(
    discriminator: nn.Module, x: Tensor, decoded: Tensor, optimizer: Optimizer, backward: Backward
) -> tuple[Losses, Tensor]:
    r"""Update the discriminator by ``loss_disc``, and return the gradient of ``loss_adv`` for the decoder.

    One pass of D serves both players: their losses are functions of the same logits and weigh decoded
    rows alike, so that

    .. math:: \nabla_x \, loss\_adv = -e^{-D(x)} \; \nabla_x \, loss\_disc

    Parameters
    ----------
    x : (B, ...)
    decoded : (2 B, ...)
        x_rec, then x_gen; detached from the decoder.

    Returns
    -------
    losses : dict
        ``loss_adv`` and ``loss_disc``.
    grad_adv : (2 B, ...)
        The gradient of the mean ``loss_adv`` at the decoded rows.
    """
    decoded.requires_grad_()
    logits_real, logits_rec, logits_gen = discriminator(torch.cat([x, decoded])).chunk(3)
    logits_fake = torch.cat([logits_rec, logits_gen]).detach()
    losses = {
        "loss_adv": loss_adv(logits_fake).mean(),
        "loss_disc": loss_disc(logits_real, logits_rec, logits_gen).mean(),
    }
    update(losses["loss_disc"], optimizer, backward)
    # Beyond -60 a gradient of loss_disc is too small for single precision to be scaled up again.
    scale = -(-logits_fake.clamp(min=-60.0)).exp()
    assert decoded.grad is not None
    return losses, decoded.grad * scale.view(-1, *[1] * (decoded.ndim - 1))


def update(loss: Tensor, optimizer: Optimizer, backward: Backward) -> None:
    """Take one step of an optimiser: only its own parameters move."""
    optimizer.zero_grad(set_to_none=True)
    backward(loss)
    optimizer.step()


@contextmanager
def frozen(module: nn.Module) -> Iterator[nn.Module]:
    """Freeze a module: eval mode and no gradient into it, though gradients pass through it.

    Mode and ``requires_grad`` of every part are restored at the end, also after an exception.
    """
    modes = [(part, part.training) for part in module.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    # What is frozen already is left alone: an update of a small table has no time for it.
    if any(training for _, training in modes):
        module.eval()
    if any(flag for _, flag in flags):
        module.requires_grad_(False)
    try:
        yield module
    finally:
        for part, training in modes:
            if part.training != training:
                part.training = training
        for parameter, requires_grad in flags:
            if parameter.requires_grad != requires_grad:
                parameter.requires_grad_(requires_grad)


def in_training(module: nn.Module) -> None:
    """Set a module to training mode, if a part of it is not."""
    if not all(part.training for part in module.modules()):
        module.train()


# One hundredth of the fraction of variance: with it the paper's regimes of beta begin where it reports them
# (docs/decisions.md): up to 0.003 reconstruction dominates, from 0.005 images are clear, at 0.1 they no
# longer match. With LATENT_SCALE, gamma = 0.1 corrects most of these; more of it serves the encoder alone.
REC_SCALE = 0.01
LATENT_SCALE = 0.3


def feature_weights(vec: VEC, x: Tensor) -> tuple[float, ...]:
    r"""Weights of the layers in ``loss_rec``: each layer's error is divided by its own variance.

    .. math:: w_l = s / (L \, \bar{v}_l)

    with v_l the mean variance of an element of h_l over the rows of x, so that ``loss_rec`` is s times
    the fraction of the features' variance that a reconstruction does not explain, whatever network
    and data; s is ``REC_SCALE``.
    """
    with frozen(vec), torch.no_grad():
        features = vec.encoder(x)[2]
    scale = REC_SCALE / len(features)
    return tuple(scale / _mean_variance(h) for h in features)


def latent_weight(mu: Tensor) -> float:
    r"""Weight in ``loss_latent``: the distance is divided by the variance of the codes.

    .. math:: w = s / \bar{v}

    with v the mean variance of an element of mu over the rows and s ``LATENT_SCALE``, so that one gamma
    fits latent spaces of any size and spread.
    """
    return LATENT_SCALE / _mean_variance(mu)


def _mean_variance(h: Tensor) -> float:
    """Mean variance of an element over the rows, at least 1e-12."""
    return max(float(h.var(dim=0).mean()), 1e-12)
