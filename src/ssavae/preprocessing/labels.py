"""Labels of any type and their class indices, -1 where there is no label."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from contextlib import suppress
from numbers import Number
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ssavae._checks import check

if TYPE_CHECKING:
    import pandas as pd

Labels: TypeAlias = "Sequence[object] | np.ndarray | pd.Series"
ClassWeight: TypeAlias = "dict[str | bool | int | float, float] | str | None"
INTEGER_PATTERN = re.compile(
    r"[+-]?[0-9]{1,18}(\.0*)?"
)  # "3.0" too: pandas writes 3 so beside missing labels
MINUS_ONE = "-1 was read as 'no label'; if it is a class, give it another number or a name"


def is_labelled(y: Labels) -> np.ndarray:
    """Return which rows have a label, (n,) of bool: the one place that knows what marks a row without.

    These are -1, None, NaN, ``pandas.NA``, NaT, masked elements, and text that is empty or "nan".

    Examples
    --------
    >>> is_labelled(["a", None, "", float("nan"), -1]).tolist()
    [True, False, False, False, False]
    """
    y = _label_column(y)
    if y.dtype.kind in "biu":
        return y != -1
    if y.dtype.kind == "f":
        return ~(np.isnan(y) | (y == -1))
    if y.dtype.kind == "V":  # records, which some versions of pandas cannot look into
        y = y.astype(object)
    from pandas import isna  # here, since reading parameters needs no pandas

    unmarked = np.fromiter((not _is_mark(value) for value in y.tolist()), dtype=bool, count=len(y))
    return unmarked & ~isna(y)


def _is_mark(value: object) -> bool:
    """Return whether a value that is not missing marks a row without a label: -1, or empty text."""
    return is_unlabelled(value) if isinstance(value, str) else isinstance(value, Number) and value == -1


def encode_labels(y: Labels, classes: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Turn labels of any type into class indices: -1 where there is none, and for unseen classes.

    Parameters
    ----------
    y : (n,)
    classes : (c,) or None
        Known classes; None takes the sorted labels that occur. Where gaps have turned whole numbers into
        floats, as in numpy and pandas, the classes are whole again. Where either side is text, as of a csv,
        both are compared as text.

    Returns
    -------
    indices : (n,) int64
    classes : (c,)

    Examples
    --------
    >>> encode_labels(np.array(["b", None, "a"], dtype=object))
    (array([ 1, -1,  0]), array(['a', 'b'], dtype=object))
    >>> encode_labels([5.0, float("nan"), 6.0])[1]
    array([5, 6])
    >>> encode_labels(["5", "seven"], np.array([5, 6]))[0]
    array([ 0, -1])
    """
    y = _label_column(y)
    labelled = is_labelled(y)
    if classes is None:
        classes = _sorted_classes(y[labelled])
        if classes.dtype.kind == "f" and not labelled.all() and (classes == classes.round()).all():
            classes = classes.astype(np.int64)
    indices = np.full(len(y), -1, dtype=np.int64)
    indices[labelled] = _positions(list(map(_python_value, y[labelled].tolist())), classes.tolist())
    return indices, classes


def _positions(labels: list[object], classes: list[object]) -> list[int]:
    """Return the index of each label among the classes, -1 where it is none of them."""
    if _holds_text(labels) != _holds_text(classes):
        labels = as_texts(labels)
        classes = as_texts(classes)
    index = {value: i for i, value in enumerate(classes)}
    return [index.get(value, -1) for value in labels]


def _holds_text(values: list[object]) -> bool:
    return any(isinstance(value, str) for value in values)


def as_texts(labels: Sequence[object]) -> list[object]:
    """Return labels as the text that a csv holds for them; None stays.

    >>> as_texts([3, 3.0, "oak", None])
    ['3', '3', 'oak', None]
    """
    return [None if label is None else _as_text(label) for label in labels]


def _as_text(label: object) -> str:
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)


def warn_of_unknown_classes(y: Labels, classes: np.ndarray) -> int:
    """Warn of labels that are none of a model's classes, and return their number; a model without has none.

    Examples
    --------
    >>> warn_of_unknown_classes(["5", "6", None], np.array([5, 6]))
    0
    """
    column = _label_column(y)
    labelled = is_labelled(column)
    unknown = column[labelled & (encode_labels(column, classes)[0] < 0)].tolist()
    if not unknown or not len(classes):
        return 0
    consequence = (
        "they count as unlabelled" if len(unknown) < labelled.sum() else "nothing is measured by them"
    )
    warnings.warn(
        f"{len(unknown):,} of {labelled.sum():,} labels are of classes that the model does not know "
        f"({_some(sorted(set(map(str, unknown))))}): {consequence}. "
        f"Its classes are {_some(list(map(str, classes.tolist())))}",
        stacklevel=2,
    )
    return len(unknown)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def labelled_rows(y: Labels | None, n_rows: int) -> np.ndarray:
    """Return the indices of the rows that have a label.

    Raises
    ------
    ValueError
        If y is not one label a row, or none of them is a label.
    """
    if y is None:
        raise ValueError("y is None: a score needs labels")
    labelled = is_labelled(y)
    if len(labelled) != n_rows:
        raise ValueError(f"y has {len(labelled)} labels, X has {n_rows} rows")
    if not labelled.any():
        raise ValueError(f"none of the {n_rows} rows has a label: a score needs at least one")
    return np.flatnonzero(labelled)


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
    """Return an array of labels, None where they are masked.

    numpy alone would turn the NaN of ["a", nan] into a class named "nan", and forget the mask.
    """
    if isinstance(y, np.ma.MaskedArray):
        values = y.data.astype(object)
        values[np.ma.getmaskarray(y)] = None
        return values
    if isinstance(y, list | tuple) and any(isinstance(value, str | bytes) for value in y):
        return _decoded(np.array(y, dtype=object))
    array = np.asarray(y)
    return _decoded(array.astype(object)) if array.dtype.kind in "TSO" else array


def _decoded(labels: np.ndarray) -> np.ndarray:
    """Read bytes, as h5py and scipy's loadarff give them, as text in UTF-8."""
    for index, label in enumerate(labels.ravel().tolist()):
        if isinstance(label, bytes):
            with suppress(UnicodeDecodeError):  # what is no text is refused in check_labels
                labels.ravel()[index] = label.decode()
    return labels


def _label_column(y: object) -> np.ndarray:
    """Return labels as one axis; a column of them, as data frames give it, becomes one."""
    array = _label_array(y)
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


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
        check_classification_targets(y[labels >= 0].astype(float))
    n_minus = sum(isinstance(value, Number) and value == -1 for value in y.tolist())
    if len(classes) == 1:
        hint = f"; {MINUS_ONE}" if n_minus else "; pass y=None to train without labels"
        raise ValueError(f"y holds one class only, {classes.tolist()[0]!r}: a classifier needs two{hint}")
    if n_minus and _looks_like_a_class(n_minus / n_rows, classes):
        warnings.warn(f"{n_minus} of {n_rows} rows have the label -1: {MINUS_ONE}", stacklevel=4)
    return labels, classes


def _looks_like_a_class(fraction: float, classes: np.ndarray) -> bool:
    """Return whether -1, the label of a fraction of the rows, may be a class.

    It may beside other negative numbers, and beside 0 and 1 where it does not mark most of the rows.
    """
    if classes.dtype.kind not in "if" or len(classes) == 0:
        return False
    return bool(classes.min() < 0) or (fraction < 0.5 and classes.tolist() == [0, 1])


def _check_types(y: np.ndarray) -> None:
    """Refuse labels that a model folder, which is JSON, could not hold."""
    if y.dtype.kind in "biuU" or (y.dtype.kind == "f" and y.dtype.itemsize <= 8):
        return
    for label in map(_python_value, y[is_labelled(y)].tolist()):
        if not isinstance(label, str | bool | int | float):
            convert = "label.decode()" if isinstance(label, bytes) else "str(label)"
            raise ValueError(
                f"y holds labels of type {type(label).__name__}, as {label!r}: a model can store text, "
                f"integers, floats and booleans; pass [{convert} for label in y]"
            )


def row_weights(
    labels: np.ndarray,
    classes: np.ndarray,
    class_weight: ClassWeight,
    sample_weight: ArrayLike | None,
    in_training: np.ndarray,
) -> np.ndarray | None:
    """Return the weights of the training rows in ``loss_class``, float32; None where none are given.

    The weight of a row is its sample weight times that of its class, divided by the mean over the labelled
    training rows. "balanced" gives all classes the same sum.

    Parameters
    ----------
    labels : (n,)
        Class indices of all rows, -1 where unlabelled.
    classes : (c,)
    class_weight : dict, "balanced" or None
        Weights of classes, 1 for those that are not named.
    sample_weight : (n,) or None
    in_training : (m,)
        Indices of the training rows.

    Raises
    ------
    ValueError
        If a weight is negative, NaN or infinite, all of them are 0, or a class is unknown.

    Examples
    --------
    >>> y = np.array([0, 0, 0, 1, -1])
    >>> row_weights(y, np.array(["a", "b"]), {"b": 5}, None, np.arange(5))
    array([0.5, 0.5, 0.5, 2.5, 0. ], dtype=float32)
    """
    if class_weight is None and sample_weight is None:
        return None
    from sklearn.utils.validation import _check_sample_weight

    given = _check_sample_weight(sample_weight, np.empty((len(labels), 0)), ensure_non_negative=True)
    labels = labels[in_training]
    weights = np.where(labels >= 0, given[in_training].astype(float), 0.0)
    if isinstance(class_weight, dict):
        of_class = np.ones(len(classes))
        of_class[_known_classes(list(class_weight), classes)] = list(class_weight.values())
        weights[labels >= 0] *= of_class[labels[labels >= 0]]
    elif class_weight is not None:
        sums = np.bincount(labels[labels >= 0], weights[labels >= 0], minlength=len(classes))
        weights[labels >= 0] /= np.where(sums > 0, sums, 1.0)[labels[labels >= 0]]
    if not (labels >= 0).any():
        return None
    mean = weights[labels >= 0].mean()
    check(mean > 0, "sample_weight and class_weight give every labelled row the weight 0: one must be above")
    return (weights / mean).astype(np.float32)


def _known_classes(names: list[object], classes: np.ndarray) -> np.ndarray:
    indices, _ = encode_labels(np.array([*names, None], dtype=object)[:-1], classes)
    unknown = [name for name, i in zip(names, indices, strict=True) if i < 0]
    known = ", ".join(map(repr, classes.tolist()[:20])) or "none: no row has a label"
    check(not unknown, f"class_weight names {unknown[:1]}, which is no class of y; the classes are {known}")
    return indices


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
    """Say whether text means that there is no label: it is empty, or "nan".

    The other marks of a missing value, ``columns.MISSING_MARKS``, do not: a class may be called "NA".
    """
    return text.strip().lower() in ("", "nan")
