"""Rows and arrays as the API carries them: images as bytes, everything else in its own units."""

from __future__ import annotations

import base64
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar, cast

import numpy as np
from annotated_types import Len
from pydantic import FailFast, Field, TypeAdapter, ValidationError

from ssavae.app.explorer.errors import Problem, describe_error
from ssavae.app.explorer.schema import ArrayData, Value
from ssavae.preprocessing.columns import Cell, Column
from ssavae.preprocessing.preprocessor import Preprocessor

if TYPE_CHECKING:
    import pandas as pd

ArrayOrFrame: TypeAlias = "np.ndarray | pd.DataFrame"
DTYPES = {"f4": np.dtype("<f4"), "i4": np.dtype("<i4"), "u1": np.dtype("u1")}
DTYPE_OF_KIND: dict[str, Literal["f4", "i4", "u1"]] = {"f": "f4", "i": "i4", "u": "u1"}
LARGEST_NUMBER = 1e300  # of a cell
T = TypeVar("T")
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


def pack(array: np.ndarray) -> ArrayData:
    """Return an array as dtype, shape and base64 of its bytes.

    >>> pack(np.array([[1, 2]], dtype=np.uint8)).model_dump()
    {'dtype': 'u1', 'shape': [1, 2], 'bdata': 'AQI='}
    """
    dtype = DTYPE_OF_KIND[array.dtype.kind]
    data = np.ascontiguousarray(array, dtype=DTYPES[dtype])
    return ArrayData(dtype=dtype, shape=list(data.shape), bdata=base64.b64encode(data.tobytes()).decode())


def unpack(value: object, path: str) -> np.ndarray:
    """Undo :func:`pack` for a JSON value.

    Raises
    ------
    Problem
        If it is malformed, its bytes do not match its shape, or it holds NaN or infinity.
    """
    packed = validate(TypeAdapter(ArrayData), value, path)
    try:
        array = unpack_numbers(packed.model_dump())
    except ValueError:
        raise Problem(422, f"{path}: bdata is not base64 of as many bytes as dtype and shape say") from None
    if not np.isfinite(array).all():
        raise Problem(422, f"{path}: NaN or infinity in bdata")
    return array


def unpack_numbers(packed: dict[str, Any]) -> np.ndarray:
    """Return the array of dtype, shape and base64 of its bytes."""
    data = base64.b64decode(packed["bdata"], validate=True)
    return np.frombuffer(data, DTYPES[packed["dtype"]]).reshape(packed["shape"])


def nested_lists(shape: Sequence[int], n_most: int) -> TypeAdapter[list[object]]:
    """Return a validator of nested lists of finite numbers, (n, *shape) with n from 1 to n_most."""
    kind: Any = Number
    for side in reversed(shape):
        kind = Annotated[list[kind], Len(side, side), FailFast()]
    rows: Any = Annotated[list[kind], Len(1, n_most), FailFast()]
    return TypeAdapter(rows)


def validate(adapter: TypeAdapter[T], value: object, path: str) -> T:
    """Return a JSON value as an adapter reads it.

    Parameters
    ----------
    adapter : TypeAdapter
    value : object
    path : str
        Path of the value within the request, for error messages.

    Raises
    ------
    Problem
        If it is invalid.
    """
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise Problem(422, describe_error(("body", path, *first["loc"]), first["msg"])) from None


@dataclass(frozen=True)
class RowFormat:
    """Conversion between the rows of one model and JSON.

    Parameters
    ----------
    preprocess : Preprocessor
    named : bool
        Whether the model knows its columns by name, and so takes a DataFrame.
    n_most : int
        Largest number of rows in a request.
    """

    preprocess: Preprocessor
    named: bool
    n_most: int

    @property
    def columns(self) -> list[tuple[str, Column]]:
        """Columns of a table, with their names."""
        return list(zip(self.preprocess.names, self.preprocess.columns, strict=True))

    @cached_property
    def lists(self) -> TypeAdapter[list[object]]:
        """Validator of images and signals in nested lists."""
        return nested_lists(self.preprocess.row_shape, self.n_most)

    # ------------------------------------------------------------------------------- from JSON

    def read(self, x: object) -> ArrayOrFrame:
        """Return rows as the model takes them.

        Raises
        ------
        Problem
            If they are invalid; the message names the path within the request.
        """
        if self.preprocess.kind == "table":
            return self._read_table(x)
        if not isinstance(x, dict):
            return np.asarray(validate(self.lists, x, "x"), dtype=np.float64)
        rows = unpack(x, "x")
        if rows.shape[1:] != self.preprocess.row_shape or not 1 <= len(rows) <= self.n_most:
            expected = ", ".join(map(str, self.preprocess.row_shape))
            raise Problem(422, f"x: shape {list(rows.shape)}, expected [1 to {self.n_most}, {expected}]")
        return rows

    def _read_table(self, x: object) -> ArrayOrFrame:
        if not isinstance(x, list) or not 1 <= len(x) <= self.n_most:
            raise Problem(422, f"x: expected 1 to {self.n_most} rows, each an object of column: value")
        table = []
        for i, row in enumerate(x):
            if not isinstance(row, dict):
                raise Problem(422, f"x[{i}]: a row is an object of column: value")
            self.check_columns(row, f"x[{i}]")
            table.append([read_cell(row[name], column, f"x[{i}].{name}") for name, column in self.columns])
        return self.to_table(table)

    def check_columns(self, names: Collection[str], path: str, more_allowed: bool = False) -> None:
        """Raise Problem unless the names are those of the columns."""
        given = set(names)
        known = set(self.preprocess.names)
        missing = [name for name in self.preprocess.names if name not in given]
        unknown = [] if more_allowed else [name for name in names if name not in known]
        for text, wrong in (("it has no", missing), ("the model knows no", unknown)):
            if wrong:
                others = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
                raise Problem(422, f"{path}: {text} column {wrong[0]!r}{others}")

    def to_table(self, rows: Sequence[Sequence[Cell]]) -> ArrayOrFrame:
        """Return rows of cells as the model takes a table."""
        dtypes = [object if column.kind == "category" else np.float64 for _, column in self.columns]
        if not self.named:
            return np.array(rows, dtype=object if object in dtypes else np.float64)
        import pandas as pd

        columns = zip(*rows, strict=True)
        series = [pd.Series(cells, dtype=dtype) for cells, dtype in zip(columns, dtypes, strict=True)]
        return pd.concat(series, axis=1, keys=self.preprocess.names)

    # --------------------------------------------------------------------------------- to JSON

    def to_values(self, rows: ArrayOrFrame) -> list[Value]:
        """Return rows as the API sends them: images in bytes, signals (T, C), tables by column."""
        if self.preprocess.kind == "table":
            return [*self.to_objects(rows)]
        arrays = self.to_signals(rows) if self.preprocess.kind == "signal" else self.to_pixels(rows)
        return [pack(array) for array in arrays]

    def spread(self, rows: ArrayOrFrame) -> Value:
        """Return the standard deviation of rows, in the form of :meth:`to_values`; null for a category."""
        if self.preprocess.kind == "table":
            cells = _object_array(rows)
            return {
                name: None if column.kind == "category" else _finite_std(cells[:, i])
                for i, (name, column) in enumerate(self.columns)
            }
        if self.preprocess.kind == "signal":
            return pack(self.to_signals(rows).std(axis=0))
        return pack(np.rint(self.to_pixels(rows).std(axis=0)).astype(np.uint8))

    def to_signals(self, rows: ArrayOrFrame) -> np.ndarray:
        """Return signals as (n, T, C) in float32."""
        return np.asarray(rows, dtype=np.float32).reshape(len(rows), self.preprocess.row_shape[0], -1)

    def to_pixels(self, rows: ArrayOrFrame) -> np.ndarray:
        """Return images in bytes, (n, H, W) or (n, H, W, 3); 0 and 255 are the ends of the data's range."""
        inputs = np.moveaxis(self.preprocess.forward(np.asarray(rows)), 1, -1)
        images = np.rint(inputs.clip(0, 1) * 255).astype(np.uint8)
        return images[..., :3] if images.shape[-1] >= 3 else images[..., 0]

    def to_objects(self, rows: ArrayOrFrame) -> list[dict[str, float | int | str | None]]:
        """Return the rows of a table as JSON objects."""
        return [
            {name: show_cell(cell, column) for cell, (name, column) in zip(row, self.columns, strict=True)}
            for row in _object_array(rows).tolist()
        ]


def _object_array(rows: ArrayOrFrame) -> np.ndarray:
    """Return the rows of a table as an array of objects, (n, d)."""
    return rows.astype(object) if isinstance(rows, np.ndarray) else rows.to_numpy(dtype=object)


def _finite_std(cells: np.ndarray) -> float | None:
    numbers = cells.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    return float(finite.std()) if len(finite) else None


def read_cell(value: object, column: Column, path: str) -> Cell:
    """Return a JSON value as a cell of its column: NaN where a number is missing, None for a category.

    Text of a category is read as in a csv file, see :meth:`Column.parse`.

    Raises
    ------
    Problem
        If it has another type; the message names the path.
    """
    if column.kind == "category":
        cell = column.parse(value) if isinstance(value, str) else value
        if cell is None or isinstance(cell, bool if column.is_boolean else str) or cell in column.categories:
            return cast(Cell, cell)
        raise Problem(422, f"{path}: {'true or false' if column.is_boolean else 'text'} or null is wanted")
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Problem(422, f"{path}: a number or null is wanted")
    if not abs(value) <= LARGEST_NUMBER:
        raise Problem(422, f"{path}: a finite number is wanted")
    return float(value)


def show_cell(value: Cell, column: Column) -> float | int | str | None:
    """Return a cell of a table as a JSON value; None where it is missing.

    >>> show_cell(2.0, Column("whole")), show_cell(float("nan"), Column("number"))
    (2, None)
    """
    if value is None or type(value).__name__ == "NAType" or value != value:
        return None
    if column.kind == "category":
        return str(value)
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if column.kind == "whole" and number.is_integer() else number
