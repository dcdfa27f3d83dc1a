"""Loading of named sets and paths: .csv, .parquet, .npz, .npy, folders of images, arrays or Hugging Face.

Nothing read here can run code: no pickles, and archives are read in memory, never unpacked to disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ssavae._checks import check
from ssavae._serialize import sha256_of
from ssavae.data.arrays import read_npy, read_npy_folder, read_npz
from ssavae.data.catalog import DIGITS, EMBEDDED, SETS, locate, unknown_name
from ssavae.data.hugging_face import is_saved, read_saved
from ssavae.data.image_folder import read_image_folder
from ssavae.data.labelled import DEFAULT_READING, KINDS, LabelledData, Reading, RowsLike
from ssavae.data.tables import read_table
from ssavae.data.windows import (
    SUMMARIES,
    Windows,
    log_spectrum,
    summarize,
    windows_of_records,
    windows_of_rows,
)
from ssavae.preprocessing.lazy import LazyArray

HASH_LIMIT = 2**30  # bytes; hashing a larger file, a memory-mapped .npy, would read what may never be used


def load_dataset(
    data: str | Path, reading: Reading = DEFAULT_READING, *, kind: str | None = None
) -> LabelledData:
    """Read a named set or a path: .csv, .parquet, .npz, .npy, or a folder.

    A folder holds images by class, .npy files called like the arrays of an .npz, or what ``save_to_disk``
    of Hugging Face's ``datasets`` wrote. Many rows of a folder, a .npy, an uncompressed .npz or a .parquet of
    numbers stay in their file (``lazy.RESIDENT_BYTES``); windows, spectra and summaries are in memory.

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
    is_named = str(data) in SETS and not (isinstance(data, Path) and path.exists())
    if is_named or path.suffix.lower() in (".npz", ".npy") or (path.is_dir() and not is_saved(path)):
        _refuse_columns(str(data), reading)
    loaded = _load_named(str(data), reading.group) if is_named else _load_path(path, reading)
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


def _load_named(name: str, group: str | None) -> LabelledData:
    if SETS[name].source == EMBEDDED:
        return _load_digits()
    path, digest = locate(name, None)
    return replace(read_npz(path, group), name=name, kind=SETS[name].kind, sha256=digest)


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
    if path.is_dir():
        if is_saved(path):
            return read_saved(path, reading)
        return read_npy_folder(path, reading.group) or read_image_folder(path, reading.resize)
    suffix = path.suffix.lower()
    if suffix in (".csv", ".parquet"):
        loaded = read_table(path, reading)
    elif suffix == ".npz":
        loaded = read_npz(path, reading.group)
    elif suffix == ".npy":
        loaded = read_npy(path)
    else:
        raise ValueError(f"{path}: unknown suffix {suffix!r}; give .csv, .parquet, .npz, .npy or a folder")
    return replace(loaded, sha256=sha256_of(path) if path.stat().st_size <= HASH_LIMIT else None)


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
    train = cut(np.asarray(loaded.x_train), loaded.groups, window, hop)
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
    test = cut(np.asarray(loaded.x_test), loaded.groups_test, window, hop)
    y_test = loaded.y_test
    return replace(
        windows,
        x_test=test.x,
        y_test=None if y_test is None else y_test[test.last],
        groups_test=None if loaded.groups_test is None else test.groups,
    )
