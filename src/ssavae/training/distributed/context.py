"""Which rows of a batch a process trains on, and what makes several processes one run.

The batch is that of one process, whatever their number: they share out its rows, draw its random
numbers alike, each for the whole batch, and take their own rows' part of them. So the number of
processes decides where a run computes and nothing else (docs/decisions.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ssavae.preprocessing.inputs import channels_last
from ssavae.training.batches import Rows

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Batches = Iterable[tuple[Tensor, Tensor]]
Change = Callable[[Tensor], Tensor]


class Context:
    """All rows of each batch: what the only process of a run has."""

    rank, n_processes = 0, 1

    def batches(self, rows: Rows, order: np.ndarray) -> Batches:
        """Return (x, y) of this process's rows, for each batch of ``order`` (n_batches, batch_size)."""
        return rows.batches(order)

    def normal(self, like: Tensor) -> Tensor:
        """Draw from N(0, I) for this process's rows, (B, ...)."""
        return torch.randn_like(like)

    def n_labelled(self, y: Tensor) -> Tensor | float:
        """Count the batch's rows with a label, per process and at least one in all.

        What is summed over a process's rows and divided by this is, on the mean over the processes, the mean
        over all labelled rows, whoever has them.
        """
        return (y >= 0).sum().clamp(min=1)

    def changing(self, change: Change) -> Change:
        """Make a change of a whole batch one of this process's rows."""
        return change

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the processes."""
        return values

    def stops(self, asked: bool, look: bool) -> bool:
        """Say whether to stop: several processes agree on it, at each ``look``, if one of them was asked."""
        return asked

    def first(self, number: int) -> int:
        """Return what the first process says."""
        return number

    def wait(self) -> None:
        """Wait for one another."""

    def agree(self, told: str) -> None:
        """Make sure that all processes say the same."""


class DistributedContext(Context):
    """A part of the rows of each batch, as many as every other process has.

    Labelled rows are dealt out before unlabelled ones, so that each process has as many, give or take one.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric, self.rank, self.n_processes = fabric, fabric.global_rank, fabric.world_size
        self.places = torch.empty(0, dtype=torch.int64)  # of its rows in the batch at hand
        self.n_labels = 0  # in the whole batch at hand

    def batches(self, rows: Rows, order: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x, y) of this process's rows, and remember where in the batch they stand."""
        labelled = rows.y[order] >= 0
        places = np.argsort(~labelled, axis=1, kind="stable")[:, self.rank :: self.n_processes]
        where = torch.from_numpy(places).to(self.fabric.device)
        batches = rows.batches(np.take_along_axis(order, places, axis=1))
        for self.places, n, batch in zip(where, labelled.sum(axis=1), batches, strict=True):
            self.n_labels = int(n)
            yield batch

    def normal(self, like: Tensor) -> Tensor:
        """Draw for the whole batch, as one process would, and keep what belongs to these rows."""
        whole = torch.randn(self._size(like), dtype=like.dtype, device=like.device)
        return whole[self.places]

    def n_labelled(self, y: Tensor) -> float:
        """Count them in the whole batch."""
        return max(1, self.n_labels) / self.n_processes

    def changing(self, change: Change) -> Change:
        """Gather the batch, change it as one process would, and keep these rows: some changes mix rows."""

        def changed(x: Tensor) -> Tensor:
            whole = x.new_zeros(self._size(x))
            whole[self.places] = x
            return change(channels_last(self._all_reduce(whole, "sum")))[self.places]

        return changed

    def _all_reduce(self, values: Tensor, how: str) -> Tensor:
        found = self.fabric.all_reduce(values, reduce_op=how)
        assert isinstance(found, Tensor)
        return found

    def _size(self, own: Tensor) -> tuple[int, ...]:
        return (len(own) * self.n_processes, *own.shape[1:])

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the processes, the same number for each: they decide by it."""
        return self._all_reduce(values, "mean")

    def stops(self, asked: bool, look: bool) -> bool:
        """Ask the others, at a look."""
        return look and float(self.mean(torch.tensor(float(asked)))) > 0

    def first(self, number: int) -> int:
        """Return the first process's number."""
        mine = torch.tensor(number if self.rank == 0 else 0)
        return int(self._all_reduce(mine, "sum"))

    def wait(self) -> None:
        """Wait until every process is here."""
        self.fabric.barrier()

    def agree(self, told: str) -> None:
        """Compare with the first process.

        Raises
        ------
        ValueError
            In every process, if one says something else.
        """
        mine = int(hashlib.sha256(told.encode()).hexdigest()[:12], 16)
        differs = torch.tensor(float(mine != self.first(mine)))
        if float(self.mean(differs)) > 0:
            raise ValueError(
                f"the {self.n_processes} processes of this run differ in data or parameters: "
                "start each with the same ones, and let them read the same files"
            )


SINGLE_PROCESS = Context()


def context_of(fabric: Fabric) -> Context:
    """Return this process's share of a run."""
    return SINGLE_PROCESS if fabric.world_size == 1 else DistributedContext(fabric)
