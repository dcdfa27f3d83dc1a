"""Raw rows <-> network inputs: the kind of data, its scaling and its labels, kept inside the model.

A fitted :class:`Preprocess` is a handful of plain values; ``asdict`` and the constructor take it
through model.json and back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from ssavae.columns import Column
from ssavae.parameters import tuples
from ssavae.sources import Source, pieces, survey

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
class Preprocess:
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
        cls, x: np.ndarray | Source, kind: str | None = None, names: Sequence[Any] | None = None
    ) -> Preprocess:
        """Learn the scaling from training rows: images to [0, 1], the rest to about mean 0, deviation 1.

        Parameters
        ----------
        x : (n, ...)
            Numbers; of a table NaN where missing, or objects: see ``ssavae.columns``. Of a Source the scales
            of tables and signals are learned from a sample: see ``sources.survey``.
        kind : {"table", "image", "signal"} or None
        names : (d,) or None
            Names of a table's columns; None takes their numbers.
        """
        kind = detect_kind(x.shape, kind)
        _check_sides(x.shape[1:], kind)
        if kind == "table":
            called = tuple(map(str, range(x.shape[1]) if names is None else names))
            some, gaps = survey(x), _gaps(x)
            fitted = (Column.fit(some[:, i], name) for i, name in enumerate(called))
            columns = tuple(
                replace(c, has_missing=c.has_missing or gap) for c, gap in zip(fitted, gaps, strict=True)
            )
            return cls(kind, tuple(x.shape[1:]), x.dtype.name, columns=columns, names=called)
        low, scale = _image_range(x) if kind == "image" else _standard_scale(survey(x))
        dtype = x.dtype if x.dtype.kind in "biuf" else np.dtype(float)
        return cls(kind, tuple(x.shape[1:]), dtype.name, tuple(low), tuple(scale))

    @classmethod
    def restored(cls, told: Mapping[str, Any]) -> Preprocess:
        """Make one of what ``asdict`` and JSON have left of it."""
        values: dict[str, Any] = tuples(told)
        values["columns"] = tuple(Column(**tuples(each)) for each in told["columns"])
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
    def input_names(self) -> list[str]:
        """Names of a table's network inputs, in order; none of other kinds."""
        pairs = zip(self.columns, self.names, strict=True)
        return [each for column, name in pairs for each in column.input_names(name)]

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Turn rows into float32 network inputs, channels first."""
        if tuple(x.shape[1:]) != self.row_shape:
            raise ValueError(_shape_message(x.shape[1:], self.row_shape))
        if self.kind == "table":
            return self._table_inputs(x)
        low, scale = self._last_axis(self.low), self._last_axis(self.scale)
        scaled = x - np.float32(0)  # a copy, of floats
        scaled = scaled.astype(np.result_type(scaled, low), copy=False)
        scaled -= low  # in place: more copies would triple the memory of all rows, and the time of a batch
        scaled /= scale
        scaled = scaled.reshape(len(x), *self.row_shape[: len(self.input_shape) - 1], self.input_shape[0])
        return np.ascontiguousarray(np.moveaxis(scaled, -1, 1), dtype=np.float32)

    def inverse(self, inputs: np.ndarray) -> np.ndarray:
        """Turn network inputs back into rows, in the user's units, shape and dtype."""
        if self.kind == "table":
            return self._table_rows(inputs)
        inputs = np.moveaxis(inputs, 1, -1).reshape(len(inputs), *self.row_shape)
        rows = inputs * self._last_axis(self.scale) + self._last_axis(self.low)
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

    def _last_axis(self, values: tuple[float, ...]) -> np.ndarray:
        # float32 in, float32 out
        return np.asarray(values, dtype=np.float64 if self.dtype == "float64" else np.float32)


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


def _gaps(x: np.ndarray | Source) -> list[bool]:
    """Say which columns of a Source have a gap anywhere, which a sample may miss; none of an array."""
    gaps = np.zeros(x.shape[1], dtype=bool)
    for piece in pieces(x) if isinstance(x, Source) and x.dtype.kind == "f" else ():
        gaps |= np.isnan(piece).any(axis=0)
    return gaps.tolist()


def _image_range(x: np.ndarray | Source) -> tuple[list[float], list[float]]:
    """Range that maps to [0, 1]: [0, 1] itself, 0 to 255 for bytes, or what the rows span."""
    ends = [(float(piece.min()), float(piece.max())) for piece in pieces(x)]
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
    x: np.ndarray | Source, feature_names: Sequence[str] | None = None, missing_allowed: bool = False
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
    for piece in pieces(x):
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


def encode_labels(
    y: Sequence[Any] | np.ndarray, classes: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Turn labels of any type into class indices: -1 for the integer -1, None, NaN and unseen classes.

    Parameters
    ----------
    y : (n,)
    classes : (c,) or None
        Known classes; None takes the sorted labels that occur.

    Returns
    -------
    indices : (n,) int64
    classes : (c,)

    Examples
    --------
    >>> encode_labels(np.array(["b", None, "a"], dtype=object))
    (array([ 1, -1,  0]), array(['a', 'b'], dtype=object))
    """
    y = _label_array(y)
    labelled = ~_is_missing(y)
    if classes is None:
        classes = _sorted_classes(y[labelled])
    index = {value: i for i, value in enumerate(classes.tolist())}
    indices = np.full(len(y), -1, dtype=np.int64)
    indices[labelled] = [index.get(_python_value(value), -1) for value in y[labelled].tolist()]
    return indices, classes


def _is_missing(y: np.ndarray) -> np.ndarray:
    if y.dtype.kind in "iu":
        return y == -1
    if y.dtype.kind == "f":
        return np.isnan(y) | (y == -1)
    if y.dtype.kind == "O":
        return np.array([_missing_object(value) for value in y.tolist()], dtype=bool).reshape(len(y))
    return np.zeros(len(y), dtype=bool)


def _missing_object(value: Any) -> bool:
    number = isinstance(value, float | int | np.floating | np.integer) and not isinstance(value, bool)
    return (
        value is None or (number and (value == -1 or math.isnan(value))) or type(value).__name__ == "NAType"
    )


def _sorted_classes(labels: np.ndarray) -> np.ndarray:
    if labels.dtype.kind != "O":
        return np.unique(labels)
    values = [_python_value(value) for value in labels.tolist()]
    kinds = sorted({type(value).__name__ for value in values})
    if len(kinds) > 1:
        raise ValueError(f"y mixes labels of the types {', '.join(kinds)}: use one type for all classes")
    classes = sorted(set(values))
    return np.array(classes, dtype=object if kinds == ["str"] else None)


def _python_value(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _label_array(y: Any) -> np.ndarray:
    """Make an array of labels; numpy alone would turn the NaN of ["a", nan] into a class named "nan"."""
    if isinstance(y, list | tuple) and any(isinstance(value, str) for value in y):
        return np.array(y, dtype=object)
    return np.asarray(y)


def check_labels(y: Any, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Check labels against the rows and encode them; no labels at all give -1 and no classes.

    Raises
    ------
    ValueError
        If lengths differ, one class only is labelled, or y holds numbers that are no classes.
    """
    if y is None:
        return np.full(n_rows, -1, dtype=np.int64), np.empty(0, dtype=object)
    y = column_or_1d(_label_array(y), warn=True)
    if len(y) != n_rows:
        raise ValueError(
            f"y has {len(y)} labels, X has {n_rows} rows: give one label a row, -1 or None where unknown"
        )
    if y.dtype.kind == "f" and np.isinf(y).any():
        raise ValueError(f"Input y contains infinity or a value too large for {y.dtype!r}")
    labelled = y[~_is_missing(y)]
    if y.dtype.kind in "Mm":
        raise ValueError("y holds dates or durations: give classes, as text or whole numbers")
    labels, classes = encode_labels(y)
    if len(classes) and classes.dtype.kind == "f":
        check_classification_targets(labelled.astype(float))
    if len(classes) == 1:
        raise ValueError(
            f"y holds one class only, {classes.tolist()[0]!r}: a classifier needs two; "
            "pass y=None to train without labels"
        )
    return labels, classes


def class_indices(y: Any, classes: np.ndarray, n: int) -> np.ndarray:
    """Turn one class name, or n of them, into n indices.

    Raises
    ------
    ValueError
        If there are neither one nor n names, or one is no class.

    Examples
    --------
    >>> class_indices("b", np.array(["a", "b"]), 3)
    array([1, 1, 1])
    """
    names = np.full(n, y) if np.ndim(y) == 0 else _label_array(y)
    if len(names) != n:
        raise ValueError(f"y names {len(names)} classes for n={n} rows: give one class, or n of them")
    indices, _ = encode_labels(names, classes)
    if (indices < 0).any():
        known = ", ".join(map(repr, classes.tolist()[:20]))
        raise ValueError(f"y={names[indices < 0].tolist()[0]!r} is no class of this model: choose of {known}")
    return indices
