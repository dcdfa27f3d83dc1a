"""Checks of every request: host, token, media type and size of the body; security headers of every reply."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ssavae.app.explorer.errors import SECURITY_HEADERS, Problem

BODY_BYTES = 10_000_000
ROWS = 1000
LANDED_ROWS = 100
IMAGE_PIXELS = 16_000_000
LARGE_BODY = 1_000_000  # bytes; as JSON such bodies take ten times their size in memory ...
LARGE_BODIES = 3  # ... so only this many are handled at once
CONTAINERS = 1_000_000  # lists and objects in a body
DRAINED_BYTES = 200_000_000  # read of a body that is too large: clients that send first still get the answer
BODY_SECONDS = 60
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
    """ASGI middleware: passes on the requests that an :class:`AccessPolicy` accepts, with a bounded body."""

    def __init__(self, app: ASGIApp, policy: AccessPolicy) -> None:
        self.app = app
        self.policy = policy
        self.large_bodies = asyncio.Semaphore(LARGE_BODIES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            self.policy.check(scope)
            has_body = scope["method"] in ("POST", "PUT", "PATCH")
            body = await _read_body(scope, receive) if has_body else None
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        send = _with_security_headers(send)
        if body is None:
            await self.app(scope, receive, send)
        elif len(body) < LARGE_BODY:
            await self.app(scope, _replay(body, receive), send)
        else:
            async with self.large_bodies:
                await self.app(scope, _replay(body, receive), send)


async def _read_body(scope: Scope, receive: Receive) -> bytes:
    """Read a body, whatever its Content-Length says."""
    headers = Headers(scope=scope)
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > BODY_BYTES and "expect" in headers:
        raise _too_large()
    try:
        body = await asyncio.wait_for(_read_chunks(receive), BODY_SECONDS)
    except TimeoutError:
        detail = f"the body took more than {BODY_SECONDS} seconds"
        raise Problem(408, detail, {"connection": "close"}) from None
    if body.count(b"[") + body.count(b"{") > CONTAINERS and "json" in headers.get("content-type", ""):
        raise Problem(413, f"the body holds more than {CONTAINERS:,} lists and objects")
    return body


async def _read_chunks(receive: Receive) -> bytes:
    """Read a body; one that is too large is read on and dropped, so that the client sees the answer."""
    body = bytearray()
    size = 0
    more = True
    while more and size < DRAINED_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "the body is incomplete")
        chunk = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(chunk)
        if size <= BODY_BYTES:
            body += chunk
    if size > BODY_BYTES:
        raise _too_large()
    return bytes(body)


def _too_large() -> Problem:
    return Problem(413, f"the body is larger than {BODY_BYTES:,} bytes", {"connection": "close"})


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a receive channel that yields a body already read, then what follows it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _with_security_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in (SECURITY_HEADERS | {"cache-control": "no-store"}).items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers
