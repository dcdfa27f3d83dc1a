"""Schema of the JSON files of a model: values are checked against annotations before anything is built.

The schema of an object is a dataclass.  :func:`read` builds it from parsed JSON, and refuses a value of
another type, a missing field and an unknown one, naming its place.  Imports no torch.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from ssavae._checks import check
from ssavae._serialize import JSONObject, sha256
from ssavae.preprocessing.columns import Column
from ssavae.preprocessing.preprocessor import KINDS, Preprocessor

AXES = {"table": (1,), "signal": (1, 2), "image": (2, 3)}  # of one row
DTYPE_PATTERN = re.compile(r"[<>=|]?([biuf])[1-8]|[<>=|]?(U)[0-9]+|\|(O)")
MOST_TEXT = 500  # of what an error says
MOST_CHARACTERS = 2**26  # of an array of class names, which all take as much memory as the longest


class ModelFolderError(ValueError):
    """A file of a model that is damaged, or does not fit the others; names the file and the place in it."""


@contextmanager
def damaged(path: Path, problem: str = "is damaged") -> Iterator[None]:
    """Raise ModelFolderError, with the file, in place of a ValueError."""
    try:
        yield
    except ModelFolderError:
        raise
    except ValueError as error:
        raise ModelFolderError(f"{path} {problem}: {brief(error)}") from error


def brief(error: Exception) -> str:
    """Return what an error says, cut where it repeats a value of any length that a file holds.

    Examples
    --------
    >>> len(brief(ValueError("x" * 10**6)))
    527
    """
    text = str(error)
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]} ... ({len(text):,} characters)"


def parse_document(content: bytes, version: int, advice: str) -> JSONObject:
    """Parse the JSON object of a file, and check its schema version and its checksum of itself.

    Raises
    ------
    ValueError
        If it is damaged or of another version.
    """
    document = _parse(content)
    written = document.get("schema_version")
    check(
        written == version,
        f"it has schema version {written}, this ssavae reads {version}: {advice}",
    )
    check(document.get("sha256") == document_sha256(document), "its content does not match its checksum")
    return document


def _parse(content: bytes) -> JSONObject:
    try:
        document = json.loads(content, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return read(dict[str, Any], document, "")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def document_sha256(document: JSONObject) -> str:
    """Return the checksum of all of a document but its own checksum."""
    body = {key: value for key, value in document.items() if key != "sha256"}
    try:
        return sha256(json.dumps(body, sort_keys=True).encode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


# --------------------------------------------------------------------------------- typed reading


def read(hint: Any, value: Any, place: str) -> Any:
    """Return a value of JSON as its annotation demands: a dataclass from an object, a tuple from a list.

    Raises
    ------
    ValueError
        If it is of another type, NaN or infinite.

    Examples
    --------
    >>> read(tuple[int, ...], [1, 2], "widths"), read(float | None, None, "beta")
    ((1, 2), None)
    >>> read(tuple[int, ...], [1, True], "widths")
    Traceback (most recent call last):
    ValueError: widths[1] must be int, found True
    """
    if is_dataclass(hint):
        return _read_dataclass(hint, value, place)
    origin, args = get_origin(hint), get_args(hint)
    if hint is float and type(value) is int:
        value = _as_float(value)
    if origin in (Union, UnionType):
        return _read_union(hint, value, place)
    if origin is tuple and isinstance(value, list):
        return tuple([read(args[0], each, f"{place}[{i}]") for i, each in enumerate(value)])
    if origin is dict and args[0] is not str and isinstance(value, list):
        pairs = [read(tuple[Any, ...], each, f"{place}[{i}]") for i, each in enumerate(value)]
        check(all(len(pair) == 2 for pair in pairs), f"{place} must hold pairs of a key and a value")
        return {read(args[0], key, place): read(args[1], each, place) for key, each in pairs}
    if origin is dict and isinstance(value, dict):
        return {key: read(args[1], each, _join(place, key)) for key, each in value.items()}
    matches = value in args if origin is Literal else hint is Any or type(value) is hint
    if not matches or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"{place or 'it'} must be {_name(hint)}, found {reprlib.repr(value)}")
    return value


def read_arguments(function: Callable[..., object], values: JSONObject, place: str) -> JSONObject:
    """Return the keyword arguments of a function as its annotations demand."""
    hints = _hints(function)
    unknown = sorted(values.keys() - hints.keys())
    check(not unknown, f"{_join(place, ''.join(unknown[:1]))} is unknown: a newer ssavae may have written it")
    return {name: read(hints[name], value, _join(place, name)) for name, value in values.items()}


def _read_dataclass(cls: Any, value: Any, place: str) -> Any:
    value = read(dict[str, Any], value, place)
    for field in fields(cls):
        required = field.default is MISSING and field.default_factory is MISSING
        check(field.name in value or not required, f"{_join(place, field.name)} is missing")
    arguments = read_arguments(cls, value, place)
    try:
        return cls(**arguments)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def _read_union(hint: Any, value: Any, place: str) -> Any:
    for each in get_args(hint):
        try:
            return read(each, value, place)
        except ValueError:
            continue
    raise ValueError(f"{place} must be {_name(hint)}, found {reprlib.repr(value)}")


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


@cache
def _hints(annotated: Any) -> dict[str, Any]:
    return get_type_hints(annotated)


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)


# -------------------------------------------------------------------------- what models have in common


@dataclass(frozen=True)
class Classes:
    """Class names, and the dtype of their array."""

    dtype: str
    names: tuple[str | bool | int | float, ...]

    @classmethod
    def of(cls, classes: np.ndarray) -> Classes:
        """Describe an array of class names."""
        return cls(classes.dtype.str, tuple(classes.tolist()))

    def array(self) -> np.ndarray:
        """Return the array; raises ValueError where names and dtype do not fit, or a name is there twice."""
        match = DTYPE_PATTERN.fullmatch(self.dtype)
        if match is None:
            raise ValueError(f"classes.dtype {self.dtype!r} is none of class names")
        longest = max((len(name) for name in self.names if isinstance(name, str)), default=0)
        check(len(self.names) * longest <= MOST_CHARACTERS, "classes.names are too long")
        check(len(set(self.names)) == len(self.names), "classes.names holds a name twice")
        types = {type(name) for name in self.names}
        check(len(types) <= 1, f"classes.names mixes {', '.join(sorted(each.__name__ for each in types))}")
        try:
            array = np.array(self.names, dtype=str if match[2] else np.dtype(self.dtype))
        except (ValueError, OverflowError, TypeError):
            array = np.empty(0)
        same = array.tolist() == list(self.names) and {type(name) for name in array.tolist()} == types
        check(same, f"classes.names are not of dtype {self.dtype}")
        return array


def check_preprocessor(preprocessor: Preprocessor) -> None:
    """Raise ValueError unless the fields of a preprocessor fit one another."""
    kind, row_shape = preprocessor.kind, preprocessor.row_shape
    check(kind in KINDS, f"preprocess.kind must be one of {', '.join(KINDS)}, found {kind!r}")
    valid = len(row_shape) in AXES[kind] and min(row_shape) >= 1
    check(valid, f"preprocess.row_shape {row_shape} is not that of a {kind}")
    allowed = "biufO" if kind == "table" else "biuf"
    check(_kind_of(preprocessor.dtype) in allowed, f"preprocess.dtype {preprocessor.dtype!r} is unknown")
    if kind == "table":
        counts = {row_shape[0], len(preprocessor.columns), len(preprocessor.names)}
        check(len(counts) == 1, "preprocess.columns and names must be as many as a row has values")
        for i, column in enumerate(preprocessor.columns):
            _check_column(column, f"preprocess.columns[{i}]")
    else:
        n_values = len(preprocessor.scale)
        fits = len(preprocessor.low) == n_values and n_values in (1, preprocessor.input_shape[0])
        check(fits, f"preprocess.low and scale must hold one number, or one a channel, found {n_values}")
        check(min(preprocessor.scale) > 0, "preprocess.scale must be above 0")
        for name in ("lowest", "highest", "spread"):
            n = len(getattr(preprocessor, name))
            check(n in (0, n_values), f"preprocess.{name} must hold {n_values} numbers, found {n}")
        check(not preprocessor.columns, f"preprocess.columns are those of a table, not of a {kind}")


def _kind_of(dtype: str) -> str:
    try:
        return np.dtype(dtype).kind if re.fullmatch("[a-z]+[0-9]*", dtype) else "?"
    except TypeError:
        return "?"


def _check_column(column: Column, place: str) -> None:
    check(column.scale > 0, f"{place}.scale must be above 0, found {column.scale}")
    if column.kind == "category":
        n_categories = len(set(column.categories))
        valid = n_categories == len(column.categories) > 0
        check(valid, f"{place}.categories must differ from one another, found {n_categories} different ones")
