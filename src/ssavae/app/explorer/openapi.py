"""The API's description: what FastAPI finds, this model's rows and codes, and problems everywhere."""

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
    "400": "the body is broken",
    "401": "the token is missing or wrong",
    "404": "there is no such thing",
    "408": "the body took too long",
    "413": "the body, or a picture in it, is too large",
    "415": "the body is of another media type",
    "421": "the server is called by a name that is not its own",
    "422": "something in the request is not as it should be; detail says what and where",
}
OF_BODIES = ("400", "408", "413", "415")


def describe(app: FastAPI, service: Service, with_token: bool) -> dict[str, Any]:
    """Return the OpenAPI document of an application; it is made once."""
    if app.openapi_schema is None:
        found = get_openapi(title=app.title, version=app.version, routes=app.routes)
        _add_model(found, service)
        for path, operations in found["paths"].items():
            for method, operation in operations.items():
                _add_problems(operation, method == "post", with_token, "{" in path)
        if with_token:
            found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            found["security"] = [{"token": []}]
        app.openapi_schema = found
    return app.openapi_schema


def _add_model(found: dict[str, Any], service: Service) -> None:
    schemas = found["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["ProblemDetails"] = ProblemDetails.model_json_schema()
    rows = rows_schema(service.format)
    for name in ("Rows", "RowsToJudge"):
        schemas[name]["properties"]["x"] = rows
    codes = service.codes.json_schema()
    codes["items"]["items"] |= {"minimum": -FARTHEST, "maximum": FARTHEST}
    schemas["CodesToDecode"]["properties"]["z"] = codes
    schemas["Wish"]["properties"]["n"]["maximum"] = service.format.n_most
    file = {"schema": {"type": "string", "format": "binary"}}
    found["paths"]["/api/land"]["post"]["requestBody"] = {
        "required": True,
        "content": dict.fromkeys(MEDIA_TYPES, file),
    }


def rows_schema(format: RowFormat) -> dict[str, Any]:
    """Return the JSON schema of a model's rows."""
    shape = format.preprocess.row_shape
    if format.preprocess.kind != "table":
        array = ArrayData.model_json_schema()
        array["description"] = f"shape [n, {', '.join(map(str, shape))}]"
        return {"anyOf": [format.lists.json_schema(), array]}
    kinds = {"category": ["string", "boolean", "null"]}
    properties = {name: {"type": kinds.get(c.kind, ["number", "null"])} for name, c in format.columns}
    row = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"type": "array", "minItems": 1, "maxItems": format.n_most, "items": row}


def _add_problems(operation: dict[str, Any], has_body: bool, with_token: bool, has_name: bool) -> None:
    responses = operation["responses"]
    for status, description in PROBLEMS.items():
        if (status in OF_BODIES and not has_body) or (status == "401" and not with_token):
            continue
        if status == "404" and not has_name:
            continue
        content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
        responses[status] = {"description": description, "content": content}
