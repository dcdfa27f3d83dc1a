"""Tables: .csv and .parquet -> numbers, labels and groups, with one clear error where a cell is neither."""

from __future__ import annotations

import csv
import math
import os
import re
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ssavae._checks import nearest, require_package
from ssavae.preprocessing.columns import MOST_CATEGORIES
from ssavae.preprocessing.lazy import CHUNK_BYTES, RESIDENT_BYTES, FileReader, LazyArray

if TYPE_CHECKING:
    import pandas as pd

LEAVE = "mend it, leave it out (--drop), or give it as label or group"
NO_CATEGORY = {
    "numbers with decimal commas": r"[+-]?[0-9]{1,3}(\.?[0-9]{3})*,[0-9]+|[+-]?[0-9]+,[0-9]+",
    "dates": r"([0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2,4})([T ].*)?",
}


class Table(NamedTuple):
    """A table as found: unscaled, missing values NaN or None."""

    x_train: np.ndarray | LazyArray  # (n, d), float64; objects where a column holds texts or truth values
    y_train: np.ndarray | None  # (n,), int64 with -1 unlabelled, or str objects with None; None: no labels
    feature_names: tuple[str, ...]
    groups: np.ndarray | None  # (n,), text


def read_table(path: Path, label: str | None, group: str | None, drop: Sequence[str] = ()) -> Table:
    """Read a .csv or .parquet file; the columns ``label``, ``group`` and ``drop`` are no input of the model.

    Raises
    ------
    ValueError
        The file is damaged, a column is missing, a cell holds text among numbers, or texts are no categories.
    ImportError
        A .parquet file without pyarrow.
    """
    named = [*(name for name in (label, group) if name is not None), *drop]
    opened = _open_csv(path, named) if path.suffix.lower() == ".csv" else _open_parquet(path)
    _check_columns(path, opened, named)
    features = tuple(column for column in opened.columns if column not in named)
    if not features:
        raise ValueError(f"{path} has no column beside {' and '.join(map(repr, named))}")
    shape = (opened.n_rows, len(features))
    if opened.numbers.issuperset(features) and 4 * math.prod(shape) > RESIDENT_BYTES:
        x = _streamed(path, features, shape)
    else:
        x = _joined((_cells(path, opened.frame(column), column) for column in features), shape)
    y = None if label is None else _text_labels(_texts(opened.frame(label), label))
    groups = None if group is None else _text_groups(path, _texts(opened.frame(group), group), group)
    return Table(x, y, features, groups)


class _Opened(NamedTuple):
    """A file of which columns can be read."""

    columns: list[str]
    n_rows: int
    frame: Callable[[str], pd.DataFrame]  # that has at least this column
    numbers: frozenset[str] = frozenset()  # columns of which the file says that they hold numbers alone


def _joined(columns: Iterable[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Set columns side by side, each as soon as it is there: as objects from the first that holds objects."""
    x = np.empty(shape)
    for i, column in enumerate(columns):
        x = x.astype(object) if column.dtype.kind == "O" and x.dtype.kind != "O" else x
        x[:, i] = column
    return x


def _open_csv(path: Path, named: Sequence[str]) -> _Opened:
    frame = _read_csv(path, named)
    return _Opened([str(column) for column in frame.columns], len(frame), lambda _: frame)


def _read_csv(path: Path, texts: Sequence[str]) -> pd.DataFrame:
    """Read a table, the columns ``texts`` as they are written."""
    import pandas as pd

    # A mark before each such cell keeps it as written: a class may well be called "NA" or "None".
    converters: dict[Any, Any] = dict.fromkeys(texts, "={}".format)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(path, converters=converters, index_col=False, low_memory=False)
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{path} is empty: a header and at least one row are wanted") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {_not_utf8(path)}; save it as UTF-8") from error
    except (ValueError, pd.errors.ParserWarning) as error:
        raise ValueError(f"{path} is not a readable csv: {error}") from error
    if len(frame) and frame.iloc[:, -1].isna().any():
        _refuse_short_rows(path, len(frame.columns))
    if len(frame.columns) == 1 and (sign := _other_separator(str(frame.columns[0]))):
        raise ValueError(f"{path} has its cells separated by {sign}: wanted are commas, and decimal points")
    for column in converters.keys() & set(frame.columns):
        frame[column] = [str(cell).removeprefix("=") for cell in frame[column]]
    return frame


def _not_utf8(path: Path) -> str:
    """Say where a file stops being UTF-8."""
    for i, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            column = line[: error.start].count(b",") + 1
            return f"row {i}, column {column}, byte {line[error.start]:#x}"
    return "its end"


def _refuse_short_rows(path: Path, n_columns: int) -> None:
    """Refuse a row with too few cells, which pandas fills up as if they were missing."""
    with path.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.reader(lines)
        for row in reader:
            if row and len(row) < n_columns:
                raise ValueError(
                    f"{path}: row {reader.line_num} has {len(row)} cells, the header {n_columns}: "
                    "an empty cell needs its comma"
                )


def _other_separator(header: str) -> str:
    names = {";": "semicolons", "\t": "tabs", "|": "bars"}
    return next((name for sign, name in names.items() if sign in header), "")


def _open_parquet(path: Path) -> _Opened:
    """Open a file whose columns are read one by one: all at once took 5.7 times the memory of the rows."""
    require_package("pyarrow", "parquet", f"reading {path}")
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _parquet_errors(path):
        schema, n_rows = pq.read_schema(path), pq.read_metadata(path).num_rows
    kinds = zip(schema.names, schema.types, strict=True)
    numbers = frozenset(n for n, kind in kinds if pa.types.is_integer(kind) or pa.types.is_floating(kind))
    return _Opened(parquet_columns(path), n_rows, partial(_parquet_column, path), numbers)


def parquet_columns(path: Path) -> list[str]:
    """Return the names of a parquet file's columns, without pandas' index."""
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    return [name for name in schema.names if name not in index]


def _parquet_column(path: Path, name: str) -> pd.DataFrame:
    import pandas as pd

    with _parquet_errors(path):
        return pd.read_parquet(path, engine="pyarrow", columns=[name])


@contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} is not a readable parquet file: {error}") from error


def _streamed(path: Path, features: tuple[str, ...], shape: tuple[int, int]) -> LazyArray:
    """Write a table of numbers, group of rows by group of rows, into a plain file that rows can be read from.

    The file goes when the last one who reads it does. In the parquet file itself a row can only be had by
    unpacking the thousands around it.
    """
    import pyarrow.parquet as pq

    with tempfile.NamedTemporaryFile(prefix="ssavae-", suffix=".rows", delete=False) as file:
        rows = FileReader(file.name, 0, 8 * shape[1], shape[1:], np.dtype(np.float64))
        weakref.finalize(rows, _remove, file.name, os.getpid())
        with _parquet_errors(path):
            table, n = pq.ParquetFile(path, pre_buffer=False), max(1, CHUNK_BYTES // (8 * shape[1]))
            for batch in table.iter_batches(n, columns=list(features), use_threads=False):
                columns = [batch.column(name).to_numpy(zero_copy_only=False) for name in features]
                file.write(np.column_stack(columns).astype(np.float64).tobytes())
    return LazyArray(shape, rows.dtype, rows, features)


def _remove(path: str, pid: int) -> None:
    if os.getpid() == pid:  # worker processes hold a copy of who reads it
        Path(path).unlink(missing_ok=True)


def _check_columns(path: Path, opened: _Opened, wanted: Sequence[str]) -> None:
    columns = opened.columns
    for name in wanted:
        if name not in columns:
            more = f" and {len(columns) - 30} more" if len(columns) > 30 else ""
            shown = ", ".join(columns[:30]) + more
            raise ValueError(
                f"{path} has no column {name!r}{nearest(name, columns)}; its columns are {shown}"
            )
    if opened.n_rows == 0:
        raise ValueError(f"{path} has a header but no rows")
    if len(set(wanted)) < len(wanted):
        raise ValueError(f"{path}: column {wanted[0]!r} cannot be label and group at once")


def _texts(frame: pd.DataFrame, column: str) -> list[str]:
    """Return the cells of a column as text, empty where there is none."""
    import pandas as pd

    return ["" if pd.isna(cell) else str(cell) for cell in frame[column].astype(object)]


def _text_groups(path: Path, cells: Sequence[str], column: str) -> np.ndarray:
    groups = np.array([cell.strip() for cell in cells])
    if (groups == "").any():
        where = int(np.argmax(groups == "")) + 1
        raise ValueError(f"{path}: column {column!r} is empty in data row {where}: every row needs a group")
    return groups


def _text_labels(cells: Sequence[str]) -> np.ndarray:
    """Turn cells into labels, shape (n,): all whole numbers to int64, else to str; empty is unlabelled."""
    stripped = [cell.strip() for cell in cells]
    classes = {cell for cell in stripped if cell.lower() not in ("", "nan")}
    # "3.0" counts as 3: pandas writes integer labels so once one of them is missing.
    if all(re.fullmatch(r"[+-]?[0-9]{1,18}(\.0*)?", cell) for cell in classes):
        numbers = {cell: int(cell.split(".")[0]) for cell in classes}
        return np.array([numbers.get(cell, -1) for cell in stripped], dtype=np.int64)
    one = {cell: cell for cell in classes}  # the same text for all rows of a class, not one each
    return np.array([one.get(cell) for cell in stripped], dtype=object)


def _cells(path: Path, frame: pd.DataFrame, column: str) -> np.ndarray:
    """Return one column, (n,): float64 with NaN where a cell is empty, or categories as objects."""
    import pandas as pd

    cells = frame[column]
    if all(isinstance(cell, bool | np.bool_) for cell in cells.dropna().head(MOST_CATEGORIES)):
        truths = np.array(cells.astype(object), dtype=object)
        truths[np.asarray(cells.isna())] = None
        return truths
    if not pd.api.types.is_numeric_dtype(cells):
        cells = cells.astype(object)  # dates would count as numbers otherwise: nanoseconds
    numbers = pd.Series(pd.to_numeric(cells, errors="coerce"))
    bad = np.flatnonzero(numbers.isna() & cells.notna())
    if len(bad) == 0:
        return np.asarray(numbers.astype("float64"))
    if 2 * len(bad) <= int(cells.notna().sum()):
        row, text = _place(path, frame, column, bad[0])
        raise ValueError(
            f"{path}: column {column!r} holds text in row {row} among numbers: {text!r}; {LEAVE}"
        )
    return _texts_as_categories(path, frame, column)


def _texts_as_categories(path: Path, frame: pd.DataFrame, column: str) -> np.ndarray:
    """Return a column of texts as objects, None where empty; refuse what is no category."""
    cells = np.array([text.strip() or None for text in _texts(frame, column)], dtype=object)
    known = [(i, cell) for i, cell in enumerate(cells.tolist()) if cell is not None]
    for what, pattern in NO_CATEGORY.items():
        if all(re.fullmatch(pattern, cell) for _, cell in known):
            row, text = _place(path, frame, column, known[0][0])
            raise ValueError(f"{path}: column {column!r} holds {what}, in row {row} {text!r}; {LEAVE}")
    different = {cell for _, cell in known}
    if len(different) > min(MOST_CATEGORIES, max(20, len(known) // 2)):
        raise ValueError(
            f"{path}: column {column!r} holds {len(different)} different texts in {len(known)} rows, "
            f"the first {known[0][1]!r}: names are no categories; {LEAVE}"
        )
    return cells


def _place(path: Path, frame: pd.DataFrame, column: str, index: int) -> tuple[int, str]:
    """Return the row as a person counts it, the header being row 1 of a csv, and the cell's text."""
    text = str(frame[column].iloc[index])
    if path.suffix.lower() != ".csv":
        return int(index) + 1, text
    return _csv_row(path, list(frame.columns).index(column), text), text


def _csv_row(path: Path, column: int, text: str) -> int:
    """Find the 1-based row of the file (the header is row 1): blank lines count, though pandas skips them."""
    with path.open(newline="", encoding="utf-8") as lines:
        reader = csv.reader(lines)
        next(row for row in reader if row)
        return next((reader.line_num for row in reader if row[column : column + 1] == [text]), 0)
