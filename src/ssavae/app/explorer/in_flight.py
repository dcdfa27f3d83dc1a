"""Requests in flight: work of clients that have left is dropped, and a server that ends says so."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from starlette.types import Receive

from ssavae.app.explorer.errors import Problem
from ssavae.app.explorer.limits import ANSWER_SECONDS, GRACE_SECONDS


class InFlight:
    """The requests in flight of one application."""

    def __init__(self) -> None:
        self.is_closing = False
        self.tasks: set[asyncio.Task[None]] = set()

    def check_open(self) -> None:
        """Raise Problem if the server is ending."""
        if self.is_closing:
            raise Problem(503, "the server is ending", {"retry-after": "5", "connection": "close"})

    def close(self) -> None:
        """Refuse further requests, and cancel those in flight after ``GRACE_SECONDS``."""
        self.is_closing = True
        asyncio.get_running_loop().call_later(GRACE_SECONDS, self._cancel)

    def _cancel(self) -> None:
        for task in self.tasks:
            task.cancel()

    async def run(self, answer: Coroutine[None, None, None], receive: Receive) -> None:
        """Answer a request, unless its client leaves before.

        Raises
        ------
        Problem
            If it takes more than ``ANSWER_SECONDS``, or the server ends.
        """
        task = asyncio.ensure_future(answer)
        gone = asyncio.ensure_future(_wait_for_disconnect(receive))
        self.tasks.add(task)
        try:
            await asyncio.wait({task, gone}, timeout=ANSWER_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            has_left = gone.done()
        finally:
            self.tasks.discard(task)
            task.cancel()
            gone.cancel()
            await asyncio.wait({task, gone})
        if not task.cancelled():
            task.result()
        elif not has_left:
            self.check_open()
            raise Problem(503, f"no answer within {ANSWER_SECONDS} seconds", {"retry-after": "10"})


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
