"""The one door for X: whatever a user passes becomes rows, which are opened, scanned and hashed once."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeGuard

import numpy as np

from ssavae._checks import check
from ssavae.preprocessing.adapters import (
    Items,
    dataset_labels,
    hugging_face_labels,
    is_hugging_face,
    is_sparse,
    lazy_dataset,
    lazy_hugging_face,
    lazy_sparse,
    tensor_array,
)
from ssavae.preprocessing.columns import categorical_columns, is_frame, object_cells
from ssavae.preprocessing.lazy import LazyArray, chunks, content_of, load_if_small


@dataclass(frozen=True)
class Scan:
    """What one pass over all rows says of them; of rows that are expensive to read, over a sample.

    Parameters
    ----------
    sha256 : str
        Digest of shape, type and content.
    low, high : float
        Smallest and largest number; NaN where one is NaN.
    gaps : tuple of bool
        Of a table: which columns have a NaN.
    n_nan, n_infinite : int
    first_nan, first_infinite : tuple of int or None
        Index of the first such value.
    """

    sha256: str
    low: float = 0.0
    high: float = 0.0
    gaps: tuple[bool, ...] = ()
    n_nan: int = 0
    n_infinite: int = 0
    first_nan: tuple[int, ...] | None = None
    first_infinite: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of X, ready to become network inputs.

    Parameters
    ----------
    values : (n, ...) array or LazyArray
        Numbers with NaN where a value is missing; of a table with text or booleans, objects.
    names : tuple of str or None
        Names of a table's columns.
    known : Scan or None
        What is known of the rows already; None scans them when :attr:`scan` is first asked for.
    categorical : frozenset of int
        Columns of a DataFrame whose numbers are categories.
    """

    values: np.ndarray | LazyArray
    names: tuple[str, ...] | None = None
    known: Scan | None = None
    categorical: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the rows, their number included."""
        return self.values.shape

    @property
    def is_lazy(self) -> bool:
        """Whether the rows are read from where they are stored when they are needed."""
        return isinstance(self.values, LazyArray)

    @cached_property
    def scan(self) -> Scan:
        """One pass over all rows, at the first call."""
        return scan_rows(self.values) if self.known is None else self.known

    def take(self, indices: slice | np.ndarray) -> Rows:
        """Return some of the rows; nothing is read or copied of lazy ones."""
        values = self.values
        taken = values.take(indices) if isinstance(values, LazyArray) else values[indices]
        return replace(self, values=taken, known=None)

    def subset(self, indices: np.ndarray) -> Rows:
        """Return some of rows that were scanned: only their range and their gaps are looked for again."""
        taken = self.take(indices)
        index_bytes = np.ascontiguousarray(indices, dtype=np.int64).tobytes()
        digest = hashlib.sha256(self.scan.sha256.encode() + index_bytes).hexdigest()
        known = replace(self.scan, sha256=digest)
        if any(known.gaps):
            known = replace(known, gaps=_gaps(taken.values))
        if len(self.shape) > 2:
            low, high = _range(taken.values)
            known = replace(known, low=low, high=high)
        return replace(taken, known=known)


def open_rows(X: object, *, min_samples: int = 1) -> Rows:
    """Return whatever a user may pass as X as rows.

    Parameters
    ----------
    X : (n, ...) array, DataFrame, tensor, sparse matrix, map-style torch Dataset, Hugging Face data set, Rows
        Rows that are memory-mapped and large stay in their file: see ``lazy.load_if_small``.
    min_samples : int

    Raises
    ------
    ValueError, TypeError
        As ``sklearn.utils.check_array``; a table may hold text, NaN and infinity.
    """
    if isinstance(X, Rows):
        return X
    lazy = _lazy(X)
    if lazy is not None:
        few = f"Found array with {len(lazy)} sample(s) (shape={lazy.shape}) while a minimum of {min_samples}"
        check(len(lazy) >= min_samples, f"{few} is required by SSAVAE.")  # scikit-learn's own words
        return Rows(load_if_small(lazy), lazy.names)
    _check_one_shape(X)
    X = plain_array(X)
    cells = object_cells(X)
    if cells is None:
        cells = _numbers(X, min_samples)
    return Rows(load_if_small(cells), column_names(X), categorical=categorical_columns(X))


def _check_one_shape(X: object) -> None:
    """Refuse rows of different shapes in a list, or in an array of objects: records of several lengths."""
    if not isinstance(X, list | tuple) and not (isinstance(X, np.ndarray) and X.dtype == object):
        return
    shapes = [
        (len(row),) if isinstance(row, list | tuple) else tuple(row.shape)
        for row in X
        if isinstance(row, list | tuple) or hasattr(row, "shape")
    ]
    other = next((i for i, shape in enumerate(shapes) if shape != shapes[0]), None)
    if other is not None:
        raise ValueError(
            f"X has rows of several shapes: row 0 has {shapes[0]}, row {other} {shapes[other]}: "
            "cut them to one, records for example into windows"
        )


def plain_array(X: object) -> object:
    """Return masked arrays (with NaN where masked), tensors and sparse rows as arrays, others as they are.

    Examples
    --------
    >>> plain_array(np.ma.masked_equal([[1, 2]], 2))
    array([[ 1., nan]])
    """
    if isinstance(X, np.ma.MaskedArray):
        return _unmasked(X)
    return lazy_sparse(X)[:] if is_sparse(X) else tensor_array(X)


def _unmasked(X: Any) -> np.ndarray:
    if not np.ma.is_masked(X):
        return np.asarray(X)
    if X.dtype.kind == "O":
        return np.asarray(np.where(np.ma.getmaskarray(X), None, X.data))
    return X.astype(X.dtype if X.dtype.kind == "f" else np.float64).filled(np.nan)


def _numbers(X: object, min_samples: int) -> np.ndarray:
    """Return numbers as an array; scikit-learn checks what is not obviously one."""
    if isinstance(X, np.ndarray) or is_frame(X):
        array = np.asarray(X)
        if array.dtype.kind in "biuf" and array.ndim > 1 and array.size > 0 and len(array) >= min_samples:
            return array
    from sklearn.utils import (
        check_array,
    )  # here, since a model in ONNX is used without torch, which it imports

    return check_array(
        X,
        dtype="numeric",
        allow_nd=True,
        ensure_all_finite=False,
        ensure_min_samples=min_samples,
        estimator="SSAVAE",
        input_name="X",
    )


def _lazy(X: object) -> LazyArray | None:
    """Return data sets of torch and Hugging Face, and sparse rows, as a LazyArray; None for dense arrays."""
    if isinstance(X, LazyArray):
        return X
    if is_hugging_face(X):
        return lazy_hugging_face(X)
    if is_sparse(X):
        return lazy_sparse(X)
    return lazy_dataset(X) if is_torch_dataset(X) else None


def is_data_set(X: object) -> bool:
    """Return whether X is a data set or rows of ours, of which scikit-learn's checks know nothing."""
    return isinstance(X, Rows | LazyArray) or is_hugging_face(X) or is_torch_dataset(X)


def is_torch_dataset(X: object) -> TypeGuard[Items]:
    """Return whether X is a torch Dataset; where torch is not imported there is none."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(X, torch.utils.data.Dataset)


def labels_in(X: object) -> Sequence[object] | np.ndarray | None:
    """Return the labels that a data set of (row, label) pairs holds; None where X holds none."""
    if is_hugging_face(X):
        return hugging_face_labels(X)
    return dataset_labels(X) if is_torch_dataset(X) else None


def column_names(X: object) -> tuple[str, ...] | None:
    """Return the names of a DataFrame's columns, where all are text, as scikit-learn takes them."""
    names = list(getattr(X, "columns", ()))
    return tuple(names) if names and all(isinstance(name, str) for name in names) else None


def scan_rows(values: np.ndarray | LazyArray) -> Scan:
    """Hash rows, and look for their range, gaps and infinity, in one pass.

    Examples
    --------
    >>> scan = scan_rows(np.array([[1.0, np.nan], [np.inf, 2.0]]))
    >>> scan.gaps, scan.first_nan, scan.n_infinite, scan.first_infinite
    ((False, True), (0, 1), 1, (1, 0))
    """
    digest = hashlib.sha256(repr((values.shape, values.dtype.str)).encode())
    scan = Scan("")
    lows: list[float] = []
    highs: list[float] = []
    start = 0
    for chunk in chunks(values):
        digest.update(content_of(chunk))
        numbers = _floats(chunk)
        lows.append(float(numbers.min()))
        highs.append(float(numbers.max()))
        if numbers.dtype.kind == "f" and not np.isfinite([lows[-1], highs[-1]]).all():
            scan = _with_gaps(scan, numbers, start)
        start += len(chunk)
    return replace(scan, sha256=digest.hexdigest(), low=float(np.min(lows)), high=float(np.max(highs)))


def _with_gaps(scan: Scan, numbers: np.ndarray, start: int) -> Scan:
    """Add the NaN and infinity of a chunk, whose first row has the index ``start``, to those of a scan."""
    nan = np.isnan(numbers)
    infinite = np.isinf(numbers)
    gaps = scan.gaps
    if numbers.ndim == 2:
        gaps = tuple(np.logical_or(nan.any(axis=0), gaps or False).tolist())
    return replace(
        scan,
        gaps=gaps,
        n_nan=scan.n_nan + int(nan.sum()),
        n_infinite=scan.n_infinite + int(infinite.sum()),
        first_nan=scan.first_nan or _first(nan, start),
        first_infinite=scan.first_infinite or _first(infinite, start),
    )


def _first(mask: np.ndarray, start: int) -> tuple[int, ...] | None:
    positions = np.argwhere(mask)
    if len(positions) == 0:
        return None
    row, *position = positions[0].tolist()
    return (start + row, *position)


def _gaps(values: np.ndarray | LazyArray) -> tuple[bool, ...]:
    gaps = np.zeros(values.shape[1], dtype=bool)
    for chunk in chunks(values):
        gaps |= np.isnan(_floats(chunk)).any(axis=0)
    return tuple(gaps.tolist())


def _range(values: np.ndarray | LazyArray) -> tuple[float, float]:
    ends = [(float(chunk.min()), float(chunk.max())) for chunk in chunks(values)]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _floats(x: np.ndarray) -> np.ndarray:
    """Return the numbers of a table with text, 0 elsewhere; of others the rows themselves."""
    if x.dtype.kind != "O":
        return x
    return np.array([[cell if isinstance(cell, float) else 0.0 for cell in row] for row in x.tolist()])


def check_finite(
    x: Rows | np.ndarray | LazyArray, names: Sequence[str] | None = None, *, missing_allowed: bool = False
) -> None:
    """Refuse infinity, and NaN where it is not allowed, with one error that names the first position.

    Raises
    ------
    ValueError
    """
    rows = x if isinstance(x, Rows) else Rows(x)
    if rows.values.dtype.kind not in "fO":
        return
    scan = rows.scan
    candidates = [scan.first_infinite] if missing_allowed else [scan.first_infinite, scan.first_nan]
    positions = [position for position in candidates if position is not None]
    if not positions:
        return
    row, *position = first = min(positions)
    names = rows.names if names is None else names
    column = f" (column {names[position[0]]!r})" if names is not None and len(position) == 1 else ""
    value = "NaN" if first == scan.first_nan else "infinity"
    n = scan.n_infinite if missing_allowed else scan.n_infinite + scan.n_nan
    raise ValueError(
        f"Input X contains {value}: row {row}, position {tuple(position)}{column}, {n} such values in all; "
        "fill or drop them first"
    )


def data_sha256(rows: Rows, *arrays: np.ndarray | None) -> str:
    """Return a digest of rows and of arrays that belong to them, by which the same data are recognised."""
    contents = [each.tobytes() for each in arrays if each is not None]
    return hashlib.sha256(b"".join([rows.scan.sha256.encode(), *contents])).hexdigest()
