"""OpenAPI document: FastAPI's own, with the schemas of this model's rows and codes, and all problems."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ssavae.app.explorer.errors import MEDIA_TYPE, ProblemDetails
from ssavae.app.explorer.row_format import RowFormat
from ssavae.app.explorer.schema import ArrayData
from ssavae.app.explorer.service import FARTHEST, Service
from ssavae.app.explorer.uploads import MEDIA_TYPES

PROBLEMS = {
    "400": "the body is malformed",
    "401": "the token is missing or wrong",
    "404": "not found",
    "408": "the body took too long",
    "413": "the body, or an image or csv in it, is too large",
    "415": "unsupported media type",
    "421": "the Host header names another server",
    "422": "the request is invalid; detail says what and where",
    "503": "the server is busy, or ends; Retry-After says when to try again",
}
BODY_PROBLEMS = {"400", "408", "413", "415"}
JSON = dict[str, object]


def describe(app: FastAPI, service: Service, with_token: bool) -> JSON:
    """Return the OpenAPI document of an application, built once."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, routes=app.routes)
        _add_model(document["components"]["schemas"], service)
        content = {name: {"schema": {"type": "string", "format": "binary"}} for name in MEDIA_TYPES}
        document["paths"]["/api/land"]["post"]["requestBody"] = {"required": True, "content": content}
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                operation["responses"].update(_problem_responses(path, method, with_token))
        if with_token:
            document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{"token": []}]
        app.openapi_schema = document
    return app.openapi_schema


def _add_model(schemas: dict[str, Any], service: Service) -> None:
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["ProblemDetails"] = ProblemDetails.model_json_schema()
    rows = rows_schema(service.format)
    for name in ("Rows", "RowsToScore"):
        schemas[name]["properties"]["x"] = rows
    codes = service.codes.json_schema()
    codes["items"]["items"] |= {"minimum": -FARTHEST, "maximum": FARTHEST}
    schemas["CodesToDecode"]["properties"]["z"] = codes
    schemas["SampleRequest"]["properties"]["n"]["maximum"] = service.format.n_most


def rows_schema(format: RowFormat) -> JSON:
    """Return the JSON schema of a model's rows."""
    if format.preprocess.kind != "table":
        array = ArrayData.model_json_schema()
        array["description"] = f"shape [n, {', '.join(map(str, format.preprocess.row_shape))}]"
        return {"anyOf": [format.lists.json_schema(), array]}
    category = ["string", "boolean", "null"]
    number = ["number", "null"]
    types = {name: category if column.kind == "category" else number for name, column in format.columns}
    row = {
        "type": "object",
        "properties": {name: {"type": type_} for name, type_ in types.items()},
        "required": list(types),
        "additionalProperties": False,
    }
    return {"type": "array", "minItems": 1, "maxItems": format.n_most, "items": row}


def _problem_responses(path: str, method: str, with_token: bool) -> JSON:
    """Return the responses of the problems that an operation can have, by status."""
    statuses = set(PROBLEMS)
    if method != "post":
        statuses -= BODY_PROBLEMS
    if not with_token:
        statuses.remove("401")
    if "{" not in path:
        statuses.remove("404")
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {status: {"description": PROBLEMS[status], "content": content} for status in sorted(statuses)}
