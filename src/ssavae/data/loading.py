"""Names and paths -> arrays, or Sources of many rows that stay in their files.

The named sets and their downloads are in `named_sets`.
Nothing read here can run code: no pickles, and archives are read in memory, never unpacked to disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ssavae._checks import check
from ssavae._serialize import sha256_of
from ssavae.data.arrays import ROWS, _load_npy, _load_npz, _map_npy, _of_arrays
from ssavae.data.catalog import DIGITS, EMBEDDED, SETS, locate, unknown_name
from ssavae.data.hugging_face import is_saved, read_saved
from ssavae.data.image_folder import read_folder
from ssavae.data.labelled import DEFAULT_READING, KINDS, LabelledData, Reading
from ssavae.data.tables import read_table
from ssavae.data.windows import (
    SUMMARIES,
    Windows,
    log_spectrum,
    summarize,
    windows_of_records,
    windows_of_rows,
)
from ssavae.preprocessing.lazy import LazyArray, load_if_small

HASH_LIMIT = 2**30  # bytes: above it (memory-mapped .npy) hashing would read what the caller may never touch


def load_dataset(
    data: str | Path, reading: Reading = DEFAULT_READING, *, kind: str | None = None
) -> LabelledData:
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
    x_train, x_test = load_if_small(loaded.x_train), load_if_small(loaded.x_test)
    return _as_signals(replace(loaded, x_train=x_train, x_test=x_test, kind=kind or loaded.kind), reading)


def _as_signals(loaded: LabelledData, reading: Reading) -> LabelledData:
    """Cut windows and take spectra, where that is wanted."""
    window, hop = reading.window, reading.hop
    if window is not None or reading.spectrum or reading.summary:
        x_train, x_test = (
            np.asarray(x) if isinstance(x, LazyArray) else x for x in (loaded.x_train, loaded.x_test)
        )
        loaded = replace(loaded, x_train=x_train, x_test=x_test)
    check(hop is None or window is not None, f"hop={hop} needs a window")
    check(window is None or loaded.kind != "image", f"{loaded.name} holds images: no windows can be cut")
    if window is not None:
        hop = max(1, window // 4) if hop is None else hop
        in_time = loaded.kind != "signal" and loaded.x_train.ndim == 2  # a table, row after row
        loaded = _cut(loaded, windows_of_rows if in_time else windows_of_records, window, hop)
    check(not (reading.spectrum and reading.summary), "spectrum and summary: give one of them, not both")
    if not (reading.spectrum or reading.summary):
        return loaded
    option = "spectrum" if reading.spectrum else "summary"
    check(loaded.kind == "signal", f"{option} needs signals: {loaded.name} holds none; give kind or window")
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


def _check_part(
    part: str, x: np.ndarray | LazyArray | None, y: np.ndarray | None, data: LabelledData
) -> None:
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
