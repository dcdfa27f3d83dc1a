"""OpenAPI document: FastAPI's own, with the schemas of this model's rows and codes, and all problems."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ssavae.app.explorer.errors import MEDIA_TYPE, ProblemDetails
from ssavae.app.explorer.http.replies import LISTS_TYPE, PNG_TYPE
from ssavae.app.explorer.row_format import RowFormat
from ssavae.app.explorer.schema import ArrayData
from ssavae.app.explorer.service import FARTHEST, Service
from ssavae.app.explorer.uploads import MEDIA_TYPES

PROBLEMS = {
    "400": "the body is malformed",
    "401": "the token is missing or wrong",
    "404": "not found",
    "406": "the reply has no such form: too many numbers for lists, or not one image",
    "408": "the body took too long",
    "413": "the body, or an image or csv in it, is too large",
    "415": "unsupported media type",
    "421": "the Host header names another server",
    "422": "the request is invalid; detail says what and where",
    "503": "the server is busy, or ends; Retry-After says when to try again",
}
HAS_IMAGE = ("/api/items/{item}", "/api/decode", "/api/sample", "/api/rows", "/api/select")
FORMS = """Arrays come as dtype, shape and their bytes in base64. `Accept: application/json; arrays=lists`
gives nested lists in their place, with null where a number is missing; `Accept: image/png` gives the image of
a reply that has a single one."""
LISTS = {
    "type": "object",
    "description": "application/json with nested lists in place of arrays of dtype, shape and bdata",
}
BODY_PROBLEMS = {"400", "408", "413", "415"}
JSON = dict[str, object]


def describe(app: FastAPI, service: Service, with_token: bool) -> JSON:
    """Return the OpenAPI document of an application, built once."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=FORMS, routes=app.routes)
        _add_model(document["components"]["schemas"], service)
        content = {name: {"schema": {"type": "string", "format": "binary"}} for name in MEDIA_TYPES}
        document["paths"]["/api/land"]["post"]["requestBody"] = {"required": True, "content": content}
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                operation["responses"].update(_problem_responses(path, method, with_token))
                _add_forms(operation["responses"]["200"]["content"], path, service.format.preprocess.kind)
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


def _add_forms(content: JSON, path: str, kind: str) -> None:
    """Add the forms that Accept may choose to the content of a reply."""
    content[LISTS_TYPE] = {"schema": LISTS}
    if kind == "image" and path in HAS_IMAGE:
        description = "where the reply has one image"
        content[PNG_TYPE] = {"schema": {"type": "string", "format": "binary", "description": description}}


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


PAGE_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>ssavae: the API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>:root{color-scheme:light dark} body{font:15px/1.5 system-ui,sans-serif;
max-width:860px;margin:24px auto;padding:0 16px}
pre{overflow:auto;padding:10px;border:1px solid #8884;border-radius:8px;font-size:13px}</style>
<h1>The API of this map</h1>
<p>All of it, for programs: <a href='api/openapi.json'>openapi.json</a>. Arrays come as their bytes in base64,
or as nested lists where <code>Accept</code> asks for them; a reply with one image comes as a PNG where it
asks for that. In Python:</p>
"""
BEGIN_PYTHON = """import requests

base = "http://127.0.0.1:8765"
lists = {"Accept": "application/json; arrays=lists"}
item = requests.get(base + "/api/items/0", headers=lists).json()
item["z"], item["predicted"], item["x"]
"""
BEGIN_JAVASCRIPT = """const lists = { Accept: "application/json; arrays=lists" };
const item = await (await fetch("/api/items/0", { headers: lists })).json();
"""
PICTURE = """open("item.png", "wb").write(
    requests.get(base + "/api/items/0", headers={"Accept": "image/png"}).content
)
"""


def as_page(document: JSON) -> str:
    """Return an OpenAPI document as a page to read: no script, nothing from another server."""
    paths: Any = document["paths"]
    has_images = PNG_TYPE in paths["/api/items/{item}"]["get"]["responses"]["200"]["content"]
    parts = [PAGE_HEAD, _code(BEGIN_PYTHON), *([_code(PICTURE)] if has_images else [])]
    parts += ["<p>In JavaScript:</p>", _code(BEGIN_JAVASCRIPT)]
    for path, operations in paths.items():
        for method, operation in operations.items():
            parts.append(_operation(path, method, operation, document))
    return "\n".join(parts)


def _operation(path: str, method: str, operation: dict[str, Any], document: Any) -> str:
    """Return one operation: what it does, its body, and a call in Python and in JavaScript."""
    schema = _body_schema(operation, document)
    parts = [
        f"<h2><code>{method.upper()} {escape(path)}</code></h2>",
        f"<p>{escape(operation['description'])}</p>",
        *map(_code, _calls(path, method, schema)),
    ]
    if schema is not None:
        parts.append(f"<details><summary>Body</summary>{_code(json.dumps(schema, indent=1))}</details>")
    return "\n".join(parts)


def _body_schema(operation: dict[str, Any], document: Any) -> dict[str, Any] | None:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    return document["components"]["schemas"].get(str(body.get("$ref", "")).rpartition("/")[2])


def _calls(path: str, method: str, schema: dict[str, Any] | None) -> tuple[str, str]:
    """Return a call in Python, and one in JavaScript."""
    if method == "get":
        return f"requests.get(base + {path!r}).json()", f"await (await fetch({path!r})).json()"
    body = _example(schema)
    python = f"body = {body}\nrequests.post(base + {path!r}, json=body).json()"
    headers = "headers: { 'Content-Type': 'application/json' }"
    options = f"{{ method: 'POST', {headers}, body: JSON.stringify(body) }}"
    if schema is None:  # a file is the body
        python = (
            f"with open('rows.csv', 'rb') as body:\n"
            f"    requests.post(base + {path!r}, data=body, headers={{'Content-Type': 'text/csv'}}).json()"
        )
        options = "{ method: 'POST', headers: { 'Content-Type': file.type }, body: file }"
    return python, f"await (await fetch({path!r}, {options})).json()"


def _example(schema: dict[str, Any] | None) -> str:
    """Return a body as Python and JavaScript both write it."""
    properties = (schema or {}).get("properties", {})
    if "z" in properties:
        return json.dumps({"z": [[0.0] * properties["z"]["items"]["minItems"]]})
    examples = {"n": '{"n": 12}', "items": '{"items": [0, 1, 2]}', "x": '{"x": rows}'}
    return next((text for name, text in examples.items() if name in properties), "{}")


def _code(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"
