"""Names and paths -> arrays, or Sources of many rows that stay in their files.

The named sets and their downloads are in `named_sets`.
Nothing read here can run code: no pickles, and archives are read in memory, never unpacked to disk.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ssavae.checks import must
from ssavae.folders import read_folder
from ssavae.hf_datasets import is_saved, read_saved
from ssavae.named_sets import DIGITS, EMBEDDED, SETS, locate, nearest, sha256_of, unknown_name
from ssavae.sources import RESIDENT, Source, opened
from ssavae.tables import read_table
from ssavae.windows import SUMMARIES, Windows, log_spectrum, summarize, windows_of_records, windows_of_rows

KINDS = ("image", "table", "signal")
ROWS = ("x_train", "X", "x")  # what the array with the rows may be called
HASH_LIMIT = 2**30  # bytes: above it (memory-mapped .npy) hashing would read what the caller may never touch


@dataclass(frozen=True)
class LabelledData:
    """Rows and their labels, as found: unscaled, missing values untouched."""

    name: str  # "mnist" or the path's stem
    x_train: Any  # (n, d) table, (n, H, W[, C]) image, (n, T[, C]) signal; mixed tables hold objects;
    # an array, or a Source of many rows that stay where they are
    y_train: np.ndarray | None = None  # int64 with -1 unlabelled, or str objects with None; None: no labels
    x_test: Any = None
    y_test: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None  # for int labels: name of class i
    feature_names: tuple[str, ...] | None = None  # table columns, where known
    kind: str | None = None  # one of KINDS where known
    groups: np.ndarray | None = None  # what each training row belongs to, as text
    groups_test: np.ndarray | None = None  # the same of each test row, where it is known
    source: str = ""  # path, or "embedded in scikit-learn"
    sha256: str | None = None  # of the file; None for folders, embedded sets and files above HASH_LIMIT


@dataclass(frozen=True)
class Reading:
    """How a data set is to be read, where it does not say so itself.

    Parameters
    ----------
    label : str or None
        The column with the classes, for .csv and .parquet; without it such a table has no labels.
    group : str or None
        The column (.csv, .parquet) or array (.npz) that says what rows belong together.
    drop : tuple of str
        Columns (.csv, .parquet) that are no input of the model.
    window : int or None
        Cut records into signals of so many samples: rows of a table in time, or signals that are longer. A
        window has the label of its last sample, and all windows of a record are one group.
    hop : int or None
        Samples from one window to the next; None takes a quarter of the window.
    spectrum : bool
        Take the logarithm of each signal's power spectrum in its place.
    summary : bool
        Take mean, log deviation and log roughness of each channel of each window in its place: a table.
    """

    label: str | None = None
    group: str | None = None
    drop: tuple[str, ...] = ()
    window: int | None = None
    hop: int | None = None
    spectrum: bool = False
    summary: bool = False


AS_IT_IS = Reading()


def load_dataset(data: str | Path, reading: Reading = AS_IT_IS, *, kind: str | None = None) -> LabelledData:
    """Read a named set or a path: .csv, .parquet, .npz, .npy, or a folder.

    A folder holds images by class, .npy files called like the arrays of an .npz, or what ``save_to_disk``
    of Hugging Face's ``datasets`` wrote. Many rows of a folder, a .npy, an uncompressed .npz or a .parquet of
    numbers stay where they are (``sources.RESIDENT``); windows, spectra and summaries are made in memory.

    Parameters
    ----------
    data : str or Path
        A name of `available()`, or a path; write `./mnist` for a folder called like a named set.
    reading : Reading
        How it is to be read.
    kind : {"image", "table", "signal"}, optional
        What the rows are, where neither the file says nor windows are cut.

    Raises
    ------
    FileNotFoundError
        The file is missing, or a named set without official raw files is not on this machine.
    OSError
        A download failed; nothing of it is kept.
    ValueError
        The name is unknown, or the content is not what it should be; the message names file and place.
    ImportError
        A .parquet file without pyarrow, or a folder of Hugging Face's without datasets.

    Examples
    --------
    >>> digits = load_dataset("digits")
    >>> digits.x_train.shape, digits.x_test.shape, digits.class_names[3]
    ((1347, 8, 8), (450, 8, 8), '3')
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind {kind!r} is not one of {', '.join(KINDS)}")
    path = Path(data).expanduser()
    named = str(data) in SETS and not (isinstance(data, Path) and path.exists())
    label, group = reading.label, reading.group
    no_table = named or path.suffix.lower() in (".npz", ".npy") or (path.is_dir() and not is_saved(path))
    for option, column in (("label", label), *(("drop", name) for name in reading.drop)):
        if column is not None and no_table:
            raise ValueError(
                f"{option} {column!r} names a column of a .csv or .parquet table, which {data} is not"
            )
    loaded = _load_named(str(data), group) if named else _load_path(path, reading)
    if group is not None and loaded.groups is None:
        raise ValueError(
            f"group {group!r} names a column of a table or an array of an .npz: {data} has neither"
        )
    _check_part("train", loaded.x_train, loaded.y_train, loaded)
    _check_part("test", loaded.x_test, loaded.y_test, loaded)
    x_train, x_test = opened(loaded.x_train), opened(loaded.x_test)
    return _as_signals(replace(loaded, x_train=x_train, x_test=x_test, kind=kind or loaded.kind), reading)


def _as_signals(loaded: LabelledData, reading: Reading) -> LabelledData:
    """Cut windows and take spectra, where that is wanted."""
    window, hop = reading.window, reading.hop
    if window is not None or reading.spectrum or reading.summary:
        x_train, x_test = (
            np.asarray(x) if isinstance(x, Source) else x for x in (loaded.x_train, loaded.x_test)
        )
        loaded = replace(loaded, x_train=x_train, x_test=x_test)
    must(hop is None or window is not None, f"hop={hop} needs a window")
    must(window is None or loaded.kind != "image", f"{loaded.name} holds images: no windows can be cut")
    if window is not None:
        hop = max(1, window // 4) if hop is None else hop
        in_time = loaded.kind != "signal" and loaded.x_train.ndim == 2  # a table, row after row
        loaded = _cut(loaded, windows_of_rows if in_time else windows_of_records, window, hop)
    must(not (reading.spectrum and reading.summary), "spectrum and summary: give one of them, not both")
    if not (reading.spectrum or reading.summary):
        return loaded
    option = "spectrum" if reading.spectrum else "summary"
    must(loaded.kind == "signal", f"{option} needs signals: {loaded.name} holds none; give kind or window")
    taken = _spectra if reading.spectrum else _summaries
    return taken(loaded)


def _spectra(loaded: LabelledData) -> LabelledData:
    spectra = [None if x is None else log_spectrum(x) for x in (loaded.x_train, loaded.x_test)]
    return replace(loaded, x_train=spectra[0], x_test=spectra[1])


def _summaries(loaded: LabelledData) -> LabelledData:
    train, test = (None if x is None else summarize(x) for x in (loaded.x_train, loaded.x_test))
    assert train is not None
    channels = loaded.feature_names or range(train.shape[1] // len(SUMMARIES))
    names = tuple(f"{channel} {what}" for what in SUMMARIES for channel in channels)
    return replace(loaded, x_train=train, x_test=test, kind="table", feature_names=names)


def _cut(loaded: LabelledData, cut: Callable[..., Windows], window: int, hop: int) -> LabelledData:
    def labels(y: np.ndarray | None, last: np.ndarray) -> np.ndarray | None:
        return None if y is None else y[last]

    train = cut(loaded.x_train, loaded.groups, window, hop)
    made = replace(loaded, kind="signal", x_train=train.x, y_train=labels(loaded.y_train, train.last))
    made = replace(made, groups=train.groups)
    if loaded.x_test is None:
        return made
    test = cut(loaded.x_test, loaded.groups_test, window, hop)
    known = None if loaded.groups_test is None else test.groups
    return replace(made, x_test=test.x, y_test=labels(loaded.y_test, test.last), groups_test=known)


def _load_named(name: str, group: str | None) -> LabelledData:
    if SETS[name].source == EMBEDDED:
        return _load_digits()
    path, digest = locate(name, None)
    return replace(_load_npz(path, group), name=name, kind=SETS[name].kind, sha256=digest)


def _load_digits() -> LabelledData:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    flat, labels = (np.asarray(part) for part in load_digits(return_X_y=True))
    x, y = (flat.reshape(-1, 8, 8) / 16).astype(np.float32), labels.astype(np.int64)
    parts = train_test_split(x, y, test_size=450, stratify=y, random_state=0)
    x_train, x_test, y_train, y_test = (np.asarray(part) for part in parts)
    return LabelledData("digits", x_train, y_train, x_test, y_test, DIGITS, kind="image", source=EMBEDDED)


def _load_path(path: Path, reading: Reading) -> LabelledData:
    if not path.exists():
        if path.suffix or len(path.parts) != 1:
            raise FileNotFoundError(f"no such file or folder: {path}")
        raise ValueError(unknown_name(path.name))
    if path.is_dir():
        return _load_folder(path, reading)
    suffix = path.suffix.lower()
    if suffix in (".csv", ".parquet"):
        table = read_table(path, reading.label, reading.group, reading.drop)
        loaded = LabelledData(path.stem, **table._asdict(), kind="table", source=str(path))
    elif suffix in (".npz", ".npy"):
        loaded = _load_npz(path, reading.group) if suffix == ".npz" else _load_npy(path)
    else:
        raise ValueError(f"{path}: unknown suffix {suffix!r}; give .csv, .parquet, .npz, .npy or a folder")
    return replace(loaded, sha256=sha256_of(path) if path.stat().st_size <= HASH_LIMIT else None)


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
    return info.compress_type == zipfile.ZIP_STORED and 4 * info.file_size > RESIDENT


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


def _check_part(part: str, x: np.ndarray | Source | None, y: np.ndarray | None, data: LabelledData) -> None:
    if x is None:
        if y is not None:
            raise ValueError(f"{data.source} has y_{part} but no x_{part}")
        return
    where = f"x_{part} of {data.source}"
    if x.dtype.kind not in "biuf" and not (x.dtype.kind == "O" and data.feature_names is not None):
        raise ValueError(f"{where} holds {x.dtype}, not numbers")
    if x.ndim < 2 or 0 in x.shape:
        raise ValueError(f"{where} has shape {x.shape}; wanted are rows of at least one value")
    if x.shape[1:] != data.x_train.shape[1:]:
        raise ValueError(f"{where} has rows of shape {x.shape[1:]}, x_train of {data.x_train.shape[1:]}")
    if y is not None and len(y) != len(x):
        raise ValueError(f"{where} has {len(x)} rows but y_{part} has {len(y)} labels")
    names = data.class_names
    if y is not None and names is not None and y.dtype.kind == "i" and y.max() >= len(names):
        raise ValueError(f"y_{part} of {data.source} holds class {y.max()}, class_names {len(names)} names")


def _load_folder(folder: Path, reading: Reading) -> LabelledData:
    name, source = folder.resolve().name, str(folder)
    if is_saved(folder):
        saved = read_saved(folder, reading.label, reading.group, reading.drop)
        columns = saved.x_train.names
        kind = None if columns is None else "table"
        return LabelledData(name, **saved._asdict(), feature_names=columns, kind=kind, source=source)
    files = sorted(folder.glob("*.npy"))
    if {file.stem for file in files} & set(ROWS):
        return _of_arrays({file.stem: _map_npy(file) for file in files}, folder, reading.group)
    return LabelledData(name, **read_folder(folder)._asdict(), kind="image", source=source)
