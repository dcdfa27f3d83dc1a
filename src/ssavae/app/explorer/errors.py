"""Errors as problem details (RFC 9457): what was wrong, where, and nothing of the server's inside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"
CALM_HEADERS = {
    # plotly's WebGL scatter makes functions of text; no inline or foreign script is let in to misuse it
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' "
    "'unsafe-inline'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class ProblemDetails(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description="always about:blank: title and status say it")
    title: str
    status: int
    detail: str


class Problem(Exception):  # noqa: N818  RFC 9457's word
    """A request that cannot be answered.

    Parameters
    ----------
    status : int
    detail : str
        What was wrong, in one sentence for the person who asked.
    headers : mapping
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})

    def response(self) -> Response:
        """Return it as a response."""
        title = HTTPStatus(self.status).phrase
        told = {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}
        # ASCII only: a lone surrogate of the request could not be sent back as UTF-8
        content = json.dumps(told, ensure_ascii=True).encode()
        headers = CALM_HEADERS | {"cache-control": "no-store"} | self.headers
        return Response(content, self.status, headers, MEDIA_TYPE)


def place_of(loc: Sequence[Any]) -> str:
    """Say where in a request something stands.

    >>> place_of(("body", "x", 0, "colour"))
    'x[0].colour'
    """
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc[1:]]
    return "".join(steps).lstrip(".") or str(loc[0])


def register(app: FastAPI) -> None:
    """Let every error of an application end as a problem."""
    app.add_exception_handler(Problem, _of_ours)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(Exception, _unexpected)


async def _of_ours(request: Request, error: Any) -> Response:
    return error.response()


async def _of_http(request: Request, error: Any) -> Response:
    details = {
        400: "the body is no JSON that can be read",
        404: "there is nothing here; /api/openapi.json lists what there is",
        405: "this method is not allowed here; /api/openapi.json lists what is",
    }
    return Problem(
        error.status_code, details.get(error.status_code) or str(error.detail), error.headers
    ).response()


async def _of_validation(request: Request, error: Any) -> Response:
    first, more = error.errors()[0], len(error.errors()) - 1
    if first["type"] == "json_invalid":
        return Problem(400, f"the body is no JSON: {first['ctx']['error']}").response()
    wanted = "an object is wanted" if first["type"] == "model_attributes_type" else first["msg"]
    told = f"{place_of(first['loc'])}: {wanted[:1].lower()}{wanted[1:]}"
    return Problem(422, told + (f", and {more} more" if more else "")).response()


async def _unexpected(request: Request, error: Exception) -> Response:
    """Say that it is the server's fault; starlette raises the error on, into the server's own log."""
    return Problem(500, "the server failed at this; its console says more").response()
