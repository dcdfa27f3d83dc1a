"""Archives of arrays (.npz, .npy, folders of .npy), read without running code: no pickles are opened."""

from __future__ import annotations

import math
import struct
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import IO, Literal

import numpy as np

from ssavae._checks import check, nearest
from ssavae.data.files.guards import check_unpacked, guard
from ssavae.data.labelled import LabelledData
from ssavae.preprocessing.images import read_image
from ssavae.preprocessing.lazy import CHUNK_BYTES, RESIDENT_BYTES, load_if_small

ROWS_KEYS = ("x_train", "X_train", "train_images", "X", "x", "images")  # of the array with the rows
LABELS_KEYS = ("y_train", "train_labels", "y", "Y", "labels")
TEST_ROWS_KEYS = ("x_test", "X_test", "test_images")
TEST_LABELS_KEYS = ("y_test", "test_labels")
IMAGES_KEYS = ("train_images", "images")  # those of MedMNIST, among others


def read_npz(path: Path, group: str | None) -> LabelledData:
    """Read an .npz archive; large arrays that are stored uncompressed stay in the file.

    Parameters
    ----------
    path : Path
    group : str or None
        Name of the array with the group of each training row; ``run_test`` belongs to ``run_train``.

    Raises
    ------
    ValueError
        The archive is damaged, has no rows, or holds labels or groups that do not fit.
    """
    return from_arrays(_read_archive(path), path, group)


def read_npy_folder(folder: Path, group: str | None) -> LabelledData | None:
    """Read a folder of .npy files called like the arrays of an .npz; None where no file holds rows."""
    files = {file.stem: file for file in sorted(folder.glob("*.npy"))}
    if files.keys().isdisjoint(ROWS_KEYS):
        return None
    return from_arrays({name: _map_npy(file) for name, file in files.items()}, folder, group)


def read_npy(path: Path) -> LabelledData:
    """Read a .npy file: rows without labels."""
    return LabelledData(path.stem, load_if_small(_map_npy(path)), source=str(path))


def from_arrays(arrays: Mapping[str, np.ndarray], path: Path, group: str | None) -> LabelledData:
    """Return the data of arrays that are called like those of an .npz.

    Raises
    ------
    ValueError
        There are no rows, or labels or groups that do not fit.
    """
    rows_key = _first(ROWS_KEYS, arrays)
    if not rows_key:
        wanted = "x_train (with y_train, x_test, y_test, class_names), train_images, or X (with y)"
        raise ValueError(f"{path} has the keys {', '.join(arrays) or '(none)'}; wanted are {wanted}")
    x = arrays[rows_key]
    x_test = arrays.get(_first(TEST_ROWS_KEYS, arrays))
    groups_test = None
    if group is not None and x_test is not None:
        group_test = group.replace("train", "test")  # run_train, run_test
        if group_test != group and group_test in arrays:
            groups_test = _groups(arrays, group_test, len(x_test), path)
    unread = [key for key, each in arrays.items() if "val" in key.lower() and each.ndim > 1]
    if unread:
        warnings.warn(f"{path}: the validation part is not read ({', '.join(unread)})", stacklevel=2)
    return LabelledData(
        path.stem,
        load_if_small(x),
        _labels(arrays, _first(LABELS_KEYS, arrays), path),
        None if x_test is None else load_if_small(x_test),
        _labels(arrays, _first(TEST_LABELS_KEYS, arrays), path),
        class_names=_strings(arrays, "class_names"),
        feature_names=_strings(arrays, "feature_names"),
        kind="image" if rows_key in IMAGES_KEYS else None,
        groups=None if group is None else _groups(arrays, group, len(x), path),
        groups_test=groups_test,
        source=str(path),
    )


def _first(keys: Sequence[str], arrays: Mapping[str, np.ndarray]) -> str:
    return next((key for key in keys if key in arrays), "")


def _strings(arrays: Mapping[str, np.ndarray], key: str) -> tuple[str, ...] | None:
    return tuple(arrays[key].astype(str).ravel().tolist()) if key in arrays else None


def _groups(arrays: Mapping[str, np.ndarray], key: str, n: int, path: Path) -> np.ndarray:
    if key not in arrays:
        there_are = f"its arrays are {', '.join(arrays)}"
        raise ValueError(f"{path} has no array {key!r}{nearest(key, arrays)}; {there_are}")
    shape = arrays[key].shape
    check(shape == (n,), f"{key} of {path} has shape {shape}: wanted is a group for each of {n} rows")
    return arrays[key].astype(str)


def _labels(arrays: Mapping[str, np.ndarray], key: str, path: Path) -> np.ndarray | None:
    """Return labels (n,) as int64 with -1, or strings with None; None where there is no such array."""
    if key not in arrays:
        return None
    values = arrays[key]
    values = values[:, 0] if values.shape[1:] == (1,) else values
    where = f"{key} of {path}"
    check(values.ndim == 1, f"{where} must hold one label per row, found shape {values.shape}")
    check(values.dtype.kind in "USbiuf", f"{where} holds {values.dtype}, which cannot be labels")
    if values.dtype.kind in "US":
        return np.array([text or None for text in values.astype(str).tolist()], dtype=object)
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), -1, values)
        bad = values[~np.isfinite(values) | (values != np.floor(values))]
        check(len(bad) == 0, f"{where} holds {next(iter(bad), None)}, which is no class number")
    return values.astype(np.int64)


# ------------------------------------------------------------------------------------------- files


def _read_archive(path: Path) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    with guard(path, ".npz of plain arrays"), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        packed = [info.file_size for info in members if info.compress_type != zipfile.ZIP_STORED]
        check_unpacked(path, sum(packed))
        for info in members:
            arrays |= _read_member(path, archive, info)
        for part in ("train", "test"):
            if f"jpeg_{part}" in arrays:
                arrays[f"x_{part}"] = _decode_images(arrays[f"jpeg_{part}"], arrays[f"ends_{part}"])
    return arrays


def _read_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> dict[str, np.ndarray]:
    """Return an array under its name, empty where a file of the archive is no array."""
    with archive.open(info) as stream:
        if not stream.peek(6).startswith(np.lib.format.MAGIC_PREFIX):  # pyright: ignore[reportAttributeAccessIssue]
            return {}
        shape, order, dtype = _read_header(stream, info.filename)
        start = stream.tell()
        n_bytes = math.prod(shape) * dtype.itemsize
        check(
            n_bytes == info.file_size - start,
            f"{info.filename} declares {dtype} of shape {shape}, but holds {info.file_size - start:,} bytes",
        )
        if _stays_in_file(info):
            array = np.memmap(path, dtype, "r", _data_offset(path, info) + start, shape, order)
        else:
            content = np.empty(n_bytes, np.uint8)
            _read_into(stream, content.data)
            array = np.ndarray(shape, dtype, content, order=order)  # pyright: ignore[reportArgumentType]
    return {info.filename.removesuffix(".npy"): array}


def _read_header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype]:
    """Read the header of a .npy file: shape, order and type of an array of plain values."""
    if np.lib.format.read_magic(stream) == (1, 0):
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    else:
        shape, is_fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    check(not dtype.hasobject, f"{name} holds Python objects")
    check(min(shape, default=0) >= 0, f"{name} has the shape {shape}")
    return shape, "F" if is_fortran else "C", dtype


def _stays_in_file(info: zipfile.ZipInfo) -> bool:
    """Say whether an array is stored as in a .npy, and large enough to be better left in the file."""
    return info.compress_type == zipfile.ZIP_STORED and 4 * info.file_size > RESIDENT_BYTES


def _data_offset(path: Path, info: zipfile.ZipInfo) -> int:
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)  # lengths of the name and of what follows it
        return info.header_offset + 30 + sum(struct.unpack("<HH", file.read(4)))


def _read_into(stream: IO[bytes], buffer: memoryview) -> None:
    while buffer:
        content = stream.read(min(len(buffer), CHUNK_BYTES))
        check(len(content) > 0, "it is truncated")
        buffer[: len(content)] = content
        buffer = buffer[len(content) :]
    stream.read(1)  # compares the checksum at the end


def _decode_images(joined: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Turn image files joined in one byte array, with their end offsets (n,), into uint8 (n, H, W, 3)."""
    raw = joined.tobytes()
    images = [read_image(raw[i:j], f"image {n}") for n, (i, j) in enumerate(pairwise([0, *ends.tolist()]))]
    return np.stack([image if image.ndim == 3 else np.stack([image] * 3, axis=-1) for image in images])


def _map_npy(path: Path) -> np.ndarray:
    with guard(path, ".npy of plain numbers"):
        return np.lib.format.open_memmap(path, mode="r")  # unlike np.load it opens nothing but .npy
