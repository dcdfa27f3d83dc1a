"""The columns of a table: what each of them holds, and its way into numbers for a network and back.

A table is an array of numbers with NaN where a value is missing, or, as soon as one column holds text or
truth values, an array of objects.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MOST_CATEGORIES = 255  # a column with more different texts holds names or remarks
NORMAL_IQR = 1.349  # interquartile range of N(0, 1): by it the scale of a normal column is its deviation
# Deviations beyond which a number counts by its logarithm: one error code must not rule a network.
TAIL = 10.0
LEAST_COUNTED = 20  # rows, from which on whole numbers that never repeat are no chance
LARGEST = 80.0  # of a decoded logarithm: what a decoder makes of a code from nowhere must stay a number


@dataclass(frozen=True)
class Column:
    """One column of a table, as it was in training.

    Parameters
    ----------
    kind : {"number", "whole", "category"}
        "whole" for numbers without a fraction, "category" for texts and truth values.
    low, scale : float
        Median and interquartile range, in units of a normal deviation: see :func:`robust_scale`.
    categories : tuple
        What a category may be: str, or bool, and None where it is missing in training.
    has_missing : bool
        Of numbers: whether values are missing in training, which a second input then says.
    """

    kind: str
    low: float = 0.0
    scale: float = 1.0
    categories: tuple[Any, ...] = ()
    has_missing: bool = False

    @classmethod
    def fit(cls, cells: np.ndarray, name: str) -> Column:
        """Learn what a column holds, from its cells (n,).

        Raises
        ------
        ValueError
            If text stands among numbers, or there are too many different texts to be categories.
        """
        numbers = as_numbers(cells, name)
        if numbers is None:
            return cls("category", categories=_categories(cells, name))
        known = numbers[~np.isnan(numbers)]
        kind = "whole" if (known == np.rint(known)).all() else "number"
        return cls(kind, *robust_scale(known), has_missing=len(known) < len(numbers))

    @property
    def width(self) -> int:
        """How many network inputs the column makes."""
        return len(self.categories) if self.kind == "category" else 1 + self.has_missing

    def input_names(self, name: str) -> list[str]:
        """Name the network inputs that the column makes.

        >>> Column("category", categories=("blue", None)).input_names("colour")
        ['colour = blue', 'colour missing']
        """
        if self.kind == "category":
            return [f"{name} missing" if c is None else f"{name} = {c}" for c in self.categories]
        return [name, f"{name} missing"][: self.width]

    def forward(self, cells: np.ndarray, name: str) -> np.ndarray:
        """Turn cells (n,) into network inputs (n, width).

        A category or gap that training had none of is warned about, and read as neither of the categories,
        or as the median.
        """
        if self.kind == "category":
            return self._one_hot(cells, name)
        numbers = as_numbers(cells, name)
        if numbers is None:
            row = int(np.argmax([isinstance(cell, str | bool) for cell in cells]))
            raise ValueError(f"column {name!r} holds {cells[row]!r} in row {row}, but numbers in training")
        missing, value = np.isnan(numbers), squash((numbers - self.low) / self.scale)
        if not self.has_missing:
            _warn(missing, f"column {name!r} has no value", "its median in training is taken")
            return np.where(missing, 0.0, value)[:, None]
        return np.column_stack([np.where(missing, 0.0, value), missing])

    def inverse(self, inputs: np.ndarray) -> np.ndarray:
        """Turn network inputs (n, width) back into cells (n,): categories, whole numbers, numbers or NaN."""
        if self.kind == "category":
            return np.array([*self.categories, None], dtype=object)[inputs.argmax(axis=1)]
        value = unsquash(inputs[:, 0].astype(np.float64)) * self.scale + self.low
        value = np.rint(value) if self.kind == "whole" else value
        return np.where(inputs[:, 1] > 0.5, np.nan, value) if self.has_missing else value

    def _one_hot(self, cells: np.ndarray, name: str) -> np.ndarray:
        place = {category: i for i, category in enumerate(self.categories)}
        known = [None if gap else cell for cell, gap in zip(cells.tolist(), is_missing(cells), strict=True)]
        index = np.array([place.get(cell, -1) for cell in known], dtype=np.int64)
        if (index < 0).any():
            strange = known[int(np.argmax(index < 0))]
            what = "no value" if strange is None else f"{strange!r}, which training did not have,"
            _warn(index < 0, f"column {name!r} has {what}", "it counts as none of the categories")
        return (index[:, None] == np.arange(len(self.categories))).astype(np.float64)


def _warn(where: np.ndarray, what: str, then: str) -> None:
    if where.any():
        warnings.warn(f"{what} in row {int(where.argmax())}, {int(where.sum())} in all: {then}", stacklevel=2)


def robust_scale(known: np.ndarray) -> tuple[float, float]:
    """Return median and interquartile range, in units of a normal deviation, of numbers (n,).

    Where half of the numbers are the same, mean and deviation; 1 as scale where all are.

    Examples
    --------
    >>> robust_scale(np.array([1.0, 2.0, 3.0, 1e9]))[0], robust_scale(np.full(3, 7.0))
    (2.5, (7.0, 1.0))
    """
    if len(known) == 0:
        return 0.0, 1.0
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    nothing = 1e-12 * max(1.0, float(np.abs(known).max()))
    if high - low > nothing:
        return float(middle), float(high - low) / NORMAL_IQR
    deviation = float(known.std())
    return float(known.mean()), deviation if deviation > nothing else 1.0


def squash(value: np.ndarray) -> np.ndarray:
    r"""Leave numbers of up to ``TAIL`` deviations as they are, and take the logarithm of what is beyond.

    .. math:: \mathrm{sign}(v) \, (t + \log(1 + |v| - t)) \quad \text{for} \; |v| > t

    Examples
    --------
    >>> squash(np.array([-2.0, 10.0, 1e6])).round(2)
    array([-2.  , 10.  , 23.82])
    """
    beyond = np.maximum(np.abs(value) - TAIL, 0.0)
    return np.clip(value, -TAIL, TAIL) + np.sign(value) * np.log1p(beyond)


def unsquash(value: np.ndarray) -> np.ndarray:
    """Undo :func:`squash`.

    Examples
    --------
    >>> unsquash(squash(np.array([-2.0, 1e6]))).round(3)
    array([-2.e+00,  1.e+06])
    """
    beyond = np.maximum(np.abs(value) - TAIL, 0.0)
    return np.clip(value, -TAIL, TAIL) + np.sign(value) * np.expm1(beyond.clip(max=LARGEST))


def is_missing(cells: np.ndarray) -> np.ndarray:
    """Say which cells (n,) are None, NaN, or pandas' NA or NaT.

    Examples
    --------
    >>> is_missing(np.array(["a", None, float("nan")], dtype=object))
    array([False,  True,  True])
    """
    if cells.dtype.kind == "f":
        return np.isnan(cells)
    # NaN and NaT are equal to nothing, themselves included; NA says neither
    gaps = [c is None or type(c).__name__ == "NAType" or bool(c != c) for c in cells.tolist()]
    return np.array(gaps, dtype=bool).reshape(len(cells))


def as_numbers(cells: np.ndarray, name: str) -> np.ndarray | None:
    """Return cells (n,) as float64 with NaN for missing ones; None where they are texts or truth values.

    Raises
    ------
    ValueError
        If a column holds both, or what is neither.
    """
    if cells.dtype.kind != "O":
        return cells.astype(np.float64)
    missing = is_missing(cells)
    found = {_sort_of(cell) for cell in cells[~missing].tolist()}
    if len(found) > 1 or "other" in found:
        _refuse(cells, missing, name)
    if found & {"text", "truth"}:
        return None
    return np.array([np.nan if gap else float(cell) for cell, gap in zip(cells, missing, strict=True)])


def _sort_of(cell: Any) -> str:
    if isinstance(cell, str):
        return "text"
    if isinstance(cell, bool | np.bool_):
        return "truth"
    return "number" if isinstance(cell, int | float | np.integer | np.floating) else "other"


def _refuse(cells: np.ndarray, missing: np.ndarray, name: str) -> None:
    """Say where a column stops being of one sort."""
    sorts = [None if gap else _sort_of(cell) for cell, gap in zip(cells.tolist(), missing, strict=True)]
    first = next(sort for sort in sorts if sort is not None)
    row = next(i for i, sort in enumerate(sorts) if sort is not None and (sort != first or sort == "other"))
    before = "" if first == "other" else f" after cells of the sort {first!r}"
    raise ValueError(
        f"column {name!r} holds {cells[row]!r} ({type(cells[row]).__name__}) in row {row}{before}: "
        "wanted are numbers, or texts, or truth values"
    )


def _categories(cells: np.ndarray, name: str) -> tuple[Any, ...]:
    missing = is_missing(cells)
    known = sorted({str(c) if isinstance(c, str) else bool(c) for c in cells[~missing].tolist()})
    if len(known) > MOST_CATEGORIES:
        raise ValueError(
            f"column {name!r} holds {len(known)} different texts: names are no categories, leave it out"
        )
    return (*known, None) if missing.any() else tuple(known)


def object_cells(x: Any) -> np.ndarray | None:
    """Return a table with texts or truth values as objects (n, d); None where x is no such table.

    Examples
    --------
    >>> mixed_cells(np.array([["a", 1.0]], dtype=object))
    array([['a', 1.0]], dtype=object)
    """
    if hasattr(x, "iloc") and hasattr(x, "columns"):
        return None if all(_is_number(dtype) for dtype in x.dtypes) else _frame_cells(x)
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "OU" or x.ndim != 2:
        return None
    try:
        x.astype(np.float64)
    except ValueError:
        return x.astype(object)
    return None


def to_frame(rows: np.ndarray, names: Sequence[Any] | None) -> Any:
    """Return decoded rows of a table; with texts and names of columns, as a DataFrame again."""
    if rows.dtype.kind != "O" or names is None:
        return rows
    import pandas as pd

    return pd.DataFrame(rows, columns=list(names)).infer_objects()


def _is_number(dtype: Any) -> bool:
    return getattr(dtype, "kind", "O") in "iuf"


def _frame_cells(frame: Any) -> np.ndarray:
    cells = np.empty(frame.shape, dtype=object)
    for i, name in enumerate(frame.columns):
        column = frame.iloc[:, i]
        if getattr(column.dtype, "kind", "O") in "Mm":
            raise ValueError(
                f"column {name!r} holds dates or durations: make numbers of them, or leave it out"
            )
        cells[:, i] = column.astype(object)
    return cells


def is_row_number(cells: np.ndarray) -> bool:
    """Say whether cells (n,) look like an id: whole numbers, each once, with few between them left out.

    Examples
    --------
    >>> numbers_rows(np.arange(1, 60, 2.0)), numbers_rows(np.arange(40) % 39)
    (True, False)
    """
    numbers = as_numbers(cells, "") if len(cells) >= LEAST_COUNTED else None
    if numbers is None or not (numbers == np.rint(numbers)).all():
        return False
    return np.ptp(numbers) < 2 * len(numbers) and len(np.unique(numbers)) == len(numbers)


def warn_of_columns(x: np.ndarray, names: Sequence[Any]) -> None:
    """Warn about columns of a table (n, d) that never change, say the same twice, or number the rows."""
    constant, first, twins, counts = [], {}, [], []
    for i, name in enumerate(names):
        cells = x[:, i]
        content = cells.astype(str).tobytes() if cells.dtype.kind == "O" else (cells + 0).tobytes()
        if len(x) > 1 and (content[: len(content) // len(x)] * len(x)) == content:
            constant.append(str(name))
        elif (twin := first.setdefault(content, name)) is not name:
            twins.append(f"{name} (as {twin})")
        elif is_row_number(cells):
            counts.append(f"{name} (leave it out: it would teach where a row stands, not what it is)")
    for what, found in (("constant", constant), ("duplicate", twins), ("row-numbering", counts)):
        if found:
            more = "" if len(found) <= 10 else f" and {len(found) - 10} more"
            plural = "s" * (len(found) > 1)
            warnings.warn(f"{what} column{plural}: {', '.join(found[:10])}{more}", stacklevel=3)
