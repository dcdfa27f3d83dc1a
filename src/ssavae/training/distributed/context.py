"""The rows of a batch that one process trains on, and how several processes stay one run.

The batch is that of one process, whatever their number: the processes divide its rows, draw the
same random numbers for the whole batch, and each takes the part of its own rows. So the number of
processes decides where a run computes and nothing else (docs/decisions.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ssavae.preprocessing.tensors import channels_last
from ssavae.training.batches import Batch, TrainingRows
from ssavae.training.distributed.fabric import AnyFabric, SingleDevice

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Batches = Iterable[Batch]
Augmentation = Callable[[Tensor], Tensor]


class Context:
    """The only process of a run: it has all rows of each batch."""

    rank = 0
    n_processes = 1

    def batches(self, rows: TrainingRows, order: np.ndarray) -> Batches:
        """Return the batches of ``order`` (n_batches, batch_size), each with this process's rows."""
        return rows.batches(order)

    def normal(self, n: int, latent_dim: int, generator: torch.Generator) -> Tensor:
        """Draw from N(0, I) for the n rows of this process, (n, K), on the generator's device."""
        return _normal(n, latent_dim, generator)

    def n_labelled(self, y: Tensor) -> Tensor | float:
        """Return the number of labels in the batch, per process and at least one in all.

        A sum over the rows of a process, divided by this and averaged over the processes, is the mean over
        all labelled rows, whichever process has them.
        """
        return (y >= 0).sum().clamp(min=1)

    def for_own_rows(self, augmentation: Augmentation) -> Augmentation:
        """Turn an augmentation of a whole batch into one of this process's rows."""
        return augmentation

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the processes."""
        return values

    def mean_of(self, measures: dict[str, float]) -> dict[str, float]:
        """Average numbers over the processes: on unlike machines they may differ in the last digit."""
        doubles = {
            name: torch.tensor(value, dtype=torch.float64, device="cpu") for name, value in measures.items()
        }
        return {name: float(self.mean(value)) for name, value in doubles.items()}

    def should_stop(self, requested: bool, synchronize: bool) -> bool:
        """Return whether to stop: if any process was asked to, as all agree where they ``synchronize``."""
        return requested

    def broadcast(self, number: int) -> int:
        """Return the number of the first process."""
        return number

    def barrier(self) -> None:
        """Wait until every process is here."""

    def check_same(self, content: str) -> None:
        """Raise ValueError in every process unless all have the same content."""


class DistributedContext(Context):
    """One of several processes, which all have as many rows of each batch.

    Labelled rows are distributed before unlabelled ones, so that the numbers of labels differ by one at most.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.rank = fabric.global_rank
        self.n_processes = fabric.world_size
        self.positions = torch.empty(0, dtype=torch.int64)  # of this process's rows in the current batch
        self.n_labels = 0  # in the whole of the current batch

    def batches(self, rows: TrainingRows, order: np.ndarray) -> Iterator[Batch]:
        """Yield this process's rows, and remember their positions in the batch."""
        labelled = rows.y[order] >= 0
        positions = np.argsort(~labelled, axis=1, kind="stable")[:, self.rank :: self.n_processes]
        on_device = torch.from_numpy(positions).to(self.fabric.device)
        batches = rows.batches(np.take_along_axis(order, positions, axis=1))
        for self.positions, n_labels, batch in zip(on_device, labelled.sum(axis=1), batches, strict=True):
            self.n_labels = int(n_labels)
            yield batch

    def normal(self, n: int, latent_dim: int, generator: torch.Generator) -> Tensor:
        """Draw for the whole batch, as one process would, and return the part of these rows."""
        return _normal(n * self.n_processes, latent_dim, generator)[self.positions]

    def n_labelled(self, y: Tensor) -> float:
        """Return the number of labels in the whole batch, per process."""
        return max(1, self.n_labels) / self.n_processes

    def for_own_rows(self, augmentation: Augmentation) -> Augmentation:
        """Gather the batch, augment it as one process would, and return these rows: some mix rows."""

        def augment(x: Tensor) -> Tensor:
            whole = x.new_zeros(len(x) * self.n_processes, *x.shape[1:])
            whole[self.positions] = x
            return augmentation(channels_last(self._all_reduce(whole, "sum")))[self.positions]

        return augment

    def _all_reduce(self, values: Tensor, operation: str) -> Tensor:
        reduced = self.fabric.all_reduce(values, reduce_op=operation)
        assert isinstance(reduced, Tensor)
        return reduced

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the processes: the same number in each, so that all decide alike."""
        return self._all_reduce(values, "mean")

    def should_stop(self, requested: bool, synchronize: bool) -> bool:
        """Ask the other processes, where all ``synchronize``."""
        return synchronize and float(self.mean(torch.tensor(float(requested)))) > 0

    def broadcast(self, number: int) -> int:
        """Return the number of the first process."""
        own = torch.tensor(number if self.rank == 0 else 0)
        return int(self._all_reduce(own, "sum"))

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.fabric.barrier()

    def check_same(self, content: str) -> None:
        """Compare a digest of the content with that of the first process."""
        digest = int(hashlib.sha256(content.encode()).hexdigest()[:12], 16)
        differs = torch.tensor(float(digest != self.broadcast(digest)))
        if float(self.mean(differs)) > 0:
            raise ValueError(
                f"the {self.n_processes} processes of this run differ in data or parameters: "
                "start each with the same ones, and let them read the same files"
            )


SINGLE_PROCESS = Context()


def _normal(n: int, latent_dim: int, generator: torch.Generator) -> Tensor:
    return torch.randn(n, latent_dim, device=generator.device, dtype=torch.float32, generator=generator)


def context_of(fabric: AnyFabric) -> Context:
    """Return the context of this process."""
    return SINGLE_PROCESS if isinstance(fabric, SingleDevice) else DistributedContext(fabric)
