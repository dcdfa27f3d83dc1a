"""Names and paths -> arrays, or Sources of many rows that stay in their files.

The named sets and their downloads are in `named_sets`.
Nothing read here can run code: no pickles, and archives are read in memory, never unpacked to disk.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from ssavae._checks import nearest
from ssavae.data.labelled import LabelledData
from ssavae.preprocessing.lazy import RESIDENT_BYTES

ROWS = ("x_train", "X", "x")  # what the array with the rows may be called


def _load_npz(path: Path, group: str | None) -> LabelledData:
    return _of_arrays(_read_npz(path), path, group)


def _of_arrays(arrays: dict[str, np.ndarray], path: Path, group: str | None) -> LabelledData:
    x = next((arrays[key] for key in ROWS if key in arrays), None)
    if x is None:
        wanted = "x_train (with y_train, x_test, y_test, class_names) or X (with y)"
        raise ValueError(f"{path} has the keys {', '.join(arrays) or '(none)'}; wanted are {wanted}")
    y = next((_array_labels(arrays[key], key, path) for key in ("y_train", "y", "Y") if key in arrays), None)
    y_test = _array_labels(arrays["y_test"], "y_test", path) if "y_test" in arrays else None
    names, features = (
        tuple(arrays[key].astype(str).ravel().tolist()) if key in arrays else None
        for key in ("class_names", "feature_names")
    )
    x_test = arrays.get("x_test")
    loaded = LabelledData(path.stem, x, y, x_test, y_test, names, features, source=str(path))
    if group is None:
        return loaded
    other = group.replace("train", "test")  # run_train, run_test
    groups_test = None
    if x_test is not None and other != group and other in arrays:
        groups_test = _array_groups(arrays, other, len(x_test), path)
    return replace(loaded, groups=_array_groups(arrays, group, len(x), path), groups_test=groups_test)


def _array_groups(arrays: dict[str, np.ndarray], key: str, n: int, path: Path) -> np.ndarray:
    if key not in arrays:
        raise ValueError(
            f"{path} has no array {key!r}{nearest(key, arrays)}; its arrays are {', '.join(arrays)}"
        )
    if arrays[key].shape != (n,):
        raise ValueError(
            f"{key} of {path} has shape {arrays[key].shape}: wanted is a group for each of {n} rows"
        )
    return arrays[key].astype(str)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as found:
            # np.load would take a file that is no zip archive for a pickle and say so
            large = {info.filename.removesuffix(".npy"): info for info in found.infolist() if _is_plain(info)}
        with np.load(path, allow_pickle=False) as archive:
            arrays = {k: _map_member(path, large[k]) if k in large else archive[k] for k in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is not a readable .npz of plain arrays: {error}") from error
    for part in ("train", "test"):
        if f"jpeg_{part}" in arrays:
            arrays[f"x_{part}"] = _decode_images(arrays[f"jpeg_{part}"], arrays[f"ends_{part}"])
    return arrays


def _is_plain(info: zipfile.ZipInfo) -> bool:
    """Say whether an array lies in an .npz as in a .npy, and is so large that it may be better left there."""
    return info.compress_type == zipfile.ZIP_STORED and 4 * info.file_size > RESIDENT_BYTES


def _map_member(path: Path, info: zipfile.ZipInfo) -> np.ndarray:
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)  # lengths of the name and of what follows it
        file.seek(info.header_offset + 30 + sum(struct.unpack("<HH", file.read(4))))
        if np.lib.format.read_magic(file) == (1, 0):
            shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, is_fortran, dtype = np.lib.format.read_array_header_2_0(file)
        if dtype.hasobject:
            raise ValueError(f"{info.filename} holds Python objects")
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if is_fortran else "C")


def _decode_images(joined: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Turn image files joined in one byte array, with their end offsets (n,), into uint8 (n, H, W, 3)."""
    from PIL import Image

    raw = joined.tobytes()
    spans = zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)
    return np.stack([np.asarray(Image.open(io.BytesIO(raw[a:b])).convert("RGB")) for a, b in spans])


def _array_labels(values: np.ndarray, key: str, path: Path) -> np.ndarray:
    if values.ndim != 1:
        raise ValueError(f"{key} of {path} must hold one label per row, found shape {values.shape}")
    if values.dtype.kind in "US":
        return np.array([text or None for text in values.astype(str).tolist()], dtype=object)
    if values.dtype.kind in "biu":
        return values.astype(np.int64)
    if values.dtype.kind != "f":
        raise ValueError(f"{key} of {path} holds {values.dtype}, which cannot be labels")
    filled = np.where(np.isnan(values), -1, values)
    odd = filled[~np.isfinite(filled) | (filled != np.floor(filled))]
    if len(odd):
        raise ValueError(f"{key} of {path} holds {odd[0]}, which is no class number")
    return filled.astype(np.int64)


def _load_npy(path: Path) -> LabelledData:
    return LabelledData(path.stem, _map_npy(path), source=str(path))


def _map_npy(path: Path) -> np.ndarray:
    try:
        return np.lib.format.open_memmap(path, mode="r")  # unlike np.load it opens nothing but .npy
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path} is not a readable .npy of plain numbers: {error}") from error
