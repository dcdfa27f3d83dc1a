"""What is let in: hosts, tokens, media types, and bodies of some size. Headers that every reply has."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ssavae.app.explorer.errors import CALM_HEADERS, Problem

BODY_BYTES = 10_000_000
ROWS = 1000
LANDED_ROWS = 100
IMAGE_PIXELS = 16_000_000
LARGE_BODY = 1_000_000  # of such bodies a few at a time: as JSON they take ten times their size
CONTAINERS = 1_000_000  # lists and objects in a body
DRAINED_BYTES = 200_000_000  # of a body too large: who sends it first, and reads then, still gets the answer
BODY_SECONDS = 60
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Admission:
    """Who is let in, and with what.

    Parameters
    ----------
    token : str or None
        What requests under /api must carry as ``Authorization: Bearer``.
    hosts : tuple of str
        Names by which the server may be called; empty for any. On loopback it keeps foreign pages out that
        have their own name lead to 127.0.0.1.
    media_types : mapping
        Of a POST to each path.
    """

    token: str | None = None
    hosts: tuple[str, ...] = LOOPBACK
    media_types: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def check(self, scope: Scope) -> None:
        """Raise Problem unless a request may come in."""
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host", "")
        name = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
        if self.hosts and name.lower() not in self.hosts:
            raise Problem(421, "this server answers to its own machine alone: call it 127.0.0.1 or localhost")
        if self.token is not None and path.startswith("/api/"):
            _check_token(self.token, headers.get("authorization", ""))
        wanted = self.media_types.get(path, ()) if scope["method"] == "POST" else ()
        found = headers.get("content-type", "").partition(";")[0].strip().lower()
        if wanted and found not in wanted:
            raise Problem(415, f"send {' or '.join(wanted)}, and say so in Content-Type")


def _check_token(token: str, authorization: str) -> None:
    scheme, _, given = authorization.partition(" ")
    same = hmac.compare_digest(given.strip().encode("latin-1", "replace"), token.encode())
    if scheme.lower() != "bearer" or not same:
        wanted = {"www-authenticate": "Bearer"}
        raise Problem(401, "give the server's token as Authorization: Bearer TOKEN", wanted)


class Gate:
    """Middleware that lets in what :class:`Admission` allows, with its body read and not too large."""

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self.app, self.admission, self.large = app, admission, asyncio.Semaphore(3)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            self.admission.check(scope)
            body = await _body(scope, receive) if scope["method"] in ("POST", "PUT", "PATCH") else None
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        if body is None:
            await self.app(scope, receive, _with_headers(send))
        elif len(body) < LARGE_BODY:
            await self.app(scope, _once(body, receive), _with_headers(send))
        else:
            async with self.large:
                await self.app(scope, _once(body, receive), _with_headers(send))


async def _body(scope: Scope, receive: Receive) -> bytes:
    """Read a body, whatever it says of its length."""
    headers = Headers(scope=scope)
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > BODY_BYTES and "expect" in headers:
        raise _too_large()
    try:
        body = await asyncio.wait_for(_read(receive), BODY_SECONDS)
    except asyncio.TimeoutError:
        raise Problem(
            408, f"the body took more than {BODY_SECONDS} seconds", {"connection": "close"}
        ) from None
    if body.count(b"[") + body.count(b"{") > CONTAINERS and "json" in headers.get("content-type", ""):
        raise Problem(413, f"the body holds more than {CONTAINERS:,} lists and objects")
    return body


async def _read(receive: Receive) -> bytes:
    """Read a body; one that is too large is read on and thrown away, that the answer be heard."""
    body, size, more = bytearray(), 0, True
    while more and size < DRAINED_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "the body broke off")
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        body += part if size <= BODY_BYTES else b""
    if size > BODY_BYTES:
        raise _too_large()
    return bytes(body)


def _too_large() -> Problem:
    return Problem(413, f"the body is larger than {BODY_BYTES:,} bytes", {"connection": "close"})


def _once(body: bytes, receive: Receive) -> Receive:
    """Return what hands out a body that was read, and then what follows it."""
    waiting = [body]

    async def handed() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return handed


def _with_headers(send: Send) -> Send:
    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in CALM_HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return sent
