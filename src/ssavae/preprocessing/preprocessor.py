"""Raw rows <-> network inputs: the kind of data, and its scaling, kept inside the model.

A fitted :class:`Preprocess` is a handful of plain values; ``asdict`` and the constructor take it
through model.json and back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ssavae._serialize import lists_to_tuples
from ssavae.preprocessing.columns import Column
from ssavae.preprocessing.lazy import LazyArray, chunks, sample_rows

KINDS = ("table", "image", "signal")
SHORTEST = {"image": 8, "signal": 16}  # sides below which a convolutional network has nothing to halve


def detect_kind(shape: Sequence[int], kind: str | None = None) -> str:
    """Say what rows of this shape are: (n, d) a table, (n, H, W[, C]) images; signals must be named.

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
        cls, x: np.ndarray | LazyArray, kind: str | None = None, names: Sequence[Any] | None = None
    ) -> Preprocessor:
        """Learn the scaling from training rows: images to [0, 1], the rest to about mean 0, deviation 1.

        Parameters
        ----------
        x : (n, ...)
            Numbers; of a table NaN where missing, or objects: see ``ssavae.preprocessing.columns``. Of a Source the scales
            of tables and signals are learned from a sample: see ``sources.survey``.
        kind : {"table", "image", "signal"} or None
        names : (d,) or None
            Names of a table's columns; None takes their numbers.
        """
        kind = detect_kind(x.shape, kind)
        _check_sides(x.shape[1:], kind)
        if kind == "table":
            called = tuple(map(str, range(x.shape[1]) if names is None else names))
            some, gaps = sample_rows(x), _gaps(x)
            fitted = (Column.fit(some[:, i], name) for i, name in enumerate(called))
            columns = tuple(
                replace(c, has_missing=c.has_missing or gap) for c, gap in zip(fitted, gaps, strict=True)
            )
            return cls(kind, tuple(x.shape[1:]), x.dtype.name, columns=columns, names=called)
        low, scale = _image_range(x) if kind == "image" else _standard_scale(sample_rows(x))
        dtype = x.dtype if x.dtype.kind in "biuf" else np.dtype(float)
        return cls(kind, tuple(x.shape[1:]), dtype.name, tuple(low), tuple(scale))

    @classmethod
    def restored(cls, told: Mapping[str, Any]) -> Preprocessor:
        """Make one of what ``asdict`` and JSON have left of it."""
        values: dict[str, Any] = lists_to_tuples(told)
        values["columns"] = tuple(Column(**lists_to_tuples(each)) for each in told["columns"])
        return cls(**values)

    @property
    def bounded(self) -> bool:
        """Whether network inputs lie in [0, 1]."""
        return self.kind == "image"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one network input: channels first."""
        if self.kind == "table":
            return (sum(column.width for column in self.columns),)
        shape, n_dims = self.row_shape, 1 if self.kind == "signal" else 2
        return (shape[n_dims] if len(shape) > n_dims else 1, *shape[:n_dims])

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
        inputs, at = np.empty((len(x), *self.input_shape), dtype=np.float32), 0
        for i, (column, name) in enumerate(zip(self.columns, self.names, strict=True)):
            inputs[:, at : at + column.width] = column.forward(x[:, i], name)
            at += column.width
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


def _shape_message(found: Sequence[int], wanted: Sequence[int]) -> str:
    if len(found) == len(wanted) == 1:  # scikit-learn's own words, which its tools look for
        return f"X has {found[0]} features, but SSAVAE is expecting {wanted[0]} features as input"
    return f"X has rows of shape {tuple(found)}, but the model was trained on rows of shape {tuple(wanted)}"


def _check_sides(row_shape: Sequence[int], kind: str) -> None:
    sides = row_shape[: {"table": 0, "signal": 1, "image": 2}[kind]]
    if sides and min(sides) < SHORTEST[kind]:
        raise ValueError(
            f"X has {kind} rows of shape {tuple(row_shape)}: every side must be at least {SHORTEST[kind]}"
        )


def _gaps(x: np.ndarray | LazyArray) -> list[bool]:
    """Say which columns of a Source have a gap anywhere, which a sample may miss; none of an array."""
    gaps = np.zeros(x.shape[1], dtype=bool)
    for piece in chunks(x) if isinstance(x, LazyArray) and x.dtype.kind == "f" else ():
        gaps |= np.isnan(piece).any(axis=0)
    return gaps.tolist()


def _image_range(x: np.ndarray | LazyArray) -> tuple[list[float], list[float]]:
    """Range that maps to [0, 1]: [0, 1] itself, 0 to 255 for bytes, or what the rows span."""
    ends = [(float(piece.min()), float(piece.max())) for piece in chunks(x)]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    if low >= 0.0 and high <= 1.0:
        return [0.0], [1.0]
    if x.dtype == np.uint8:
        return [0.0], [255.0]
    return [low], [high - low or 1.0]


def _standard_scale(x: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel of signals; constants keep scale 1."""
    axes = (0, 1) if x.ndim == 3 else None
    mean = np.atleast_1d(x.mean(axis=axes, dtype=np.float64))
    deviation = np.atleast_1d(x.std(axis=axes, dtype=np.float64))
    constant = deviation <= 1e-12 * np.maximum(1.0, np.abs(mean))
    return mean.tolist(), np.where(constant, 1.0, deviation).tolist()


def check_finite(
    x: np.ndarray | LazyArray, feature_names: Sequence[str] | None = None, missing_allowed: bool = False
) -> None:
    """Refuse infinity, and NaN where it is not allowed, with one error that names the first place.

    Of a Source whose rows are dear to read only a sample is looked at.

    Raises
    ------
    ValueError
    """
    if x.dtype.kind not in "fO":
        return
    start, count, found = 0, 0, ""
    for piece in chunks(x):
        numbers = _floats(piece)
        bad = np.isinf(numbers) if missing_allowed else ~np.isfinite(numbers)
        if not found and bad.any():
            found = _first_bad(numbers, bad, start, feature_names)
        start, count = start + len(piece), count + int(bad.sum())
    if count:
        raise ValueError(f"Input X contains {found}, {count} such values in all; fill or drop them first")


def _floats(x: np.ndarray) -> np.ndarray:
    """Return the numbers of a table with texts, 0 elsewhere; of others the table itself."""
    if x.dtype.kind != "O":
        return x
    return np.array([[c if isinstance(c, float) else 0.0 for c in row] for row in x.tolist()])


def _first_bad(x: np.ndarray, bad: np.ndarray, start: int, feature_names: Sequence[str] | None) -> str:
    place = tuple(int(i) for i in np.argwhere(bad)[0])
    named = f" (column {feature_names[place[1]]!r})" if feature_names is not None and len(place) == 2 else ""
    value = "NaN" if np.isnan(x[place]) else "infinity"
    return f"{value}: row {start + place[0]}, position {place[1:]}{named}"
