"""Adapters: rows of torch Datasets, Hugging Face data sets and sparse matrices, read when they are needed."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, cast

import numpy as np

from ssavae._checks import check
from ssavae.preprocessing.images import open_image, pixels_of, shape_of
from ssavae.preprocessing.lazy import SAMPLE_ROWS, LazyArray, random_subset

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa
    from PIL.Image import Image

LABEL_COLUMNS = ("label", "labels", "y", "target")  # names of the class column, if none is a ClassLabel
LIKELY_LABELS = ("class", "classes", "category", "categories")  # of columns of numbers that may be classes
NO_ROWS = "Found array with 0 sample(s) while a minimum of 1 is required by SSAVAE."  # its own words
MOST_CLASSES = 255  # different values of a column that may hold classes
SHORTEST_SIDE = 8  # of an image; a shorter axis of a tensor is one of channels
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
    tensor: Any = x
    tensor = tensor.detach().cpu().to_dense()
    known = (torch.float16, torch.float32, torch.float64)
    is_known = not tensor.is_floating_point() or tensor.dtype in known
    return (tensor if is_known else tensor.float()).numpy()


def lazy_dataset(dataset: Items) -> LazyArray:
    """Return the rows of a map-style torch Dataset.

    Images that are tensors (C, H, W), as torchvision gives them, get their channels last.
    """
    check(hasattr(dataset, "__len__"), "rows of an IterableDataset have no index: pass a map-style Dataset")
    check(len(dataset) > 0, NO_ROWS)
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
    row = item[0] if isinstance(item, tuple) else item
    check(not isinstance(row, dict), "items of the Dataset are dicts: return the row, or a (row, label) pair")
    if hasattr(row, "getbands"):
        return pixels_of(cast("Image", row))
    array = np.asarray(tensor_array(row))
    return np.moveaxis(array, 0, -1) if array is not row and _is_channels_first(array.shape) else array


def _is_channels_first(row_shape: tuple[int, ...]) -> bool:
    return len(row_shape) == 3 and row_shape[0] in (1, 3, 4) and min(row_shape[1:]) >= SHORTEST_SIDE


def dataset_labels(dataset: Items) -> list[object] | None:
    """Return the labels of a torch Dataset of (row, label) pairs; None where its items are rows."""
    first = dataset[0] if len(dataset) else None
    if not isinstance(first, tuple) or len(first) < 2:
        return None
    labels = [item[1] for item in (dataset[i] for i in range(len(dataset))) if isinstance(item, tuple)]
    return [label.item() if hasattr(label, "item") else label for label in labels]


# -------------------------------------------------------------------------------- sparse matrices


def is_sparse(x: object) -> bool:
    """Return whether x is a sparse matrix or array of scipy, without importing it."""
    return type(x).__module__.startswith("scipy.sparse") and hasattr(x, "tocsr")


def lazy_sparse(x: Any) -> LazyArray:
    """Return the rows of a sparse matrix (n, d), dense when they are read."""
    check(x.ndim == 2, f"Expected 2D array for a table, found a sparse array of shape {x.shape}")
    check(x.dtype.kind in "biuf", f"X must hold numbers, found a sparse array of {x.dtype}")
    return LazyArray(x.shape, x.dtype, partial(_read_sparse, x.tocsr()))


def _read_sparse(x: Any, indices: np.ndarray) -> np.ndarray:
    return x[indices].toarray()


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
    check(not isinstance(x, dict), "X holds several parts: give one of them, like data['train']")
    check(hasattr(x, "__len__"), "rows of a stream have no index: load the data set without streaming=True")
    return True


def label_column(dataset: datasets.Dataset) -> str | None:
    """Return the column of the classes: the one of type ClassLabel, else one named so; None without.

    Warns of columns that may hold classes where none is known to.

    Raises
    ------
    ValueError
        If several columns are of type ClassLabel.
    """
    columns = _label_columns(dataset)
    how = f"as y=X[{columns[0]!r}], or with --label on the command line" if columns else ""
    check(len(columns) < 2, f"columns {' and '.join(map(repr, columns))} hold classes: choose one, {how}")
    if not columns:
        _warn_of_possible_labels(dataset)
    return next(iter(columns), None)


def _label_columns(dataset: datasets.Dataset) -> list[str]:
    """Return the columns of type ClassLabel, else the one named so, which are no part of the rows."""
    typed = [name for name, feature in dataset.features.items() if type(feature).__name__ == "ClassLabel"]
    return typed or [name for name in LABEL_COLUMNS if name in dataset.column_names][:1]


def _warn_of_possible_labels(dataset: datasets.Dataset) -> None:
    names = [name for name in dataset.column_names if _may_hold_classes(dataset, name)]
    if names:
        how = f"if {' or '.join(map(repr, names))} does, give it as y=X[{names[0]!r}], or with --label"
        warnings.warn(f"no column of X is known to hold classes, so no row has a label: {how}", stacklevel=4)


def _may_hold_classes(dataset: datasets.Dataset, name: str) -> bool:
    """Return whether a column of texts, or of integers beside images or arrays, has few different values."""
    is_table = all(_content_of(feature) not in ("image", "array") for feature in dataset.features.values())
    dtype = getattr(dataset.features[name], "dtype", "")
    if not dtype.startswith(("string", "large_string", "int", "uint", "bool")):
        return False
    if "string" not in dtype and is_table and name.lower() not in LIKELY_LABELS:
        return False
    n_values = len(set(column_values(dataset, name)) - {None})
    return 1 < n_values <= min(MOST_CLASSES, len(dataset) // 2)


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
        Columns that are not part of the rows; None takes those of labels.
    size : (H, W) or None
        Size to resize images to.

    Raises
    ------
    ValueError
        If there are several columns of images or arrays, or text in a column of a table.
    """
    check(len(dataset) > 0, NO_ROWS)
    is_transformed = dataset.format["type"] == "custom"
    check(not is_transformed, "the data set changes its rows (set_transform): pass a torch Dataset that does")
    excluded = _label_columns(dataset) if excluded is None else excluded
    columns, feature = _row_columns(dataset, [name for name in dataset.column_names if name not in excluded])
    selected = dataset.select_columns(columns).with_format("arrow")
    if feature is not None:
        if type(feature).__name__ == "Image":
            return _lazy_images(selected, columns[0], feature.mode, size)
        read = partial(_read_arrays, selected, columns[0])
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
        ways = "leave it out (remove_columns), give it as y, or save the table as .parquet"
        raise ValueError(f"column {texts[0]!r} holds no numbers: {ways}")
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


def _read_arrays(dataset: datasets.Dataset, name: str, indices: np.ndarray) -> np.ndarray:
    table: Any = dataset[indices]
    return nested_arrays(table.column(name), name)


def _lazy_images(
    dataset: datasets.Dataset, name: str, mode: str | None, size: tuple[int, int] | None
) -> LazyArray:
    """Return a column of images, (n, H, W), or (n, H, W, 3) as soon as one of a sample has colour."""
    decode = partial(_decode_image, name=name, mode=mode, size=size)
    first = decode(_image_cells(dataset, name, np.zeros(1, dtype=np.int64))[0])
    parts = np.array_split(random_subset(len(dataset), SAMPLE_ROWS), 1 + len(dataset) // 100)
    cells = (cell for part in parts if len(part) for cell in _image_cells(dataset, name, part))
    has_colour = first.ndim > 2 or any(_has_colour(cell, name, mode) for cell in cells)
    row_shape = (*first.shape[:2], 3) if has_colour else first.shape
    read = partial(_read_images, dataset, name, decode, row_shape, first.dtype)
    return LazyArray((len(dataset), *row_shape), first.dtype, read, is_cheap_to_scan=False)


def _image_cells(dataset: datasets.Dataset, name: str, indices: np.ndarray) -> list[Any]:
    table: Any = dataset[indices]
    return table.column(name).to_pylist()


def _read_images(
    dataset: datasets.Dataset,
    name: str,
    decode: Callable[[Any], np.ndarray],
    row_shape: tuple[int, ...],
    dtype: np.dtype,
    indices: np.ndarray,
) -> np.ndarray:
    """Return images (n, *row_shape); gray ones among those in colour get three equal channels."""
    images = np.empty((len(indices), *row_shape), dtype)
    for i, (image, cell) in enumerate(zip(images, _image_cells(dataset, name, indices), strict=True)):
        pixels = decode(cell)
        if pixels.shape[:2] != row_shape[:2] or pixels.ndim > len(row_shape) or pixels.dtype != dtype:
            difference = f"{pixels.dtype} {pixels.shape} in row {indices[i]}, {dtype} {row_shape} before"
            raise ValueError(f"images of column {name!r} differ in size, colour or depth: {difference}")
        image[...] = pixels[..., None] if pixels.ndim < len(row_shape) else pixels
    return images


def _has_colour(cell: Any, name: str, mode: str | None) -> bool:
    with _open_cell(cell, name, mode) as image:
        return len(shape_of(image)) > 2


def _decode_image(cell: Any, name: str, mode: str | None, size: tuple[int, int] | None) -> np.ndarray:
    with _open_cell(cell, name, mode) as image:
        return pixels_of(image, size)


@contextmanager
def _open_cell(cell: Any, name: str, mode: str | None) -> Iterator[Image]:
    """Open a cell of an image column; ``datasets`` would open it with any decoder."""
    check(cell is not None, f"column {name!r} has a row without an image")
    source = Path(cell["path"]) if cell["bytes"] is None else cell["bytes"]
    with open_image(source, cell["path"] or f"a cell of column {name!r}") as image:
        yield image if mode is None else image.convert(mode)


def nested_arrays(column: pa.ChunkedArray, name: str) -> np.ndarray:
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
