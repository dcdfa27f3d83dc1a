"""Preprocessor: the scaling between rows and network inputs, as the model stores it.

A fitted :class:`Preprocessor` consists of plain values: ``asdict`` writes it to model.json.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ssavae._checks import check
from ssavae.preprocessing.columns import Column
from ssavae.preprocessing.inputs import Rows
from ssavae.preprocessing.lazy import LazyArray, random_subset, sample_rows
from ssavae.preprocessing.ranges import (
    evenly_spaced,
    least_spread,
    n_compared,
    row_range_problem,
    table_range_problem,
)
from ssavae.preprocessing.scaling import check_span, image_scale, standard_scale
from ssavae.preprocessing.table import NumberColumns, fit_columns, to_numbers

KINDS = ("table", "image", "signal")
SHORTEST = {"image": 8, "signal": 16}  # sides below which a convolutional network has nothing to halve


def detect_kind(shape: Sequence[int], kind: str | None = None) -> str:
    """Return the kind of rows of this shape: (n, d) a table, (n, H, W[, C]) images; signals must be named.

    Raises
    ------
    ValueError
        If ``kind`` is unknown or does not fit the shape.

    Examples
    --------
    >>> detect_kind((10, 28, 28)), detect_kind((10, 5)), detect_kind((10, 64), "signal")
    ('image', 'table', 'signal')
    """
    allowed = {2: ("table", "signal"), 3: ("image", "signal"), 4: ("image",)}.get(len(shape), ())
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind={kind!r} is unknown: choose one of {', '.join(KINDS)}, or None to detect it")
    if not allowed or (kind is not None and kind not in allowed):
        wanted = "(n, d) for a table, (n, H, W[, C]) for images, (n, T[, C]) for signals"
        is_table = kind in (None, "table")
        problem = "Expected 2D array for a table, found" if is_table else f"kind={kind!r} does not fit"
        raise ValueError(f"{problem} X of shape {tuple(shape)}: wanted {wanted}")
    return kind or allowed[0]


@dataclass(frozen=True)
class Preprocessor:
    """How rows become network inputs and decoded inputs become rows.

    Parameters
    ----------
    kind : str
        "table", "image" or "signal".
    row_shape : tuple of int
        One row as the user gives it.
    dtype : str
        The user's dtype; decoded integer rows are rounded and cast to it.
    low, scale : tuple of float
        ``input = (row - low) / scale``, per channel of a signal, or one pair for images.
    columns : tuple of Column
        Of a table: the way of each column.
    names : tuple of str
        Of a table: what errors and warnings call the columns.
    lowest, highest : tuple of float
        Of signals: range of each channel in training.
    spread : tuple of float
        Of images and signals: the least difference between highest and lowest value of a row in training,
        per channel of a signal: see ``ranges.least_spread``. Older models have none of these three.
    """

    kind: str
    row_shape: tuple[int, ...]
    dtype: str
    low: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    columns: tuple[Column, ...] = ()
    names: tuple[str, ...] = ()
    lowest: tuple[float, ...] = ()
    highest: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()

    @classmethod
    def fit(
        cls, x: Rows | np.ndarray | LazyArray, kind: str | None = None, names: Sequence[str] | None = None
    ) -> Preprocessor:
        """Learn the scaling from training rows: images to [0, 1], others to about mean 0 and variance 1.

        Parameters
        ----------
        x : (n, ...)
            Numbers; of a table NaN where a value is missing, or objects: see ``preprocessing.columns``. Of a
            LazyArray the scales of tables and signals are learned from a sample: see ``lazy.sample_rows``.
        kind : {"table", "image", "signal"} or None
        names : (d,) or None
            Names of a table's columns; None takes their indices.
        """
        rows = x if isinstance(x, Rows) else Rows(x)
        kind = detect_kind(rows.shape, kind)
        row_shape = tuple(rows.shape[1:])
        _check_sides(row_shape, kind)
        if kind == "table":
            return cls._fit_table(rows, rows.names if names is None else names)
        return cls._fit_images(rows) if kind == "image" else cls._fit_signals(rows)

    @classmethod
    def _fit_images(cls, rows: Rows) -> Preprocessor:
        low, high = rows.scan.low, rows.scan.high
        dtype = _plain_dtype(rows)
        check_span(low, high, np.result_type(dtype, np.float32), "X")
        low, scale = image_scale(low, high, dtype)
        some = rows.values[random_subset(len(rows), n_compared(rows.shape))]
        return cls("image", rows.shape[1:], dtype.name, (low,), (scale,), spread=least_spread(some, 1))

    @classmethod
    def _fit_signals(cls, rows: Rows) -> Preprocessor:
        sample = sample_rows(rows.values)
        dtype = _plain_dtype(rows)
        channels = sample.reshape(-1, rows.shape[2] if len(rows.shape) > 2 else 1)
        lowest, highest = channels.min(axis=0).astype(np.float64), channels.max(axis=0).astype(np.float64)
        for low, high in zip(lowest, highest, strict=True):
            check_span(low, high, np.result_type(dtype, np.float32), "X")
        low, scale = standard_scale(sample)
        learned = {"low": low, "scale": scale, "lowest": lowest, "highest": highest}
        fields = {name: tuple(values.tolist()) for name, values in learned.items()}
        spread = least_spread(sample, len(lowest))
        return cls("signal", rows.shape[1:], dtype.name, **fields, spread=spread)

    @classmethod
    def _fit_table(cls, rows: Rows, names: Sequence[str] | None) -> Preprocessor:
        n_columns = rows.shape[1]
        column_names = tuple(map(str, range(n_columns) if names is None else names))
        columns = fit_columns(sample_rows(rows.values), column_names, rows.categorical)
        if rows.is_lazy and any(rows.scan.gaps):  # which a sample may miss
            pairs = zip(columns, rows.scan.gaps, strict=True)
            columns = tuple(replace(column, has_missing=column.has_missing or gap) for column, gap in pairs)
        dtype = rows.values.dtype.name
        return cls("table", (n_columns,), dtype, columns=columns, names=column_names)

    @property
    def bounded(self) -> bool:
        """Whether network inputs lie in [0, 1]."""
        return self.kind == "image"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one network input: channels first."""
        if self.kind == "table":
            return (int(self._ends[-1]),)
        n_dims = 1 if self.kind == "signal" else 2
        n_channels = self.row_shape[n_dims] if len(self.row_shape) > n_dims else 1
        return (n_channels, *self.row_shape[:n_dims])

    @property
    def working_dtype(self) -> np.dtype[Any]:
        """The floating type in which rows of the user's dtype are scaled."""
        return np.result_type(self.dtype, np.float32)

    @property
    def scaling(self) -> tuple[np.ndarray, np.ndarray]:
        """Return low and scale of images and signals, along the last axis; float32 for rows in float32."""
        dtype = np.float64 if self.working_dtype.itemsize > 4 else np.float32
        return np.asarray(self.low, dtype=dtype), np.asarray(self.scale, dtype=dtype)

    @property
    def number_inputs(self) -> tuple[int, ...]:
        """Network inputs that hold the numbers of a table; none of other kinds."""
        return tuple(self._numbers.inputs.tolist()) if self.kind == "table" else ()

    @property
    def input_names(self) -> list[str]:
        """Names of a table's network inputs, in order; none of other kinds."""
        pairs = zip(self.columns, self.names, strict=True)
        return [each for column, name in pairs for each in column.input_names(name)]

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Turn rows into float32 network inputs, channels first."""
        self.check_shape(x)
        if self.kind == "table":
            return self._table_inputs(x)
        low, scale = self.scaling
        scaled = x.astype(np.result_type(x, low))  # a copy
        scaled -= low  # in place: more copies would triple the memory of all rows, and the time of a batch
        scaled = scaled.reshape(len(x), *self.row_shape[: len(self.input_shape) - 1], self.input_shape[0])
        with np.errstate(over="ignore", invalid="ignore"):
            scaled /= scale
            inputs = np.ascontiguousarray(np.moveaxis(scaled, -1, 1), dtype=np.float32)
            is_finite = np.isfinite(inputs.sum())
        check(is_finite, "X holds NaN, infinity or numbers far beyond training: look for extreme rows")
        return inputs

    def check_shape(self, x: np.ndarray | LazyArray) -> None:
        """Raise ValueError unless x (n, ...) holds rows of the shape trained on."""
        if tuple(x.shape[1:]) != self.row_shape:
            raise ValueError(_shape_message(x.shape[1:], self.row_shape))

    def inverse(self, inputs: np.ndarray) -> np.ndarray:
        """Turn network inputs back into rows, in the user's units, shape and dtype."""
        if self.kind == "table":
            return self._table_rows(inputs)
        return self.finish(self.unscale(inputs))

    def unscale(self, inputs: np.ndarray) -> np.ndarray:
        """Give images or signals their layout and units again, not yet the user's dtype."""
        low, scale = self.scaling
        return np.moveaxis(inputs, 1, -1).reshape(len(inputs), *self.row_shape) * scale + low

    def finish(self, rows: np.ndarray) -> np.ndarray:
        """Give decoded images or signals the user's dtype: integers and booleans are rounded."""
        dtype = np.dtype(self.dtype)
        if dtype.kind in "iu":
            return _within(np.rint(rows), dtype).astype(dtype)
        return rows > 0.5 if dtype.kind == "b" else rows.astype(dtype)

    def warn_of_range(self, x: np.ndarray | LazyArray) -> None:
        """Warn if rows lie far outside the range of the training rows, or in a corner of it.

        Some rows are compared, in their middle: one outlier among many is no other unit.
        """
        self.check_shape(x)
        some = x[evenly_spaced(x.shape)]
        if self.kind == "table":
            numbers = to_numbers(some, self._numbers.positions, self._numbers.names)
            problem = table_range_problem(numbers, self._numbers)
        else:
            problem = row_range_problem(some, *self._row_range, np.asarray(self.spread))
        if problem:
            warnings.warn(problem, stacklevel=3)

    @property
    def _row_range(self) -> tuple[np.ndarray, np.ndarray]:
        """Range of images, or of the channels of signals."""
        if self.kind == "image":
            return np.array(self.low), np.add(self.low, self.scale)
        return np.array(self.lowest), np.array(self.highest)

    @cached_property
    def _ends(self) -> np.ndarray:
        """Network input behind the last one of each column, after a 0."""
        return np.cumsum([0, *(column.width for column in self.columns)])

    @cached_property
    def _numbers(self) -> NumberColumns:
        return NumberColumns.of(self.columns, self.names, self._ends[:-1])

    @cached_property
    def _categories(self) -> list[tuple[int, slice]]:
        """Index of each column of categories, and its network inputs."""
        return [
            (i, slice(self._ends[i], self._ends[i + 1]))
            for i, column in enumerate(self.columns)
            if column.kind == "category"
        ]

    def _table_inputs(self, x: np.ndarray) -> np.ndarray:
        inputs = np.empty((len(x), *self.input_shape), dtype=np.float32)
        self._numbers.forward(x, inputs)
        for i, part in self._categories:
            inputs[:, part] = self.columns[i].one_hot(x[:, i], self.names[i])
        return inputs

    def _table_rows(self, inputs: np.ndarray) -> np.ndarray:
        """Decode the columns; integers that no gap makes floats get the user's dtype again."""
        numbers = self._numbers.inverse(inputs)
        if self._categories:
            rows = np.empty((len(inputs), len(self.columns)), dtype=object)
            rows[:, self._numbers.positions] = numbers
            for i, part in self._categories:
                rows[:, i] = self.columns[i].most_probable(inputs[:, part])
            return rows
        dtype = np.dtype(self.dtype if self.dtype != "object" else float)
        return (_within(numbers, dtype) if dtype.kind in "iu" else numbers).astype(dtype)


def _within(rows: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    info = np.iinfo(str(dtype))
    return rows.clip(info.min, info.max)


def _shape_message(shape: Sequence[int], expected: Sequence[int]) -> str:
    if len(shape) == len(expected) == 1:  # scikit-learn's own words, which its tools look for
        return f"X has {shape[0]} features, but SSAVAE is expecting {expected[0]} features as input"
    return f"X has rows of shape {tuple(shape)}, but the model was trained on rows of shape {tuple(expected)}"


def _check_sides(row_shape: Sequence[int], kind: str) -> None:
    """Refuse rows too small for a convolutional network; warn where channels seem to come first."""
    n_sides = {"table": 0, "signal": 1, "image": 2}[kind]
    if n_sides == 0:
        return
    rows = f"X has {kind} rows of shape {tuple(row_shape)}"
    channels_last = (*row_shape[1:], row_shape[0])
    remedy = f"channels go last: pass np.moveaxis(X, 1, -1), rows of shape {channels_last}"
    has_channels = len(row_shape) > n_sides
    if min(row_shape[:n_sides]) < SHORTEST[kind]:
        is_first = has_channels and min(channels_last[:n_sides]) >= SHORTEST[kind]
        advice = f"; {remedy}" if is_first else ""
        if kind == "image" and not has_channels and row_shape[0] >= SHORTEST["signal"]:
            advice = f"; if they are signals of {row_shape[1]} channels, give kind='signal'"
        raise ValueError(f"{rows}: every side must be at least {SHORTEST[kind]}{advice}")
    if has_channels and _seems_channels_first(row_shape):
        guess = f"{rows}, read as {row_shape[-1]} channels"
        warnings.warn(f"{guess}: if the first side is that of channels, {remedy}", stacklevel=5)


def _seems_channels_first(row_shape: Sequence[int]) -> bool:
    """Return whether a signal has more channels than samples, or an image as many as pixels in a row."""
    if len(row_shape) == 2:
        return row_shape[1] > row_shape[0]
    return row_shape[0] < row_shape[1] == row_shape[2]


def _plain_dtype(rows: Rows) -> np.dtype[Any]:
    return rows.values.dtype if rows.values.dtype.kind in "biuf" else np.dtype(float)
