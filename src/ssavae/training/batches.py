"""Training rows that can be handed out in any order: tensors on the device, or a Source read as needed.

The order of an epoch is a function of the seed and the epoch alone, so a resumed run needs no
record of it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ssavae.preprocessing.inputs import channels_last
from ssavae.preprocessing.lazy import LazyArray, chunks, random_subset

MIN_LABELLED_FRACTION = 0.25  # of every batch, at least, where labels are few


class Rows(Protocol):
    """Training rows that can be handed out in any order."""

    y: np.ndarray

    def batches(self, order: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x, y) for each row of ``order`` (n_batches, batch_size)."""
        ...

    def digest(self) -> str:
        """Return a fingerprint of the data, by which a resumed run knows it again."""
        ...


class TensorRows:
    """Rows held on the device: a batch is one indexing, no worker processes, no copies to the device."""

    def __init__(self, x: Tensor, y: np.ndarray, device: torch.device) -> None:
        self.x, self.y = x.to(device), y
        self._labels = torch.from_numpy(y).to(device)

    def batches(self, order: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x, y) for each row of ``order``."""
        for indices in torch.from_numpy(order).to(self.x.device):
            yield channels_last(self.x[indices]), self._labels[indices]

    def digest(self) -> str:
        """Hash all rows and labels."""
        content = hashlib.sha256(np.ascontiguousarray(self.x.cpu().numpy()).data)
        content.update(np.ascontiguousarray(self.y).data)
        return content.hexdigest()


class SourceRows:
    """Rows read from a Source as they are needed: memory does not grow with their number."""

    def __init__(
        self,
        source: LazyArray,
        y: np.ndarray,
        to_inputs: Callable[[np.ndarray], np.ndarray],
        device: torch.device,
        n_workers: int,
    ) -> None:
        self.source, self.y, self.to_inputs, self.device = source, y, to_inputs, device
        self.n_workers = n_workers

    def batches(self, order: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x, y) for each row of ``order``, read by worker processes where there are any."""
        loader = torch.utils.data.DataLoader(
            _Batches(self.source, order, self.to_inputs),
            batch_size=None,  # an item is a batch
            num_workers=self.n_workers,
            pin_memory=self.device.type == "cuda",
            # Its own, or it would draw from the random state that a resumed run puts back.
            generator=torch.Generator().manual_seed(int(order[:1, :1].sum())),
        )
        for indices, x in zip(order, loader, strict=True):
            y = torch.from_numpy(self.y[indices])
            yield channels_last(x.to(self.device, non_blocking=True)), y.to(self.device, non_blocking=True)

    def digest(self) -> str:
        """Hash shape, labels and rows; of images and Datasets a sample: reading all could take hours."""
        content = hashlib.sha256(repr(self.source.shape).encode() + self.y.tobytes())
        for piece in chunks(self.source):
            content.update(np.ascontiguousarray(piece).data)
        return content.hexdigest()


class _Batches(Dataset[Tensor]):
    """Batches in their order, each read when it is asked for."""

    def __init__(
        self, source: LazyArray, order: np.ndarray, to_inputs: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        self.source, self.order, self.to_inputs = source, order, to_inputs

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, i: int) -> Tensor:
        return torch.from_numpy(self.to_inputs(self.source[self.order[i]]))


def some_inputs(rows: Rows, n: int) -> tuple[Tensor, np.ndarray]:
    """Return network inputs and labels of at most n rows, spread over all, and of no more than a GiB."""
    first, _ = next(iter(rows.batches(np.zeros((1, 1), dtype=np.int64))))
    indices = random_subset(len(rows.y), min(n, max(2, 2**28 // first.numel())))
    parts = np.array_split(indices, -(-len(indices) // 1000))
    return torch.cat([x for part in parts for x, _ in rows.batches(part[None])]), rows.y[indices]


def epoch_order(y: np.ndarray, batch_size: int, seed: Sequence[int]) -> np.ndarray:
    """Order of the rows in one epoch: (n_batches, batch_size) indices, a last part batch left out.

    Where fewer than ``MIN_LABELLED_FRACTION`` of the rows have a label, each batch is filled up to that
    share with labelled rows, taken round and round; every unlabelled row still comes once.
    """
    rng = np.random.default_rng(list(seed))
    batch_size = min(batch_size, len(y))
    labelled = np.flatnonzero(y >= 0)
    if len(labelled) == 0 or len(labelled) >= MIN_LABELLED_FRACTION * len(y):
        n_batches = len(y) // batch_size
        return rng.permutation(len(y))[: n_batches * batch_size].reshape(n_batches, batch_size)
    n_labelled = max(1, round(MIN_LABELLED_FRACTION * batch_size))
    unlabelled = rng.permutation(np.flatnonzero(y < 0))
    n_batches = max(1, len(unlabelled) // (batch_size - n_labelled))
    rounds = math.ceil(n_batches * n_labelled / len(labelled))
    drawn = np.concatenate([rng.permutation(labelled) for _ in range(rounds)])[: n_batches * n_labelled]
    kept = np.resize(unlabelled, n_batches * (batch_size - n_labelled))
    return np.hstack([drawn.reshape(n_batches, -1), kept.reshape(n_batches, -1)])
