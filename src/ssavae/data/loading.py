"""Loading of named sets and paths: tables, arrays, images, records, data sets of Hugging Face.

Nothing read here can run code: no pickles, and archives are read in memory, never unpacked to disk.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ssavae._checks import check
from ssavae._serialize import sha256_of
from ssavae.data.arrays import read_npy, read_npy_folder, read_npz
from ssavae.data.catalog import DIGITS, EMBEDDED, SETS, locate, unknown_name
from ssavae.data.files.class_folders import walk
from ssavae.data.files.delimited import TEXT_SUFFIXES
from ssavae.data.hugging_face import is_saved, read_saved
from ssavae.data.image_folder import read_image_folder
from ssavae.data.labelled import DEFAULT_READING, KINDS, LabelledData, Reading, RowsLike
from ssavae.data.records import RECORD_SUFFIXES, read_records
from ssavae.data.tables import is_table, read_table
from ssavae.data.windows import (
    LONGEST_GAP,
    SUMMARIES,
    Windows,
    fill_gaps,
    log_spectrum,
    summarize,
    windows_of_records,
    windows_of_rows,
)
from ssavae.preprocessing.images import IMAGE_SUFFIXES
from ssavae.preprocessing.lazy import LazyArray

KNOWN_FILES = (
    f"give {', '.join(TEXT_SUFFIXES)} (also compressed), .parquet, .npz, .npy, "
    f"{', '.join(RECORD_SUFFIXES)} or a folder"
)
HASH_LIMIT = 2**30  # bytes; hashing a larger file, a memory-mapped .npy, would read what may never be used


def load_dataset(
    data: str | Path, reading: Reading = DEFAULT_READING, *, kind: str | None = None
) -> LabelledData:
    """Read a named set or a path: .csv, .tsv, .parquet, .npz, .npy, .mat, .h5, .wav, or a folder.

    A folder holds images or records by class, parts of a .parquet, .npy files called like the arrays of an
    .npz, or what ``save_to_disk`` of Hugging Face's ``datasets`` wrote; docs/data.md lists all. Many images,
    and rows of a .npy, an uncompressed .npz or a .parquet of numbers stay in their file
    (``lazy.RESIDENT_BYTES``); windows, spectra and summaries are in memory.

    Parameters
    ----------
    data : str or Path
        A name of `available()`, or a path; write `./mnist` for a folder called like a named set.
    reading : Reading
        Options of reading.
    kind : {"image", "table", "signal"}, optional
        What the rows are, where neither the file says nor windows are cut.

    Raises
    ------
    FileNotFoundError
        The file is missing, or a named set without official raw files is not on this machine.
    OSError
        A download failed; nothing of it remains.
    ValueError
        The name is unknown, or the content is damaged or does not fit; the message names file and position.
    ImportError
        The extra that reads such files is not installed: parquet, files or stream.

    Examples
    --------
    >>> digits = load_dataset("digits")
    >>> digits.x_train.shape, digits.x_test.shape, digits.class_names[3]
    ((1347, 8, 8), (450, 8, 8), '3')
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind {kind!r} is not one of {', '.join(KINDS)}")
    path = Path(data).expanduser()
    is_named = str(data) in SETS and not (isinstance(data, Path) and path.exists())
    loaded = _load_named(str(data), reading) if is_named else _load_path(path, reading)
    if reading.group is not None and loaded.groups is None:
        raise ValueError(
            f"group {reading.group!r} names a column of a table or an array of an .npz: {data} has neither"
        )
    _check_part("train", loaded.x_train, loaded.y_train, loaded)
    _check_part("test", loaded.x_test, loaded.y_test, loaded)
    return _as_signals(replace(loaded, kind=kind or loaded.kind), reading)


def _refuse_columns(data: str, reading: Reading) -> None:
    """Raise ValueError where columns are given of data that has none."""
    for option, columns in (("label", [reading.label]), ("drop", reading.drop)):
        for column in columns:
            unfit = f"{option} {column!r} names a column of a .csv or .parquet table, which {data} is not"
            check(column is None, unfit)


def _load_named(name: str, reading: Reading) -> LabelledData:
    _refuse_columns(name, reading)
    if SETS[name].source == EMBEDDED:
        return _load_digits()
    path, digest = locate(name, None)
    return replace(read_npz(path, reading.group), name=name, kind=SETS[name].kind, sha256=digest)


def _load_digits() -> LabelledData:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    flat, labels = (np.asarray(part) for part in load_digits(return_X_y=True))
    x = (flat.reshape(-1, 8, 8) / 16).astype(np.float32)
    y = labels.astype(np.int64)
    parts = train_test_split(x, y, test_size=450, stratify=y, random_state=0)
    x_train, x_test, y_train, y_test = (np.asarray(part) for part in parts)
    return LabelledData("digits", x_train, y_train, x_test, y_test, DIGITS, kind="image", source=EMBEDDED)


def _load_path(path: Path, reading: Reading) -> LabelledData:
    if not path.exists():
        if path.suffix or len(path.parts) != 1:
            raise FileNotFoundError(f"no such file or folder: {path}")
        raise ValueError(unknown_name(path.name))
    if path.is_dir() and is_saved(path):
        return read_saved(path, reading)
    loaded = read_table(path, reading) if is_table(path) else _load_arrays(path, reading)
    is_hashed = path.is_file() and path.stat().st_size <= HASH_LIMIT
    return replace(loaded, sha256=sha256_of(path) if is_hashed else None)


def _load_arrays(path: Path, reading: Reading) -> LabelledData:
    """Read what is no table: arrays, images or records."""
    suffixes = {file.suffix.lower() for file in (walk(path) if path.is_dir() else [path])}
    if suffixes.isdisjoint(IMAGE_SUFFIXES) and not suffixes.isdisjoint(RECORD_SUFFIXES):
        check(reading.label is None, f"label {reading.label!r}: records of {path} have their folder as class")
        return read_records(path, reading)
    if path.is_file() and not suffixes <= {".npz", ".npy"}:
        raise ValueError(f"{path}: unknown suffix {path.suffix!r}; {KNOWN_FILES}")
    _refuse_columns(str(path), reading)
    if path.is_dir():
        return read_npy_folder(path, reading.group) or read_image_folder(path, reading.resize)
    return read_npz(path, reading.group) if suffixes == {".npz"} else read_npy(path)


def _check_part(part: str, x: RowsLike | None, y: np.ndarray | None, data: LabelledData) -> None:
    if x is None:
        check(y is None, f"{data.source} has y_{part} but no x_{part}")
        return
    where = f"x_{part} of {data.source}"
    if isinstance(x, np.ndarray | LazyArray) and x.dtype.kind not in "biuf":
        raise ValueError(f"{where} holds {x.dtype}, not numbers")
    if x.ndim < 2 or 0 in x.shape:
        raise ValueError(f"{where} has shape {x.shape}; wanted are rows of at least one value")
    if x.shape[1:] != data.x_train.shape[1:]:
        raise ValueError(f"{where} has rows of shape {x.shape[1:]}, x_train of {data.x_train.shape[1:]}")
    if y is None:
        return
    check(len(y) == len(x), f"{where} has {len(x)} rows but y_{part} has {len(y)} labels")
    names = data.class_names
    if names is not None and y.dtype.kind == "i" and y.max() >= len(names):
        raise ValueError(f"y_{part} of {data.source} holds class {y.max()}, class_names {len(names)} names")


# ------------------------------------------------------------------------------- windows and spectra


def _as_signals(loaded: LabelledData, reading: Reading) -> LabelledData:
    """Cut windows and replace them by spectra or summaries, as the options say."""
    window = reading.window
    is_resizable = loaded.kind == "image" and Path(loaded.source).is_dir()
    check(reading.resize is None or is_resizable, f"resize needs a folder of images: {loaded.name} is none")
    check(reading.hop is None or window is not None, f"hop={reading.hop} needs a window")
    check(window is None or loaded.kind != "image", f"{loaded.name} holds images: no windows can be cut")
    if window is not None:
        in_time = loaded.kind != "signal" and loaded.x_train.ndim == 2  # a table, row after row
        loaded = _cut(loaded, windows_of_rows if in_time else windows_of_records, window, reading.step)
    check(not (reading.spectrum and reading.summary), "spectrum and summary: give one of them, not both")
    if not (reading.spectrum or reading.summary):
        return loaded
    option = "spectrum" if reading.spectrum else "summary"
    check(loaded.kind == "signal", f"{option} needs signals: {loaded.name} holds none; give kind or window")
    return _spectra(loaded) if reading.spectrum else _summaries(loaded)


def _spectra(loaded: LabelledData) -> LabelledData:
    x_test = None if loaded.x_test is None else log_spectrum(np.asarray(loaded.x_test))
    return replace(loaded, x_train=log_spectrum(np.asarray(loaded.x_train)), x_test=x_test)


def _summaries(loaded: LabelledData) -> LabelledData:
    x_train = summarize(np.asarray(loaded.x_train))
    x_test = None if loaded.x_test is None else summarize(np.asarray(loaded.x_test))
    channels = loaded.feature_names or range(x_train.shape[1] // len(SUMMARIES))
    names = tuple(f"{channel} {summary}" for summary in SUMMARIES for channel in channels)
    return replace(loaded, x_train=x_train, x_test=x_test, kind="table", feature_names=names)


def _cut(loaded: LabelledData, cut: Callable[..., Windows], window: int, hop: int) -> LabelledData:
    cut_rows = partial(_cut_rows, loaded.name, partial(cut, window=window, hop=hop))
    train = cut_rows(loaded.x_train, loaded.groups)
    y = loaded.y_train
    windows = replace(
        loaded,
        kind="signal",
        x_train=train.x,
        y_train=None if y is None else y[train.last],
        groups=train.groups,
    )
    if loaded.x_test is None:
        return windows
    test = cut_rows(loaded.x_test, loaded.groups_test)
    y_test = loaded.y_test
    return replace(
        windows,
        x_test=test.x,
        y_test=None if y_test is None else y_test[test.last],
        groups_test=None if loaded.groups_test is None else test.groups,
    )


def _cut_rows(name: str, cut: Callable[..., Windows], rows: RowsLike, groups: np.ndarray | None) -> Windows:
    """Cut rows into windows: short gaps are filled, and windows over longer ones left out."""
    x = np.asarray(rows)
    check(x.dtype != object, f"{name} has columns of text: leave them out (--drop) to cut windows")
    if x.ndim != 2 or x.dtype.kind != "f" or not np.isnan(x).any():
        return cut(x, groups)
    filled = fill_gaps(x, groups)
    windows = cut(filled, groups)
    is_whole = np.array([not np.isnan(each).any() for each in windows.x])
    check(is_whole.any(), f"{name}: every window holds a gap of more than {LONGEST_GAP} rows")
    n_filled = int(np.isnan(x).sum() - np.isnan(filled).sum())
    warnings.warn(
        f"{name}: {n_filled} missing values in gaps of up to {LONGEST_GAP} rows are interpolated, "
        f"{int((~is_whole).sum())} of {len(is_whole)} windows are left out for longer gaps",
        stacklevel=2,
    )
    return Windows(windows.x[is_whole], windows.last[is_whole], windows.groups[is_whole])
