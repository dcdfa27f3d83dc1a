"""Training rows in batches: tensors on the device, or rows that are read when they are needed.

The order of an epoch is a function of the seed and the epoch alone, so a resumed run needs no
record of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ssavae.preprocessing.inputs import Rows
from ssavae.preprocessing.lazy import LazyArray, random_subset
from ssavae.preprocessing.preprocessor import Preprocessor
from ssavae.preprocessing.tensors import channels_last

MIN_LABELLED_FRACTION = 0.25  # of every batch, where labels are few
SAMPLE_BYTES = 2**30  # of network inputs that `sample_inputs` returns at most
SAMPLE_BATCH = 1000  # rows that it reads at once


Batch = tuple[Tensor, ...]  # (x, y), or (x, y, weights) where the rows have weights


class TrainingRows(Protocol):
    """Training rows, their class indices and their weights in ``loss_class``, in batches of any order."""

    y: np.ndarray
    weights: np.ndarray | None

    def batches(self, order: np.ndarray) -> Iterator[Batch]:
        """Yield (x, y), or (x, y, weights), of each row of ``order`` (n_batches, batch_size)."""
        ...


class TensorRows:
    """Rows on the device: a batch is one indexing, without worker processes or copies to the device."""

    def __init__(
        self, x: Tensor, y: np.ndarray, device: torch.device, weights: np.ndarray | None = None
    ) -> None:
        self.x = x.to(device)
        self.y = y
        self.weights = weights
        self._targets = [each.to(device) for each in _targets(y, weights)]

    def batches(self, order: np.ndarray) -> Iterator[Batch]:
        """Yield (x, y), or (x, y, weights), of each row of ``order``."""
        for indices in self.on_device(order):
            yield self.take(indices)

    def on_device(self, order: np.ndarray) -> Tensor:
        """Return the indices of an epoch beside the rows."""
        return torch.from_numpy(order).to(self.x.device)

    def take(self, indices: Tensor) -> Batch:
        """Return (x, y), or (x, y, weights), of indices on the device."""
        return channels_last(self.x[indices]), *(each[indices] for each in self._targets)


class LazyRows:
    """Rows that are read when they are needed: memory does not grow with their number."""

    def __init__(
        self,
        values: LazyArray,
        y: np.ndarray,
        forward: Callable[[np.ndarray], np.ndarray],
        device: torch.device,
        n_workers: int,
        weights: np.ndarray | None = None,
    ) -> None:
        self.values = values
        self.y = y
        self.weights = weights
        self.forward = forward
        self.device = device
        self.n_workers = n_workers

    def batches(self, order: np.ndarray) -> Iterator[Batch]:
        """Yield the batches, read by worker processes where there are any."""
        loader = DataLoader(
            _Batches(self.values, order, self.forward),
            batch_size=None,  # an item is a batch
            num_workers=self.n_workers,
            pin_memory=self.device.type == "cuda",
            # Its own, or it would draw from the random state that a resumed run restores.
            generator=torch.Generator().manual_seed(int(order[:1, :1].sum())),
        )
        for indices, x in zip(order, loader, strict=True):
            targets = _targets(self.y[indices], None if self.weights is None else self.weights[indices])
            x, *targets = (each.to(self.device, non_blocking=True) for each in (x, *targets))
            yield channels_last(x), *targets


def _targets(y: np.ndarray, weights: np.ndarray | None) -> list[Tensor]:
    return [torch.from_numpy(each) for each in (y, weights) if each is not None]


class _Batches(Dataset[Tensor]):
    """Batches in their order, each read when it is indexed."""

    def __init__(
        self, values: LazyArray, order: np.ndarray, forward: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        self.values = values
        self.order = order
        self.forward = forward

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, i: int) -> Tensor:
        return torch.from_numpy(self.forward(self.values[self.order[i]]))


def training_rows(
    preprocessor: Preprocessor,
    rows: Rows,
    y: np.ndarray,
    weights: np.ndarray | None,
    *,
    device: torch.device,
    n_workers: int,
) -> TrainingRows:
    """Return rows, their class indices and weights (n,) for training: on the device, or read in batches."""
    if isinstance(rows.values, LazyArray):
        return LazyRows(rows.values, y, preprocessor.forward, device, n_workers, weights)
    return TensorRows(torch.from_numpy(preprocessor.forward(rows.values)), y, device, weights)


def sample_inputs(rows: TrainingRows, n: int) -> tuple[Tensor, np.ndarray]:
    """Return network inputs and labels of a random subset of at most n rows and ``SAMPLE_BYTES``."""
    first, *_ = next(iter(rows.batches(np.zeros((1, 1), dtype=np.int64))))
    most = max(2, SAMPLE_BYTES // 4 // first.numel())
    indices = random_subset(len(rows.y), min(n, most))
    parts = np.array_split(indices, math.ceil(len(indices) / SAMPLE_BATCH))
    return torch.cat([x for part in parts for x, *_ in rows.batches(part[None])]), rows.y[indices]


def epoch_order(y: np.ndarray, batch_size: int, seed: Sequence[int]) -> np.ndarray:
    """Return the order of the rows in one epoch: (n_batches, batch_size) indices, without a last part batch.

    Where fewer than ``MIN_LABELLED_FRACTION`` of the rows have a label, each batch is filled up to that
    fraction with labelled rows, which are repeated; every unlabelled row still comes once.
    """
    rng = np.random.default_rng(list(seed))
    batch_size = min(batch_size, len(y))
    labelled = np.flatnonzero(y >= 0)
    n_batches, n_labelled = batch_counts(len(y), len(labelled), batch_size)
    if n_labelled == 0:
        return rng.permutation(len(y))[: n_batches * batch_size].reshape(n_batches, batch_size)
    unlabelled = rng.permutation(np.flatnonzero(y < 0))
    n_repeats = math.ceil(n_batches * n_labelled / len(labelled))
    repeated = np.concatenate([rng.permutation(labelled) for _ in range(n_repeats)])
    first = repeated[: n_batches * n_labelled].reshape(n_batches, n_labelled)
    second = np.resize(unlabelled, (n_batches, batch_size - n_labelled))
    return np.hstack([first, second])


def batch_counts(n_rows: int, n_labelled: int, batch_size: int) -> tuple[int, int]:
    """Return the number of batches in an epoch, and with how many labelled rows each is filled: 0 for none.

    Examples
    --------
    >>> batch_counts(1000, 1000, 100), batch_counts(1000, 100, 100)
    ((10, 0), (12, 25))
    """
    if n_labelled == 0 or n_labelled >= MIN_LABELLED_FRACTION * n_rows:
        return n_rows // batch_size, 0
    filled = max(1, round(MIN_LABELLED_FRACTION * batch_size))
    return max(1, (n_rows - n_labelled) // (batch_size - filled)), filled
