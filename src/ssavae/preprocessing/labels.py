"""Labels of any type and their class indices, -1 where there is no label."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Labels: TypeAlias = "Sequence[object] | np.ndarray | pd.Series"
INTEGER_PATTERN = re.compile(
    r"[+-]?[0-9]{1,18}(\.0*)?"
)  # "3.0" too: pandas writes 3 so beside missing labels


def encode_labels(y: Labels, classes: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
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
        return np.array([_is_missing_label(value) for value in y.tolist()], dtype=bool).reshape(len(y))
    return np.zeros(len(y), dtype=bool)


def _is_missing_label(value: object) -> bool:
    if isinstance(value, float | int | np.floating | np.integer) and not isinstance(value, bool):
        return bool(value == -1) or math.isnan(value)
    return value is None or type(value).__name__ == "NAType"


def _sorted_classes(labels: np.ndarray) -> np.ndarray:
    if labels.dtype.kind != "O":
        return np.unique(labels)
    values = set(map(_python_value, labels.tolist()))
    types = sorted({type(value).__name__ for value in values})
    if len(types) > 1:
        raise ValueError(f"y mixes labels of the types {', '.join(types)}: use one type for all classes")
    return np.array(sorted(values), dtype=object if types == ["str"] else None)


def _python_value(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _label_array(y: object) -> np.ndarray:
    """Return an array of labels; numpy alone would turn the NaN of ["a", nan] into a class named "nan"."""
    if isinstance(y, list | tuple) and any(isinstance(value, str) for value in y):
        return np.array(y, dtype=object)
    return np.asarray(y)


def check_labels(y: Labels | None, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Check labels against the rows and encode them; no labels at all give -1 and no classes.

    Raises
    ------
    ValueError
        If lengths differ, only one class is labelled, or y holds numbers that are no classes.
    """
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import column_or_1d

    if y is None:
        return np.full(n_rows, -1, dtype=np.int64), np.empty(0, dtype=object)
    y = np.asarray(column_or_1d(_label_array(y), warn=True))
    if len(y) != n_rows:
        raise ValueError(
            f"y has {len(y)} labels, X has {n_rows} rows: give one label a row, -1 or None where unknown"
        )
    if y.dtype.kind == "f" and np.isinf(y).any():
        raise ValueError(f"Input y contains infinity or a value too large for {y.dtype!r}")
    if y.dtype.kind in "Mm":
        raise ValueError("y holds dates or durations: give classes, as text or integers")
    _check_types(y)
    labels, classes = encode_labels(y)
    if len(classes) and classes.dtype.kind == "f":
        check_classification_targets(y[~_is_missing(y)].astype(float))
    if len(classes) == 1:
        raise ValueError(
            f"y holds one class only, {classes.tolist()[0]!r}: a classifier needs two; "
            "pass y=None to train without labels"
        )
    return labels, classes


def _check_types(y: np.ndarray) -> None:
    """Refuse labels that a model folder, which is JSON, could not hold."""
    if y.dtype.kind in "biuU" or (y.dtype.kind == "f" and y.dtype.itemsize <= 8):
        return
    for label in map(_python_value, y[~_is_missing(y)].tolist()):
        if not isinstance(label, str | bool | int | float):
            convert = "label.decode()" if isinstance(label, bytes) else "str(label)"
            raise ValueError(
                f"y holds labels of type {type(label).__name__}, as {label!r}: a model can store text, "
                f"integers, floats and booleans; pass [{convert} for label in y]"
            )


def class_indices(y: object, classes: np.ndarray, n: int) -> np.ndarray:
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
    names = _label_array(y)
    if names.ndim == 0:
        names = np.full(n, y)
    if len(names) != n:
        raise ValueError(f"y names {len(names)} classes for n={n} rows: give one class, or n of them")
    indices, _ = encode_labels(names, classes)
    if (indices < 0).any():
        known = ", ".join(map(repr, classes.tolist()[:20]))
        raise ValueError(f"y={names[indices < 0].tolist()[0]!r} is no class of this model: choose of {known}")
    return indices


def named_labels(y: np.ndarray | None, class_names: Sequence[str] | None) -> np.ndarray | None:
    """Return class names, None where unlabelled, for class indices whose names are known.

    >>> named_labels(np.array([1, -1]), ("cat", "dog"))
    array(['dog', None], dtype=object)
    """
    if y is None or class_names is None or y.dtype.kind not in "iu":
        return y
    return np.array([*class_names, None], dtype=object)[np.where(y < 0, len(class_names), y)]


def parse_labels(cells: Sequence[str]) -> np.ndarray:
    """Return the text of csv cells as labels (n,): integers with -1, or else strings with None.

    Examples
    --------
    >>> parse_labels(["3.0", " ", "1"]), parse_labels(["NA", "", "1"])
    (array([ 3, -1,  1]), array(['NA', None, '1'], dtype=object))
    """
    texts = [cell.strip() for cell in cells]
    classes = {text for text in texts if not is_unlabelled(text)}
    if all(INTEGER_PATTERN.fullmatch(text) for text in classes):
        number_of = {text: int(text.split(".")[0]) for text in classes}
        return np.array([number_of.get(text, -1) for text in texts], dtype=np.int64)
    one_of = {text: text for text in classes}  # one string for all rows of a class, not one each
    return np.array([one_of.get(text) for text in texts], dtype=object)


def is_unlabelled(text: str) -> bool:
    """Say whether the text of a csv cell means that there is no label: an empty cell, or "nan".

    The other marks of a missing value, ``columns.MISSING_MARKS``, do not: a class may be called "NA".
    """
    return text.strip().lower() in ("", "nan")
