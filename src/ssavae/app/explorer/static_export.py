"""The explorer as one file without a server: points, rows, and an atlas of rows decoded over a grid."""

from __future__ import annotations

import asyncio
import base64
import gzip
import math
from pathlib import Path

import numpy as np

from ssavae._checks import UsageError
from ssavae._serialize import write_atomically
from ssavae.app.explorer.app import Api
from ssavae.app.explorer.points import Plane, rows_at
from ssavae.app.explorer.row_format import ArrayOrFrame
from ssavae.app.explorer.schema import ColumnValues, ModelInfo
from ssavae.app.explorer.service import Service
from ssavae.app.explorer.single_file import one_page

FILE_BYTES = 12_000_000
SCRIPT_BYTES = 200_000  # of our own page, at most
ATLAS_BYTES = 3_300_000  # before gzip
ATLAS_SIDE = 64  # on MNIST's map the decoder is smooth between such points
ATLAS_PROBABILITIES = 1_000_000  # before gzip; of more classes there are none
COLUMN_BYTES = 1_500_000  # of all columns to colour by, gzipped
THUMBNAIL = 64  # pixels a side, of images that are larger
SAMPLES = 400  # of all classes together, at most
SAMPLE_BYTES = 1_000_000  # of all samples, before gzip
SAMPLES_PER_CLASS = 36  # as many as the page's slider asks for
GZIP_FACTOR = 8  # optimistic, to begin with the most rows that could fit
JSON = dict[str, object]


def export_page(api: Api, path: Path) -> JSON:
    """Write the map as one file of at most 12 MB.

    Parameters
    ----------
    api : Api
        The API of the model and its points.
    path : Path

    Returns
    -------
    dict
        Number of rows that the file holds with their values; side of the atlas; size in bytes.

    Raises
    ------
    UsageError
        If it does not fit.
    """
    page, report = page_of(api)
    write_atomically(path, page)
    return report


def page_of(api: Api, in_notebook: bool = False) -> tuple[bytes, JSON]:
    """Return the page, and what :func:`export_page` returns; in a notebook it reports what is selected."""
    service = api.service
    content = _content(api) | {"in_notebook": in_notebook}
    room = FILE_BYTES - SCRIPT_BYTES - _json_size(content)
    stride, rows = _rows(service, room)
    page = one_page(content | rows).encode()
    if len(page) > FILE_BYTES:
        raise UsageError(
            f"the page would take {len(page):,} bytes: show fewer rows, with --part test or less DATA"
        )
    n = math.ceil(len(service.points) / stride) if stride else 0
    side = _atlas_side(service)
    report: JSON = {
        "rows": f"{n:,} of {len(service.points):,}",
        "atlas": f"{side} x {side}",
        "bytes": len(page),
    }
    return page, report


def _content(api: Api) -> JSON:
    """Return all of the content but the rows."""
    service = api.service
    model = asyncio.run(api.describe())
    plane = service.read_plane(0, 1, "pca" if service.latent_dim > 2 else None)
    columns = _columns(api, model)
    included = {
        "columns": [column.model_dump() for column in model.columns or [] if column.name in columns] or None,
        "has_umap": False,
        "extra_columns": [name for name in model.extra_columns if name in columns],
    }
    return {
        "model": model.model_dump() | included,
        "points": _points(service, plane),
        "columns": columns,
        "trust": asyncio.run(service.trust(plane)).model_dump() if model.has_trust else None,
        "atlas": _atlas(service, plane),
        "samples": _samples(service),
    }


def _json_size(value: object) -> int:
    """Return about how many bytes a value takes as JSON."""
    if isinstance(value, dict):
        return sum(map(_json_size, value.values()))
    if isinstance(value, list):
        return sum(_json_size(each) + 1 for each in value)
    return len(str(value)) + 12


# -------------------------------------------------------------------------------- arrays and stacks


def pack_gzip(array: np.ndarray) -> JSON:
    """Return an array as dtype, shape and base64 of its gzipped bytes, little endian.

    >>> pack_gzip(np.array([1, 2], dtype=np.uint16))["dtype"]
    'u2'
    """
    name = {"f": "f4", "i": "i4"}.get(array.dtype.kind, f"u{array.dtype.itemsize}")
    data = np.ascontiguousarray(array, dtype=f"<{name}").tobytes()
    compressed = gzip.compress(data, 6, mtime=0)  # no time in the header: same rows, same file
    return {"dtype": name, "shape": list(array.shape), "gzip": base64.b64encode(compressed).decode()}


def stack(service: Service, rows: ArrayOrFrame) -> JSON:
    """Return n rows of ``width`` numbers each; ``cells`` says what the numbers mean.

    Images are bytes, signals 16-bit integers with ``low + step * number`` by channel, tables float32 with NaN
    where a cell is missing and the index of a category's value.
    """
    kind = service.model.preprocess_.kind
    if kind == "image":
        values = thumbnails(service.format.to_pixels(rows))
        cells = []
    elif kind == "signal":
        values, cells = _quantize(service.format.to_signals(rows))
    else:
        values, cells = _encode_table(service, rows)
    shape = list(values.shape[1:])
    content: JSON = {"kind": kind, "n": len(values), "width": math.prod(shape), "shape": shape}
    return content | {"cells": cells, "values": pack_gzip(values)}


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Shrink images (n, H, W[, 3]) to at most ``THUMBNAIL`` pixels a side, by averaging blocks of pixels.

    >>> thumbnails(np.full((1, 130, 100), 7, dtype=np.uint8)).shape
    (1, 43, 33)
    """
    n, height, width = images.shape[:3]
    factor = _shrink_factor(height, width)
    if factor == 1:
        return images
    rows = height // factor
    columns = width // factor
    cropped = images[:, : rows * factor, : columns * factor]
    blocks = cropped.reshape(n, rows, factor, columns, factor, *images.shape[3:])
    return np.rint(blocks.mean(axis=(2, 4))).astype(np.uint8)


def _shrink_factor(height: int, width: int) -> int:
    return math.ceil(max(height, width) / THUMBNAIL)


def _quantize(signals: np.ndarray) -> tuple[np.ndarray, list[JSON]]:
    """Return signals (n, T, C) in 16 bits, and lowest value and step of each channel."""
    low = signals.min(axis=(0, 1), initial=np.inf)
    step = (signals.max(axis=(0, 1), initial=-np.inf) - low) / 65535
    step[step == 0] = 1.0
    numbers = np.rint((signals - low) / step).astype(np.uint16)
    return numbers, [{"low": float(a), "step": float(b)} for a, b in zip(low, step, strict=True)]


def _encode_table(service: Service, rows: ArrayOrFrame) -> tuple[np.ndarray, list[JSON]]:
    """Return a table as numbers (n, d), and name, type and categories of each column."""
    columns = service.format.columns
    objects = service.format.to_objects(rows)
    values = np.empty((len(objects), len(columns)), dtype=np.float32)
    cells: list[JSON] = []
    for j, (name, column) in enumerate(columns):
        cells.append({"name": name, "whole": column.kind == "whole"})
        column_cells = [row[name] for row in objects]
        if column.kind == "category":
            categories = sorted({cell for cell in column_cells if cell is not None})
            cells[j]["values"] = categories
            index_of = {category: i for i, category in enumerate(categories)}
            column_cells = [None if cell is None else index_of[cell] for cell in column_cells]
        values[:, j] = [np.nan if cell is None else cell for cell in column_cells]
    return values, cells


# ------------------------------------------------------------------------------ parts of the content


def _points(service: Service, plane: Plane) -> JSON:
    points = service.points
    x, y = plane.project(points.z)
    arrays = {
        "x": x,
        "y": y,
        "label": points.label,
        "predicted": points.predicted,
        "row": points.row,
        "number": points.number,
        "confidence": points.confidence.round(4),
        "novelty": points.novelty.round(4),
    }
    return {
        "n": len(points),
        "n_all": points.n_all,
        "arrays": {name: pack_gzip(values) for name, values in arrays.items()},
        "projection": plane.to_lists(),
    }


def _rows(service: Service, room: int) -> tuple[int, JSON]:
    """Return as many evenly spaced rows as fit, and their stride; 0 where none fit.

    For K > 2 they come with their reconstructions; for K <= 2 the page takes those from the atlas.
    """
    points = service.points
    has_decoded = service.latent_dim > 2
    rows_room = max(room // 2 if has_decoded else room, 1)
    stride = max(1, math.ceil(len(points) * _row_bytes(service) / (GZIP_FACTOR * rows_room)))
    while stride <= len(points):
        rows = rows_at(points.rows, slice(None, None, stride))
        content: JSON = {"every": stride, "stack": stack(service, rows)}
        size = _json_size(content["stack"])
        if size <= rows_room:
            decoded: JSON | None = None
            if has_decoded:
                decoded = {"every": stride, "stack": stack(service, service.model.reconstruct(rows))}
            if decoded is None or _json_size(decoded) + size <= room:
                return stride, {"rows": content, "decoded_rows": decoded}
        stride = max(stride + 1, math.ceil(stride * size / rows_room))
    return 0, {"rows": None, "decoded_rows": None}


def _row_bytes(service: Service) -> int:
    """Return the bytes of a row in a stack, before gzip."""
    preprocess = service.model.preprocess_
    size = math.prod(preprocess.row_shape)
    if preprocess.kind == "image":
        height, width = preprocess.row_shape[:2]
        return max(1, size // _shrink_factor(height, width) ** 2)
    return size * (2 if preprocess.kind == "signal" else 4)


def _atlas_side(service: Service) -> int:
    return int(np.clip(math.isqrt(ATLAS_BYTES // _row_bytes(service)), 6, ATLAS_SIDE))


def _atlas(service: Service, plane: Plane) -> JSON:
    """Return rows over a grid of the points' plane, row of y by row of y, and the classes' surprisal there.

    That is -log p in bytes of 1/16: it is smoother than p between the points of the grid.
    """
    side = _atlas_side(service)
    x, y, codes = plane.grid(service.points.z, side)
    extent = [float(value) for value in (x[0], x[-1], y[0], y[-1])]
    content: JSON = {"side": side, "extent": extent}
    content["stack"] = stack(service, service.model.inverse_transform(codes))
    content["surprisal"] = None
    if 0 < len(codes) * len(service.classes) <= ATLAS_PROBABILITIES:
        probs = service.probabilities(codes.astype(np.float32))
        content["surprisal"] = pack_gzip(np.rint(-16 * np.log(probs + 1e-9)).clip(0, 255).astype(np.uint8))
    return content


def _samples(service: Service) -> JSON:
    """Return generated rows, the same number of every class."""
    model = service.model
    if not service.classes:
        return {"y": None, "stack": stack(service, model.sample(SAMPLES_PER_CLASS, random_state=0))}
    n = min(SAMPLES, SAMPLE_BYTES // _row_bytes(service))
    n_per_class = int(np.clip(n // len(service.classes), 1, SAMPLES_PER_CLASS))
    y = np.repeat(model.classes_, n_per_class)
    return {"y": [str(c) for c in y], "stack": stack(service, model.sample(len(y), y, random_state=0))}


def _columns(api: Api, model: ModelInfo) -> JSON:
    """Return columns to colour by, in their order, as many as fit."""
    columns: JSON = {}
    room = COLUMN_BYTES
    for name in [column.name for column in model.columns or []] + model.extra_columns:
        packed = _pack_column(asyncio.run(api.column(name)))
        room -= _json_size(packed)
        if room < 0:
            break
        columns[name] = packed
    return columns


def _pack_column(column: ColumnValues) -> JSON:
    if isinstance(column.values, list):
        words, index = np.unique(column.values, return_inverse=True)
        return {"words": words.tolist(), "index": pack_gzip(index.astype(np.int32))}
    return pack_gzip(np.frombuffer(base64.b64decode(column.values.bdata), "<f4"))
