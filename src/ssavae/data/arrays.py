"""Archives of arrays (.npz, .npy, folders of .npy), read without running code: no pickles are opened."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np

from ssavae._checks import check, nearest
from ssavae.data.labelled import LabelledData
from ssavae.preprocessing.images import read_image
from ssavae.preprocessing.lazy import RESIDENT_BYTES, load_if_small

ROWS_KEYS = ("x_train", "X", "x")  # what the array with the rows may be called
LABELS_KEYS = ("y_train", "y", "Y")


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
    return _from_arrays(_read_archive(path), path, group)


def read_npy_folder(folder: Path, group: str | None) -> LabelledData | None:
    """Read a folder of .npy files called like the arrays of an .npz; None where no file holds rows."""
    files = {file.stem: file for file in sorted(folder.glob("*.npy"))}
    if files.keys().isdisjoint(ROWS_KEYS):
        return None
    return _from_arrays({name: _map_npy(file) for name, file in files.items()}, folder, group)


def read_npy(path: Path) -> LabelledData:
    """Read a .npy file: rows without labels."""
    return LabelledData(path.stem, load_if_small(_map_npy(path)), source=str(path))


def _from_arrays(arrays: Mapping[str, np.ndarray], path: Path, group: str | None) -> LabelledData:
    rows_key = next((key for key in ROWS_KEYS if key in arrays), None)
    if rows_key is None:
        wanted = "x_train (with y_train, x_test, y_test, class_names) or X (with y)"
        raise ValueError(f"{path} has the keys {', '.join(arrays) or '(none)'}; wanted are {wanted}")
    labels_key = next((key for key in LABELS_KEYS if key in arrays), "")
    x = arrays[rows_key]
    x_test = arrays.get("x_test")
    groups_test = None
    if group is not None and x_test is not None:
        group_test = group.replace("train", "test")  # run_train, run_test
        if group_test != group and group_test in arrays:
            groups_test = _groups(arrays, group_test, len(x_test), path)
    return LabelledData(
        path.stem,
        load_if_small(x),
        _labels(arrays, labels_key, path),
        None if x_test is None else load_if_small(x_test),
        _labels(arrays, "y_test", path),
        class_names=_strings(arrays, "class_names"),
        feature_names=_strings(arrays, "feature_names"),
        groups=None if group is None else _groups(arrays, group, len(x), path),
        groups_test=groups_test,
        source=str(path),
    )


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
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            # np.load would take a file that is no zip archive for a pickle and say so
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        with np.load(path, allow_pickle=False) as archive:
            arrays = {
                key: _map_member(path, members[key]) if _stays_in_file(members[key]) else archive[key]
                for key in archive.files
            }
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is not a readable .npz of plain arrays: {error}") from error
    for part in ("train", "test"):
        if f"jpeg_{part}" in arrays:
            arrays[f"x_{part}"] = _decode_images(arrays[f"jpeg_{part}"], arrays[f"ends_{part}"])
    return arrays


def _stays_in_file(info: zipfile.ZipInfo) -> bool:
    """Say whether an array is stored as in a .npy, and large enough to be better left in the file."""
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
    raw = joined.tobytes()
    images = [read_image(raw[i:j], f"image {n}") for n, (i, j) in enumerate(pairwise([0, *ends.tolist()]))]
    return np.stack([image if image.ndim == 3 else np.stack([image] * 3, axis=-1) for image in images])


def _map_npy(path: Path) -> np.ndarray:
    try:
        return np.lib.format.open_memmap(path, mode="r")  # unlike np.load it opens nothing but .npy
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path} is not a readable .npy of plain numbers: {error}") from error
