"""Bodies of requests, read within the budgets of their bytes, their time and the values of their JSON.

Their replies take the form that Accept asks for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Executor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import anyio
from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.datastructures import Headers
from starlette.types import Receive, Scope

from ssavae.app.explorer import limits
from ssavae.app.explorer.errors import Problem
from ssavae.app.explorer.http.replies import accepted_form, in_form

T = TypeVar("T")


class Bodies:
    """Reader of bodies; only a few large ones are held at once."""

    def __init__(self) -> None:
        self.large = limits.Slots(limits.LARGE_BODIES)

    @asynccontextmanager
    async def read(self, scope: Scope, receive: Receive) -> AsyncIterator[bytes]:
        """Hold the body of a request, whatever its Content-Length says.

        Raises
        ------
        Problem
            If it is too large, incomplete or too slow, or too many others are held.
        """
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limits.BODY_BYTES and "expect" in headers:
            raise _too_large()
        async with AsyncExitStack() as slot:
            try:
                with anyio.fail_after(limits.BODY_SECONDS):
                    body = await self._read_chunks(receive, slot)
            except TimeoutError:
                detail = f"the body took more than {limits.BODY_SECONDS} seconds"
                raise Problem(408, detail, {"connection": "close"}) from None
            yield body

    async def _read_chunks(self, receive: Receive, slot: AsyncExitStack) -> bytes:
        """Read a body; one that is too large is read on and dropped, so that the client sees the answer."""
        body = bytearray()
        size = 0
        more = True
        while more and size < limits.DRAINED_BYTES:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Problem(400, "the body is incomplete")
            chunk = message.get("body", b"")
            more = message.get("more_body", False)
            if size <= limits.LARGE_BODY < size + len(chunk):
                await slot.enter_async_context(self.large.take())
            size += len(chunk)
            if size <= limits.BODY_BYTES:
                body += chunk
        if size > limits.BODY_BYTES:
            raise _too_large()
        return bytes(body)


def _too_large() -> Problem:
    return Problem(413, f"the body is larger than {limits.BODY_BYTES:,} bytes", {"connection": "close"})


class JSONRequest(Request):
    """A request whose JSON is counted before it becomes objects, and parsed on a thread if it is large."""

    async def json(self) -> object:
        """Return the body, or raise HTTPException if it is too large or cannot be read."""
        body = await self.body()
        _check_values(body)
        try:
            document = await self._parse(body)
        except ValueError as error:
            raise HTTPException(400, f"the body cannot be read as JSON: {error}") from None
        if isinstance(document, dict) and len(document) > limits.JSON_FIELDS:
            raise HTTPException(422, f"the body has {len(document):,} fields: /api/openapi.json lists all")
        return document

    async def _parse(self, body: bytes) -> object:
        if len(body) <= limits.LARGE_BODY:
            return from_json(body)
        return await self.on_reader(from_json, body)

    async def on_reader(self, function: Callable[..., T], *args: object) -> T:
        """Call a function on the thread that reads large bodies."""
        reader: Executor = self.app.state.reader
        return await asyncio.get_running_loop().run_in_executor(reader, function, *args)


def _check_values(body: bytes) -> None:
    """Raise HTTPException if there are too many values; marks within strings are counted as well."""
    if sum(map(body.count, (b",", b":", b"[", b"{"))) > limits.JSON_VALUES:
        raise HTTPException(
            413, f"the body holds more than {limits.JSON_VALUES:,} values: send arrays as bytes"
        )


class JSONRoute(APIRoute):
    """A route whose requests are :class:`JSONRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[None, None, Response]]:
        """Return the handler, which is given a :class:`JSONRequest`."""
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            given = JSONRequest(request.scope, request.receive)
            response = await answer(given)
            form = accepted_form(request.headers.get("accept", ""))
            if form == "base64" or response.status_code != 200:
                return response
            content, media_type = await given.on_reader(in_form, bytes(response.body), form)
            return Response(content, media_type=media_type)

        return handle
