"""Lazy arrays: rows that stay in a file or behind a Dataset and are read when they are needed."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ssavae._checks import check

RESIDENT_BYTES = 2**28  # bytes of network inputs up to which stored rows are read at once and kept in memory
CHUNK_BYTES = 2**24  # bytes read at once in a pass over all rows
SAMPLE_VALUES = 2**23  # values from which the scales of tables and signals are learned, where there are more
SAMPLE_ROWS = 2000  # rows of such a sample where each is expensive: an image to decode, a Dataset's item

Read = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class LazyArray:
    """Rows that are read when they are indexed, those asked for and no others.

    Parameters
    ----------
    shape : (n, ...)
    dtype : numpy.dtype
        Type of the rows that are read.
    read : callable
        Takes row indices (m,), returns rows (m, ...).
    names : tuple of str or None
        Names of a table's columns.
    is_cheap_to_scan : bool
        Whether reading all rows is cheap: those of a plain file are, images to decode are not.
    is_deterministic : bool
        Whether a row is the same each time; a Dataset may change its rows at random.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Read
    names: tuple[str, ...] | None = None
    is_cheap_to_scan: bool = True
    is_deterministic: bool = True

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Number of axes, that of the rows included."""
        return len(self.shape)

    @property
    def is_large(self) -> bool:
        """Whether the network inputs of all rows would take more than ``RESIDENT_BYTES`` bytes."""
        return 4 * math.prod(self.shape) > RESIDENT_BYTES

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """Read some rows: a slice, row indices (m,) or a mask (n,)."""
        return self.read(_indices(rows, len(self)))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        """Read every row."""
        return np.asarray(self[:], dtype=dtype)

    def take(self, rows: slice | np.ndarray) -> LazyArray:
        """Return some rows, unread."""
        indices = _indices(rows, len(self))
        read = partial(_read_subset, self.read, indices)
        return replace(self, shape=(len(indices), *self.shape[1:]), read=read)


def _indices(rows: slice | np.ndarray, n: int) -> np.ndarray:
    if isinstance(rows, slice):
        return np.arange(*rows.indices(n))
    rows = np.asarray(rows)
    if rows.ndim != 1 or rows.dtype.kind not in "iub":  # `check` would format the array each time
        raise ValueError(f"rows are selected by indices (m,) or a mask, got {rows!r}")
    return np.flatnonzero(rows) if rows.dtype.kind == "b" else rows.astype(np.int64, copy=False)


def _read_subset(read: Read, subset: np.ndarray, indices: np.ndarray) -> np.ndarray:
    return read(subset[indices])


def concatenate(arrays: Sequence[LazyArray]) -> LazyArray:
    """Return the rows of several arrays one after the other, unread."""
    ends = np.cumsum([len(array) for array in arrays])
    dtype = np.result_type(*(array.dtype for array in arrays))
    return LazyArray(
        shape=(int(ends[-1]), *arrays[0].shape[1:]),
        dtype=dtype,
        read=partial(_read_concatenated, tuple(arrays), ends, dtype),
        names=arrays[0].names,
        is_cheap_to_scan=all(array.is_cheap_to_scan for array in arrays),
        is_deterministic=all(array.is_deterministic for array in arrays),
    )


def wrap_array(x: ArrayLike) -> LazyArray:
    """Return an array, or a DataFrame of numbers, as a LazyArray, to be concatenated with others."""
    columns = getattr(x, "columns", None)
    rows = np.asarray(x)
    return LazyArray(
        rows.shape, rows.dtype, rows.__getitem__, None if columns is None else tuple(map(str, columns))
    )


def _read_concatenated(
    arrays: tuple[LazyArray, ...], ends: np.ndarray, dtype: np.dtype, indices: np.ndarray
) -> np.ndarray:
    rows = np.empty((len(indices), *arrays[0].shape[1:]), dtype)
    owner = np.searchsorted(ends, indices, side="right")
    for i, (array, end) in enumerate(zip(arrays, ends, strict=True)):
        own = owner == i
        if own.any():
            rows[own] = array[indices[own] - (end - len(array))]
    return rows


# ------------------------------------------------------------------------------ memory-mapped files


def load_if_small(x: np.ndarray | LazyArray) -> np.ndarray | LazyArray:
    """Read stored rows into memory if they are few; leave many where they are stored.

    Parameters
    ----------
    x : LazyArray or array
        Only an array that is memory-mapped from a file, in C order, can stay there.

    Returns
    -------
    LazyArray or array
        A LazyArray where the rows' network inputs would take more than ``RESIDENT_BYTES`` bytes, or
        change at random; else an array in memory.
    """
    file = None if isinstance(x, LazyArray) else _file_of(x)
    lazy = x if file is None else LazyArray(x.shape, x.dtype, file)
    if isinstance(lazy, LazyArray) and lazy.is_deterministic and not lazy.is_large:
        return lazy[:]
    return lazy


@dataclass(frozen=True)
class FileReader:
    """Reads rows of an array from its file.

    Reading them through the memory map would count every touched page as memory of the process, and
    takes twice the time per row in random order.

    Parameters
    ----------
    path : str
    start, stride : int
        Offset of the first row, and bytes from one row to the next.
    row_shape : tuple of int
    dtype : numpy.dtype
    """

    path: str
    start: int
    stride: int
    row_shape: tuple[int, ...]
    dtype: np.dtype

    def __call__(self, indices: np.ndarray) -> np.ndarray:
        """Return rows (m, ...); consecutive rows are read in one call."""
        rows = np.empty((len(indices), *self.row_shape), self.dtype)
        buffer = memoryview(rows.reshape(-1).view(np.uint8))  # pyright: ignore[reportArgumentType]
        row_bytes = rows[:1].nbytes
        if len(indices) == 0:
            return rows
        breaks = np.flatnonzero(np.diff(indices) * self.stride != row_bytes) + 1
        edges = np.array([0, *breaks, len(indices)])
        offsets = (self.start + indices[edges[:-1]] * self.stride).tolist()
        spans = pairwise((edges * row_bytes).tolist())
        # A handle of its own for each call: worker processes would share the position in a common one.
        with open(self.path, "rb", buffering=0) as file:
            for offset, (begin, end) in zip(offsets, spans, strict=True):
                self._read_into(file.fileno(), offset, buffer[begin:end])
        return rows

    def _read_into(self, file: int, offset: int, buffer: memoryview) -> None:
        """Fill a buffer; few systems return more than 2 GiB at once."""
        while len(buffer):
            n = _read_at(file, offset, buffer)
            check(n > 0, f"{self.path} ends before its last row: was it truncated while it was being read?")
            offset += n
            buffer = buffer[n:]


def _read_at(file: int, offset: int, buffer: memoryview) -> int:
    """Read from an offset of a file, in one system call where there is one; return the number of bytes."""
    if hasattr(os, "preadv"):
        return os.preadv(file, [buffer], offset)
    os.lseek(file, offset, os.SEEK_SET)
    content = os.read(file, len(buffer))
    buffer[: len(content)] = content
    return len(content)


def _file_of(x: np.ndarray) -> FileReader | None:
    """Return a reader of the file that an array is mapped from; None where it is in memory or scattered."""
    root = _mapped_root(x)
    if root is None or root.mode == "c" or root.filename is None or x.ndim < 2 or 0 in x.shape:
        return None
    if x.dtype.kind not in "biuf" or not x[0].flags.c_contiguous:
        return None
    offset = _address(x) - _address(root)
    reader = FileReader(str(root.filename), root.offset + offset, x.strides[0], x.shape[1:], x.dtype)
    ends = np.array([0, len(x) - 1])
    try:
        is_same = reader(ends).tobytes() == x[ends].tobytes()
    except (OSError, ValueError):
        return None
    return reader if is_same else None  # another file may have taken its name


def _address(x: np.ndarray) -> int:
    return int(x.__array_interface__["data"][0])


def _mapped_root(x: object) -> np.memmap | None:
    """Return the np.memmap that an array is, or is a view of; None where there is none."""
    root = None
    while isinstance(x, np.ndarray):
        root = x if isinstance(x, np.memmap) else root
        x = x.base
    return root


# --------------------------------------------------------------------------------- passes over rows


def chunks(x: np.ndarray | LazyArray) -> Iterator[np.ndarray]:
    """Yield all rows in order, those of a LazyArray in chunks; a sample where reading is expensive."""
    if not isinstance(x, LazyArray):
        yield x
    elif not x.is_cheap_to_scan:
        yield sample_rows(x)
    else:
        n = max(1, CHUNK_BYTES // max(1, x.dtype.itemsize * math.prod(x.shape[1:])))
        for start in range(0, len(x), n):
            yield x[start : start + n]


def sample_rows(x: np.ndarray | LazyArray) -> np.ndarray:
    """Return the rows from which scales are learned: all of an array, a random subset of a LazyArray."""
    if not isinstance(x, LazyArray):
        return x
    n = max(2, SAMPLE_VALUES // max(1, math.prod(x.shape[1:])))
    return x[random_subset(len(x), n if x.is_cheap_to_scan else min(n, SAMPLE_ROWS))]


def random_subset(size: int, n: int) -> np.ndarray:
    """Return at most n indices drawn from all rows, in order: files may be sorted by class, or alternate.

    Examples
    --------
    >>> random_subset(9, 3), random_subset(2, 5)
    (array([4, 5, 7]), array([0, 1]))
    """
    return np.sort(np.random.default_rng(0).choice(size, min(n, size), replace=False))


def rows_sha256(x: np.ndarray | LazyArray) -> str:
    """Return a checksum of shape, type and content; of a sample where reading all rows is expensive."""
    digest = hashlib.sha256(repr((x.shape, x.dtype.str)).encode())
    for chunk in chunks(x):
        digest.update(content_of(chunk))
    return digest.hexdigest()


def content_of(rows: np.ndarray) -> bytes | memoryview:
    """Return the content of rows, to be hashed."""
    return repr(rows.tolist()).encode() if rows.dtype.kind == "O" else np.ascontiguousarray(rows).data
