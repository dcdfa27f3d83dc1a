"""The inference thread: short requests go first, and waiting ones of the same job share a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from threading import Lock
from typing import Any, TypeVar

import torch
from torch import Tensor

from ssavae.app.explorer.limits import LARGE_JOBS, Slots

T = TypeVar("T")
Job = Callable[[Tensor], Tensor]  # row by row: the result of a row depends on that row alone
NO_ROWS = torch.empty(0)


@dataclass(order=True)
class Task:
    """Work that waits for the thread; tasks of requests with fewer rows left go first.

    Parameters
    ----------
    n_left : int
        Number of rows that its request still needs, those of this task included.
    number : int
    job : callable
        Takes the rows.
    rows : Tensor
    future : Future
    """

    n_left: int
    number: int
    job: Callable[[Tensor], Any] = field(compare=False)
    rows: Tensor = field(compare=False)
    future: Future[Any] = field(compare=False, default_factory=Future)


class Worker:
    """A thread that runs one task after the other.

    Parameters
    ----------
    batch_size : int
        Largest number of rows in a task.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        # torch with one thread: on small batches a second thread costs more time than it saves
        self.thread = ThreadPoolExecutor(1, "ssavae", torch.set_num_threads, (1,))
        self.waiting: list[Task] = []
        self.lock = Lock()
        self.numbers = count()
        self.large = Slots(LARGE_JOBS)

    def slot(self, n_rows: int) -> AbstractAsyncContextManager[None]:
        """Return a context in which a request of so many rows may submit its tasks; see :class:`Slots`."""
        return self.large.take() if n_rows > self.batch_size else nullcontext()

    async def run(self, n_left: int, function: Callable[..., T], *args: object) -> T:
        """Call a function on the thread, for a request with so many rows left."""
        return await self._submit(n_left, lambda _: function(*args), NO_ROWS)

    async def map_rows(self, job: Job, rows: Tensor) -> Tensor:
        """Apply a job to rows; requests that wait for the same job are computed in one batch."""
        n = len(rows)
        pieces = enumerate(rows.split(self.batch_size))
        async with self.slot(n):
            return torch.cat([await self._submit(n - i * self.batch_size, job, piece) for i, piece in pieces])

    async def _submit(self, n_left: int, job: Callable[[Tensor], T], rows: Tensor) -> T:
        task = Task(n_left, next(self.numbers), job, rows)
        with self.lock:
            self.waiting.append(task)
        self.thread.submit(self._work)
        return await asyncio.wrap_future(task.future)

    def _work(self) -> None:
        """Run the first of the waiting tasks; an earlier call may already have done them all."""
        batch = self._next_batch()
        if not batch:
            return
        try:
            if len(batch) == 1:
                results = [batch[0].job(batch[0].rows)]
            else:
                results = batch[0].job(torch.cat([t.rows for t in batch])).split([len(t.rows) for t in batch])
        except Exception as error:
            for task in batch:
                task.future.set_exception(error)
            return
        for task, result in zip(batch, results, strict=True):
            task.future.set_result(result)

    def _next_batch(self) -> list[Task]:
        """Take the first task, and others of the same job while they fit; drop those that were cancelled."""
        batch: list[Task] = []
        n_rows = 0
        with self.lock:
            for task in sorted(self.waiting):
                is_next = not batch or (
                    task.job == batch[0].job and n_rows + len(task.rows) <= self.batch_size
                )
                if is_next:
                    self.waiting.remove(task)
                if is_next and task.future.set_running_or_notify_cancel():
                    batch.append(task)
                    n_rows += len(task.rows)
        return batch
