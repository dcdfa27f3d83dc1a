"""The explorer as one file without a server: points, rows, and an atlas decoded over a grid of the map."""

from __future__ import annotations

import asyncio
import base64
import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np

from ssavae._checks import UsageError
from ssavae.app.explorer.app import Api
from ssavae.app.explorer.points import Plane, rows_at
from ssavae.app.explorer.service import Service
from ssavae.app.explorer.single_file import one_page, plotly_js
from ssavae.persistence.model_folder import write_atomically

FILE_BYTES = 15_000_000
SCRIPT_BYTES = 200_000  # our own page, at most
ATLAS_BYTES = 3_300_000  # before gzip
ATLAS_SIDE = 64  # on MNIST's map the decoder is smooth between such points
COLUMN_BYTES = 1_500_000  # of all columns to colour by, gzipped
THUMBNAIL = 64  # pixels, of images that are larger
SAMPLES, SAMPLE_BYTES = 400, 1_000_000  # of all classes together, at most; before gzip
SAMPLES_PER_CLASS = 36  # as many as the page's slider asks for


def export_page(api: Api, path: Path) -> dict[str, Any]:
    """Write the map as one file under 15 MB.

    Parameters
    ----------
    api : Api
        What a server of the same model and points would answer with.
    path : Path

    Returns
    -------
    dict
        Rows that the file holds with their values, of how many; side of the atlas; size in bytes.

    Raises
    ------
    UsageError
        If it cannot be done under 15 MB.
    """
    service = api.service
    content = _content(api)
    left = FILE_BYTES - SCRIPT_BYTES - len(plotly_js()) - _size(content)
    content |= _rows(service, left)
    page = one_page(content).encode()
    if len(page) > FILE_BYTES:
        raise UsageError(
            f"the page would take {len(page):,} bytes: show fewer rows, with --part test or less DATA"
        )
    write_atomically(path, page)
    held = content["rows"]["stack"]["n"] if content["rows"] else 0
    return {
        "rows": f"{held:,} of {len(service.points):,}",
        "atlas": f"{content['atlas']['side']} x {content['atlas']['side']}",
        "bytes": len(page),
    }


def _content(api: Api) -> dict[str, Any]:
    """Return all but the rows themselves."""
    service, told = api.service, asyncio.run(api.describe()).model_dump()
    plane = service.read_plane(0, 1, "pca" if service.latent_dim > 2 else None)
    columns = _columns(api, told)
    kept = {
        "columns": [each for each in told["columns"] or [] if each["name"] in columns] or None,
        "extra_columns": [name for name in told["extra_columns"] if name in columns],
    }
    return {
        "model": told | kept,
        "points": _points(service, plane),
        "columns": columns,
        "trust": _trust(service, plane) if told["has_trust"] else None,
        "atlas": _atlas(service, plane),
        "samples": _samples(service),
    }


def _points(service: Service, plane: Plane) -> dict[str, Any]:
    points = service.points
    x, y = plane.project(points.z)
    exact = {"x": x, "y": y, "label": points.label, "predicted": points.predicted, "row": points.row}
    rounded = {name: getattr(points, name).round(4) for name in ("confidence", "novelty")}
    axes = {name: getattr(plane, name).tolist() for name in ("origin", "x_axis", "y_axis")}
    return {
        "n": len(points),
        "n_all": points.n_all,
        "arrays": {name: packed(values) for name, values in (exact | rounded).items()},
        "projection": axes,
    }


def packed(array: np.ndarray) -> dict[str, Any]:
    """Return an array as dtype, shape and base64 of its gzipped bytes, little endian.

    >>> packed(np.array([1, 2], dtype=np.uint16))["dtype"]
    'u2'
    """
    name = {"f": "f4", "i": "i4"}.get(array.dtype.kind, f"u{array.dtype.itemsize}")
    data = np.ascontiguousarray(array, dtype=f"<{name}").tobytes()
    # without a time in its head: the same rows make the same file
    return {
        "dtype": name,
        "shape": list(array.shape),
        "gzip": base64.b64encode(gzip.compress(data, 6, mtime=0)).decode(),
    }


def _size(told: Any) -> int:
    """Return about how many bytes values take as JSON: those of their packed arrays."""
    if isinstance(told, dict):
        return sum(_size(each) for each in told.values())
    if isinstance(told, list):
        return sum(_size(each) + 1 for each in told)
    return len(str(told)) + 12


# ------------------------------------------------------------------------------------ stacks of rows


def stack(service: Service, rows: Any) -> dict[str, Any]:
    """Return rows as the page unpacks them: n rows of ``width`` numbers, and what each number means.

    Images are bytes, signals whole numbers of 16 bits, ``low + step * number`` by channel, tables float32
    with NaN where a cell is missing and the index of a category's value.
    """
    kind = service.model.preprocess_.kind
    make = {"image": _images, "signal": _signals, "table": _tables}[kind]
    values, shape, cells = make(service, rows)
    n, width = len(values), int(np.prod(values.shape[1:]))
    return {"kind": kind, "n": n, "width": width, "shape": shape, "cells": cells, "values": packed(values)}


def _images(service: Service, rows: Any) -> tuple[np.ndarray, list[int], list[dict[str, Any]]]:
    images = thumbnails(service.format.as_pixels(rows))
    return images, list(images.shape[1:]), []


def thumbnails(images: np.ndarray, most: int = THUMBNAIL) -> np.ndarray:
    """Shrink images (n, H, W[, 3]) by a whole number, by the mean of their pixels, to ``most`` pixels a side.

    >>> thumbnails(np.full((1, 130, 100), 7, dtype=np.uint8)).shape
    (1, 43, 33)
    """
    n, height, width = images.shape[:3]
    factor = -(-max(height, width) // most)
    if factor == 1:
        return images
    rows, columns = height // factor, width // factor
    cut = images[:, : rows * factor, : columns * factor].reshape(n, rows, factor, columns, factor, -1)
    return np.rint(cut.mean(axis=(2, 4))).astype(np.uint8).reshape(n, rows, columns, *images.shape[3:])


def _signals(service: Service, rows: Any) -> tuple[np.ndarray, list[int], list[dict[str, Any]]]:
    signals = service.format.as_signals(rows)
    low = signals.min(axis=(0, 1), initial=np.inf)
    step = (signals.max(axis=(0, 1), initial=-np.inf) - low) / 65535
    step[step == 0] = 1.0
    numbers = np.rint((signals - low) / step).astype(np.uint16)
    cells = [{"low": float(a), "step": float(b)} for a, b in zip(low, step, strict=True)]
    return numbers, list(signals.shape[1:]), cells


def _tables(service: Service, rows: Any) -> tuple[np.ndarray, list[int], list[dict[str, Any]]]:
    columns = service.format.columns
    cells: list[dict[str, Any]] = [
        {"name": name, "whole": column.kind == "whole"} for name, column in columns
    ]
    shown = service.format.shown(rows)
    values = np.empty((len(shown), len(columns)), dtype=np.float32)
    for j, (name, column) in enumerate(columns):
        words = [row[name] for row in shown]
        if column.kind == "category":
            cells[j]["values"] = sorted({word for word in words if word is not None})
            place = {word: float(i) for i, word in enumerate(cells[j]["values"])}
            words = [None if word is None else place[word] for word in words]
        values[:, j] = [np.nan if word is None else word for word in words]
    return values, [len(columns)], cells


# ---------------------------------------------------------------------------------------- the parts


def _rows(service: Service, left: int) -> dict[str, Any]:
    """Return as many rows, evenly spread, as there is room for; of K > 2 with their reconstructions.

    In the plane of K = 2 the atlas holds what a row's place decodes to.
    """
    points, twice = service.points, service.latent_dim > 2
    room = left // 2 if twice else left
    every = max(
        1, math.ceil(len(points) * _row_bytes(service) / (8 * max(room, 1)))
    )  # gzip gains no more than 8
    while every <= len(points):
        chosen = rows_at(points.rows, slice(None, None, every))
        told = stack(service, chosen)
        size = _size(told)
        if size <= room:
            rebuilt = (
                {"every": every, "stack": stack(service, service.model.reconstruct(chosen))}
                if twice
                else None
            )
            if rebuilt is None or _size(rebuilt) + size <= left:
                return {"rows": {"every": every, "stack": told}, "decoded_rows": rebuilt}
        every = max(every + 1, math.ceil(every * size / max(room, 1)))
    return {"rows": None, "decoded_rows": None}


def _row_bytes(service: Service) -> int:
    """Return what a row takes in a stack, before gzip."""
    preprocess = service.model.preprocess_
    numbers = int(np.prod(preprocess.row_shape))
    if preprocess.kind == "image":
        factor = -(-max(preprocess.row_shape[:2]) // THUMBNAIL)
        return max(1, numbers // factor**2)
    return numbers * (2 if preprocess.kind == "signal" else 4)


def _atlas(service: Service, plane: Plane) -> dict[str, Any]:
    """Return rows decoded over a grid of the points' plane, row of y by row of y."""
    side = int(np.clip(math.isqrt(ATLAS_BYTES // _row_bytes(service)), 6, ATLAS_SIDE))
    across = []
    for values in plane.project(service.points.z):
        margin = 0.04 * (float(np.ptp(values)) or 1.0)
        across.append(np.linspace(values.min() - margin, values.max() + margin, side))
    codes = plane.lift(np.stack(np.meshgrid(*across), axis=-1).reshape(-1, 2))
    extent = [float(line[end]) for line in across for end in (0, -1)]
    return {"side": side, "extent": extent, "stack": stack(service, service.model.inverse_transform(codes))}


def _trust(service: Service, plane: Plane) -> dict[str, Any]:
    x, y, trusted = asyncio.run(service.trust(plane))
    return {"x": x.tolist(), "y": y.tolist(), "trusted": trusted.tolist()}


def _samples(service: Service) -> dict[str, Any]:
    """Return rows generated, of every class as many."""
    if not service.classes:
        return {"y": None, "stack": stack(service, service.model.sample(SAMPLES_PER_CLASS, random_state=0))}
    n = min(SAMPLES, SAMPLE_BYTES // _row_bytes(service))
    each = int(np.clip(n // len(service.classes), 1, SAMPLES_PER_CLASS))
    y = np.repeat(service.model.classes_, each)
    return {
        "y": [str(c) for c in y],
        "stack": stack(service, service.model.sample(len(y), y, random_state=0)),
    }


def _columns(api: Api, told: dict[str, Any]) -> dict[str, Any]:
    """Return columns to colour by, in their order, as far as there is room."""
    names = [each["name"] for each in told["columns"] or []] + told["extra_columns"]
    found: dict[str, Any] = {}
    room = COLUMN_BYTES
    for name in names:
        values = asyncio.run(api.column(name)).values
        kept = _words(values) if isinstance(values, list) else _numbers(values.bdata)
        room -= _size(kept)
        if room < 0:
            break
        found[name] = kept
    return found


def _words(values: list[str]) -> dict[str, Any]:
    names, index = np.unique(values, return_inverse=True)
    return {"words": names.tolist(), "index": packed(index.astype(np.int32))}


def _numbers(bdata: str) -> dict[str, Any]:
    return packed(np.frombuffer(base64.b64decode(bdata), "<f4"))
