"""Rows and arrays as the API carries them, and back; images as bytes, the rest in its own units."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from annotated_types import Len
from pydantic import FailFast, Field, TypeAdapter, ValidationError

from ssavae.app.explorer.errors import Problem, place_of
from ssavae.preprocessing.columns import Column
from ssavae.preprocessing.preprocessor import Preprocessor

DTYPES = {"f4": np.dtype("<f4"), "i4": np.dtype("<i4"), "u1": np.dtype("u1")}
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


def pack(array: np.ndarray) -> dict[str, Any]:
    """Return an array as dtype, shape and base64 of its bytes, as plotly takes them too.

    >>> pack(np.array([[1, 2]], dtype=np.uint8))
    {'dtype': 'u1', 'shape': [1, 2], 'bdata': 'AQI='}
    """
    name = {"f": "f4", "i": "i4", "u": "u1"}[array.dtype.kind]
    data = np.ascontiguousarray(array, dtype=DTYPES[name])
    return {"dtype": name, "shape": list(data.shape), "bdata": base64.b64encode(data.tobytes()).decode()}


def unpack(told: dict[str, Any], place: str) -> np.ndarray:
    """Undo :func:`pack`.

    Raises
    ------
    Problem
        If it is none, or holds more or fewer bytes than its shape says, or NaN or infinity.
    """
    dtype, shape, bdata = (told.get(key) for key in ("dtype", "shape", "bdata"))
    if dtype not in DTYPES or not isinstance(shape, list) or not isinstance(bdata, str) or len(told) != 3:
        raise Problem(422, f"{place}: an array has dtype (f4, i4 or u1), shape and bdata (base64)")
    if not all(type(side) is int and 0 <= side < 2**31 for side in shape):
        raise Problem(422, f"{place}: the shape of an array is a list of whole numbers")
    try:
        data = base64.b64decode(bdata, validate=True)
    except (ValueError, binascii.Error):
        raise Problem(422, f"{place}: bdata is no base64") from None
    wanted = math.prod(shape) * DTYPES[dtype].itemsize
    if len(data) != wanted:
        raise Problem(422, f"{place}: bdata has {len(data)} bytes, dtype and shape make {wanted}")
    array = np.frombuffer(data, DTYPES[dtype]).reshape(shape)
    if not np.isfinite(array).all():
        raise Problem(422, f"{place}: NaN or infinity in bdata")
    return array


def nested(shape: Sequence[int], n_most: int) -> TypeAdapter[Any]:
    """Return what checks nested lists of finite numbers, (n, *shape) with n from 1 to n_most."""
    kind: Any = Number
    for side in reversed(shape):
        kind = Annotated[list[kind], Len(side, side), FailFast()]
    rows: Any = Annotated[list[kind], Len(1, n_most), FailFast()]
    return TypeAdapter(rows)


def checked(adapter: TypeAdapter[Any], value: Any, place: str) -> Any:
    """Return a value as an adapter reads it.

    Raises
    ------
    Problem
        If it does not; the message names the place.
    """
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = place_of(("body", place, *first["loc"]))
        raise Problem(422, f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None


@dataclass(frozen=True)
class RowFormat:
    """The rows of one model: how they are read from JSON, and shown.

    Parameters
    ----------
    preprocess : Preprocess
    named : bool
        Whether the model knows its columns by name, and so wants a DataFrame.
    n_most : int
        Rows in a request.
    """

    preprocess: Preprocessor
    named: bool
    n_most: int

    @property
    def columns(self) -> list[tuple[str, Column]]:
        """A table's columns, with their names."""
        return list(zip(self.preprocess.names, self.preprocess.columns, strict=True))

    @cached_property
    def lists(self) -> TypeAdapter[Any]:
        """What checks images and signals in nested lists."""
        return nested(self.preprocess.row_shape, self.n_most)

    # ------------------------------------------------------------------------------------ reading

    def read(self, x: Any) -> Any:
        """Return rows as the model takes them.

        Raises
        ------
        Problem
            If they are none; the message names the place.
        """
        if self.preprocess.kind == "table":
            return self._table(x)
        if not isinstance(x, dict):
            return np.asarray(checked(self.lists, x, "x"), dtype=np.float64)
        rows = unpack(x, "x")
        if rows.shape[1:] != self.preprocess.row_shape or not 1 <= len(rows) <= self.n_most:
            wanted = ", ".join(map(str, self.preprocess.row_shape))
            raise Problem(422, f"x: shape {list(rows.shape)}, wanted [1 to {self.n_most}, {wanted}]")
        return rows

    def _table(self, x: Any) -> Any:
        if not isinstance(x, list) or not 1 <= len(x) <= self.n_most:
            raise Problem(422, f"x: a list of 1 to {self.n_most} rows, each an object of column: value")
        for i, row in enumerate(x):
            if not isinstance(row, dict):
                raise Problem(422, f"x[{i}]: a row is an object of column: value")
            self.check_columns(row, f"x[{i}]")
        cells = [
            [read_cell(row[name], c, f"x[{i}].{name}") for name, c in self.columns] for i, row in enumerate(x)
        ]
        return self.table_of(cells)

    def check_columns(self, found: Any, place: str, more_allowed: bool = False) -> None:
        """Raise Problem unless the names found are those of the columns."""
        missing = [name for name in self.preprocess.names if name not in found]
        more = [] if more_allowed else [name for name in found if name not in self.preprocess.names]
        for what, names in (("it has no", missing), ("the model knows no", more)):
            if names:
                others = f" and {len(names) - 1} more" if len(names) > 1 else ""
                raise Problem(422, f"{place}: {what} column {names[0]!r}{others}")

    def table_of(self, cells: list[list[Any]]) -> Any:
        """Return cells as the model takes a table."""
        mixed = any(column.kind == "category" for _, column in self.columns)
        if not self.named:
            return np.array(cells, dtype=object if mixed else np.float64)
        import pandas as pd

        columns = zip(*cells, strict=True)
        typed = [
            pd.Series(values, dtype=object if column.kind == "category" else np.float64)
            for values, (_, column) in zip(columns, self.columns, strict=True)
        ]
        return pd.concat(typed, axis=1, keys=[name for name, _ in self.columns])

    # ------------------------------------------------------------------------------------ showing

    def shown(self, rows: Any) -> list[Any]:
        """Return rows as they are looked at: images in bytes, signals (T, C), tables by column."""
        if self.preprocess.kind == "table":
            return [self._row(row) for row in _cells_of(rows).tolist()]
        if self.preprocess.kind == "signal":
            return [pack(signal) for signal in self.as_signals(rows)]
        return [pack(image) for image in self.as_pixels(rows)]

    def spread(self, rows: Any) -> Any:
        """Return the standard deviation of rows, as they are looked at; null of a category."""
        if self.preprocess.kind == "table":
            cells = _cells_of(rows)
            return {
                name: None if column.kind == "category" else _deviation(cells[:, i])
                for i, (name, column) in enumerate(self.columns)
            }
        if self.preprocess.kind == "signal":
            return pack(self.as_signals(rows).std(axis=0))
        return pack(np.rint(self.as_pixels(rows).std(axis=0)).astype(np.uint8))

    def as_signals(self, rows: Any) -> np.ndarray:
        """Return signals as (n, T, C) in float32."""
        return np.asarray(rows, dtype=np.float32).reshape(len(rows), self.preprocess.row_shape[0], -1)

    def as_pixels(self, rows: Any) -> np.ndarray:
        """Return images as bytes, (n, H, W) or (n, H, W, 3), 0 and 255 being the ends of the data's range."""
        inputs = np.moveaxis(self.preprocess.forward(np.asarray(rows)), 1, -1)
        return channels_shown(np.rint(inputs.clip(0, 1) * 255).astype(np.uint8))

    def _row(self, cells: list[Any]) -> dict[str, Any]:
        return {
            name: show_cell(cell, column) for cell, (name, column) in zip(cells, self.columns, strict=True)
        }


def _cells_of(rows: Any) -> np.ndarray:
    """Return a table's rows as objects, (n, d)."""
    return rows.to_numpy(dtype=object) if hasattr(rows, "iloc") else np.asarray(rows).astype(object)


def _deviation(cells: np.ndarray) -> float | None:
    known = cells.astype(np.float64)
    known = known[np.isfinite(known)]
    return float(known.std()) if len(known) else None


def channels_shown(images: np.ndarray) -> np.ndarray:
    """Return (n, H, W, C) as gray (n, H, W) or in colour (n, H, W, 3); of other channels what fits."""
    return images[..., :3] if images.shape[-1] >= 3 else images[..., 0]


def read_cell(value: Any, column: Column, place: str) -> Any:
    """Return a value of a table as its column holds it; a missing one as NaN, or None of a category.

    Raises
    ------
    Problem
        If it is of another sort.
    """
    if column.kind == "category":
        if value is None:
            return None
        truths = {str(c): c for c in column.categories if isinstance(c, bool)}
        if str(value) in truths and isinstance(value, str | bool):
            return truths[str(value)]
        if not isinstance(value, str) or truths:
            raise Problem(422, f"{place}: {'true or false' if truths else 'text'} or null is wanted")
        return value
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Problem(422, f"{place}: a number or null is wanted")
    if abs(value) > 1e300 or value != value:
        raise Problem(422, f"{place}: a finite number is wanted")
    return float(value)


def show_cell(value: Any, column: Column) -> float | int | str | None:
    """Return a cell of a table as JSON holds it; null where it is missing.

    >>> show_cell(2.0, Column("whole")), show_cell(float("nan"), Column("number"))
    (2, None)
    """
    if value is None or value != value or type(value).__name__ == "NAType":
        return None
    if column.kind == "category":
        return str(value)
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if column.kind == "whole" and number.is_integer() else number
