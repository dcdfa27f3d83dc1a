"""What unlabelled rows add to Algorithm 1 beyond the KL: a changed row has the class that it had before.

The class of a row without a label is what a teacher says of it, if it is sure. The teacher is the
average of the VEC over the last updates, and better than the VEC at any one of them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssavae.networks import VEC

DECAY = 0.999  # of the average, once there are enough updates to average over


class Teacher(nn.Module):
    """The exponential average of a VEC's weights and statistics.

    Parameters
    ----------
    vec : VEC
        Where it starts; its auxiliary decoder is not averaged.
    """

    n_updates: Tensor

    def __init__(self, vec: VEC) -> None:
        super().__init__()
        self.vec = VEC(copy.deepcopy(vec.encoder), copy.deepcopy(vec.classifier)).requires_grad_(False)
        self.register_buffer("n_updates", torch.zeros(()))

    @torch.no_grad()
    def follow(self, vec: VEC) -> None:
        """Move on towards a VEC: fast at first, later by a share of ``1 - DECAY`` an update."""
        self.n_updates += 1
        share = (10.0 / (9.0 + self.n_updates)).clamp(1.0 - DECAY, 1.0)
        theirs = VEC(vec.encoder, vec.classifier).state_dict()
        for name, mine in self.vec.state_dict().items():
            if mine.is_floating_point():
                mine.lerp_(theirs[name], share)
            else:
                mine.copy_(theirs[name])  # batch norm's count of batches

    def hand_over(self, vec: VEC) -> None:
        """Give a VEC the averaged weights."""
        vec.encoder.load_state_dict(self.vec.encoder.state_dict())
        vec.classifier.load_state_dict(self.vec.classifier.state_dict())


@dataclass(frozen=True)
class Consistency:
    """The consistency term of Algorithm 1, ready to use.

    Parameters
    ----------
    teacher : Teacher
    vec : VEC
        The VEC in training, which the teacher follows.
    placed : VEC
        The teacher's VEC as it is run: on the device and in the precision wanted.
    change : callable
        Strong changes of a batch of inputs, ``augment.STRONG``.
    weight, threshold : float
    """

    teacher: Teacher
    vec: VEC
    placed: VEC
    change: Callable[[Tensor], Tensor]
    weight: float
    threshold: float = 0.95

    @torch.no_grad()
    def probs(self, x: Tensor) -> Tensor:
        """Return the teacher's class probabilities, (B, C)."""
        return self.placed.eval()(x)[1].softmax(dim=1)

    def follow(self) -> None:
        """Let the teacher move on, after an update."""
        self.teacher.follow(self.vec)
