"""Arguments of the steps: what each draws for a batch, noise, views and masks among them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ssavae.algorithms import dropout_masks
from ssavae.training.augmentations import augmented
from ssavae.training.distributed.context import Augmentation, Context
from ssavae.training.stage import Argument


def vec_arguments(
    x: Tensor,
    y: Tensor,
    *weights: Tensor,
    context: Context,
    latent_dim: int,
    generator: torch.Generator,
    augmentations: Sequence[Augmentation] = (),
    strong: Augmentation | None = None,
    dropout: float = 0.0,
    units: Sequence[int] = (),
) -> tuple[Argument, ...]:
    """Return the arguments of ``algorithms.vec_step``: noise, views and masks are new ones for each batch."""
    x = augmented(x, augmentations)
    eps = context.normal(len(x), latent_dim, generator)
    n_labelled = context.n_labelled(y)
    views = (None, None) if strong is None else (strong(x), context.normal(len(x), latent_dim, generator))
    weight = weights[0] if weights else None
    masks = ()
    if dropout:
        noise = context.normal(len(x), sum(units), generator)
        masks = dropout_masks(noise, dropout).split(list(units), dim=1)
    return x, y, eps, n_labelled, *views, weight, masks


def student_arguments(x: Tensor, *targets: Tensor, augmentation: Augmentation) -> tuple[Tensor]:
    """Return the arguments of ``algorithms.student_step``: augmented rows."""
    return (augmentation(x),)


def decoder_arguments(
    x: Tensor,
    *targets: Tensor,
    context: Context,
    latent_dim: int,
    generator: torch.Generator,
    with_prior: bool,
) -> tuple[Tensor | None, ...]:
    """Return the arguments of ``algorithms.decoder_step``: rows, noise, codes from the prior."""
    eps = context.normal(len(x), latent_dim, generator)
    return x, eps, context.normal(len(x), latent_dim, generator) if with_prior else None
