"""Text tables (.csv, .tsv, compressed or not): separator, decimal sign and encoding, given or sniffed."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, TextIO

import numpy as np

from ssavae._checks import check
from ssavae.data.files.guards import check_unpacked, guard, unpacked_limit
from ssavae.data.labelled import Reading
from ssavae.preprocessing.columns import MISSING_MARKS, NUMBER_PATTERN

if TYPE_CHECKING:
    import pandas as pd

TEXT_SUFFIXES = (".csv", ".tsv")
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zip")
SEPARATORS = (",", ";", "\t", "|")
SAMPLE_CHARACTERS = 2**16  # of the first lines, from which separator and decimal sign are sniffed
SAMPLE_ROWS = 200
SAMPLE_BYTES = 200  # of the file, from which its encoding is sniffed
DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+(e[+-]?[0-9]+)?", re.IGNORECASE)
THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+")  # "1,234" may be either
DECIMAL_POINT = re.compile(r"[+-]?[0-9]*\.[0-9]+(e[+-]?[0-9]+)?", re.IGNORECASE)
LONG_SCALE = 10  # ascending numbers that are no coincidence: wavelengths, not a first row


class Dialect(NamedTuple):
    """How the cells of a text table are written."""

    sep: str
    decimal: str
    encoding: str
    header: tuple[str, ...]  # cells of the first row


def table_suffix(path: Path) -> str:
    """Return a file's suffix, that of its content where it is compressed.

    >>> table_suffix(Path("a.CSV.gz")), table_suffix(Path("a.gz"))
    ('.csv', '.gz')
    """
    suffix = path.suffix.lower()
    inner = Path(path.stem).suffix.lower()
    return inner if suffix in COMPRESSIONS and inner in TEXT_SUFFIXES else suffix


def table_name(path: Path) -> str:
    """Return a file's name without its suffixes."""
    return path.stem if path.suffix.lower() == table_suffix(path) else Path(path.stem).stem


def sniff(path: Path, reading: Reading) -> Dialect:
    """Return the options of reading a text table, sniffed from its first lines where they are not given.

    Raises
    ------
    ValueError
        The file is empty or not in its encoding, or an option is none.
    """
    _check_options(reading)
    encoding = reading.encoding or _encoding_of(path)
    with open_text(path, encoding) as stream:
        lines = stream.readlines(SAMPLE_CHARACTERS)
    check(any(line.strip() for line in lines), f"{path} is empty: a header and at least one row are wanted")
    sep = reading.sep or separator_of(lines, "\t" if table_suffix(path) == ".tsv" else ",")
    rows = _cells(lines, sep)
    decimal = reading.decimal or _decimal_of(rows[1:], sep)
    return Dialect(sep, decimal, encoding, tuple(rows[0]))


def separator_of(lines: Iterable[str], default: str = ",") -> str:
    """Return the separator that divides every line into as many cells; the most cells where several do.

    Examples
    --------
    >>> separator_of(["a;b", "1,5;2"]), separator_of(["a b", "1"])
    (';', ',')
    """
    lines = list(lines)
    rows = {sep: _cells(lines, sep) for sep in (default, *SEPARATORS)}  # the default first, which wins ties
    widths = {sep: len(each[0]) for sep, each in rows.items() if len({len(row) for row in each}) == 1}
    if max(widths.values(), default=1) == 1:  # rows differ in length: the header has to say it alone
        widths = {sep: len(each[0]) for sep, each in rows.items()}
        widths = {default: widths[default]} if widths[default] > 1 else widths
    return max(widths, key=lambda sep: widths[sep])


def _cells(lines: Iterable[str], sep: str) -> list[list[str]]:
    """Return the cells of the first lines that are not blank."""
    try:
        return list(islice(filter(None, csv.reader(lines, delimiter=sep)), SAMPLE_ROWS))
    except csv.Error:
        return [[""]]


def _decimal_of(rows: Iterable[Sequence[str]], sep: str) -> str:
    """Return the decimal sign of numbers; the comma only where nothing else can be meant."""
    cells = [cell.strip() for row in rows for cell in row]
    numbers = [cell for cell in cells if DECIMAL_COMMA.fullmatch(cell)]
    is_certain = sep != "," and any(not THOUSANDS.fullmatch(cell) for cell in numbers)
    return "," if is_certain and not any(DECIMAL_POINT.fullmatch(cell) for cell in cells) else "."


def _encoding_of(path: Path) -> str:
    """Return the encoding that the first bytes of a file say; UTF-8 where they say nothing."""
    with open_bytes(path) as stream:
        start = stream.read(SAMPLE_BYTES)
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    for encoding, high_bytes in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if 2 * high_bytes.count(0) > len(high_bytes):  # of Latin letters and digits
            return encoding
    return "utf-8-sig"


def _check_options(reading: Reading) -> None:
    sep = reading.sep
    check(sep is None or len(sep) == 1, f"sep={sep!r} must be one character")
    check(reading.decimal in (None, ".", ","), f"decimal={reading.decimal!r} must be '.' or ','")
    check(sep is None or sep != reading.decimal, f"sep and decimal cannot both be {sep!r}")
    try:
        codecs.lookup(reading.encoding or "utf-8")
    except LookupError as error:
        raise ValueError(
            f"encoding={reading.encoding!r} is unknown; common are utf-8, cp1252, latin-1"
        ) from error


def say_what_was_sniffed(path: Path, dialect: Dialect, reading: Reading) -> None:
    """Warn once of what was sniffed and is not what a csv is by default, and of a header of numbers."""
    options = [
        f"--{name} {value!r}"
        for name, value, given, default in (
            ("sep", dialect.sep, reading.sep, "\t" if table_suffix(path) == ".tsv" else ","),
            ("decimal", dialect.decimal, reading.decimal, "."),
            ("encoding", dialect.encoding, reading.encoding, "utf-8-sig"),
        )
        if given is None and value != default
    ]
    if options:
        warnings.warn(f"{path}: read with {' '.join(options)}, as its first lines say", stacklevel=2)
    if not reading.no_header and _is_row(dialect.header):
        warnings.warn(
            f"{path}: its columns are called {', '.join(dialect.header[:5])}: if that is a row, "
            "give --no-header, which numbers the columns from 0",
            stacklevel=2,
        )


def _is_row(header: Sequence[str]) -> bool:
    """Say whether a header looks like a row of numbers, and not like a scale: 0, 1, 2 or wavelengths.

    >>> _is_row(["0.1", "1.1", "0"]), _is_row(["y", "0", "1", "2"]), _is_row(["a", "b"])
    (True, False, False)
    """
    numbers = np.array([float(cell) for cell in map(str.strip, header) if NUMBER_PATTERN.fullmatch(cell)])
    if 2 * len(numbers) < len(header) or len(numbers) == 0:
        return False
    steps = np.diff(numbers)
    counts_up = numbers[0] in (0, 1) and (steps == 1).all()
    return not (counts_up or ((steps > 0).all() and len(numbers) >= LONG_SCALE))


# ------------------------------------------------------------------------------------------- files


@contextmanager
def open_text(path: Path, encoding: str) -> Iterator[TextIO]:
    """Open a text table, unpacked; an error names the place that is not in its encoding."""
    try:
        with open_bytes(path) as stream, io.TextIOWrapper(stream, encoding, newline="") as text:
            yield text
    except UnicodeError as error:
        name = "UTF-8" if encoding == "utf-8-sig" else encoding
        raise ValueError(
            f"{path} is not {name}: {_undecodable_byte(path, encoding)}; "
            "save it as UTF-8, or give its --encoding, often cp1252"
        ) from error


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, unpacked, but no further than ``unpacked_limit``."""
    if path.suffix.lower() not in COMPRESSIONS:
        with path.open("rb") as stream:
            yield stream
        return
    try:
        with _open_packed(path) as packed, io.BufferedReader(_Bounded(path, packed)) as stream:
            yield stream
    except (EOFError, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, zlib.error, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


@contextmanager
def _open_packed(path: Path) -> Iterator[IO[bytes]]:
    suffix = path.suffix.lower()
    if suffix != ".zip":
        module = {".gz": gzip, ".bz2": bz2, ".xz": lzma}[suffix]
        with module.open(path, "rb") as stream:
            yield stream
        return
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if Path(name).suffix.lower() in TEXT_SUFFIXES]
        check(len(names) == 1, f"{path} holds {len(names)} tables: wanted is one")
        with archive.open(names[0]) as stream:
            yield stream


class _Bounded(io.RawIOBase):
    """A stream of unpacked bytes that ends with an error where there are too many of them."""

    def __init__(self, path: Path, stream: IO[bytes]):
        self.path = path
        self.stream = stream
        self.limit = unpacked_limit(path)

    def readable(self) -> bool:
        """Return True, as io.BufferedReader asks."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Fill a buffer; return the number of bytes."""
        content = self.stream.read(len(buffer))
        buffer[: len(content)] = content
        self.limit -= len(content)
        if self.limit < 0:
            with guard(self.path, "compressed table"):
                check_unpacked(self.path, unpacked_limit(self.path) + 1)
        return len(content)


def _undecodable_byte(path: Path, encoding: str) -> str:
    """Say where a file stops being in its encoding."""
    with open_bytes(path) as stream:
        for i, line in enumerate(stream, start=1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                column = line[: error.start].count(b",") + 1
                return f"row {i}, column {column}, byte {line[error.start]:#x}"
    return "its end"


# ------------------------------------------------------------------------------------------- cells


def read_delimited(path: Path, dialect: Dialect, reading: Reading) -> pd.DataFrame:
    """Read a text table: numbers where a column holds no text, columns that are no input as they are written.

    Raises
    ------
    ValueError
        Rows differ in length, or the file is damaged.
    """
    import pandas as pd

    names = [str(i) for i in range(len(dialect.header))] if reading.no_header else list(dialect.header)
    # A mark before each cell keeps these as they are: a class may well be called "NA" or "None".
    as_written = [name for name in names if name.strip() in reading.columns]
    try:
        with open_text(path, dialect.encoding) as text, guard(path, "csv"), warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                text,
                sep=dialect.sep,
                decimal=dialect.decimal,
                names=names if reading.no_header else None,
                header=None if reading.no_header else 0,
                converters=dict.fromkeys(as_written, "={}".format),  # pyright: ignore[reportArgumentType]
                index_col=False,
                low_memory=False,
                keep_default_na=False,
                na_values=sorted(MISSING_MARKS),
            )
    except ValueError:
        _refuse_uneven_rows(path, dialect, len(names))
        raise
    last = frame.iloc[:, -1]
    if (last.isna() | (last == "=")).any():
        _refuse_uneven_rows(path, dialect, len(frame.columns))
    for column in as_written:
        frame[column] = [str(cell).removeprefix("=") for cell in frame[column]]
    frame.columns = frame.columns.map(lambda name: str(name).strip())
    return frame


def columns_left_out(path: Path, frame: pd.DataFrame, dialect: Dialect) -> set[str]:
    """Warn of columns without a name that are an index, as pandas writes one, or have no values."""
    left_out = set()
    for i in (i for i, name in enumerate(dialect.header) if not name.strip()):
        cells = frame.iloc[:, i]
        is_index = i == 0 and cells.dtype.kind == "i" and cells.is_unique
        if is_index or cells.isna().all():
            content = "numbers the rows" if is_index else "no values"
            problem = f"column {i + 1} has no name and {content}"
            warnings.warn(f"{path}: {problem}: it is left out; name it to use it", stacklevel=2)
            left_out.add(frame.columns[i])
    return left_out


def _refuse_uneven_rows(path: Path, dialect: Dialect, n_columns: int) -> None:
    """Raise ValueError for a row with more or fewer cells than the header.

    pandas fills up short rows as if their cells were missing.
    """
    with open_text(path, dialect.encoding) as lines, guard(path, "csv"):
        reader = csv.reader(lines, delimiter=dialect.sep)
        uneven = ((reader.line_num, len(row)) for row in reader if row and len(row) != n_columns)
        number, n_cells = next(uneven, (0, n_columns))
    hint = "an empty cell needs its separator"
    if n_cells > n_columns:
        hint = "a cell that holds the separator needs quotes, and the first line has to be the header"
    check(n_cells == n_columns, f"{path}: row {number} has {n_cells} cells, the header {n_columns}: {hint}")


def line_of(path: Path, dialect: Dialect, column: int, text: str) -> int:
    """Return the number of the line, from 1, in which a cell of a column ends; blank lines count."""
    with open_text(path, dialect.encoding) as lines:
        reader = csv.reader(lines, delimiter=dialect.sep)
        return next((reader.line_num for row in reader if row[column : column + 1] == [text]), 0)
