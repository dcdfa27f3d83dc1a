"""Parquet tables, a file or a folder of parts, read column by column: all at once took 5.7 times the rows."""

from __future__ import annotations

import math
import os
import re
import tempfile
import weakref
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from ssavae._checks import check, require_package
from ssavae.data.files.class_folders import walk
from ssavae.data.files.guards import guard
from ssavae.data.files.source import Source
from ssavae.preprocessing.adapters import nested_arrays
from ssavae.preprocessing.lazy import CHUNK_BYTES, FileReader, LazyArray

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

PARQUET_SUFFIXES = (".parquet", ".pq")


def parquet_parts(path: Path) -> list[Path]:
    """Return the parts of a parquet table, ``part-2`` before ``part-10``; none where it is none."""
    if path.is_file():
        return [path] if path.suffix.lower() in PARQUET_SUFFIXES else []
    parts = [file for file in walk(path) if file.suffix.lower() in PARQUET_SUFFIXES and file.name[0] != "_"]
    return sorted(parts, key=lambda part: [(len(s), s) for s in re.findall("[0-9]+|[^0-9]+", str(part))])


def parquet_columns(path: Path) -> list[str]:
    """Return the names of a table's columns, without pandas' index; those of folders ``name=value`` last."""
    parts = parquet_parts(path)
    schema = _schema_of(parts[0])
    with guard(parts[0], "parquet file"):  # its metadata may be no JSON, or no UTF-8
        index = (schema.pandas_metadata or {}).get("index_columns", [])
    return [*(name for name in schema.names if name not in index), *_folder_columns(parts[0], path)]


def open_parquet(path: Path, kept_whole: Collection[str] = ()) -> Source:
    """Open a table whose columns are read one by one; columns of lists of numbers are spread into columns.

    Parameters
    ----------
    path : Path
        A file, or a folder of parts.
    kept_whole : collection of str
        Columns that are not spread.

    Raises
    ------
    ValueError
        The file is damaged, parts differ in their columns, or lists in their lengths.
    ImportError
        Without the extra ``parquet``.
    """
    require_package("pyarrow", "parquet", f"reading {path}")
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = parquet_parts(path)
    schemas = [_schema_of(part) for part in parts]
    for part, schema in zip(parts, schemas, strict=True):
        check(schema.names == schemas[0].names, f"{part} has other columns than {parts[0]}")
    types = dict(zip(schemas[0].names, schemas[0].types, strict=True))
    stored = {name for name, each in types.items() if pa.types.is_integer(each) or pa.types.is_floating(each)}
    columns: list[str] = []
    spread: dict[str, np.ndarray] = {}
    for name in parquet_columns(path):
        lists = None if name in kept_whole or name not in types else _read_lists(parts, name, types[name])
        new = {} if lists is None else {f"{name}[{i}]": cells for i, cells in enumerate(lists.T)}
        columns += [name] if lists is None else new
        spread |= new
    n_rows = sum(pq.read_metadata(part).num_rows for part in parts)
    read = partial(_read_column, path, parts, spread)
    return Source(columns, n_rows, read, frozenset(stored | spread.keys()), frozenset(stored))


def _schema_of(part: Path) -> pa.Schema:
    import pyarrow.parquet as pq

    with guard(part, "parquet file"):
        schema = pq.read_schema(part)
        check(len(schema.names) > 0, "it has no columns")
        return schema


def _folder_columns(part: Path, path: Path) -> dict[str, str]:
    """Return the columns that folders called ``name=value`` make, and their values for a part."""
    folders = part.relative_to(path).parts[:-1] if part != path else ()
    return dict(folder.split("=", 1) for folder in folders if "=" in folder)


def _read_lists(parts: Sequence[Path], name: str, type: pa.DataType) -> np.ndarray | None:
    """Return a column of lists of numbers (n, d); None where it holds none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    value = type
    while pa.types.is_list(value) or pa.types.is_large_list(value) or pa.types.is_fixed_size_list(value):
        value = value.value_type
    if value == type or not (pa.types.is_integer(value) or pa.types.is_floating(value)):
        return None
    rows = []
    for part in parts:
        with guard(part, "parquet file"):
            rows.append(nested_arrays(pq.read_table(part, columns=[name]).column(name), name))
    shapes = {each.shape[1:] for each in rows}
    check(len(shapes) == 1, f"lists of column {name!r} differ in length between the parts of the table")
    joined = np.concatenate(rows)
    return joined.reshape(len(joined), -1)


def _read_column(path: Path, parts: Sequence[Path], spread: dict[str, np.ndarray], name: str) -> pd.Series:
    import pandas as pd

    if name in spread:
        return pd.Series(spread[name])
    cells = [_read_part(path, part, name) for part in parts]
    return pd.concat(cells, ignore_index=True)


def _read_part(path: Path, part: Path, name: str) -> pd.Series:
    import pandas as pd
    import pyarrow.parquet as pq

    value = _folder_columns(part, path).get(name)
    with guard(part, "parquet file"):
        if value is not None:
            return pd.Series([value] * pq.read_metadata(part).num_rows, dtype=object)
        return pd.read_parquet(part, engine="pyarrow", columns=[name], partitioning=None).iloc[:, 0]


def to_plain_file(path: Path, features: tuple[str, ...], shape: tuple[int, int]) -> LazyArray:
    """Write a table of numbers, batch by batch, to a temporary file from which single rows can be read.

    The file is removed with its last reader; on Linux it has no name, so that none is left by a process that
    is killed. In the parquet file itself a row can only be read by unpacking the thousands around it.
    """
    file, name = _temporary_file()
    reader = FileReader(name, 0, 8 * shape[1], shape[1:], np.dtype(np.float64))
    weakref.finalize(reader, _close, file, name, os.getpid())
    try:
        for rows in _row_batches(path, features):
            file.write(rows.tobytes())
        file.flush()
    except OSError as error:
        need = f"{error.strerror}: the rows of {path} take {8e-9 * math.prod(shape):.1f} GB there; set TMPDIR"
        raise OSError(error.errno, need, tempfile.gettempdir()) from error
    return LazyArray(shape, reader.dtype, reader, features)


def _row_batches(path: Path, features: tuple[str, ...]) -> Iterator[np.ndarray]:
    """Yield the rows of a parquet file of numbers, some thousands at a time."""
    import pyarrow.parquet as pq

    size = max(1, CHUNK_BYTES // (8 * len(features)))
    for part in parquet_parts(path):
        with guard(part, "parquet file"):
            table = pq.ParquetFile(part, pre_buffer=False)
            for batch in table.iter_batches(size, columns=list(features), use_threads=False):
                columns = [batch.column(name).to_numpy(zero_copy_only=False) for name in features]
                yield np.column_stack(columns).astype(np.float64)


def _temporary_file() -> tuple[IO[bytes], str]:
    """Open a temporary file, on Linux one without a name; return it and a path for worker processes too."""
    if os.path.isdir("/proc/self/fd"):
        file = tempfile.TemporaryFile()  # noqa: SIM115
        return file, f"/proc/{os.getpid()}/fd/{file.fileno()}"
    file = tempfile.NamedTemporaryFile(prefix="ssavae-", suffix=".rows", delete=False)  # noqa: SIM115
    return file, file.name


def _close(file: IO[bytes], path: str, pid: int) -> None:
    """Close and remove a temporary file; worker processes hold a copy of the reader."""
    if os.getpid() == pid:
        file.close()
        if not path.startswith("/proc/"):
            Path(path).unlink(missing_ok=True)
