"""OpenAPI document: FastAPI's own, with the schemas of this model's rows and codes, and all problems."""

from __future__ import annotations

import json
from html import escape
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


EXAMPLES = {"post": "requests.post(base + {path!r}, json=body)", "get": "requests.get(base + {path!r})"}
PAGE_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>ssavae: the API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>:root{color-scheme:light dark} body{font:15px/1.5 system-ui,sans-serif;
max-width:860px;margin:24px auto;padding:0 16px}
pre{overflow:auto;padding:10px;border:1px solid #8884;border-radius:8px;font-size:13px}</style>
"""


def as_page(document: JSON) -> str:
    """Return an OpenAPI document as a page to read: no script, nothing from another server."""
    paths: Any = document["paths"]
    parts = [
        PAGE_HEAD,
        "<h1>The API of this map</h1>",
        "<p>The whole: <a href='api/openapi.json'>openapi.json</a></p>",
    ]
    for path, operations in paths.items():
        for method, operation in operations.items():
            parts.append(_operation(path, method, operation, document))
    return "\n".join(parts)


def _operation(path: str, method: str, operation: dict[str, Any], document: Any) -> str:
    """Return one operation: what it does, its body, and a call in Python and in JavaScript."""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    schema = document["components"]["schemas"].get(str(body.get("$ref", "")).rpartition("/")[2])
    options = (
        ", { method: 'POST', body, headers: { 'Content-Type': 'application/json' } }"
        if method == "post"
        else ""
    )
    calls = [EXAMPLES[method].format(path=path), f"await (await fetch({path!r}{options})).json()"]
    parts = [
        f"<h2><code>{method.upper()} {escape(path)}</code></h2>",
        f"<p>{escape(operation['description'])}</p>",
    ]
    parts += [f"<pre>{escape(call)}</pre>" for call in calls]
    if schema is not None:
        parts.append(
            f"<details><summary>Body</summary><pre>{escape(json.dumps(schema, indent=1))}</pre></details>"
        )
    return "\n".join(parts)
