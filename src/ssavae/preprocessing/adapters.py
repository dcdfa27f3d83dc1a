"""Adapters: rows and labels of torch Datasets and Hugging Face data sets, read when they are needed."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

import numpy as np

from ssavae._checks import check
from ssavae.preprocessing.images import open_image, pixels_of
from ssavae.preprocessing.lazy import LazyArray

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

LABEL_COLUMNS = ("label", "labels", "y", "target")  # names of the class column, if none is a ClassLabel
ARRAY_FEATURES = ("Array2D", "Array3D", "Sequence", "List", "LargeList")


class Items(Protocol):
    """A map-style torch Dataset: its items are rows, or (row, label) pairs."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> object: ...


# -------------------------------------------------------------------------- tensors and Datasets


def tensor_array(x: object) -> object:
    """Return a torch tensor as an array, of any device, layout and type; all else as it is."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(x, torch.Tensor):
        return x
    x = x.detach().cpu().to_dense()
    is_known = not x.is_floating_point() or x.dtype in (torch.float16, torch.float32, torch.float64)
    return (x if is_known else x.float()).numpy()


def lazy_dataset(dataset: Items) -> LazyArray:
    """Return the rows of a map-style torch Dataset."""
    first = row_of(dataset[0])
    read = partial(_read_items, dataset)
    shape = (len(dataset), *first.shape)
    return LazyArray(shape, first.dtype, read, is_cheap_to_scan=False, is_deterministic=False)


def _read_items(dataset: Items, numbers: np.ndarray) -> np.ndarray:
    return np.stack([row_of(dataset[i]) for i in numbers.tolist()])


def row_of(item: object) -> np.ndarray:
    """Return the row of an item: a row, or a (row, label) pair.

    Examples
    --------
    >>> row_of((np.zeros(2), 3)), row_of([1.0, 2.0])
    (array([0., 0.]), array([1., 2.]))
    """
    return np.asarray(item[0] if isinstance(item, tuple) else item)


def dataset_labels(dataset: Items) -> list[object] | None:
    """Return the labels of a torch Dataset of (row, label) pairs; None where its items are rows."""
    if not isinstance(dataset[0], tuple):
        return None
    labels = [item[1] for item in (dataset[i] for i in range(len(dataset))) if isinstance(item, tuple)]
    return [label.item() if hasattr(label, "item") else label for label in labels]


# ----------------------------------------------------------------------- Hugging Face data sets


def is_hugging_face(x: object) -> TypeGuard[datasets.Dataset]:
    """Return whether x is a data set of the library ``datasets``, without importing it.

    Raises
    ------
    ValueError
        If it cannot be trained on: it has several parts, or is a stream whose rows have no index.
    """
    if not (type(x).__module__.startswith("datasets.") and hasattr(x, "column_names")):
        return False  # a user's own module may be called datasets too
    check(not isinstance(x, dict), "X holds several parts: pass one of them, like data['train']")
    check(hasattr(x, "__len__"), "rows of a stream have no index: load the data set without streaming=True")
    return True


def label_column(dataset: datasets.Dataset) -> str | None:
    """Return the column of the classes: the one of type ClassLabel, else one named so; None without."""
    typed = [name for name, feature in dataset.features.items() if type(feature).__name__ == "ClassLabel"]
    if len(typed) == 1:
        return typed[0]
    return next((name for name in LABEL_COLUMNS if name in dataset.column_names), None)


def hugging_face_labels(dataset: datasets.Dataset, column: str | None = None) -> np.ndarray | None:
    """Return class names, or the values of a column without names; None where there are no labels."""
    column = label_column(dataset) if column is None else column
    if column is None:
        return None
    values = column_values(dataset, column)
    names = getattr(dataset.features[column], "names", None)
    if names is not None:
        values = [None if value is None or value < 0 else names[value] for value in values]
    labels = np.empty(len(values), dtype=object)
    labels[:] = values
    return labels


def lazy_hugging_face(
    dataset: datasets.Dataset, excluded: Sequence[str] | None = None, size: tuple[int, int] | None = None
) -> LazyArray:
    """Return the rows of a data set: its images, its arrays, or its columns of numbers as a table.

    Parameters
    ----------
    dataset : datasets.Dataset
    excluded : sequence of str or None
        Columns that are not part of the rows; None takes that of the label.
    size : (H, W) or None
        Size to resize images to.

    Raises
    ------
    ValueError
        If there are several columns of images or arrays, or text in a column of a table.
    """
    is_transformed = dataset.format["type"] == "custom"
    check(not is_transformed, "the data set changes its rows (set_transform): pass a torch Dataset that does")
    excluded = [label_column(dataset) or ""] if excluded is None else excluded
    columns, feature = _row_columns(dataset, [name for name in dataset.column_names if name not in excluded])
    selected = dataset.select_columns(columns).with_format("arrow")
    if feature is not None:
        is_image = type(feature).__name__ == "Image"
        decode = partial(_decode_image, name=columns[0], mode=feature.mode, size=size) if is_image else None
        read = partial(_read_column, selected, columns[0], decode)
        first = read(np.zeros(1, dtype=np.int64))
        return LazyArray((len(dataset), *first.shape[1:]), first.dtype, read, is_cheap_to_scan=False)
    read = partial(_read_table, selected, columns)
    return LazyArray((len(dataset), len(columns)), np.dtype(np.float64), read, tuple(columns))


def _row_columns(dataset: datasets.Dataset, names: list[str]) -> tuple[list[str], Any]:
    """Return the one column of images or arrays and its feature, or all columns of numbers and None."""
    contents = {name: _content_of(dataset.features[name]) for name in names}
    for content in ("image", "array"):
        columns = [name for name in names if contents[name] == content]
        check(len(columns) < 2, f"{' and '.join(columns)} both hold {content}s: leave out all but one")
        if columns:
            return columns, dataset.features[columns[0]]
    texts = [name for name in names if contents[name] != "number"]
    if texts:
        raise ValueError(f"column {texts[0]!r} holds no numbers: leave it out, or save the table as .parquet")
    check(len(names) > 0, f"no column holds rows; {columns_message(dataset)}")
    return names, None


def _content_of(feature: Any) -> str:
    name = type(feature).__name__
    if name == "Image":
        return "image"
    if name in ARRAY_FEATURES:
        return "array"
    is_number = name == "Value" and feature.dtype.startswith(("int", "uint", "float", "bool"))
    return "number" if is_number else name


def columns_message(dataset: datasets.Dataset) -> str:
    """Return the names of the columns, for an error."""
    return f"its columns are {', '.join(dataset.column_names)}"


def column_values(dataset: datasets.Dataset, name: str) -> list[Any]:
    """Return the values of a column."""
    table: Any = dataset.select_columns([name]).with_format("arrow")[:]
    return table.column(name).to_pylist()


def _read_table(dataset: datasets.Dataset, columns: list[str], numbers: np.ndarray) -> np.ndarray:
    table: Any = dataset[numbers]
    return np.column_stack([_flat(table.column(name)).astype(np.float64) for name in columns])


def _read_column(
    dataset: datasets.Dataset, name: str, decode: Callable[[Any], np.ndarray] | None, numbers: np.ndarray
) -> np.ndarray:
    table: Any = dataset[numbers]
    column = table.column(name)
    if decode is None:
        return _nested_arrays(column, name)
    images = [decode(item) for item in column.to_pylist()]
    sizes = sorted({image.shape for image in images})
    check(len(sizes) < 2, f"images of two sizes in column {name!r}: {' and '.join(map(str, sizes))}")
    return np.stack(images)


def _decode_image(item: Any, name: str, mode: str | None, size: tuple[int, int] | None) -> np.ndarray:
    """Return the pixels of an image column's cell; ``datasets`` would open it with any decoder."""
    check(item is not None, f"column {name!r} has a row without an image")
    source = Path(item["path"]) if item["bytes"] is None else item["bytes"]
    with open_image(source, item["path"] or f"a cell of column {name!r}") as image:
        return pixels_of(image if mode is None else image.convert(mode), size)


def _nested_arrays(column: pa.ChunkedArray, name: str) -> np.ndarray:
    """Return a column of nested lists as one array (n, ...)."""
    import pyarrow as pa
    import pyarrow.compute

    array: Any = _one_array(column)
    shape = [len(column)]
    while pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        lengths = pyarrow.compute.call_function("list_value_length", [array]).unique().to_pylist()
        check(len(lengths) == 1, f"rows of column {name!r} differ in shape, in lengths of {lengths[:2]}")
        shape.append(lengths[0])
        array = array.flatten()
    if pa.types.is_fixed_size_list(array.type):
        shape.append(array.type.list_size)
        array = array.flatten()
    check(len(array) == math.prod(shape), f"column {name!r} holds rows with missing values")
    return array.to_numpy(zero_copy_only=False).reshape(shape)


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    array = array.chunk(0) if hasattr(array, "chunks") else array
    return getattr(array, "storage", array)  # of an Array2D, whose own conversion is slow


def _flat(column: pa.ChunkedArray) -> np.ndarray:
    return _one_array(column).to_numpy(zero_copy_only=False)
