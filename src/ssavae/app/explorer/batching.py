"""One thread that reckons for all: in pieces, that nobody wait for another's thousand rows, and together."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
Job = Callable[[Tensor], Tensor]  # row by row: what it makes of a row depends on that row alone


class Worker:
    """A thread that does one piece of work after the other.

    Parameters
    ----------
    most : int
        Rows in a piece.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        # torch with one thread: on small batches it loses more time with a second one than it gains
        self.thread = ThreadPoolExecutor(1, "ssavae", torch.set_num_threads, (1,))
        self.waiting: defaultdict[Job, deque[tuple[Tensor, Future[Tensor]]]] = defaultdict(deque)

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Return what a function returns, after what came before it."""
        return await asyncio.wrap_future(self.thread.submit(function, *args))

    async def each(self, job: Job, rows: Tensor) -> Tensor:
        """Return what a job makes of rows; requests that wait for the same job are served in one go."""
        return torch.cat([await self._piece(job, piece) for piece in rows.split(self.most)])

    async def _piece(self, job: Job, piece: Tensor) -> Tensor:
        future: Future[Tensor] = Future()
        self.waiting[job].append((piece, future))
        self.thread.submit(self._work, job)
        return await asyncio.wrap_future(future)

    def _work(self, job: Job) -> None:
        """Do what waits for a job, as much as one piece holds; it may have been done with an earlier one."""
        batch = self._taken(self.waiting[job])
        if not batch:
            return
        try:
            made = job(torch.cat([piece for piece, _ in batch]))
        except Exception as error:
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), part in zip(batch, made.split([len(piece) for piece, _ in batch]), strict=True):
            future.set_result(part)

    def _taken(self, waiting: deque[tuple[Tensor, Future[Tensor]]]) -> list[tuple[Tensor, Future[Tensor]]]:
        """Take pieces from a queue, whose only reader this thread is, but those that nobody waits for."""
        batch, n = [], 0
        while waiting and (not batch or n + len(waiting[0][0]) <= self.most):
            piece, future = waiting.popleft()
            if future.set_running_or_notify_cancel():
                batch.append((piece, future))
                n += len(piece)
        return batch
