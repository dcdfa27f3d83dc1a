"""Training of the photograph network of a judge: Muon, random crops, each image mirrored every other epoch.

The recipe of Jordan (2024), "94% on CIFAR-10 in 3.29 seconds on a single GPU", with the optimizer of Jordan
et al. (2024), "Muon: an optimizer for hidden layers in neural networks".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssavae.metrics.judge_networks import whiten

if TYPE_CHECKING:
    from ssavae.metrics.judge import Judge

WHITENING_ROWS = 2000
LABEL_SMOOTHING = 0.2
LEARNING_RATE = 0.75  # of the head and of biases, at batches of 500; falls to 0 in equal steps
LEARNING_RATE_MUON = 0.18
BIAS_FACTOR = 64  # biases of normalisations learn this much faster
HEAD_SCALE = 1 / 9  # of the first weights of the head, and by its square of their learning rate
WEIGHT_DECAY = 1.33e-3
MOMENTUM, MOMENTUM_MUON = 0.85, 0.6


def orthogonalize(matrix: Tensor) -> Tensor:
    """Return about U V' of the singular value decomposition U S V' of a matrix, by three Newton-Schulz steps.

    The singular values come out between 0.3 and 1.3 or so, which is enough for Muon.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(3):
        gram = wide @ wide.T
        wide = 3.4445 * wide + (2.0315 * gram @ gram - 4.7750 * gram) @ wide
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T


class Muon(torch.optim.Optimizer):
    """Gradient descent with Nesterov momentum whose steps of convolutions are orthogonalized matrices.

    Weights are scaled to a root mean square of 1 per filter before each step, so that lr is relative to them.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Change every weight by one step."""
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                average = state.setdefault("average", torch.zeros_like(weight))
                average.mul_(group["momentum"]).add_(weight.grad)
                step = orthogonalize((weight.grad + group["momentum"] * average).flatten(1))
                weight.mul_(len(weight) ** 0.5 / weight.norm())
                weight.sub_(group["lr"] * step.reshape(weight.shape))


def random_crops(images: Tensor, mirrored: Tensor) -> Tensor:
    """Cut a random 7/8 of height and width of each image (n, H, W[, C]); mirror those of `mirrored` (n,).

    Crops of images that are there need no border, and make an epoch a quarter cheaper.
    """
    n, height, width = images.shape[:3]
    tops, lefts = (torch.randint(side - side * 7 // 8 + 1, (n, 1)) for side in (height, width))
    rows = tops + torch.arange(height * 7 // 8)
    columns = lefts + torch.arange(width * 7 // 8)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    return images[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def views(images: Tensor) -> list[Tensor]:
    """Return two crops, of the size of training, of images (n, C, H, W) and of their mirror images."""
    height, width = (side * 7 // 8 for side in images.shape[2:])
    both = (images, images.flip(3))
    return [crop for x in both for crop in (x[..., :height, :width], x[..., -height:, -width:])]


def _optimizers(judge: Judge, n_steps: int, batch_size: int) -> list[torch.optim.Optimizer]:
    convolutions = [w for w in judge.body.parameters() if w.requires_grad and w.ndim == 4]
    biases = [w for w in judge.body.parameters() if w.requires_grad and w.ndim == 1]
    rate = LEARNING_RATE * batch_size / 500
    groups = [
        (biases, BIAS_FACTOR),
        (list(judge.head.parameters()), HEAD_SCALE**2),
    ]
    sgd = torch.optim.SGD(
        [{"params": p, "lr": rate * f, "weight_decay": WEIGHT_DECAY / f} for p, f in groups],
        momentum=MOMENTUM,
        nesterov=True,
    )
    return [sgd, Muon(convolutions, LEARNING_RATE_MUON, MOMENTUM_MUON)]


def fit_photographs(judge: Judge, x: Tensor, y: Tensor, n_epochs: int, batch_size: int) -> Iterator[int]:
    """Train a judge of photographs on images x (n, H, W[, C]) in [0, 1] of classes y (n,).

    Yields the number of epochs done after each.
    """
    whiten(judge.body[0], judge.channels_first(x[:WHITENING_ROWS]))
    with torch.no_grad():
        judge.head.weight.mul_(HEAD_SCALE)
    n_batches = max(1, len(x) // batch_size)
    optimizers = _optimizers(judge, n_epochs * n_batches, batch_size)
    schedules = [torch.optim.lr_scheduler.LinearLR(o, 1, 0, n_epochs * n_batches) for o in optimizers]
    side = torch.rand(len(x)) < 0.5
    for epoch in range(n_epochs):
        for rows in torch.randperm(len(x)).tensor_split(n_batches):
            batch = random_crops(x[rows], side[rows] ^ bool(epoch % 2))
            loss = F.cross_entropy(judge(batch), y[rows], label_smoothing=LABEL_SMOOTHING)
            judge.zero_grad()
            loss.backward()
            for each in (*optimizers, *schedules):
                each.step()
        yield epoch + 1
