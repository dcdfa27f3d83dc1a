"""A single inference thread: large requests run in pieces, and waiting small ones share a batch."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
Job = Callable[[Tensor], Tensor]  # row by row: the result of a row depends on that row alone
Queue = deque[tuple[Tensor, "Future[Tensor]"]]


class Worker:
    """A thread that runs one piece of work after the other.

    Parameters
    ----------
    batch_size : int
        Largest number of rows in a piece.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        # torch with one thread: on small batches a second thread costs more time than it saves
        self.thread = ThreadPoolExecutor(1, "ssavae", torch.set_num_threads, (1,))
        self.queues: defaultdict[Job, Queue] = defaultdict(deque)

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Call a function on the thread, after all work submitted before."""
        return await asyncio.wrap_future(self.thread.submit(function, *args))

    async def map_rows(self, job: Job, rows: Tensor) -> Tensor:
        """Apply a job to rows; requests that wait for the same job are computed in one batch."""
        return torch.cat([await self._submit(job, piece) for piece in rows.split(self.batch_size)])

    async def _submit(self, job: Job, piece: Tensor) -> Tensor:
        future: Future[Tensor] = Future()
        self.queues[job].append((piece, future))
        self.thread.submit(self._work, job)
        return await asyncio.wrap_future(future)

    def _work(self, job: Job) -> None:
        """Compute one batch of a job's queue; an earlier call may already have emptied it."""
        batch = self._next_batch(self.queues[job])
        if not batch:
            return
        pieces = [piece for piece, _ in batch]
        try:
            results = job(torch.cat(pieces)).split([len(piece) for piece in pieces])
        except Exception as error:
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            future.set_result(result)

    def _next_batch(self, queue: Queue) -> list[tuple[Tensor, Future[Tensor]]]:
        """Take pieces from a queue (this thread is its only reader), except cancelled ones."""
        batch = []
        n_rows = 0
        while queue and (not batch or n_rows + len(queue[0][0]) <= self.batch_size):
            piece, future = queue.popleft()
            if future.set_running_or_notify_cancel():
                batch.append((piece, future))
                n_rows += len(piece)
        return batch
