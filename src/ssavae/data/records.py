"""Recordings: .mat, .h5, .wav and other audio, one record a file, alone or in folders by class."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssavae._checks import check, require_package
from ssavae.data.arrays import ROWS_KEYS, from_arrays
from ssavae.data.files.class_folders import ClassFolders, and_more, list_class_folders
from ssavae.data.files.guards import check_unpacked, guard
from ssavae.data.files.matlab import read_matlab
from ssavae.data.labelled import LabelledData, Reading

HDF5_SUFFIXES = (".h5", ".hdf5")
AUDIO_SUFFIXES = (".flac", ".ogg", ".aiff", ".aif")  # read by soundfile; .wav is read by SciPy
RECORD_SUFFIXES = (".mat", *HDF5_SUFFIXES, ".wav", *AUDIO_SUFFIXES)
MOST_CHANNELS = 64  # columns of a matrix that may be channels of a record
NUMBER_OF_FILE = re.compile(r"^X?([0-9]+)_?")  # before the name of a channel, as in X097_DE_time


class Record(NamedTuple):
    """Channels of one file, all of one length, and the names of others that are not."""

    channels: dict[str, np.ndarray]  # (T,)
    others: list[str]
    rate: int | None = None  # samples a second, where the file says


def read_records(path: Path, reading: Reading) -> LabelledData:
    """Read a recording, or a folder of them with one sub-folder per class, as images are.

    Each file is one record (T[, C]) of the channels that all files have. A .mat or .h5 with arrays called
    like those of an .npz is read as such.

    Raises
    ------
    ValueError
        A file is damaged, files have no channel in common, or records differ in length and are not cut.
    ImportError
        Without the extra ``files``, for all but .wav and older .mat.
    """
    if path.is_file() and path.suffix.lower() in (".mat", *HDF5_SUFFIXES):
        arrays = {name: each for name, each in _read_variables(path).items() if isinstance(each, np.ndarray)}
        if any(key in arrays and arrays[key].ndim > 1 for key in ROWS_KEYS):
            check(not reading.drop, f"drop: {path} holds arrays, not channels")
            return from_arrays(arrays, path, reading.group)
    check(reading.group is None, f"group {reading.group!r}: each record of {path} is a group of its own")
    if path.is_dir():
        listed = list_class_folders(path, RECORD_SUFFIXES, "records")
    else:
        listed = ClassFolders(path.parent, (path,), np.array([-1]), (), 1)
    names, records = _common_channels(listed, reading)
    if reading.window is None:
        return _whole_records(path, listed, names, records)
    return _rows_in_time(path, listed, names, records)


def _common_channels(listed: ClassFolders, reading: Reading) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Return the channels that all files have, and the records (T, C)."""
    records = [_read_record(file, reading) for file in listed.files]
    first = records[0].channels
    if all(len(each.channels) == 1 for each in records):  # whatever each file calls it
        records = [
            each._replace(channels=dict(zip(first, each.channels.values(), strict=True))) for each in records
        ]
    names = tuple(name for name in first if all(name in each.channels for each in records))
    if not names:
        of_files = [
            f"{name} has {and_more(list(each.channels))}"
            for name, each in zip(listed.names, records, strict=True)
        ]
        raise ValueError(f"{listed.folder}: no channel is in every file: {and_more(of_files)}")
    others = {name for each in records for name in (*each.channels, *each.others)} - {*names}
    if others:
        problem = "channels are not read, as not every file has them or their length is another"
        warnings.warn(f"{listed.folder}: {len(others)} {problem}: {and_more(sorted(others))}", stacklevel=3)
    rates = sorted({each.rate for each in records if each.rate is not None})
    if len(rates) > 1:
        warnings.warn(
            f"{listed.folder}: sample rates differ, {and_more(list(map(str, rates)))} Hz", stacklevel=3
        )
    dtype = np.result_type(*(each.channels[name] for each in records for name in names))
    arrays = [np.stack([each.channels[name] for name in names], axis=-1).astype(dtype) for each in records]
    return names, arrays


def _whole_records(
    path: Path, listed: ClassFolders, names: tuple[str, ...], records: list[np.ndarray]
) -> LabelledData:
    """Return each record as a row, (n, T[, C])."""
    for name, record in zip(listed.names, records, strict=True):
        lengths = f"{listed.names[0]} has {len(records[0])} samples, {name} has {len(record)}"
        check(len(record) == len(records[0]), f"{path}: {lengths}: cut records into windows with --window")
    x = np.stack(records)
    return _labelled(path, listed, x if len(names) > 1 else x[..., 0], names, np.arange(len(x)), "signal")


def _rows_in_time(
    path: Path, listed: ClassFolders, names: tuple[str, ...], records: list[np.ndarray]
) -> LabelledData:
    """Return the samples of all records as rows of a table, (sum of T, C), each record a group."""
    record_of = np.repeat(np.arange(len(records)), [len(record) for record in records])
    return _labelled(path, listed, np.concatenate(records), names, record_of, None)


def _labelled(
    path: Path,
    listed: ClassFolders,
    x: np.ndarray,
    names: tuple[str, ...],
    record_of: np.ndarray,
    kind: str | None,
) -> LabelledData:
    n = int(np.searchsorted(record_of, listed.n_train))
    y = listed.y[record_of] if listed.class_names else None
    groups = None if kind == "signal" else np.array(listed.names, dtype=object)[record_of]
    has_test = n < len(x)
    return LabelledData(
        path.resolve().name,
        x[:n],
        None if y is None else y[:n],
        x[n:] if has_test else None,
        y[n:] if y is not None and has_test else None,
        class_names=listed.class_names or None,
        feature_names=names,
        kind=kind,
        groups=None if groups is None else groups[:n],
        groups_test=groups[n:] if groups is not None and has_test else None,
        source=str(path),
    )


# ---------------------------------------------------------------------------------------- channels


def _read_record(file: Path, reading: Reading) -> Record:
    """Read the longest channels of a file, but for those to leave out and time axes."""
    if file.suffix.lower() in (".mat", *HDF5_SUFFIXES):
        variables = _read_variables(file)
        vectors, rate = _vectors_of_file(variables, file), None
    else:
        rate, samples = _read_audio(file)
        columns = samples if samples.ndim == 2 else samples[:, None]
        vectors = {f"channel {i}": column for i, column in enumerate(columns.T)}
        vectors = vectors if len(vectors) > 1 else {"": samples.reshape(-1)}
    vectors = {name: each for name, each in vectors.items() if not _is_time_axis(each)}
    check(len(vectors) > 0, f"{file} holds no channel: wanted are vectors of numbers")
    wanted = {name: each for name, each in vectors.items() if name not in reading.drop}
    check(len(wanted) > 0, f"--drop leaves no channel of {file}: it has {and_more(list(vectors))}")
    longest = max(map(len, wanted.values()))
    channels = {name: each for name, each in wanted.items() if len(each) == longest}
    return Record(channels, [name for name in wanted if name not in channels], rate)


def _vectors_of_file(variables: Mapping[str, object], file: Path) -> dict[str, np.ndarray]:
    """Return the vectors of a file by name: ``DE_time`` for ``X097_DE_time``, whose number is the file's."""
    numbers = {name: int(match[1]) for name in variables if (match := NUMBER_OF_FILE.match(name))}
    if len(set(numbers.values())) > 1:  # some files of the bearing centre hold those of another one, too
        own = {int(number) for number in re.findall("[0-9]+", file.stem)}
        variables = {name: each for name, each in variables.items() if numbers.get(name) in own} or variables
    is_one_record = len(variables) == 1 and not isinstance(next(iter(variables.values())), np.ndarray)
    vectors: dict[str, np.ndarray] = {}
    for variable, value in variables.items():
        name = "" if is_one_record else NUMBER_OF_FILE.sub("", variable) or variable
        for channel, vector in _vectors(name, value):
            check(
                channel not in vectors,
                f"{file} holds two channels called {channel!r}: leave out one variable",
            )
            vectors[channel] = vector
    return vectors


def _vectors(name: str, value: object) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the vectors of a variable, those inside a structure under their own names."""
    fields = getattr(value, "_fieldnames", None)  # of a structure of a .mat
    if fields is not None:
        own = getattr(value, "Name", None)
        for field in fields:
            inner = own if isinstance(own, str) and own and field == "Data" else f"{name}.{field}".lstrip(".")
            yield from _vectors(inner, getattr(value, field))
    elif isinstance(value, np.ndarray) and value.dtype == object:
        for i, element in enumerate(value.ravel()):
            yield from _vectors(f"{name}[{i}]", element)
    elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.size > 1:
        columns = np.atleast_2d(value.squeeze())
        if columns.ndim == 2 and min(columns.shape) <= MOST_CHANNELS:
            columns = columns if len(columns) < columns.shape[1] else columns.T
            yield from (
                (name if len(columns) == 1 else f"{name}[{i}]", each) for i, each in enumerate(columns)
            )


def _is_time_axis(vector: np.ndarray) -> bool:
    """Say whether a vector rises in equal steps.

    >>> _is_time_axis(np.arange(9) / 12000), _is_time_axis(np.ones(9))
    (True, False)
    """
    if len(vector) < 3:
        return False
    steps = np.diff(vector.astype(np.float64))
    return bool(steps[0] > 0 and np.allclose(steps, steps.mean(), rtol=1e-3, atol=0))


# ------------------------------------------------------------------------------------------- files


def _read_variables(file: Path) -> dict[str, object]:
    """Return the variables of a .mat or .h5: arrays, or structures of a .mat."""
    if file.suffix.lower() in HDF5_SUFFIXES:
        return _read_hdf5(file)
    with file.open("rb") as stream:
        is_hdf5 = stream.read(10) == b"MATLAB 7.3"
    return _read_hdf5(file) if is_hdf5 else read_matlab(file)


def _read_hdf5(file: Path) -> dict[str, object]:
    require_package("h5py", "files", f"reading {file}")
    import h5py

    with guard(file, "HDF5 file"), h5py.File(file, "r") as archive:
        names: list[str] = []
        archive.visit(names.append)
        datasets = {name: node for name in names if isinstance(node := archive[name], h5py.Dataset)}
        arrays = {name: each for name, each in datasets.items() if each.dtype.kind in "biufSU" and each.shape}
        for name, each in arrays.items():
            check(each.external is None and not each.is_virtual, f"{name} lies in another file")
        check_unpacked(file, sum(each.nbytes for each in arrays.values()))
        return {name: each[()] for name, each in arrays.items()}


def _read_audio(file: Path) -> tuple[int, np.ndarray]:
    """Return sample rate and samples (T[, C]), integers as they are stored."""
    if file.suffix.lower() == ".wav":
        from scipy.io import wavfile

        with guard(file, ".wav"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Chunk .* not understood", wavfile.WavFileWarning)
            return wavfile.read(file)
    require_package("soundfile", "files", f"reading {file}")
    import soundfile

    with guard(file, "audio file"), soundfile.SoundFile(file) as audio:
        dtype = {"PCM_16": "int16", "PCM_24": "int32", "PCM_32": "int32"}.get(audio.subtype, "float32")
        check_unpacked(file, audio.frames * audio.channels * np.dtype(dtype).itemsize)
        return audio.samplerate, audio.read(dtype=dtype)  # pyright: ignore[reportArgumentType]
