"""Tables: files with named columns, one of which may hold labels, another groups."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ssavae._checks import check, nearest
from ssavae.data.files.delimited import (
    TEXT_SUFFIXES,
    Dialect,
    columns_left_out,
    line_of,
    read_delimited,
    say_what_was_sniffed,
    sniff,
    table_name,
    table_suffix,
)
from ssavae.data.files.parquet import open_parquet, parquet_columns, parquet_parts, to_plain_file
from ssavae.data.files.source import Source
from ssavae.data.labelled import LabelledData, Reading
from ssavae.preprocessing.columns import MOST_CATEGORIES, NUMBER_PATTERN
from ssavae.preprocessing.labels import INTEGER_PATTERN, parse_labels
from ssavae.preprocessing.lazy import RESIDENT_BYTES

if TYPE_CHECKING:
    import pandas as pd

REMEDY = "correct it, leave it out (--drop), or give it as label or group"
NO_CATEGORY = {
    "numbers with decimal commas (--decimal ,)": r"[+-]?[0-9]{1,3}(\.?[0-9]{3})*,[0-9]+|[+-]?[0-9]+,[0-9]+",
    "dates": r"([0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2,4})([T ].*)?",
    "numbers with thousands separators": r"[+-]?[0-9]{1,3}([,'’\s][0-9]{3})+(\.[0-9]+)?",
    "numbers with a percent sign": r"[+-]?[0-9.,]+\s*%",
    "amounts with a currency sign": r"[+-]?\s*[$€£¥]\s*[+-]?[0-9.,]+|[+-]?[0-9.,]+\s*[$€£¥]",
    "numbers whose minus sign is no hyphen": r"[−–][0-9.]+",
    "lists (which a .parquet file can hold)": r"(?s)\[.*\]",
}
MOST_QUANTITIES = 20  # different numbers with decimals that may yet be classes
MOST_INTEGERS = 200  # different integers that may yet be classes, each with few rows:
ROWS_EACH = 20


class RefusedColumnError(ValueError):
    """A column that can be no input of the model, and why."""


def is_table(path: Path) -> bool:
    """Say whether a path is a table: a text table, a .parquet file or a folder of such files."""
    return (path.is_file() and table_suffix(path) in TEXT_SUFFIXES) or bool(parquet_parts(path))


def table_columns(path: Path, reading: Reading) -> list[str]:
    """Return the names of a table's columns."""
    if table_suffix(path) not in TEXT_SUFFIXES:
        return parquet_columns(path)
    return _columns_of(sniff(path, reading), reading)


def _columns_of(dialect: Dialect, reading: Reading) -> list[str]:
    return [str(i) if reading.no_header else name.strip() for i, name in enumerate(dialect.header)]


def read_table(path: Path, reading: Reading) -> LabelledData:
    """Read a .csv or .tsv, compressed or not, a .parquet file, or a folder of .parquet files.

    Columns of numbers become float64 with NaN where a cell is empty, columns of text or booleans objects with
    None, columns of lists of numbers a column for each place in the list. The rows of a large .parquet file
    of numbers stay in a temporary file.

    Raises
    ------
    ValueError
        The file is damaged, a column is missing, a cell holds text among numbers, or texts are no categories.
    ImportError
        A .parquet file without pyarrow.
    """
    is_text = table_suffix(path) in TEXT_SUFFIXES
    source = _open_text_table(path, reading) if is_text else open_parquet(path, reading.columns)
    check_columns(path, source.columns, reading.columns)
    check(source.n_rows > 0, f"{path} has a header but no rows")
    excluded = set(reading.columns)
    features = tuple(column for column in source.columns if column not in excluded)
    if not features:
        raise ValueError(f"{path} has no column beside {' and '.join(map(repr, reading.columns))}")
    shape = (source.n_rows, len(features))
    if source.stored.issuperset(features) and 4 * math.prod(shape) > RESIDENT_BYTES:
        x = to_plain_file(path, features, shape)
    else:
        x = _read_frame(path, source, features)
    label = reading.label
    group = reading.group
    return LabelledData(
        table_name(path),
        x,
        None if label is None else _parse_labels(path, _texts(source.read(label)), label),
        feature_names=features,
        kind="table",
        groups=None if group is None else _parse_groups(path, _texts(source.read(group)), group),
        source=str(path),
    )


def _open_text_table(path: Path, reading: Reading) -> Source:
    dialect = sniff(path, reading)
    say_what_was_sniffed(path, dialect, reading)
    frame = read_delimited(path, dialect, reading)
    left_out = set() if reading.no_header else columns_left_out(path, frame, dialect)
    columns = [name for name in frame.columns if name not in left_out]
    numeric = {name for name, dtype in frame.dtypes.items() if dtype.kind in "iuf"}
    row_number = partial(_row_number, path, dialect, frame.columns.tolist())
    return Source(columns, len(frame), partial(_column, frame), frozenset(numeric), row_number=row_number)


def _column(frame: pd.DataFrame, name: str) -> pd.Series:
    return frame[name]  # pyright: ignore[reportReturnType]


def _row_number(path: Path, dialect: Dialect, columns: list[str], name: str, index: int, text: str) -> int:
    """Return the line of a cell, for an error."""
    return line_of(path, dialect, columns.index(name), text)


def _read_frame(path: Path, source: Source, features: Sequence[str]) -> pd.DataFrame:
    """Read columns one by one; a table of numbers alone is one array (n, d) in memory."""
    import pandas as pd

    numbers = np.empty((source.n_rows, len(features)))
    categories: dict[int, np.ndarray] = {}
    refused: dict[str, str] = {}
    for i, name in enumerate(features):
        try:
            cells = source.read(name) if name in source.numeric else _parse_column(source, name)
        except RefusedColumnError as error:
            refused[name] = str(error)
            continue
        if cells.dtype == object:
            categories[i] = np.asarray(cells)
        else:
            numbers[:, i] = pd.Series(cells).to_numpy(np.float64, na_value=np.nan)
    if refused:
        raise ValueError(f"{path}: {_refusal(refused)}")
    frame = pd.DataFrame(numbers, columns=list(features), copy=False)
    for i, cells in categories.items():
        frame.isetitem(i, pd.Series(cells, dtype=object))
    return frame


def _refusal(refused: dict[str, str]) -> str:
    """Return one message for all columns that can be no input."""
    reasons = [f"column {name!r} {reason}" for name, reason in refused.items()]
    if len(reasons) == 1:
        return f"{reasons[0]}; {REMEDY}"
    more = f"; and {len(reasons) - 10} more" if len(reasons) > 10 else ""
    options = " ".join(f"--drop {shlex.quote(name)}" for name in refused)
    return f"{'; '.join(reasons[:10])}{more}; leave them out with {options}"


def check_columns(path: Path, columns: Sequence[str], named: Sequence[str]) -> None:
    """Raise ValueError for a column that is named but not there, or named twice."""
    for name in named:
        if name not in columns:
            more = f" and {len(columns) - 30} more" if len(columns) > 30 else ""
            there_are = ", ".join(columns[:30]) + more
            raise ValueError(
                f"{path} has no column {name!r}{nearest(name, columns)}; its columns are {there_are}"
            )
    if len(set(named)) < len(named):
        raise ValueError(f"{path}: column {named[0]!r} cannot be label and group at once")


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


def _parse_labels(path: Path, texts: Sequence[str], column: str) -> np.ndarray:
    """Return the labels of a column; refuse one that holds quantities or names."""
    labels = parse_labels(texts)
    known = [text for text, label in zip(texts, labels.tolist(), strict=True) if label not in (None, -1)]
    n_different = len(set(known))
    is_number = labels.dtype == object and all(NUMBER_PATTERN.fullmatch(text.strip()) for text in known)
    is_quantity = is_number and not all(INTEGER_PATTERN.fullmatch(text.strip()) for text in known)
    is_name = n_different == len(known) or (len(known) >= 100 and 2 * n_different > len(known))
    is_count = labels.dtype != object and n_different > MOST_INTEGERS and len(known) < ROWS_EACH * n_different
    if 2 * len(known) > len(texts) and n_different > MOST_QUANTITIES and (is_quantity or is_name or is_count):
        raise ValueError(
            f"{path}: label {column!r} has {n_different} different values in {len(known)} rows, the first "
            f"{known[0]!r}: a class needs several rows. If it is a quantity, make classes of its ranges or "
            f"leave the label out; if these are classes, write them as words, as '{column} {known[0]}'"
        )
    return labels


def _parse_column(source: Source, name: str) -> np.ndarray:
    """Return a column (n,): float64 with NaN for missing values, or categories as objects with None."""
    import pandas as pd

    cells = source.read(name)
    known = cells.dropna()
    if all(isinstance(cell, bool | np.bool_) for cell in known.head(MOST_CATEGORIES)):
        booleans = np.array(cells.astype(object), dtype=object)
        booleans[np.asarray(cells.isna())] = None
        return booleans
    if not pd.api.types.is_numeric_dtype(cells):
        _refuse_objects(known)
        # as objects, since dates would count as numbers: nanoseconds
        values = [None if isinstance(cell, str) and not cell.strip() else cell for cell in cells]
        cells = pd.Series(values, dtype=object)
    numbers = pd.Series(pd.to_numeric(cells, errors="coerce"))
    is_text = np.asarray(numbers.isna() & cells.notna())
    if not is_text.any():
        return np.asarray(numbers.astype("float64"))
    if 2 * is_text.sum() > cells.notna().sum():
        return _parse_categories(source, cells, name)
    first = int(is_text.argmax())
    text = str(cells.iloc[first])
    row = source.row_number(name, first, text)
    raise RefusedColumnError(f"holds text in row {row} among numbers: {text!r}")


def _refuse_objects(known: pd.Series) -> None:
    """Raise an error for cells that are neither numbers, text nor dates: bytes, lists, records."""
    for cell in known.head(MOST_CATEGORIES):
        if isinstance(cell, bytes | bytearray | memoryview):
            raise RefusedColumnError("holds binary data")
        if isinstance(cell, np.ndarray | list | tuple | dict | set):
            raise RefusedColumnError(f"holds no single values, but for example a {type(cell).__name__}")


def _parse_categories(source: Source, cells: pd.Series, name: str) -> np.ndarray:
    """Return a column of text as objects, None where it is empty; refuse what is no category."""
    texts = [text.strip() for text in _texts(cells)]
    known = [text for text in texts if text]
    words = [i for i, text in enumerate(texts) if text and not NUMBER_PATTERN.fullmatch(text)]
    for content, pattern in NO_CATEGORY.items():
        if words and all(re.fullmatch(pattern, texts[i]) for i in words):
            first = words[0]
            text = str(cells.iloc[first])
            row = source.row_number(name, first, text)
            raise RefusedColumnError(f"holds {content}, in row {row} {text[:80]!r}")
    n_different = len(set(known))
    if n_different > min(MOST_CATEGORIES, max(20, len(known) // 2)):
        raise RefusedColumnError(
            f"holds {n_different} different texts in {len(known)} rows, the first {known[0][:80]!r}: "
            "names are no categories"
        )
    return np.array([text or None for text in texts], dtype=object)
