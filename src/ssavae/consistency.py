"""Consistency: how unlabelled rows help to classify, beyond the KL.

A row keeps its class under strong augmentation. For a row without a label the class is the teacher's
prediction, where it is confident enough. The teacher is the exponential moving average of the VEC
over its updates (mean teacher, Tarvainen 2017), and better than the VEC at any one of them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ssavae.networks import VEC

if TYPE_CHECKING:
    from jaxtyping import Float

EMA_DECAY = 0.999  # of the weights, once there are enough updates to average over
INITIAL_THRESHOLD = 0.95  # of a pseudo-label's confidence, while the teacher knows nothing
THRESHOLD_MOMENTUM = 0.01  # by which the teacher's mean confidence is updated with each batch


def identity(values: Tensor) -> Tensor:
    """Return a tensor as it is: the mean over one process."""
    return values


class Teacher(nn.Module):
    r"""Exponential moving average of a VEC's weights and buffers, and of its confidence.

    A pseudo-label counts where it is more confident than pseudo-labels are on average. Less is asked of
    classes that the teacher seldom predicts, or they would never catch up (FreeMatch, Wang 2023):

    .. math:: \tau_c = \bar{m} \, \bar{p}_c / \max_k \bar{p}_k

    with m the largest probability and p_c that of each class, averaged over the last batches.

    Parameters
    ----------
    vec : VEC
        Where it starts; the auxiliary decoder is not averaged.
    n_classes : int
    """

    n_updates: Tensor
    confidence: Tensor
    shares: Tensor

    def __init__(self, vec: VEC, n_classes: int) -> None:
        super().__init__()
        self.vec = copy.deepcopy(vec.bare()).requires_grad_(False)
        self.averaged = {  # all but counts, and masks of infinities, whose average would be NaN
            name
            for name, value in self.vec.state_dict().items()
            if value.is_floating_point() and bool(torch.isfinite(value).all())
        }
        dtype = next(self.vec.parameters()).dtype  # whatever torch's default is
        self.register_buffer("n_updates", torch.zeros((), dtype=dtype))
        self.register_buffer("confidence", torch.tensor(INITIAL_THRESHOLD, dtype=dtype))
        self.register_buffer("shares", torch.full((n_classes,), 1.0 / n_classes, dtype=dtype))

    @torch.no_grad()
    def update(self, vec: VEC) -> None:
        """Move the average towards a VEC: fast at first, later by ``1 - EMA_DECAY`` an update."""
        self.n_updates += 1
        rate = (10.0 / (9.0 + self.n_updates)).clamp(1.0 - EMA_DECAY, 1.0)
        current = vec.bare().state_dict()
        for name, average in self.vec.state_dict().items():
            if name in self.averaged:
                average.lerp_(current[name], rate)
            else:
                average.copy_(current[name])

    @torch.no_grad()
    def threshold(self, means: Float[Tensor, "c+1"]) -> Float[Tensor, "c"]:
        """Update the averages by means of a batch (confidence, probabilities); return tau of each class."""
        self.confidence.lerp_(means[0], THRESHOLD_MOMENTUM)
        self.shares.lerp_(means[1:], THRESHOLD_MOMENTUM)
        return self.confidence * self.shares / self.shares.max()

    def copy_to(self, vec: VEC) -> None:
        """Copy the averaged weights into a VEC."""
        vec.encoder.load_state_dict(self.vec.encoder.state_dict())
        vec.classifier.load_state_dict(self.vec.classifier.state_dict())


@dataclass(frozen=True)
class Consistency:
    """The consistency term of Algorithm 1: teacher, weight, and the mean over processes.

    Parameters
    ----------
    teacher : Teacher
    vec : VEC
        The VEC in training, which the teacher averages.
    teacher_vec : VEC
        The teacher's VEC on the device, in the precision of the run; shares the teacher's weights.
    weight : float
    mean : callable
        Mean of a tensor over the processes of a run.
    """

    teacher: Teacher
    vec: VEC
    teacher_vec: VEC
    weight: float
    mean: Callable[[Tensor], Tensor] = identity

    @torch.no_grad()
    def probs(self, x: Tensor) -> Tensor:
        """Return the teacher's class probabilities, (B, C)."""
        mu, _, features = self.teacher_vec.eval().encoder(x)
        return self.teacher_vec.label_logits(mu, features).softmax(dim=1)

    def threshold(self, probs: Tensor) -> Tensor:
        """Return the confidence from which a pseudo-label of each class counts, (C,)."""
        means = torch.cat([probs.amax(dim=1, keepdim=True), probs], dim=1).mean(dim=0)
        return self.teacher.threshold(self.mean(means))

    def update_teacher(self) -> None:
        """Update the teacher after an update of the VEC."""
        self.teacher.update(self.vec)
