"""Errors as problem details (RFC 9457), without any internals of the server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"
SECURITY_HEADERS = {
    "content-security-policy": "default-src 'self'; script-src 'self'; style-src 'self' "
    "'unsafe-inline'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
DETAILS = {
    404: "not found; /api/openapi.json lists all paths",
    405: "method not allowed; /api/openapi.json lists the methods of each path",
}


class ProblemDetails(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description="always about:blank: title and status describe the error")
    title: str
    status: int
    detail: str


class Problem(Exception):  # noqa: N818  RFC 9457's word
    """A request that cannot be answered.

    Parameters
    ----------
    status : int
    detail : str
        The error in one sentence, for the user.
    headers : mapping
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return the HTTP response."""
        title = HTTPStatus(self.status).phrase
        document = {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}
        headers = SECURITY_HEADERS | {"cache-control": "no-store"} | self.headers
        # ASCII only: a lone surrogate of the request could not be sent back as UTF-8
        return Response(json.dumps(document), self.status, headers, MEDIA_TYPE)


def describe_error(location: Sequence[int | str], message: str) -> str:
    """Return one sentence for an error of pydantic's.

    >>> describe_error(("body", "x", 0, "colour"), "Field required")
    'x[0].colour: field required'
    """
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in location[1:]]
    path = "".join(steps).lstrip(".") or location[0]
    return f"{path}: {message[:1].lower()}{message[1:]}"


def register(app: FastAPI) -> None:
    """Answer every error of an application with a problem document."""
    app.exception_handler(Problem)(_answer_problem)
    app.exception_handler(HTTPException)(_answer_http)
    app.exception_handler(RequestValidationError)(_answer_invalid)
    app.exception_handler(Exception)(_answer_unexpected)


async def _answer_problem(request: Request, error: Problem) -> Response:
    return error.response()


async def _answer_http(request: Request, error: HTTPException) -> Response:
    detail = DETAILS.get(error.status_code, error.detail)
    return Problem(error.status_code, detail, error.headers).response()


async def _answer_invalid(request: Request, error: RequestValidationError) -> Response:
    first, *others = error.errors()
    message = "expected an object" if first["type"] == "model_attributes_type" else first["msg"]
    detail = describe_error(first["loc"], message)
    return Problem(422, f"{detail}, and {len(others)} more" if others else detail).response()


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    """Return a 500; Starlette raises the error again, for the server's log."""
    return Problem(500, "internal server error; see the server's console").response()
