"""Columns of a table: their cells as text, numbers or categories, and their network inputs.

A table is an array of numbers with NaN where a value is missing, or, as soon as one column holds text or
booleans, an array of objects.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeGuard

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Category: TypeAlias = "str | bool | int | float | None"
Cell: TypeAlias = "float | str | bool | None"

# Text that means a missing value in a csv file: what pandas takes for one by default.
_MARKS = "#N/A #NA -1.#IND -1.#QNAN -NaN -nan 1.#IND 1.#QNAN <NA> N/A NA NULL NaN None n/a nan null"
MISSING_MARKS = frozenset(["", "#N/A N/A", *_MARKS.split()])
PANDAS_GAPS = ("NAType", "NaTType")
BOOLEANS = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
NUMBER_PATTERN = re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity)", re.IGNORECASE)
MOST_CATEGORIES = 255  # a column with more different texts holds names or remarks
LEAST_COUNTED = 20  # rows from which on integers that never repeat are no coincidence


@dataclass(frozen=True)
class Column:
    """One column of a table, as it was in training.

    Parameters
    ----------
    kind : {"number", "whole", "category"}
        "whole" for integers, "category" for text and booleans.
    low, scale : float
        Centre and scale of numbers: see ``scaling.robust_scale``.
    categories : tuple
        Texts, booleans or numbers, and None where values were missing in training.
    has_missing : bool
        Of numbers: whether values were missing in training; a second network input then marks them.
    lowest, highest : float or None
        Range of the numbers; None in models that were saved without it.
    magnitude : float or None
        10 % quantile of the absolute numbers, which another unit would change.
    """

    kind: Literal["number", "whole", "category"]
    low: float = 0.0
    scale: float = 1.0
    categories: tuple[Category, ...] = ()
    has_missing: bool = False
    lowest: float | None = None
    highest: float | None = None
    magnitude: float | None = None

    @classmethod
    def fit_category(cls, cells: np.ndarray, name: str) -> Column:
        """Learn the categories of a column from its cells (n,).

        Raises
        ------
        ValueError
            If it holds cells of several types, or too many different ones to be categories.
        """
        return cls("category", categories=_categories(cells, name))

    @property
    def width(self) -> int:
        """Number of network inputs of the column."""
        return len(self.categories) if self.kind == "category" else 1 + self.has_missing

    def input_names(self, name: str) -> list[str]:
        """Name the network inputs of the column.

        >>> Column("category", categories=("blue", None)).input_names("colour")
        ['colour = blue', 'colour missing']
        """
        if self.kind == "category":
            return [f"{name} missing" if c is None else f"{name} = {c}" for c in self.categories]
        return [name, f"{name} missing"][: self.width]

    @property
    def is_boolean(self) -> bool:
        """Whether the categories are True and False."""
        return any(isinstance(category, bool) for category in self.categories)

    def parse(self, text: str) -> Cell:
        """Read a cell of a csv file, None where it is missing.

        Text that is no number, or none of the categories, comes back as text.

        Examples
        --------
        >>> Column("number").parse(" 1e3 "), Column("number").parse("NA"), Column("category").parse("1e3")
        (1000.0, None, '1e3')
        """
        if is_missing_mark(text) and text not in self.categories:
            return None
        text = text.strip()
        if self.kind != "category":
            return float(text) if NUMBER_PATTERN.fullmatch(text) else text
        if self.is_boolean:
            return BOOLEANS.get(text, text)
        return next((category for category in self.categories if str(category) == text), text)

    def one_hot(self, cells: np.ndarray, name: str) -> np.ndarray:
        """Turn cells (n,) of a category into network inputs (n, width).

        Warns of values that training did not have: they count as none of the categories.
        """
        index_of = {category: i for i, category in enumerate(self.categories)}
        values = [None if gap else cell for cell, gap in zip(cells.tolist(), is_missing(cells), strict=True)]
        index = np.array([index_of.get(value, -1) for value in values], dtype=np.int64)
        unknown = index < 0
        if unknown.any():
            row = int(unknown.argmax())
            problem = "no value" if values[row] is None else f"{values[row]!r}, which training did not have,"
            warnings.warn(
                f"column {name!r} has {problem} in row {row}, {int(unknown.sum())} in all: "
                "it counts as none of the categories",
                stacklevel=2,
            )
        return (index[:, None] == np.arange(len(self.categories))).astype(np.float64)

    def most_probable(self, inputs: np.ndarray) -> np.ndarray:
        """Turn network inputs (n, width) of a category back into cells (n,)."""
        return np.array([*self.categories, None], dtype=object)[inputs.argmax(axis=1)]


def is_missing_mark(text: str) -> bool:
    """Say whether the text of a csv cell means a missing value.

    >>> is_missing_mark("NA"), is_missing_mark(" "), is_missing_mark("0")
    (True, True, False)
    """
    return text in MISSING_MARKS or not text.strip()


def is_missing(cells: np.ndarray) -> np.ndarray:
    """Say which cells (n,) are None, NaN, or pandas' NA or NaT.

    Examples
    --------
    >>> is_missing(np.array(["a", None, float("nan")], dtype=object))
    array([False,  True,  True])
    """
    if cells.dtype.kind == "f":
        return np.isnan(cells)
    return np.fromiter(map(_is_gap, cells.tolist()), dtype=bool, count=len(cells))


def _is_gap(cell: object) -> bool:
    is_nan = isinstance(cell, float | np.floating) and cell != cell
    return cell is None or is_nan or type(cell).__name__ in PANDAS_GAPS


def as_numbers(cells: np.ndarray, name: str) -> np.ndarray | None:
    """Return cells (n,) as float64 with NaN for missing values; None where they are text or booleans.

    Raises
    ------
    ValueError
        If a column holds cells of several types, or neither numbers, text nor booleans.
    """
    if cells.dtype.kind != "O":
        return cells.astype(np.float64)
    missing = is_missing(cells)
    types = {_type_of(cell) for cell in cells[~missing].tolist()}
    if len(types) > 1 or "other" in types:
        _refuse_cell(cells, missing, name)
    if types & {"text", "boolean"}:
        return None
    return np.array([np.nan if gap else float(cell) for cell, gap in zip(cells, missing, strict=True)])


def _type_of(cell: object) -> str:
    if isinstance(cell, str):
        return "text"
    if isinstance(cell, bool | np.bool_):
        return "boolean"
    return "number" if isinstance(cell, int | float | np.integer | np.floating) else "other"


def _refuse_cell(cells: np.ndarray, missing: np.ndarray, name: str) -> None:
    """Raise ValueError that names the first cell whose type differs from those before it."""
    types = {i: _type_of(cell) for i, cell in enumerate(cells.tolist()) if not missing[i]}
    first = next(iter(types.values()))
    row = next(i for i, each in types.items() if each != first or each == "other")
    before = "" if first == "other" else f" after cells of type {first!r}"
    raise ValueError(
        f"column {name!r} holds {cells[row]!r} ({type(cells[row]).__name__}) in row {row}{before}: "
        "wanted are numbers, or text, or booleans"
    )


def _categories(cells: np.ndarray, name: str) -> tuple[Category, ...]:
    missing = is_missing(cells)
    values = cells[~missing].tolist()
    types = {_type_of(value) for value in values}
    if len(types) > 1 or "other" in types:
        _refuse_cell(cells, missing, name)
    known = sorted({value.item() if isinstance(value, np.generic) else value for value in values})
    if len(known) > MOST_CATEGORIES:
        raise ValueError(
            f"column {name!r} holds {len(known)} different values: names are no categories, leave it out"
        )
    return (*known, None) if missing.any() else tuple(known)


def is_frame(x: object) -> TypeGuard[pd.DataFrame]:
    """Say whether x is a DataFrame, without importing pandas."""
    return hasattr(x, "iloc") and hasattr(x, "columns")


def object_cells(x: object) -> np.ndarray | None:
    """Return a table with text or booleans as objects (n, d); None where x is no such table.

    Examples
    --------
    >>> object_cells(np.array([["a", 1.0]], dtype=object))
    array([['a', 1.0]], dtype=object)
    """
    if is_frame(x):
        is_numeric = all(getattr(dtype, "kind", "O") in "iuf" for dtype in x.dtypes)
        return None if is_numeric else _frame_cells(x)
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "OU" or x.ndim != 2:
        return None
    try:
        x.astype(np.float64)
    except ValueError:
        return x.astype(object)
    return None


def categorical_columns(x: object) -> frozenset[int]:
    """Return which columns of a DataFrame are of a categorical dtype."""
    dtypes = x.dtypes if is_frame(x) else ()
    return frozenset(i for i, dtype in enumerate(dtypes) if getattr(dtype, "name", "") == "category")


def _frame_cells(frame: pd.DataFrame) -> np.ndarray:
    cells = np.empty(frame.shape, dtype=object)
    for i, name in enumerate(frame.columns):
        column = frame.iloc[:, i]
        if getattr(column.dtype, "kind", "O") in "Mm":
            raise ValueError(
                f"column {name!r} holds dates or durations: make numbers of them, or leave it out"
            )
        cells[:, i] = column.astype(object)
    return cells


def to_frame(rows: np.ndarray, names: Sequence[str] | None) -> np.ndarray | pd.DataFrame:
    """Return decoded rows of a table: as a DataFrame where they hold text and columns have names."""
    if rows.dtype.kind != "O" or names is None:
        return rows
    import pandas as pd

    return pd.DataFrame(rows, columns=list(names)).infer_objects()


def is_row_number(cells: np.ndarray) -> bool:
    """Say whether cells (n,) look like an id: integers, none of them twice, and few left out in between.

    Examples
    --------
    >>> is_row_number(np.arange(1, 60, 2.0)), is_row_number(np.arange(40) % 39)
    (True, False)
    """
    numbers = as_numbers(cells, "") if len(cells) >= LEAST_COUNTED else None
    if numbers is None or not (numbers == np.rint(numbers)).all():
        return False
    return bool(np.ptp(numbers) < 2 * len(numbers)) and len(np.unique(numbers)) == len(numbers)


def warn_of_columns(x: np.ndarray, names: Sequence[str]) -> None:
    """Warn about columns of a table (n, d) that are constant, duplicates, or number the rows."""
    constant: list[str] = []
    duplicates: list[str] = []
    row_numbers: list[str] = []
    first_with: dict[bytes, str] = {}
    for i, name in enumerate(names):
        cells = x[:, i]
        content = cells.astype(str).tobytes() if cells.dtype.kind == "O" else (cells + 0).tobytes()
        first = first_with.setdefault(content, name)
        if len(x) > 1 and content == content[: len(content) // len(x)] * len(x):
            constant.append(name)
        elif first is not name:
            duplicates.append(f"{name} (as {first})")
        elif is_row_number(cells):
            row_numbers.append(f"{name} (leave it out: it would teach where a row stands, not what it is)")
    for problem, columns in (
        ("constant", constant),
        ("duplicate", duplicates),
        ("row-numbering", row_numbers),
    ):
        if columns:
            noun = "column" if len(columns) == 1 else "columns"
            more = "" if len(columns) <= 10 else f" and {len(columns) - 10} more"
            warnings.warn(f"{problem} {noun}: {', '.join(columns[:10])}{more}", stacklevel=3)
