"""Files dropped on the map -> rows: PNG, csv and npy, none of which can cost more than it should."""

from __future__ import annotations

import csv
import io
import math
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ssavae.app.explorer.errors import Problem
from ssavae.app.explorer.row_format import RowFormat, read_cell
from ssavae.app.explorer.security import IMAGE_PIXELS, LANDED_ROWS
from ssavae.preprocessing.columns import Column

PNG, CSV, NPY = "image/png", "text/csv", "application/x-npy"
MEDIA_TYPES = (PNG, CSV, NPY)
PNG_START, NPY_START = b"\x89PNG\r\n\x1a\n", b"\x93NUMPY"
GAPS = ("", "na", "nan", "null", "none")


def read_file(content: bytes, media_type: str, format: RowFormat) -> tuple[Any, list[str]]:
    """Return the rows of a file as the model takes them, and their names.

    Raises
    ------
    Problem
        If the file is damaged, too large, or holds other rows than the model's.
    """
    if media_type == PNG:
        return read_png(content, format), ["image"]
    rows = read_csv(content, format) if media_type == CSV else read_npy(content, format)
    return rows, [f"row {i + 1}" for i in range(len(rows))]


# -------------------------------------------------------------------------------------------- PNG


def read_png(content: bytes, format: RowFormat) -> np.ndarray:
    """Return a picture as a row of the model, (1, H, W[, C]): in its size, channels and units."""
    shape = format.preprocess.row_shape
    if format.preprocess.kind != "image" or (len(shape) > 2 and shape[2] not in (1, 3)):
        raise Problem(422, f"a picture is no row of this model: its rows are {_described(format)}")
    _check_header(content)
    gray = len(shape) < 3 or shape[2] == 1
    pixels = _decoded(content, "L" if gray else "RGB", shape[:2])
    low, scale = format.preprocess.low[0], format.preprocess.scale[0]
    return (pixels.reshape(1, *shape) * scale + low).astype(format.preprocess.dtype)


def _check_header(content: bytes) -> None:
    if not content.startswith(PNG_START) or content[12:16] != b"IHDR" or len(content) < 33:
        raise Problem(422, "the body is no PNG")
    width, height = struct.unpack(">II", content[16:24])
    if width * height > IMAGE_PIXELS:
        raise Problem(
            413, f"the picture has {width:,} x {height:,} pixels: at most {IMAGE_PIXELS:,} are read"
        )


def _decoded(content: bytes, mode: str, shape: Sequence[int]) -> np.ndarray:
    """Return the pixels in [0, 1], in another mode and shape (H, W) where that is wanted."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.mode[0] in "IF":  # 16 bits of gray, which convert() would clip
                image = Image.fromarray((np.asarray(image) / 257).round().clip(0, 255).astype(np.uint8))
            picture = image.convert(mode)
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ):
        raise Problem(422, "the PNG is damaged") from None
    height, width = shape
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(picture, dtype=np.float64) / 255


# -------------------------------------------------------------------------------------------- npy


def read_npy(content: bytes, format: RowFormat) -> Any:
    """Return the rows of an .npy: one, or several along the first axis."""
    array = _plain_array(content)
    shape = format.preprocess.row_shape
    if array.shape == shape:
        array = array[None]
    if array.shape[1:] != shape or len(array) == 0:
        raise Problem(
            422, f"the array has shape {list(array.shape)}: the model's rows are {_described(format)}"
        )
    _check_count(len(array))
    if format.preprocess.kind != "table":
        if not np.isfinite(array).all():
            raise Problem(422, "the array holds NaN or infinity")
        return array.astype(np.float64)
    if any(column.kind == "category" for _, column in format.columns):
        raise Problem(422, "the model's rows have columns of text, which an array cannot hold: send a csv")
    cells = [[None if math.isnan(v) else v for v in row] for row in array.astype(np.float64).tolist()]
    return format.table_of([_row_of(row, format, i) for i, row in enumerate(cells)])


def _row_of(cells: list[Any], format: RowFormat, i: int) -> list[Any]:
    pairs = zip(cells, format.columns, strict=True)
    return [read_cell(cell, column, f"row {i + 1}, column {name!r}") for cell, (name, column) in pairs]


def _plain_array(content: bytes) -> np.ndarray:
    """Read numbers alone, after comparing what the header promises with what is there."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran_order, dtype = read[version](stream)
    except Exception:  # the header is Python text: numpy passes on whatever Python's own parser raises
        raise Problem(422, "the body is no .npy of numbers") from None
    if dtype.kind not in "buif" or dtype.hasobject:
        raise Problem(422, f"the array holds {dtype.name}, not plain numbers")
    data = content[stream.tell() :]
    if len(data) != math.prod(shape) * dtype.itemsize or min(shape, default=1) < 0:
        raise Problem(
            422, f"the .npy promises shape {list(shape)} of {dtype.name}, and holds {len(data)} bytes"
        )
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")


# -------------------------------------------------------------------------------------------- csv


def read_csv(content: bytes, format: RowFormat) -> Any:
    """Return the rows of a csv: with the columns of a table (others are passed over), or plain numbers."""
    lines = _lines(content)
    if format.preprocess.kind != "table":
        return _arrays(lines, format)
    header, names = lines[0], format.preprocess.names
    if not format.named and not set(names) <= set(header):
        header, lines = list(names), [[], *lines]  # the model knows its columns by number only
    format.check_columns(header, "row 1 of the csv", more_allowed=True)
    if len(lines) == 1:
        raise Problem(422, "the csv has a header but no rows")
    _check_count(len(lines) - 1)
    at = [header.index(name) for name in names]
    cells = []
    for i, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise Problem(422, f"row {i} of the csv has {len(line)} cells, the header {len(header)}")
        told = [(line[j], name, column) for j, (name, column) in zip(at, format.columns, strict=True)]
        cells.append([read_cell(_cell(text, c, f"row {i}, column {n!r}"), c, n) for text, n, c in told])
    return format.table_of(cells)


def _lines(content: bytes) -> list[list[str]]:
    """Return the cells of a csv, blank lines left out; more lines than can be rows are not read."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem(
            422, f"the csv is not UTF-8: byte {error.start} is {content[error.start]:#04x}"
        ) from None
    found, most = [], 20 * LANDED_ROWS + 1_000_000
    try:
        for line in csv.reader(io.StringIO(text), strict=True):
            if line:
                found.append([cell.strip() for cell in line])
            if len(found) > most:
                break
    except csv.Error as error:
        raise Problem(422, f"the body is no readable csv: {error}") from None
    if not found:
        raise Problem(422, "the csv is empty")
    return found


def _cell(text: str, column: Column, place: str) -> Any:
    if text.lower() in GAPS and text not in column.categories:
        return None
    if column.kind == "category":
        return text
    try:
        value = float(text)
    except ValueError:
        raise Problem(422, f"{place}: {text[:40]!r} is no number") from None
    if not math.isfinite(value):
        raise Problem(422, f"{place}: {text[:40]!r} is not finite")
    return value


def _arrays(lines: list[list[str]], format: RowFormat) -> np.ndarray:
    """Return images or signals: one as it is, (T, C) or (H, W), or one a line, below a header or not."""
    shape = format.preprocess.row_shape
    numbers = [_numbers(line, i) for i, line in enumerate(lines, start=1) if i > 1 or _is_numeric(line)]
    if len({len(line) for line in numbers}) > 1 or not numbers:
        raise Problem(422, "the rows of the csv have different numbers of cells, or there are none")
    array = np.array(numbers)
    if array.shape == shape or array.shape == (shape[0], 1) == (*shape, 1):
        return array.reshape(1, *shape)
    if array.shape[1] != math.prod(shape):
        found = f"{array.shape[0]} rows of {array.shape[1]} numbers"
        raise Problem(422, f"the csv has {found}: the model's rows are {_described(format)}")
    _check_count(len(array))
    return array.reshape(-1, *shape)


def _is_numeric(line: list[str]) -> bool:
    try:
        return all(math.isfinite(float(cell)) for cell in line)
    except ValueError:
        return False


def _numbers(line: list[str], row: int) -> list[float]:
    if not _is_numeric(line):
        raise Problem(422, f"row {row} of the csv holds what is no finite number")
    return [float(cell) for cell in line]


def _check_count(n: int) -> None:
    if n > LANDED_ROWS:
        raise Problem(422, f"the file has {n} rows: at most {LANDED_ROWS} are read")


def _described(format: RowFormat) -> str:
    shape = " x ".join(map(str, format.preprocess.row_shape))
    what = {"table": "columns of a table", "image": "pixels", "signal": "samples of a signal"}
    return f"{shape} {what[format.preprocess.kind]}"
