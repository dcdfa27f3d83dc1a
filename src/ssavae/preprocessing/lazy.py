"""Rows that stay where they are stored, in a file or behind a Dataset, and are read as they are needed.

A :class:`Source` is indexed like an array of rows; that reads the rows asked for and no others.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ssavae._checks import check

RESIDENT_BYTES = 2**28  # bytes of network inputs up to which stored rows are read at once and held
CHUNK_BYTES = 2**24  # bytes read at once where all rows are gone through
SAMPLE_VALUES = 2**23  # values from which the scales of tables and signals are learned, where there are more
SAMPLE_ROWS = 2000  # rows looked at where each is dear: an image to decode, a Dataset's item

Read = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class LazyArray:
    """Rows that are read when they are asked for.

    Parameters
    ----------
    shape : (n, ...)
    dtype : numpy.dtype
        What is read: rows (m, ...) of this type.
    read : callable
        Takes row numbers (m,), returns rows (m, ...).
    names : tuple of str or None
        Names of a table's columns.
    is_cheap_to_scan : bool
        Whether going through all rows is cheap: a plain file rather than images to decode.
    is_deterministic : bool
        Whether a row is the same each time; a Dataset may change its rows at random.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
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
        """Read some rows: a slice, row numbers (m,) or a mask (n,)."""
        return self.read(_numbers(rows, len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read every row."""
        return np.asarray(self[:], dtype=dtype)

    def take(self, rows: slice | np.ndarray) -> LazyArray:
        """Return some rows, unread."""
        numbers = _numbers(rows, len(self))
        return replace(
            self, shape=(len(numbers), *self.shape[1:]), read=partial(_read_taken, self.read, numbers)
        )


def _numbers(rows: Any, n: int) -> np.ndarray:
    if isinstance(rows, slice):
        return np.arange(*rows.indices(n))
    rows = np.asarray(rows)
    if rows.ndim != 1 or rows.dtype.kind not in "iub":  # no `must`: to write an array out takes time
        raise ValueError(f"rows are chosen by numbers (m,), found {rows!r}")
    return np.flatnonzero(rows) if rows.dtype.kind == "b" else rows.astype(np.int64, copy=False)


def _read_taken(read: Read, taken: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return read(taken[numbers])


def concatenate(sources: Sequence[LazyArray]) -> LazyArray:
    """Return the rows of several sources one after the other, unread."""
    first, ends = sources[0], np.cumsum([len(source) for source in sources])
    shape = (int(ends[-1]), *first.shape[1:])
    dense, fixed = (
        all(getattr(s, name) for s in sources) for name in ("is_cheap_to_scan", "is_deterministic")
    )
    read = partial(_read_joined, tuple(sources), ends)
    return LazyArray(shape, np.result_type(*(s.dtype for s in sources)), read, first.names, dense, fixed)


def wrap_array(x: Any) -> LazyArray:
    """Return an array, or a DataFrame of numbers, as a Source, to stand beside others."""
    names = tuple(map(str, x.columns)) if hasattr(x, "columns") else None
    rows = np.asarray(x)
    return LazyArray(rows.shape, rows.dtype, rows.__getitem__, names)


def _read_joined(sources: tuple[LazyArray, ...], ends: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    found = np.empty((len(numbers), *sources[0].shape[1:]), np.result_type(*(s.dtype for s in sources)))
    owner = np.searchsorted(ends, numbers, side="right")
    for i, (source, end) in enumerate(zip(sources, ends, strict=True)):
        if (mine := owner == i).any():
            found[mine] = source[numbers[mine] - (end - len(source))]
    return found


# ------------------------------------------------------------------------------------ mapped files


def load_if_small(x: Any) -> Any:
    """Return rows as they are best trained on: few are read at once, many stay where they are stored.

    Parameters
    ----------
    x : Source, array, DataFrame
        Of arrays only those that are mapped from a file, in C order, can stay there.

    Returns
    -------
    Source or x
        A Source where the rows' network inputs would take more than ``RESIDENT_BYTES`` bytes, or change at random;
        else an array in memory, none that is mapped.
    """
    file = None if isinstance(x, LazyArray) else _file_of(x)
    source = x if file is None else LazyArray(x.shape, x.dtype, file)
    return (
        source[:]
        if isinstance(source, LazyArray) and source.is_deterministic and not source.is_large
        else source
    )


@dataclass(frozen=True)
class FileReader:
    """Reads rows of an array from its file.

    Looking at them through the map instead would count every page looked at as memory of the process, and
    costs twice the time per row where the rows come in random order.

    Parameters
    ----------
    path : str
    start, stride : int
        Where the first row begins, and bytes from one row to the next.
    row_shape : tuple of int
    dtype : numpy.dtype
    """

    path: str
    start: int
    stride: int
    row_shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        """Return rows (m, ...); rows that lie side by side are read at once."""
        found = np.empty((len(numbers), *self.row_shape), self.dtype)
        into: Any = memoryview(found.reshape(-1).view(np.uint8))  # pyright: ignore[reportArgumentType]
        size, n_rows = found[:1].nbytes, len(numbers)
        apart = np.flatnonzero(np.diff(numbers) * self.stride != size) + 1
        edges = np.array([0, *apart, n_rows] if n_rows else [0])
        places = (self.start + numbers[edges[:-1]] * self.stride).tolist()
        # its own handle each time: worker processes would share the place in a common one
        with open(self.path, "rb", buffering=0) as file:
            number = file.fileno()
            for place, (begin, end) in zip(places, pairwise((edges * size).tolist()), strict=True):
                n = _read_at(number, place, into[begin:end])
                if n < end - begin:  # few systems give more than 2 GiB at once
                    self._fill(number, place + n, into[begin + n : end])
        return found

    def _fill(self, file: int, place: int, into: memoryview) -> None:
        while len(into):
            n = _read_at(file, place, into)
            check(n > 0, f"{self.path} ends before its last row: was it cut while it was being read?")
            place, into = place + n, into[n:]


def _read_at(file: int, place: int, into: memoryview) -> int:
    """Read from a place of a file in one call of the system where it has such; return how many bytes."""
    if hasattr(os, "preadv"):
        return os.preadv(file, [into], place)
    os.lseek(file, place, os.SEEK_SET)
    found = os.read(file, len(into))
    into[: len(found)] = found
    return len(found)


def _file_of(x: Any) -> FileReader | None:
    """Return where in which file an array's rows lie; None where they are in memory, or scattered."""
    root = _mapped_root(x)
    if root is None or root.mode == "c" or root.filename is None or x.ndim < 2 or 0 in x.shape:
        return None
    if x.dtype.kind not in "biuf" or not x[0].flags.c_contiguous:
        return None
    first, mapped = (int(a.__array_interface__["data"][0]) for a in (x, root))
    start = root.offset + first - mapped
    file = FileReader(str(root.filename), start, x.strides[0], x.shape[1:], x.dtype)
    ends = np.array([0, len(x) - 1])
    try:
        same = file(ends).tobytes() == x[ends].tobytes()
    except (OSError, ValueError):
        return None
    return file if same else None  # another file may have taken its name


def _mapped_root(x: Any) -> Any:
    """Return the np.memmap that an array is, or is a view of; None where there is none."""
    root = None
    while isinstance(x, np.ndarray):
        root, x = (x if isinstance(x, np.memmap) else root), x.base
    return root


# ------------------------------------------------------------------------------- all rows, in pieces


def chunks(x: Any) -> Iterator[np.ndarray]:
    """Yield all rows in order, those of a Source piece by piece; a sample where reading them is dear."""
    if not isinstance(x, LazyArray):
        yield x
    elif not x.is_cheap_to_scan:
        yield sample_rows(x)
    else:
        n = max(1, CHUNK_BYTES // max(1, x.dtype.itemsize * math.prod(x.shape[1:])))
        for start in range(0, len(x), n):
            yield x[start : start + n]


def sample_rows(x: Any) -> np.ndarray:
    """Return the rows from which scales are learned: all of an array, evenly drawn ones of a Source."""
    if not isinstance(x, LazyArray):
        return x
    n = max(2, SAMPLE_VALUES // max(1, math.prod(x.shape[1:])))
    return x[random_subset(len(x), n if x.is_cheap_to_scan else min(n, SAMPLE_ROWS))]


def random_subset(size: int, n: int) -> np.ndarray:
    """Return at most n indices drawn over all rows, in order: files may be sorted by class, or alternate.

    Examples
    --------
    >>> spread(9, 3), spread(2, 5)
    (array([4, 5, 7]), array([0, 1]))
    """
    return np.sort(np.random.default_rng(0).choice(size, min(n, size), replace=False))


def rows_sha256(x: np.ndarray | LazyArray) -> str:
    """Return a checksum of an array's shape and content; of a Source that is dear to read of a sample."""
    digest = hashlib.sha256(repr((x.shape, x.dtype.str)).encode())
    for piece in chunks(x):
        digest.update(
            repr(piece.tolist()).encode() if x.dtype.kind == "O" else np.ascontiguousarray(piece).data
        )
    return digest.hexdigest()


def pixels_of(image: Any) -> np.ndarray:
    """Return a PIL image's pixels: (H, W) where it is gray, a palette of grays included, else (H, W, 3)."""
    if image.mode[0] in "IF":  # 16 or 32 bits of gray, which convert() would clip
        return np.asarray(image)
    gray = image.mode in ("1", "L", "LA")
    pixels = np.asarray(image.convert("L" if gray else "RGB"))
    is_gray_palette = image.mode == "P" and (pixels == pixels[..., :1]).all()
    return pixels[..., 0] if is_gray_palette else pixels
