"""Checks of every request: host, token and media type; security headers of every reply."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ssavae.app.explorer.bodies import Bodies
from ssavae.app.explorer.errors import SECURITY_HEADERS, Problem
from ssavae.app.explorer.in_flight import InFlight

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class AccessPolicy:
    """Requests that the server accepts.

    Parameters
    ----------
    token : str or None
        Required of requests under /api as ``Authorization: Bearer``; None for no token.
    hosts : tuple of str
        Accepted host names; empty for any. On loopback this stops DNS rebinding: foreign pages whose own name
        resolves to 127.0.0.1.
    media_types : mapping
        Accepted media types of a POST, by path.
    """

    token: str | None = None
    hosts: tuple[str, ...] = LOOPBACK
    media_types: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def check(self, scope: Scope) -> None:
        """Raise Problem unless the request is accepted."""
        headers = Headers(scope=scope)
        path = scope["path"]
        host = headers.get("host", "")
        name = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
        if self.hosts and name.lower() not in self.hosts:
            raise Problem(421, "this server answers its own machine only: use 127.0.0.1 or localhost")
        if self.token is not None and path.startswith("/api/"):
            _check_token(self.token, headers.get("authorization", ""))
        accepted = self.media_types.get(path, ()) if scope["method"] == "POST" else ()
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if accepted and media_type not in accepted:
            raise Problem(415, f"Content-Type must be {' or '.join(accepted)}")


def _check_token(expected: str, authorization: str) -> None:
    scheme, _, token = authorization.partition(" ")
    is_same = hmac.compare_digest(token.strip().encode("latin-1", "replace"), expected.encode())
    if scheme.lower() != "bearer" or not is_same:
        headers = {"www-authenticate": "Bearer"}
        raise Problem(401, "send the server's token as Authorization: Bearer TOKEN", headers)


class AccessMiddleware:
    """ASGI middleware: passes on the requests that an :class:`AccessPolicy` accepts, within their budgets."""

    def __init__(self, app: ASGIApp, policy: AccessPolicy, in_flight: InFlight) -> None:
        self.app = app
        self.policy = policy
        self.in_flight = in_flight
        self.bodies = Bodies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        reply = Reply(send)
        try:
            self.in_flight.check_open()
            self.policy.check(scope)
            await self._answer(scope, receive, reply.send)
        except Problem as problem:
            if not reply.has_started:
                await problem.response()(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("POST", "PUT", "PATCH"):
            await self.in_flight.run(self.app(scope, _replay(b""), send), receive)
            return
        async with self.bodies.read(scope, receive) as body:
            await self.in_flight.run(self.app(scope, _replay(body), send), receive)


def _replay(body: bytes) -> Receive:
    """Return a receive channel that yields a body already read, and then nothing more."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await asyncio.Future()

    return replay


class Reply:
    """A reply with security headers."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_started = False

    async def send(self, message: Message) -> None:
        """Send a message of the application on."""
        if message["type"] == "http.response.start":
            self.has_started = True
            headers = MutableHeaders(scope=message)
            for name, value in (SECURITY_HEADERS | {"cache-control": "no-store"}).items():
                headers.setdefault(name, value)
        await self._send(message)
