"""Hugging Face data sets -> rows and labels, read as they are needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ssavae._checks import check
from ssavae.preprocessing.lazy import LazyArray, pixels_of

LABELS = (
    "label",
    "labels",
    "y",
    "target",
)  # what a column with the classes is called, if none is a ClassLabel


def is_hugging_face(x: Any) -> bool:
    """Say whether x is a data set of the library ``datasets``, without importing it.

    Raises
    ------
    ValueError
        If it is one that cannot be trained on: several parts, or a stream whose rows have no number.
    """
    if not (type(x).__module__.startswith("datasets.") and hasattr(x, "column_names")):
        return False  # many a user's own module is called datasets too
    check(not isinstance(x, dict), "X holds several parts: give one of them, like data['train']")
    check(hasattr(x, "__len__"), "rows of a stream have no number: load the data set without streaming=True")
    return True


def label_column(dataset: Any) -> str | None:
    """Return the column with the classes: the one of type ClassLabel, else one called so; None without."""
    typed = [name for name, feature in dataset.features.items() if type(feature).__name__ == "ClassLabel"]
    if len(typed) == 1:
        return typed[0]
    return next((name for name in LABELS if name in dataset.column_names), None)


def hugging_face_labels(dataset: Any, column: str | None = None) -> np.ndarray | None:
    """Return class names, or what a column without names holds; None where there is no label."""
    column = label_column(dataset) if column is None else column
    if column is None:
        return None
    values, names = _column(dataset, column), getattr(dataset.features[column], "names", None)
    if names is not None:
        values = [None if value is None or value < 0 else names[value] for value in values]
    labels = np.empty(len(values), dtype=object)
    labels[:] = values
    return labels


def lazy_hugging_face(dataset: Any, aside: Sequence[str | None] | None = None) -> LazyArray:
    """Return the rows of a data set: its images, its arrays, or its columns of numbers as a table.

    Parameters
    ----------
    dataset : datasets.Dataset
    aside : sequence of str or None
        Columns that are no rows; None takes the label's.

    Raises
    ------
    ValueError
        If there are several columns of images or arrays, or texts among the columns of a table.
    """
    transformed = dataset.format["type"] == "custom"
    check(not transformed, "the data set changes its rows (set_transform): give a torch Dataset that does so")
    aside = [label_column(dataset)] if aside is None else aside
    columns, feature = _row_columns(dataset, [name for name in dataset.column_names if name not in aside])
    picked = dataset.select_columns(columns).with_format("arrow")
    if feature is not None:
        decode = feature.decode_example if type(feature).__name__ == "Image" else None
        read = partial(_read_column, picked, columns[0], decode)
        first = read(np.zeros(1, dtype=np.int64))
        return LazyArray((len(dataset), *first.shape[1:]), first.dtype, read, is_cheap_to_scan=False)
    read = partial(_read_table, picked, columns)
    return LazyArray((len(dataset), len(columns)), np.dtype(np.float64), read, tuple(columns))


def _row_columns(dataset: Any, names: list[str]) -> tuple[list[str], Any]:
    """Return the one column of images or arrays and its feature, or all columns of numbers and None."""
    sorts = {name: _sort(dataset.features[name]) for name in names}
    for sort in ("image", "array"):
        found = [name for name in names if sorts[name] == sort]
        check(len(found) < 2, f"{' and '.join(found)} both hold {sort}s: leave all but one out")
        if found:
            return found, dataset.features[found[0]]
    texts = [name for name in names if sorts[name] != "number"]
    check(
        not texts,
        f"column {(texts or [''])[0]!r} holds no numbers: leave it out, or save the table as .parquet",
    )
    check(len(names) > 0, f"no column holds rows; {_columns(dataset)}")
    return names, None


def _sort(feature: Any) -> str:
    kind = type(feature).__name__
    if kind == "Image":
        return "image"
    if kind in ("Array2D", "Array3D", "Sequence", "List", "LargeList"):
        return "array"
    numbers = ("int", "uint", "float", "bool")
    return "number" if kind == "Value" and feature.dtype.startswith(numbers) else kind


def _columns(dataset: Any) -> str:
    return f"its columns are {', '.join(dataset.column_names)}"


def _column(dataset: Any, name: str) -> list[Any]:
    return dataset.select_columns([name]).with_format("arrow")[:].column(name).to_pylist()


def _read_table(dataset: Any, columns: list[str], numbers: np.ndarray) -> np.ndarray:
    table = dataset[numbers]
    return np.column_stack([_flat(table.column(name)).astype(np.float64) for name in columns])


def _read_column(dataset: Any, name: str, decode: Any, numbers: np.ndarray) -> np.ndarray:
    column = dataset[numbers].column(name)
    if decode is None:
        return _arrays(column, name)
    images = [pixels_of(decode(item)) for item in column.to_pylist()]
    sizes = {image.shape for image in images}
    check(len(sizes) < 2, f"images of two sizes in column {name!r}: {' and '.join(map(str, sorted(sizes)))}")
    return np.stack(images)


def _arrays(column: Any, name: str) -> np.ndarray:
    """Turn a column of nested lists into one array (n, ...)."""
    import pyarrow as pa
    import pyarrow.compute

    array, shape = _joined(column), [len(column)]
    while pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        lengths = pyarrow.compute.call_function("list_value_length", [array]).unique().to_pylist()
        check(len(lengths) == 1, f"rows of column {name!r} differ in shape, in lengths of {lengths[:2]}")
        shape, array = [*shape, lengths[0]], array.flatten()
    if pa.types.is_fixed_size_list(array.type):
        shape, array = [*shape, array.type.list_size], array.flatten()
    check(len(array) == math.prod(shape), f"column {name!r} holds rows with gaps")
    return array.to_numpy(zero_copy_only=False).reshape(shape)


def _joined(column: Any) -> Any:
    array = column.combine_chunks()
    array = array.chunk(0) if hasattr(array, "chunks") else array
    return getattr(array, "storage", array)  # of an Array2D, whose own conversion is slow


def _flat(column: Any) -> np.ndarray:
    return _joined(column).to_numpy(zero_copy_only=False)


# ------------------------------------------------------------------------------------- Datasets


def lazy_dataset(dataset: Any) -> LazyArray:
    """Return the rows of a map-style torch Dataset, which gives rows or (row, label) pairs."""
    first = row_of(dataset[0])
    shape = (len(dataset), *first.shape)
    return LazyArray(
        shape, first.dtype, partial(_read_items, dataset), is_cheap_to_scan=False, is_deterministic=False
    )


def _read_items(dataset: Any, numbers: np.ndarray) -> np.ndarray:
    return np.stack([row_of(dataset[i]) for i in numbers.tolist()])


def row_of(item: Any) -> np.ndarray:
    """Take the row out of what a Dataset gives: a row, or a (row, label) pair.

    Examples
    --------
    >>> row_of((np.zeros(2), 3)), row_of([1.0, 2.0])
    (array([0., 0.]), array([1., 2.]))
    """
    return np.asarray(item[0] if isinstance(item, tuple) else item)
