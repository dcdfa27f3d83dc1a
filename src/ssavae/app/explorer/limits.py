"""Budgets of the server: what one request, and all of them together, may cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from ssavae.app.explorer.errors import Problem

# a request
ROWS = 1000
ITEMS = 200_000
NEIGHBOURS = 100
AXES = 8  # of an array
LANDED_ROWS = 100
CSV_CELLS = 300_000
IMAGE_PIXELS = 16_000_000
BODY_BYTES = 10_000_000
DRAINED_BYTES = 200_000_000  # read of a body that is too large: clients that send first still get the answer
JSON_VALUES = 1_000_000  # keys, lists and objects included
JSON_FIELDS = 16  # of the object that is the body
REPLY_BYTES = 30_000_000

# its time, in seconds
HEAD_SECONDS = 10  # from the connection, or the last reply, to the end of the next head
BODY_SECONDS = 20
ANSWER_SECONDS = 60
REQUEST_SECONDS = 120  # all together, until the client has read the reply
GRACE_SECONDS = 1.5  # of the requests in progress when the server ends

# all together
CONNECTIONS = 100
LARGE_BODY = 100_000  # bytes; as objects such bodies take up to thirty times their size in memory ...
LARGE_BODIES = 3  # ... so only this many are held at once
LARGE_JOBS = 4  # requests of more than one batch
WAITING_SECONDS = 1.0  # until a large request is refused because others are ahead of it


class Slots:
    """Places for requests that are handled at the same time.

    Parameters
    ----------
    n : int
    """

    def __init__(self, n: int) -> None:
        self.free = asyncio.Semaphore(n)

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Hold a place.

        Raises
        ------
        Problem
            If none is free within ``WAITING_SECONDS``.
        """
        try:
            with anyio.fail_after(
                WAITING_SECONDS
            ):  # asyncio.wait_for may lose a cancellation before Python 3.12
                await self.free.acquire()
        except TimeoutError:
            detail = "the server is busy with other large requests: try again"
            raise Problem(503, detail, {"retry-after": "2"}) from None
        try:
            yield
        finally:
            self.free.release()
