"""uvicorn's server and protocol with budgets for connections, times and log messages."""

from __future__ import annotations

import asyncio
import logging
import socket
import time

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from ssavae.app.explorer.errors import Problem
from ssavae.app.explorer.in_flight import InFlight
from ssavae.app.explorer.limits import CONNECTIONS, GRACE_SECONDS, HEAD_SECONDS, REQUEST_SECONDS

LOGGED = 10  # messages a minute


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 on one connection; it ends if its client takes too long, or too many others come."""

    clock: asyncio.TimerHandle | None = None
    phase: object = None
    since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > CONNECTIONS:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Restart the clock where a head or a request begins."""
        awaits_head = self.conn.their_state is h11.IDLE
        phase = (self.cycle, awaits_head)
        if phase == self.phase or self.transport.is_closing():
            return
        self._stop()
        self.phase = phase
        self.since = self.loop.time()
        is_idle = awaits_head and not self.transport.get_write_buffer_size()
        self.clock = self.loop.call_later(HEAD_SECONDS if is_idle else REQUEST_SECONDS, self.transport.abort)

    def _stop(self) -> None:
        if self.clock is not None:
            self.clock.cancel()

    def _make_room(self) -> None:
        """End the connection that has waited for its client for the longest time."""
        is_open = [
            c for c in self.connections if isinstance(c, BoundedProtocol) and not c.transport.is_closing()
        ]
        if len(is_open) > CONNECTIONS:
            waiting = [connection for connection in is_open if connection.waits_for_client]
            min(waiting, key=lambda connection: connection.since).transport.abort()

    @property
    def waits_for_client(self) -> bool:
        """Whether the client has to send, or to read."""
        return self.conn.their_state is not h11.DONE or self.flow.write_paused

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP with a problem document."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # an answer is on its way
            self.transport.abort()
            return
        answer = Problem(400, "the request is no valid HTTP/1.1", {"connection": "close"}).response()
        head = h11.Response(status_code=400, headers=answer.raw_headers, reason=b"Bad Request")
        for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class BoundedServer(uvicorn.Server):
    """A server that ends soon: requests in flight get a short grace, others a problem document."""

    def __init__(self, config: uvicorn.Config, in_flight: InFlight) -> None:
        super().__init__(config)
        self.in_flight = in_flight

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.in_flight.close()
        asyncio.get_running_loop().call_later(GRACE_SECONDS + 1, self._abort)
        await super().shutdown(sockets)

    def _abort(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


class RateFilter(logging.Filter):
    """Passes ``LOGGED`` messages a minute, so that no client can fill a disk with them."""

    def __init__(self) -> None:
        super().__init__()
        self.minute = 0
        self.n = 0

    def filter(self, record: logging.LogRecord) -> bool:
        minute = int(time.monotonic() // 60)
        if minute != self.minute:
            self.minute = minute
            self.n = 0
        self.n += 1
        return self.n <= LOGGED


def server_of(app: FastAPI) -> BoundedServer:
    """Return the server of an application of :func:`~ssavae.app.explorer.app.create_app`."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        log_level="error",  # warnings are about clients
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=128,
        timeout_keep_alive=HEAD_SECONDS,
        timeout_graceful_shutdown=3,
    )
    for name in ("uvicorn.error", "asyncio"):
        logging.getLogger(name).addFilter(RateFilter())
    return BoundedServer(config, app.state.in_flight)
