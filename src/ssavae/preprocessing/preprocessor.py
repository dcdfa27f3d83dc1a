"""Preprocessor: the scaling between rows and network inputs, as the model stores it.

A fitted :class:`Preprocessor` consists of plain values: ``asdict`` writes it to model.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ssavae._serialize import lists_to_tuples
from ssavae.preprocessing.columns import Column
from ssavae.preprocessing.inputs import Rows
from ssavae.preprocessing.lazy import LazyArray, sample_rows

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
        raise ValueError(f"Expected 2D array for a table, found X of shape {tuple(shape)}: wanted {wanted}")
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
    """

    kind: str
    row_shape: tuple[int, ...]
    dtype: str
    low: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    columns: tuple[Column, ...] = ()
    names: tuple[str, ...] = ()

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
        low, scale = _image_range(rows) if kind == "image" else _standard_scale(sample_rows(rows.values))
        dtype = rows.values.dtype if rows.values.dtype.kind in "biuf" else np.dtype(float)
        return cls(kind, row_shape, dtype.name, tuple(low), tuple(scale))

    @classmethod
    def _fit_table(cls, rows: Rows, names: Sequence[str] | None) -> Preprocessor:
        n_columns = rows.shape[1]
        column_names = tuple(map(str, range(n_columns) if names is None else names))
        sample = sample_rows(rows.values)
        columns = [Column.fit(sample[:, i], name) for i, name in enumerate(column_names)]
        if rows.is_lazy and any(rows.scan.gaps):  # which a sample may miss
            pairs = zip(columns, rows.scan.gaps, strict=True)
            columns = [replace(column, has_missing=column.has_missing or gap) for column, gap in pairs]
        dtype = rows.values.dtype.name
        return cls("table", (n_columns,), dtype, columns=tuple(columns), names=column_names)

    @classmethod
    def restored(cls, values: Mapping[str, Any]) -> Preprocessor:
        """Return the preprocessor that ``asdict`` and JSON have turned into plain values."""
        fields: dict[str, Any] = lists_to_tuples(values)
        fields["columns"] = tuple(Column(**lists_to_tuples(column)) for column in values["columns"])
        return cls(**fields)

    @property
    def bounded(self) -> bool:
        """Whether network inputs lie in [0, 1]."""
        return self.kind == "image"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one network input: channels first."""
        if self.kind == "table":
            return (sum(column.width for column in self.columns),)
        n_dims = 1 if self.kind == "signal" else 2
        n_channels = self.row_shape[n_dims] if len(self.row_shape) > n_dims else 1
        return (n_channels, *self.row_shape[:n_dims])

    @property
    def working_dtype(self) -> np.dtype[Any]:
        """The floating type in which rows of the user's dtype are scaled."""
        return np.result_type(self.dtype, np.float32)

    @property
    def scaling(self) -> tuple[np.ndarray, np.ndarray]:
        """Return low and scale of images and signals, along the last axis: float32 in, float32 out."""
        dtype = np.float64 if self.dtype == "float64" else np.float32
        return np.asarray(self.low, dtype=dtype), np.asarray(self.scale, dtype=dtype)

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
        scaled /= scale
        scaled = scaled.reshape(len(x), *self.row_shape[: len(self.input_shape) - 1], self.input_shape[0])
        return np.ascontiguousarray(np.moveaxis(scaled, -1, 1), dtype=np.float32)

    def check_shape(self, x: np.ndarray) -> None:
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
        """Give decoded images or signals the user's dtype; pixels that were integers are rounded."""
        dtype = np.dtype(self.dtype)
        if dtype.kind in "iu" and self.kind == "image":
            return _within(np.rint(rows), dtype).astype(dtype)
        return rows.astype(dtype if dtype.kind == "f" else np.float64)

    def _table_inputs(self, x: np.ndarray) -> np.ndarray:
        inputs = np.empty((len(x), *self.input_shape), dtype=np.float32)
        start = 0
        for i, (column, name) in enumerate(zip(self.columns, self.names, strict=True)):
            inputs[:, start : start + column.width] = column.forward(x[:, i], name)
            start += column.width
        return inputs

    def _table_rows(self, inputs: np.ndarray) -> np.ndarray:
        """Decode column by column; integers that no gap makes floats get the user's dtype again."""
        ends = np.cumsum([column.width for column in self.columns])[:-1]
        parts = np.split(inputs, ends, axis=1)
        cells = [column.inverse(part) for column, part in zip(self.columns, parts, strict=True)]
        if any(column.kind == "category" for column in self.columns):
            rows = np.empty((len(inputs), len(cells)), dtype=object)
            for i, each in enumerate(cells):
                rows[:, i] = each
            return rows
        dtype = np.dtype(self.dtype if self.dtype != "object" else float)
        rows = np.column_stack(cells)
        if dtype.kind in "iu":
            rows = _within(rows, dtype)
        return rows.astype(dtype)


def _within(rows: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    info = np.iinfo(str(dtype))
    return rows.clip(info.min, info.max)


def _shape_message(shape: Sequence[int], expected: Sequence[int]) -> str:
    if len(shape) == len(expected) == 1:  # scikit-learn's own words, which its tools look for
        return f"X has {shape[0]} features, but SSAVAE is expecting {expected[0]} features as input"
    return f"X has rows of shape {tuple(shape)}, but the model was trained on rows of shape {tuple(expected)}"


def _check_sides(row_shape: Sequence[int], kind: str) -> None:
    sides = row_shape[: {"table": 0, "signal": 1, "image": 2}[kind]]
    if sides and min(sides) < SHORTEST[kind]:
        raise ValueError(
            f"X has {kind} rows of shape {tuple(row_shape)}: every side must be at least {SHORTEST[kind]}"
        )


def _image_range(rows: Rows) -> tuple[list[float], list[float]]:
    """Return offset and scale that map to [0, 1]: of [0, 1] itself, of bytes, or of the range of the rows."""
    low = rows.scan.low
    high = rows.scan.high
    if low >= 0.0 and high <= 1.0:
        return [0.0], [1.0]
    if rows.values.dtype == np.uint8:
        return [0.0], [255.0]
    return [low], [high - low or 1.0]


def _standard_scale(x: np.ndarray) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel of signals; a constant has scale 1."""
    axes = (0, 1) if x.ndim == 3 else None
    mean = np.atleast_1d(x.mean(axis=axes, dtype=np.float64))
    deviation = np.atleast_1d(x.std(axis=axes, dtype=np.float64))
    constant = deviation <= 1e-12 * np.maximum(1.0, np.abs(mean))
    return mean.tolist(), np.where(constant, 1.0, deviation).tolist()
