"""A stage of the method: one step with its networks, the arguments it draws, optimisers and their rates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from ssavae.algorithms import Losses

Argument = Tensor | tuple[Tensor, ...] | float | None  # of a step
WARM_UP = 0.1  # fraction of a stage in which the learning rate rises


@dataclass
class Stage:
    """A stage of the method, ready to run.

    Parameters
    ----------
    name : str
        One of ``loop.STAGES``.
    step : callable
        A step of ``ssavae.algorithms``, bound to networks and optimisers.
    arguments : callable
        Takes a batch (x, y) and returns the arguments of ``step``, noise among them.
    optimizers : dict
    measure : callable
        Called after each epoch; its numbers are added to the history, ``val_loss`` among them where a
        part is held out.
    finish : callable
        Called after the last epoch, before the state is saved.
    own_networks : bool
        Whether the step runs code of the user's own.
    """

    name: str
    step: Callable[..., Losses]
    arguments: Callable[..., tuple[Argument, ...]]
    optimizers: dict[str, Optimizer]
    measure: Callable[[], dict[str, float]] = dict
    finish: Callable[[], object] = dict
    own_networks: bool = False
    schedulers: dict[str, LambdaLR] = field(default_factory=dict)

    def update(self, *batch: Tensor) -> Losses:
        """Draw what the step needs for a batch, and take the step."""
        return self.step(*self.arguments(*batch))

    def start(self, n_steps: int) -> None:
        """Set the schedule of the learning rates over so many batches."""
        self.schedulers = {
            name: LambdaLR(optimizer, lambda i: one_cycle((i + 1) / max(1, n_steps)))
            for name, optimizer in self.optimizers.items()
        }

    def match_device(self, device: torch.device) -> None:
        """Let a GPU read the learning rates from its own memory: a recorded update would repeat a number."""
        on_gpu = device.type == "cuda"
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                rate = float(group["lr"])
                group["lr"] = torch.tensor(rate, device=device) if on_gpu else rate
                group["capturable"] = on_gpu

    def advance(self) -> None:
        """Advance the learning rates by one batch."""
        for scheduler in self.schedulers.values():
            scheduler.step()


def adam(module: nn.Module, learning_rate: float, betas: tuple[float, float] = (0.9, 0.999)) -> Adam:
    """Return Adam over the parameters of a module, all updated in one call."""
    return Adam(module.parameters(), lr=learning_rate, betas=betas, fused=True)


def one_cycle(progress: float) -> float:
    """Return the factor of the learning rate: a linear rise, then half a cosine down to 0.

    Examples
    --------
    >>> [round(one_cycle(p), 2) for p in (0.0, 0.05, 0.1, 0.55, 1.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (progress - WARM_UP) / (1.0 - WARM_UP)))
