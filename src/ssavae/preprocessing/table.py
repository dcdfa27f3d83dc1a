"""Tables: rows of cells <-> network inputs, all columns of numbers in one step."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import NoneType

import numpy as np

from ssavae.preprocessing.columns import Column, as_numbers
from ssavae.preprocessing.scaling import check_span, robust_scale, standardize, unsquash

BLOCK_VALUES = 2**18  # numbers transformed at once, which stay in the cache
NUMBER_TYPES = (float, int, np.floating, np.integer, NoneType)
SMALL = 0.1  # quantile of the absolute numbers that a column is known by


def fit_columns(x: np.ndarray, names: Sequence[str], categorical: Collection[int] = ()) -> tuple[Column, ...]:
    """Learn kind, scale and categories of each column of a table.

    Parameters
    ----------
    x : (n, d)
    names : (d,)
    categorical : collection of int
        Columns whose numbers are categories.

    Raises
    ------
    ValueError
        If a column holds cells of several types, too many different texts, or numbers too far apart.
    """
    columns: dict[int, Column] = {}
    if x.dtype.kind == "O":
        for i, name in enumerate(names):
            numbers = as_numbers(x[:, i], name)
            if numbers is None or (i in categorical and not np.isnan(numbers).all()):
                columns[i] = Column.fit_category(x[:, i], name)
    positions = np.setdiff1d(np.arange(len(names)), list(columns))
    step = max(1, BLOCK_VALUES // len(x))
    for start in range(0, len(positions), step):
        block = positions[start : start + step]
        block_names = [str(names[i]) for i in block]
        numbers = to_numbers(x, block, block_names)
        columns.update(zip(block.tolist(), _fit_numbers(numbers, x.dtype, block_names), strict=True))
    return tuple(columns[i] for i in range(len(names)))


def _fit_numbers(numbers: np.ndarray, dtype: np.dtype, names: Sequence[str]) -> list[Column]:
    """Return the columns of numbers (n, m); those without gaps are learned in one step."""
    has_gap = np.asarray(np.isnan(numbers).any(axis=0))
    whole = [name for name, gap in zip(names, has_gap, strict=True) if not gap]
    complete = np.ascontiguousarray(numbers[:, ~has_gap].T)
    columns = iter(_fit_complete(complete, dtype, whole))
    return [
        _fit_with_gaps(numbers[:, i], dtype, names[i]) if gap else next(columns)
        for i, gap in enumerate(has_gap)
    ]


def _fit_with_gaps(numbers: np.ndarray, dtype: np.dtype, name: str) -> Column:
    known = numbers[~np.isnan(numbers)]
    if len(known) == 0:
        return Column("whole", has_missing=True)
    return _fit_complete(known[None], dtype, [name], has_missing=True)[0]


def _fit_complete(
    numbers: np.ndarray, dtype: np.dtype, names: Sequence[str], has_missing: bool = False
) -> list[Column]:
    """Return the columns whose numbers (m, n) are all known."""
    lowest = numbers.min(axis=1)
    highest = numbers.max(axis=1)
    for low, high, name in zip(lowest, highest, names, strict=True):
        check_span(low, high, np.dtype(np.float64), f"column {name!r}")
    kinds = np.where((numbers == np.rint(numbers)).all(axis=1), "whole", "number")
    centre, scale = robust_scale(numbers, dtype)
    magnitude = np.quantile(np.abs(numbers), SMALL, axis=1)
    fields = (kinds, centre, scale, lowest, highest, magnitude)
    return [
        Column(kind, low, scale, (), has_missing, *learned)
        for kind, low, scale, *learned in zip(*(each.tolist() for each in fields), strict=True)
    ]


def to_numbers(x: np.ndarray, positions: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return some columns of a table as float64, (n, m), with NaN where a value is missing.

    Raises
    ------
    ValueError
        If a cell holds something else; ``names`` are those of the columns.
    """
    cells = x if len(positions) == x.shape[1] else x[:, positions]
    if x.dtype.kind == "O" and not all(
        issubclass(each, NUMBER_TYPES) and each is not bool for each in set(map(type, cells.flat))
    ):
        return np.column_stack([_numbers_of(cells[:, j], name) for j, name in enumerate(names)])
    return cells.astype(np.float64, copy=False)


def _numbers_of(cells: np.ndarray, name: str) -> np.ndarray:
    numbers = as_numbers(cells, name)
    if numbers is None:
        row = int(np.argmax([isinstance(cell, str | bool | np.bool_) for cell in cells]))
        raise ValueError(f"column {name!r} holds {cells[row]!r} in row {row}, but numbers in training")
    return numbers


@dataclass(frozen=True)
class NumberColumns:
    """All columns of numbers of a table.

    Parameters
    ----------
    names : (m,)
    positions : (m,)
        Indices of the columns in a row.
    inputs : (m,)
        Indices of their values among the network inputs.
    low, scale, lowest, highest, magnitude : (m,)
        As of :class:`Column`; NaN where it has none.
    has_missing, is_whole : (m,)
    """

    names: tuple[str, ...]
    positions: np.ndarray
    inputs: np.ndarray
    low: np.ndarray
    scale: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    magnitude: np.ndarray
    has_missing: np.ndarray
    is_whole: np.ndarray

    @classmethod
    def of(cls, columns: Sequence[Column], names: Sequence[str], inputs: np.ndarray) -> NumberColumns:
        """Return the columns that hold numbers; ``inputs`` is the first network input of each column."""
        positions = np.array([i for i, column in enumerate(columns) if column.kind != "category"], dtype=int)
        chosen = [columns[i] for i in positions]

        def floats(field: str) -> np.ndarray:
            return np.array([getattr(column, field) for column in chosen], dtype=np.float64)

        return cls(
            names=tuple(str(names[i]) for i in positions),
            positions=positions,
            inputs=inputs[positions],
            low=floats("low"),
            scale=floats("scale"),
            lowest=floats("lowest"),
            highest=floats("highest"),
            magnitude=floats("magnitude"),
            has_missing=np.array([column.has_missing for column in chosen], dtype=bool),
            is_whole=np.array([column.kind == "whole" for column in chosen], dtype=bool),
        )

    def forward(self, x: np.ndarray, out: np.ndarray) -> None:
        """Write the network inputs of rows (n, d) into ``out``.

        Warns of missing values that training did not have: the median is taken.
        """
        gaps = np.zeros((len(self.names), 2), dtype=int)  # number, and first row
        step = max(1, BLOCK_VALUES // max(1, len(self.names)))
        for start in range(0, len(x), step):
            numbers = to_numbers(x[start : start + step], self.positions, self.names)
            missing = np.isnan(numbers)
            value = standardize(numbers, self.low, self.scale)
            out[start : start + step, self.inputs] = np.where(missing, 0.0, value)
            out[start : start + step, self.inputs[self.has_missing] + 1] = missing[:, self.has_missing]
            gaps[:, 1] = np.where(gaps[:, 0], gaps[:, 1], start + missing.argmax(axis=0))
            gaps[:, 0] += missing.sum(axis=0)
        self._warn_of_gaps(gaps)

    def _warn_of_gaps(self, gaps: np.ndarray) -> None:
        unexpected = np.flatnonzero((gaps[:, 0] > 0) & ~self.has_missing)
        if len(unexpected) == 0:
            return
        n, row = gaps[unexpected[0]]
        others = f", as have {len(unexpected) - 1} more columns" if len(unexpected) > 1 else ""
        problem = f"column {self.names[unexpected[0]]!r} has no value in row {row}, {n} in all{others}"
        warnings.warn(f"{problem}: its median in training is taken", stacklevel=2)

    def inverse(self, inputs: np.ndarray) -> np.ndarray:
        """Return numbers (n, m) of network inputs, within the range of training, with NaN for gaps."""
        with np.errstate(over="ignore"):
            value = unsquash(inputs[:, self.inputs].astype(np.float64)) * self.scale + self.low
        value = np.where(self.is_whole, np.rint(value), value)
        value = np.fmin(np.fmax(value, self.lowest), self.highest)  # as they are where no range is known
        markers = self.inputs[self.has_missing] + 1
        value[:, self.has_missing] = np.where(inputs[:, markers] > 0.5, np.nan, value[:, self.has_missing])
        return value
