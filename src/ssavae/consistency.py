"""What unlabelled rows add to Algorithm 1 beyond the KL: a changed row has the class that it had before.

The class of a row without a label is what a teacher says of it, if it is surer than usual. The teacher is the
average of the VEC over the last updates, and better than the VEC at any one of them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ssavae.networks import VEC

EMA_DECAY = 0.999  # of the average, once there are enough updates to average over
INITIAL_THRESHOLD = 0.95  # how sure a guess must be at first, while the teacher knows nothing
THRESHOLD_MOMENTUM = 0.01  # at which the teacher's confidence is followed, from batch to batch


class Teacher(nn.Module):
    r"""The exponential average of a VEC's weights and statistics, and how sure it has been of late.

    A guess counts where it is surer than guesses are in the mean, and less is asked for classes that the
    teacher seldom finds, or they would never catch up (FreeMatch, Wang 2023):

    .. math:: \tau_c = \bar{m} \, \bar{p}_c / \max_k \bar{p}_k

    with m the largest and p_c each class's probability, averaged over the last batches.

    Parameters
    ----------
    vec : VEC
        Where it starts; its auxiliary decoder is not averaged.
    n_classes : int
    """

    n_updates: Tensor
    confidence: Tensor
    shares: Tensor

    def __init__(self, vec: VEC, n_classes: int) -> None:
        super().__init__()
        self.vec = copy.deepcopy(vec.bare()).requires_grad_(False)
        self.register_buffer("n_updates", torch.zeros(()))
        self.register_buffer("confidence", torch.tensor(INITIAL_THRESHOLD))
        self.register_buffer("shares", torch.full((n_classes,), 1.0 / n_classes))

    @torch.no_grad()
    def follow(self, vec: VEC) -> None:
        """Move on towards a VEC: fast at first, later by a share of ``1 - DECAY`` an update."""
        self.n_updates += 1
        share = (10.0 / (9.0 + self.n_updates)).clamp(1.0 - EMA_DECAY, 1.0)
        theirs = vec.bare().state_dict()
        for name, mine in self.vec.state_dict().items():
            if mine.is_floating_point():
                mine.lerp_(theirs[name], share)
            else:
                mine.copy_(theirs[name])  # batch norm's count of batches

    @torch.no_grad()
    def threshold(self, found: Float[Tensor, "c+1"]) -> Float[Tensor, "c"]:
        """Take a batch's mean confidence, then mean probabilities, into account; return tau of each class."""
        self.confidence.lerp_(found[0], THRESHOLD_MOMENTUM)
        self.shares.lerp_(found[1:], THRESHOLD_MOMENTUM)
        return self.confidence * self.shares / self.shares.max()

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
    weight : float
    mean : callable
        Of several processes, the mean of what each has found.
    """

    teacher: Teacher
    vec: VEC
    placed: VEC
    change: Callable[[Tensor], Tensor]
    weight: float
    mean: Callable[[Tensor], Tensor] = lambda found: found

    @torch.no_grad()
    def probs(self, x: Tensor) -> Tensor:
        """Return the teacher's class probabilities, (B, C)."""
        return self.placed.eval()(x)[1].softmax(dim=1)

    def threshold(self, probs: Tensor) -> Tensor:
        """Return from which probability on a guess counts, for each class, (C,)."""
        found = torch.cat([probs.amax(dim=1, keepdim=True), probs], dim=1).mean(dim=0)
        return self.teacher.threshold(self.mean(found))

    def follow(self) -> None:
        """Let the teacher move on, after an update."""
        self.teacher.follow(self.vec)
