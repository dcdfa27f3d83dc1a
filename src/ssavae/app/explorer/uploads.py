"""Uploaded files -> rows: PNG, csv and npy, with limits on their size."""

from __future__ import annotations

import csv
import io
import math
import struct

import numpy as np

from ssavae.app.explorer.errors import Problem
from ssavae.app.explorer.limits import AXES, CSV_CELLS, IMAGE_PIXELS, LANDED_ROWS
from ssavae.app.explorer.row_format import LARGEST_NUMBER, ArrayOrFrame, RowFormat, read_cell
from ssavae.preprocessing.columns import Cell, Column
from ssavae.preprocessing.images import open_image, upright_and_opaque

PNG = "image/png"
CSV = "text/csv"
NPY = "application/x-npy"
MEDIA_TYPES = (PNG, CSV, NPY)
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read_file(content: bytes, media_type: str, format: RowFormat) -> tuple[ArrayOrFrame, list[str]]:
    """Return the rows of a file as the model takes them, and their names.

    Raises
    ------
    Problem
        If the file is damaged or too large, or its rows do not fit the model.
    """
    if media_type == PNG:
        return read_png(content, format), ["image"]
    rows = read_csv(content, format) if media_type == CSV else read_npy(content, format)
    return rows, [f"row {i + 1}" for i in range(len(rows))]


# -------------------------------------------------------------------------------------------- PNG


def read_png(content: bytes, format: RowFormat) -> np.ndarray:
    """Return an image as a row of the model, (1, H, W[, C]), converted to its size, channels and units."""
    preprocess = format.preprocess
    shape = preprocess.row_shape
    channels = shape[2] if len(shape) == 3 else 1
    if preprocess.kind != "image" or channels not in (1, 3):
        raise Problem(422, f"the model does not take images: its rows are {_expected_rows(format)}")
    _check_header(content)
    pixels = _decode_png(content, "L" if channels == 1 else "RGB", (shape[1], shape[0]))
    rows = pixels.reshape(1, *shape) * preprocess.scale[0] + preprocess.low[0]
    return rows.astype(preprocess.dtype)


def _check_header(content: bytes) -> None:
    if not content.startswith(PNG_SIGNATURE) or content[12:16] != b"IHDR" or len(content) < 33:
        raise Problem(422, "the body is not a PNG")
    width, height = struct.unpack(">II", content[16:24])
    if width * height > IMAGE_PIXELS:
        raise Problem(413, f"the image has {width:,} x {height:,} pixels: the limit is {IMAGE_PIXELS:,}")


def _decode_png(content: bytes, mode: str, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels in [0, 1], converted to a PIL mode and resized to (W, H)."""
    from PIL import Image

    try:
        with open_image(content, "the body", ("PNG",)) as image:
            if image.mode[0] == "I":  # 16 bits of gray, which convert() would clip
                image = image.convert("I").point([round(value / 257) for value in range(65536)], "L")
            image = upright_and_opaque(image).convert(mode)
    except ValueError:
        raise Problem(422, "the PNG is damaged") from None
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(image, dtype=np.float64) / 255


# -------------------------------------------------------------------------------------------- npy


def read_npy(content: bytes, format: RowFormat) -> ArrayOrFrame:
    """Return the rows of an .npy file: a single row, or several along the first axis."""
    array = _read_array(content)
    shape = format.preprocess.row_shape
    if array.shape == shape:
        array = array[None]
    if array.shape[1:] != shape or len(array) == 0:
        raise Problem(
            422, f"the array has shape {list(array.shape)}: the model's rows are {_expected_rows(format)}"
        )
    _check_count(len(array))
    array = array.astype(np.float64)
    if format.preprocess.kind == "table":
        return _read_cells(array, format)
    if not np.isfinite(array).all():
        raise Problem(422, "the array holds NaN or infinity")
    return array


def _read_cells(array: np.ndarray, format: RowFormat) -> ArrayOrFrame:
    """Return numbers (n, d) as a table; NaN is a missing value."""
    if any(column.kind == "category" for _, column in format.columns):
        raise Problem(422, "the model has columns of text, which an array cannot hold: send a csv")
    rows, columns = np.nonzero(np.abs(array) > LARGEST_NUMBER)
    if len(rows):
        name = format.preprocess.names[columns[0]]
        raise Problem(422, f"row {rows[0] + 1}, column {name!r}: a finite number is wanted")
    return format.to_table(array.tolist())


def _read_array(content: bytes) -> np.ndarray:
    """Read an array of numbers, after checking that the data has the size that the header declares."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran_order, dtype = read[version](stream)
    except Exception:  # the header is a Python literal: any error of Python's parser may come through
        raise Problem(422, "the body is not an .npy file of numbers") from None
    if dtype.kind not in "buif" or dtype.hasobject:
        raise Problem(422, f"the array holds {dtype.name}, not plain numbers")
    data = content[stream.tell() :]
    if len(shape) > AXES:
        raise Problem(422, f"the array has {len(shape)} axes: at most {AXES} are read")
    if len(data) != math.prod(shape) * dtype.itemsize or min(shape, default=1) < 0:
        raise Problem(
            422, f"the .npy declares shape {list(shape)} of {dtype.name}, but has {len(data)} bytes"
        )
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")


# -------------------------------------------------------------------------------------------- csv


def read_csv(content: bytes, format: RowFormat) -> ArrayOrFrame:
    """Return the rows of a csv: the model's columns of a table, others being ignored, or plain numbers."""
    lines = _read_lines(content)
    return _read_table(lines, format) if format.preprocess.kind == "table" else _read_numbers(lines, format)


def _read_lines(content: bytes) -> list[list[str]]:
    """Return the cells of a csv without blank lines."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = content[error.start]
        raise Problem(422, f"the csv is not UTF-8: byte {error.start} is {byte:#04x}") from None
    if content.count(b",") + content.count(b"\n") > CSV_CELLS:
        raise Problem(413, f"the csv has more than {CSV_CELLS:,} cells: send an .npy")
    lines: list[list[str]] = []
    try:
        for line in csv.reader(io.StringIO(text), strict=True):
            if line:
                lines.append(line)
    except csv.Error as error:
        raise Problem(422, f"the body is no readable csv: {error}") from None
    if not lines:
        raise Problem(422, "the csv is empty")
    return lines


def _read_table(lines: list[list[str]], format: RowFormat) -> ArrayOrFrame:
    names = format.preprocess.names
    header = [cell.strip() for cell in lines[0]]
    rows = lines[1:]
    if not format.named and not set(names) <= set(header):  # the model knows its columns by number only
        header = list(names)
        rows = lines
    format.check_columns(header, "row 1 of the csv", more_allowed=True)
    if not rows:
        raise Problem(422, "the csv has a header but no rows")
    _check_count(len(rows))
    index = {name: j for j, name in reversed([*enumerate(header)])}
    columns = [(index[name], name, column) for name, column in format.columns]
    table = []
    for i, row in enumerate(rows, start=len(lines) - len(rows) + 1):
        if len(row) != len(header):
            raise Problem(422, f"row {i} of the csv has {len(row)} cells, the header {len(header)}")
        table.append([_parse(row[j], column, f"row {i}, column {name!r}") for j, name, column in columns])
    return format.to_table(table)


def _parse(text: str, column: Column, position: str) -> Cell:
    """Return the text of a cell as its column holds it: see :meth:`Column.parse`."""
    value = column.parse(text)
    if column.kind != "category" and value is not None:
        if isinstance(value, str):
            raise Problem(422, f"{position}: {text.strip()[:40]!r} is no number")
        if not math.isfinite(value):
            raise Problem(422, f"{position}: {text.strip()[:40]!r} is not finite")
    return read_cell(value, column, position)


def _read_numbers(lines: list[list[str]], format: RowFormat) -> np.ndarray:
    """Return images or signals: one as it is, (T, C) or (H, W), or one a line, below a header or not."""
    shape = format.preprocess.row_shape
    if len(lines) - 1 > shape[0]:  # several rows, perhaps below a header: too many are refused unread
        _check_count(len(lines) - 1)
    numbers = [_parse_numbers(line) for line in lines]
    if numbers[0] is None:  # a header
        numbers = numbers[1:]
    if None in numbers:
        row = len(lines) - len(numbers) + numbers.index(None) + 1
        raise Problem(422, f"row {row} of the csv holds what is no finite number")
    if len({len(line) for line in numbers if line is not None}) != 1:
        raise Problem(422, "the rows of the csv have different numbers of cells, or there are none")
    array = np.array(numbers, dtype=np.float64)
    if array.shape == shape or array.shape == (shape[0], 1) == (*shape, 1):
        return array.reshape(1, *shape)
    if array.shape[1] != math.prod(shape):
        size = f"{array.shape[0]} rows of {array.shape[1]} numbers"
        raise Problem(422, f"the csv has {size}: the model's rows are {_expected_rows(format)}")
    _check_count(len(array))
    return array.reshape(-1, *shape)


def _parse_numbers(line: list[str]) -> list[float] | None:
    """Return the cells of a line as numbers; None where one is not a finite number."""
    cells = [Column("number").parse(text) for text in line]
    numbers = [cell for cell in cells if isinstance(cell, float) and math.isfinite(cell)]
    return numbers if len(numbers) == len(line) else None


def _check_count(n: int) -> None:
    if n > LANDED_ROWS:
        raise Problem(422, f"the file has {n} rows: at most {LANDED_ROWS} are read")


def _expected_rows(format: RowFormat) -> str:
    shape = " x ".join(map(str, format.preprocess.row_shape))
    units = {"table": "columns of a table", "image": "pixels", "signal": "samples of a signal"}
    return f"{shape} {units[format.preprocess.kind]}"
