"""Batches on their way to a device, and results on their way back.

On a GPU the copies overlap with the computation: rows are sent from pinned memory in a stream of their own,
while the batch before is computed, and a result is waited for only once the next batch has been queued.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache

import torch
from torch import Tensor

from ssavae.preprocessing.tensors import channels_last

BATCH = 512  # rows at once on a CPU, so that activations stay in the cache; results do not depend on it
BATCH_ON_DEVICE = 1024  # elsewhere; always as many, since kernels of other sizes may round differently

Function = Callable[[Tensor], Tensor]


def rows_at_once(device: torch.device) -> int:
    """Return the number of rows that a device computes at once."""
    return BATCH if device.type == "cpu" else BATCH_ON_DEVICE


def outputs(function: Function, batches: Iterable[Tensor], device: torch.device) -> Iterator[Tensor]:
    """Yield a function of each batch, computed on a device; the result is on the CPU, in float32."""
    if device.type == "cpu":
        return (function(channels_last(batch.to(device))).float() for batch in batches)
    queue = _queue_on_cuda if device.type == "cuda" else _queue
    return one_behind(queue(function, batch, device) for batch in batches)


def _queue(function: Function, batch: Tensor, device: torch.device) -> Callable[[], Tensor]:
    """Compute a batch; return what waits for the result."""
    result = function(channels_last(padded(batch, rows_at_once(device)).to(device))).float()
    return result[: len(batch)].cpu


def _queue_on_cuda(function: Function, batch: Tensor, device: torch.device) -> Callable[[], Tensor]:
    rows = _sent(padded(batch, rows_at_once(device)), device)
    result = function(channels_last(rows)).float()[: len(batch)]
    pinned = torch.empty(result.shape, dtype=result.dtype, pin_memory=True)
    pinned.copy_(result, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()

    def wait() -> Tensor:
        copied.synchronize()
        return pinned

    return wait


def _sent(batch: Tensor, device: torch.device) -> Tensor:
    """Send rows to a GPU, beside what it computes."""
    if batch.device == device:
        return batch
    copies = _copies(device)
    with torch.cuda.stream(copies):
        rows = batch.pin_memory().to(device, non_blocking=True)
    current = torch.cuda.current_stream(device)
    current.wait_stream(copies)
    rows.record_stream(current)  # or its memory would be given away while it is read
    return rows


@cache
def _copies(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def padded(batch: Tensor, n: int) -> Tensor:
    """Return a batch of n rows: the first one is repeated at the end where there are fewer.

    Examples
    --------
    >>> padded(torch.tensor([[1.0], [2.0]]), 4).flatten()
    tensor([1., 2., 1., 1.])
    """
    return torch.cat([batch, batch[:1].expand(n - len(batch), *batch.shape[1:])]) if len(batch) < n else batch


def one_behind(waits: Iterable[Callable[[], Tensor]]) -> Iterator[Tensor]:
    """Yield each result once the next one has been queued."""
    before: Callable[[], Tensor] | None = None
    for wait in waits:
        if before is not None:
            yield before()
        before = wait
    if before is not None:
        yield before()
