"""Replies in the form that Accept asks for: arrays as base64 or as lists, a single image as a PNG."""

from __future__ import annotations

import io
import json
import math
from typing import Literal, TypeGuard

import numpy as np

from ssavae.app.explorer.errors import Problem
from ssavae.app.explorer.limits import JSON_VALUES
from ssavae.app.explorer.row_format import unpack_numbers

JSON_TYPE = "application/json"
LISTS_TYPE = "application/json; arrays=lists"
PNG_TYPE = "image/png"
Form = Literal["base64", "lists", "png"]


def accepted_form(accept: str) -> Form:
    """Return the form that an Accept header prefers; base64 where it names none of them.

    >>> accepted_form("image/png,image/*;q=0.8,*/*;q=0.5"), accepted_form("application/json; arrays=lists")
    ('png', 'lists')
    >>> accepted_form("*/*"), accepted_form("image/png;q=0.2, application/json")
    ('base64', 'base64')
    """
    forms = [_media_range(text) for text in accept.split(",")]
    known: list[tuple[float, Form]] = [(q, form) for q, form in forms if form is not None and q > 0]
    return max(known, key=lambda each: each[0])[1] if known else "base64"


def _media_range(text: str) -> tuple[float, Form | None]:
    """Return quality and form of a media range."""
    name, *parts = [part.strip() for part in text.lower().split(";")]
    parameters = {key.strip(): value.strip(' "') for key, _, value in (part.partition("=") for part in parts)}
    lists: Form = "lists" if parameters.get("arrays") == "lists" else "base64"
    forms: dict[str, Form] = {JSON_TYPE: lists, "application/*": lists, "*/*": lists}
    forms |= {PNG_TYPE: "png", "image/*": "png"}
    try:
        quality = float(parameters.get("q", "1"))
    except ValueError:
        quality = 0.0
    return quality, forms.get(name)


def in_form(body: bytes, form: Form) -> tuple[bytes, str]:
    """Return the JSON of a reply in another form, and its media type.

    Raises
    ------
    Problem
        If lists would be too long, or a PNG is wanted of what is not one image.
    """
    document = json.loads(body)
    if form == "png":
        return _as_png(document), PNG_TYPE
    n = _count(document)
    if n > JSON_VALUES:
        detail = f"as lists the reply has {n:,} numbers: at most {JSON_VALUES:,}; ask for {JSON_TYPE}"
        raise Problem(406, detail)
    return json.dumps(_as_lists(document), separators=(",", ":")).encode(), JSON_TYPE


def _is_array(value: object) -> TypeGuard[dict[str, object]]:
    """Whether a value is an array; a row of a table has no list in its cells."""
    return isinstance(value, dict) and "bdata" in value and isinstance(value.get("shape"), list)


def _count(value: object) -> int:
    if _is_array(value):
        return math.prod(_shape(value))
    if isinstance(value, dict):
        return sum(map(_count, value.values()))
    return sum(map(_count, value)) if isinstance(value, list) else 1


def _as_lists(value: object) -> object:
    """Return JSON with lists in place of arrays; null where a number is missing."""
    if _is_array(value):
        array = unpack_numbers(value)
        numbers = array.astype(object)
        numbers[~np.isfinite(array)] = None
        return numbers.tolist()
    if isinstance(value, dict):
        return {name: _as_lists(each) for name, each in value.items()}
    return [_as_lists(each) for each in value] if isinstance(value, list) else value


def _as_png(document: object) -> bytes:
    """Return the only image of a reply, which is in its ``x``."""
    x = document.get("x") if isinstance(document, dict) else None
    image = x[0] if isinstance(x, list) and len(x) == 1 else x
    if not _is_array(image) or image["dtype"] != "u1" or len(_shape(image)) not in (2, 3):
        raise Problem(406, "the reply is not a single image: ask for application/json")
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(unpack_numbers(image)).save(content, "PNG")
    return content.getvalue()


def _shape(array: dict[str, object]) -> list[int]:
    shape = array["shape"]
    assert isinstance(shape, list)
    return shape
