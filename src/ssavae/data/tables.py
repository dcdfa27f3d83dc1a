"""Tables: .csv and .parquet files with named columns, one of which may hold labels, another groups."""

from __future__ import annotations

import csv
import math
import os
import re
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np

from ssavae._checks import check, nearest, require_package
from ssavae.data.labelled import LabelledData, Reading
from ssavae.preprocessing.columns import MISSING_MARKS, MOST_CATEGORIES
from ssavae.preprocessing.labels import parse_labels
from ssavae.preprocessing.lazy import CHUNK_BYTES, RESIDENT_BYTES, FileReader, LazyArray

if TYPE_CHECKING:
    import pandas as pd

REMEDY = "correct it, leave it out (--drop), or give it as label or group"
NO_CATEGORY = {
    "numbers with decimal commas": r"[+-]?[0-9]{1,3}(\.?[0-9]{3})*,[0-9]+|[+-]?[0-9]+,[0-9]+",
    "dates": r"([0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2,4})([T ].*)?",
}
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}  # that other programs write instead of commas


def read_table(path: Path, reading: Reading) -> LabelledData:
    """Read a .csv or .parquet file.

    Columns of numbers become float64 with NaN where a cell is empty, columns of text or booleans objects with
    None. The rows of a large .parquet file of numbers stay in a temporary file.

    Raises
    ------
    ValueError
        The file is damaged, a column is missing, a cell holds text among numbers, or texts are no categories.
    ImportError
        A .parquet file without pyarrow.
    """
    source = _open_csv(path, reading.columns) if path.suffix.lower() == ".csv" else _open_parquet(path)
    _check_columns(path, source, reading)
    features = tuple(column for column in source.columns if column not in reading.columns)
    if not features:
        raise ValueError(f"{path} has no column beside {' and '.join(map(repr, reading.columns))}")
    shape = (source.n_rows, len(features))
    if source.numeric.issuperset(features) and 4 * math.prod(shape) > RESIDENT_BYTES:
        x = _to_plain_file(path, features, shape)
    else:
        x = _read_frame(path, source, features)
    label = reading.label
    group = reading.group
    return LabelledData(
        path.stem,
        x,
        None if label is None else parse_labels(_texts(source.read(label))),
        feature_names=features,
        kind="table",
        groups=None if group is None else _parse_groups(path, _texts(source.read(group)), group),
        source=str(path),
    )


class _Source(NamedTuple):
    """An open file whose columns can be read."""

    columns: list[str]
    n_rows: int
    read: Callable[[str], pd.Series]
    numeric: frozenset[str] = frozenset()  # columns that hold numbers alone, as the file says


def _read_frame(path: Path, source: _Source, features: Sequence[str]) -> pd.DataFrame:
    """Read columns one by one; a table of numbers alone is one array (n, d) in memory."""
    import pandas as pd

    numbers = np.empty((source.n_rows, len(features)))
    categories: dict[int, np.ndarray] = {}
    for i, name in enumerate(features):
        cells = _parse_column(path, source, name)
        if cells.dtype.kind == "O":
            categories[i] = cells
        else:
            numbers[:, i] = cells
    frame = pd.DataFrame(numbers, columns=list(features), copy=False)
    for i, cells in categories.items():
        frame.isetitem(i, pd.Series(cells, dtype=object))
    return frame


def _check_columns(path: Path, source: _Source, reading: Reading) -> None:
    columns = source.columns
    for name in reading.columns:
        if name not in columns:
            more = f" and {len(columns) - 30} more" if len(columns) > 30 else ""
            there_are = ", ".join(columns[:30]) + more
            raise ValueError(
                f"{path} has no column {name!r}{nearest(name, columns)}; its columns are {there_are}"
            )
    check(source.n_rows > 0, f"{path} has a header but no rows")
    if len(set(reading.columns)) < len(reading.columns):
        raise ValueError(f"{path}: column {reading.columns[0]!r} cannot be label and group at once")


# --------------------------------------------------------------------------------------------- csv


def _open_csv(path: Path, text_columns: Sequence[str]) -> _Source:
    frame = _read_csv(path, text_columns)
    return _Source([str(column) for column in frame.columns], len(frame), frame.__getitem__)


def _read_csv(path: Path, text_columns: Sequence[str]) -> pd.DataFrame:
    """Read a file, some columns as the text that is written there."""
    import pandas as pd

    # A mark before each such cell keeps it as written: a class may well be called "NA" or "None".
    converters = dict.fromkeys(text_columns, "={}".format)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                path,
                converters=converters,  # pyright: ignore[reportArgumentType]
                index_col=False,
                low_memory=False,
                keep_default_na=False,
                na_values=sorted(MISSING_MARKS),
            )
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{path} is empty: a header and at least one row are wanted") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {_undecodable_byte(path)}; save it as UTF-8") from error
    except (ValueError, pd.errors.ParserWarning) as error:
        raise ValueError(f"{path} is not a readable csv: {error}") from error
    if len(frame) and frame.iloc[:, -1].isna().any():
        _refuse_short_rows(path, len(frame.columns))
    header = str(frame.columns[0])
    separator = next((name for sign, name in SEPARATORS.items() if sign in header), None)
    if len(frame.columns) == 1 and separator is not None:
        raise ValueError(
            f"{path} has its cells separated by {separator}: wanted are commas, and decimal points"
        )
    for column in converters.keys() & set(frame.columns):
        frame[column] = [str(cell).removeprefix("=") for cell in frame[column]]
    return frame


def _undecodable_byte(path: Path) -> str:
    """Say where a file stops being UTF-8."""
    for i, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            column = line[: error.start].count(b",") + 1
            return f"row {i}, column {column}, byte {line[error.start]:#x}"
    return "its end"


def _refuse_short_rows(path: Path, n_columns: int) -> None:
    """Raise ValueError for a row with too few cells, which pandas fills up as if they were missing."""
    with path.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.reader(lines)
        for row in reader:
            if row and len(row) < n_columns:
                raise ValueError(
                    f"{path}: row {reader.line_num} has {len(row)} cells, the header {n_columns}: "
                    "an empty cell needs its comma"
                )


# ----------------------------------------------------------------------------------------- parquet


def _open_parquet(path: Path) -> _Source:
    """Open a file whose columns are read one by one: all at once took 5.7 times the memory of the rows."""
    require_package("pyarrow", "parquet", f"reading {path}")
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _parquet_errors(path):
        schema = pq.read_schema(path)
        n_rows = pq.read_metadata(path).num_rows
    types = zip(schema.names, schema.types, strict=True)
    numeric = frozenset(
        name for name, each in types if pa.types.is_integer(each) or pa.types.is_floating(each)
    )
    return _Source(parquet_columns(path), n_rows, partial(_read_parquet_column, path), numeric)


def parquet_columns(path: Path) -> list[str]:
    """Return the names of a parquet file's columns, without pandas' index."""
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    return [name for name in schema.names if name not in index]


def _read_parquet_column(path: Path, name: str) -> pd.Series:
    import pandas as pd

    with _parquet_errors(path):
        return pd.read_parquet(path, engine="pyarrow", columns=[name])[name]


@contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} is not a readable parquet file: {error}") from error


def _to_plain_file(path: Path, features: tuple[str, ...], shape: tuple[int, int]) -> LazyArray:
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

    with _parquet_errors(path):
        table = pq.ParquetFile(path, pre_buffer=False)
        size = max(1, CHUNK_BYTES // (8 * len(features)))
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


# ----------------------------------------------------------------------------------------- columns


def _texts(cells: pd.Series) -> list[str]:
    """Return the cells of a column as text, empty where they are missing."""
    import pandas as pd

    return ["" if pd.isna(cell) else str(cell) for cell in cells.astype(object)]


def _parse_groups(path: Path, texts: Sequence[str], column: str) -> np.ndarray:
    groups = np.array([text.strip() for text in texts])
    if (groups == "").any():
        row = int(np.argmax(groups == "")) + 1
        raise ValueError(f"{path}: column {column!r} is empty in data row {row}: every row needs a group")
    return groups


def _parse_column(path: Path, source: _Source, name: str) -> np.ndarray:
    """Return a column (n,): float64 with NaN for missing values, or categories as objects with None."""
    import pandas as pd

    cells = source.read(name)
    if all(isinstance(cell, bool | np.bool_) for cell in cells.dropna().head(MOST_CATEGORIES)):
        booleans = np.array(cells.astype(object), dtype=object)
        booleans[np.asarray(cells.isna())] = None
        return booleans
    if not pd.api.types.is_numeric_dtype(cells):
        # as objects, since dates would count as numbers: nanoseconds
        values = [None if isinstance(cell, str) and not cell.strip() else cell for cell in cells]
        cells = pd.Series(values, dtype=object)
    numbers = pd.Series(pd.to_numeric(cells, errors="coerce"))
    is_text = np.asarray(numbers.isna() & cells.notna())
    if not is_text.any():
        return np.asarray(numbers.astype("float64"))
    if 2 * is_text.sum() > cells.notna().sum():
        return _parse_categories(path, source, cells, name)
    text = str(cells.iloc[is_text.argmax()])
    row = _row_number(path, source, name, is_text.argmax())
    raise ValueError(f"{path}: column {name!r} holds text in row {row} among numbers: {text!r}; {REMEDY}")


def _parse_categories(path: Path, source: _Source, cells: pd.Series, name: str) -> np.ndarray:
    """Return a column of text as objects, None where it is empty; refuse what is no category."""
    texts = [text.strip() for text in _texts(cells)]
    known = [text for text in texts if text]
    for content, pattern in NO_CATEGORY.items():
        if all(re.fullmatch(pattern, text) for text in known):
            first = np.flatnonzero(texts)[0]
            position = f"in row {_row_number(path, source, name, first)} {str(cells.iloc[first])!r}"
            raise ValueError(f"{path}: column {name!r} holds {content}, {position}; {REMEDY}")
    n_different = len(set(known))
    if n_different > min(MOST_CATEGORIES, max(20, len(known) // 2)):
        raise ValueError(
            f"{path}: column {name!r} holds {n_different} different texts in {len(known)} rows, "
            f"the first {known[0]!r}: names are no categories; {REMEDY}"
        )
    return np.array([text or None for text in texts], dtype=object)


def _row_number(path: Path, source: _Source, name: str, index: np.integer) -> int:
    """Return the number of a row, counted from 1; the header is row 1 of a csv, and blank lines count."""
    if path.suffix.lower() != ".csv":
        return int(index) + 1
    column = source.columns.index(name)
    text = str(source.read(name).iloc[index])
    with path.open(newline="", encoding="utf-8") as lines:
        reader = csv.reader(lines)
        next(row for row in reader if row)
        return next((reader.line_num for row in reader if row[column : column + 1] == [text]), 0)
