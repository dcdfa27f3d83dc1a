"""The two steps made ready to run: each algorithm bound to its networks, optimisers and device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from ssavae.algorithms import Losses, frozen, train_decoder, train_student, train_vec
from ssavae.consistency import Consistency, Teacher
from ssavae.networks import VEC
from ssavae.training.augmentations import AUGMENTATIONS, augment_batches, weak
from ssavae.training.distributed.context import Batches, Change, Context
from ssavae.training.loop import Stage

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Measure = Callable[[], dict[str, float]]


def vec_stage(
    fabric: Fabric,
    share: Context,
    vec: VEC,
    *,
    learning_rate: float,
    weight_kl: float,
    weight_detail: float,
    variance: float,
    augment: Sequence[str],
    teacher: Teacher | None,
    weight_consistency: float,
    change: Change,
    measure: Measure,
) -> Stage:
    """Bind Algorithm 1 to a VEC; ``variance`` is that of an input's elements, see ``loss_detail``.

    ``augment`` names ``augment.CHANGES`` made to its rows; ``teacher`` and ``change`` are of
    ``loss_consistency``, which is left out where there is no teacher.
    """
    placed = placed_vec(fabric, vec)
    optimizer = Adam(placed.parameters(), lr=learning_rate, fused=True)
    consistency = None
    if teacher is not None:
        teacher.to(fabric.device)
        still = placed_vec(fabric, teacher.vec)
        consistency = Consistency(teacher, vec, still, share.changing(change), weight_consistency, share.mean)
    changes = [share.changing(AUGMENTATIONS[name]) for name in augment]

    def algorithm(batches: Batches) -> Iterator[Losses]:
        return train_vec(
            placed,
            augment_batches(batches, changes),
            optimizer,
            fabric.backward,
            weight_kl=weight_kl,
            weight_detail=weight_detail,
            variance=variance,
            consistency=consistency,
            share=share,
        )

    return Stage("vec", algorithm, {"vec": optimizer}, measure)


def student_stage(
    fabric: Fabric,
    share: Context,
    vec: VEC,
    *,
    learning_rate: float,
    kind: str,
    variance: float,
    measure: Measure,
) -> Stage:
    """Bind the student's training to a VEC that has one; ``variance`` as in ``loss_student``.

    ``kind`` is that of the rows, half of which are changed: ``augment.nearby``.
    """
    with frozen(vec):  # so that processes do not look for gradients of it
        placed = placed_vec(fabric, vec)
    assert vec.student is not None
    student = fabric.setup_module(vec.student)
    optimizer = Adam(student.parameters(), lr=learning_rate, fused=True)
    change = share.changing(partial(weak, kind=kind))

    def algorithm(batches: Batches) -> Iterator[Losses]:
        changed = augment_batches(batches, [change])
        return train_student(placed, student, changed, optimizer, fabric.backward, variance=variance)

    return Stage("student", algorithm, {"student": optimizer}, measure)


def decoder_stage(
    fabric: Fabric,
    share: Context,
    vec: VEC,
    decoder: nn.Module,
    discriminator: nn.Module,
    *,
    learning_rate: float,
    learning_rate_disc: float,
    beta: float,
    gamma: float,
    weights: tuple[float, ...],
    weight_latent: float,
    measure: Measure,
) -> Stage:
    """Bind Algorithm 2 to a frozen VEC, a decoder and a discriminator.

    ``weights`` as in ``loss_rec``, ``weight_latent`` as in ``loss_latent``.
    """
    with frozen(vec):  # so that processes do not look for gradients of it
        placed = placed_vec(fabric, vec)
    decoder, discriminator = fabric.setup_module(decoder), fabric.setup_module(discriminator)
    # Little memory of past gradients: each player faces another opponent at every batch.
    betas = (0.5, 0.99)
    optimizer = Adam(decoder.parameters(), lr=learning_rate, betas=betas, fused=True)
    optimizer_disc = Adam(discriminator.parameters(), lr=learning_rate_disc, betas=betas, fused=True)

    def algorithm(batches: Batches) -> Iterator[Losses]:
        return train_decoder(
            placed,
            decoder,
            discriminator,
            batches,
            optimizer,
            optimizer_disc,
            fabric.backward,
            beta=beta,
            gamma=gamma,
            weights=weights,
            weight_latent=weight_latent,
            share=share,
        )

    optimizers: dict[str, Optimizer] = {"decoder": optimizer}
    if beta:
        optimizers["discriminator"] = optimizer_disc
    return Stage("decoder", algorithm, optimizers, measure)


def placed_vec(fabric: Fabric, vec: VEC) -> VEC:
    """Put a VEC, less its student, on the device, each part wrapped for the chosen precision.

    The weights are shared.
    """
    parts = [
        None if part is None else fabric.setup_module(part)
        for part in (vec.encoder, vec.classifier, vec.detail)
    ]
    return VEC(*parts).train(vec.training)  # type: ignore[arg-type]


def measured_variance(x: Tensor) -> float:
    """Mean variance of an element of x, inputs or codes, over the rows; 1 where nothing varies."""
    return float(torch.var(x, dim=0).mean()) or 1.0
