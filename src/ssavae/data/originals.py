"""Named sets made from their public originals: Omniglot, silhouettes, the chemical plant, the bearings.

docs/data-sets.md names each original and its address.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath, PurePosixPath
from zipfile import BadZipFile, ZipFile

import numpy as np

from ssavae._checks import check
from ssavae.data.catalog import SETS, build_command, store, unknown_name

Arrays = dict[str, np.ndarray]

MAX_DRAWING = 2**20  # bytes of one PNG of Omniglot: the largest has less than 1,000
PLANT_VARIABLES = (*(f"XMEAS({i})" for i in range(1, 42)), *(f"XMV({i})" for i in range(1, 12)))
FAULT_START = 160  # rows of a test run before its fault
# drive end, no load: number of the file, at 12 kHz but for the normal record
RECORDS = {
    "Normal": 97, "B_7": 118, "B_14": 185, "B_21": 222, "IR_7": 105, "IR_14": 169, "IR_21": 209,
    "OR@6_7": 130, "OR@6_14": 197, "OR@6_21": 234,
}  # fmt: skip
SAMPLE_RATE = 12_000
WINDOW, HOP, TRAIN_FRACTION = 1024, 256, 0.7


def build(name: str, folder: Path, cache: Path | None = None) -> Path:
    """Build a named set from its public originals, and store it where `load_dataset` looks for it.

    Parameters
    ----------
    name : str
        ``omniglot``, ``caltech101_silhouettes``, ``tennessee_eastman`` or ``cwru_bearing``.
    folder : Path
        Where the files lie as they were published, also in folders below.
    cache : Path, optional
        Where to store the set, by default the user cache.

    Raises
    ------
    FileNotFoundError
        An original is missing; the message says which, and where it is published.
    ValueError
        The name is another, or the files do not hold what they should.
    """
    check(name in SETS, unknown_name(name))
    check(name in _BUILDERS, f"{name} is not built from files: it is one of {', '.join(_BUILDERS)}")
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder: {folder}")
    arrays = _BUILDERS[name](folder)
    n = len(arrays["x_train"]) + len(arrays["x_test"])
    check(n == SETS[name].rows, f"{folder} makes {n:,} rows of {name}, not {SETS[name].rows:,}: files differ")
    return store(name, arrays, cache)


def _find(name: str, folder: Path, file: str) -> Path:
    """Return the one file of this name in a folder or below it."""
    files = sorted(folder.rglob(file))
    if not files:
        raise FileNotFoundError(f"no {file} in {folder}: {build_command(name)}")
    check(len(files) == 1, f"{folder} holds {file} {len(files)} times: {files[0]} and {files[-1]}")
    return files[0]


# ------------------------------------------------------------------------------------------- Omniglot


def _omniglot(folder: Path) -> Arrays:
    """Label = alphabet; 15 of the 20 drawings of each character are for training, 5 for the test."""
    drawings = [
        each for part in ("images_background", "images_evaluation") for each in _drawings(folder, part)
    ]
    alphabets = list(dict.fromkeys(alphabet for alphabet, *_ in drawings))
    characters = list(dict.fromkeys(drawing[:2] for drawing in drawings))
    x = np.stack([image for *_, image in drawings])
    y = np.array([alphabets.index(alphabet) for alphabet, *_ in drawings])
    character_index = {character: i for i, character in enumerate(characters)}
    char = np.array([character_index[drawing[:2]] for drawing in drawings])
    drawer = np.array([drawer for _, _, drawer, _ in drawings])
    rng = np.random.default_rng(0)
    split = [rng.permutation(np.flatnonzero(char == i)) for i in range(len(characters))]
    arrays: Arrays = {"class_names": np.array(alphabets)}
    for part, chosen in (("train", slice(15)), ("test", slice(15, None))):
        rows = rng.permutation(np.sort(np.concatenate([each[chosen] for each in split])))
        arrays |= {
            f"x_{part}": x[rows],
            f"y_{part}": y[rows],
            f"char_{part}": char[rows],
            f"drawer_{part}": drawer[rows],
        }
    return arrays


def _drawings(folder: Path, part: str) -> Iterator[tuple[str, str, int, np.ndarray]]:
    """Yield alphabet, character, drawer and image in order, from the archive or from its folder."""
    unpacked = [path for path in sorted(folder.rglob(part)) if path.is_dir()]
    if unpacked:
        for path in sorted(unpacked[0].glob("*/*/*.png")):
            yield _draw(path, path.read_bytes())
        return
    file = _find("omniglot", folder, f"{part}.zip")
    try:
        with ZipFile(file) as archive:
            names = [name for name in archive.namelist() if re.match(rf"{part}/.*\.png$", name)]
            for path in sorted(map(PurePosixPath, names)):
                size = archive.getinfo(str(path)).file_size
                check(size <= MAX_DRAWING, f"{path} of {file} has {size:,} bytes: too many for a drawing")
                yield _draw(path, archive.read(str(path)))
    except BadZipFile as error:
        raise ValueError(f"{file} is damaged: {error}") from error


def _draw(path: PurePath, content: bytes) -> tuple[str, str, int, np.ndarray]:
    """Return alphabet, character, drawer and image of Alphabet/character01/0709_07.png.

    The ink is bright, and 105 x 105 pixels are shrunk to 28 x 28 by averages over areas.
    """
    from PIL import Image

    match = re.fullmatch(r"\d+_(\d+)", path.stem)
    if match is None:
        raise ValueError(f"{path} should be called like 0709_07.png")
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            check(image.size == (105, 105), f"{path} has {image.size} pixels, not 105 x 105")
            bright = Image.fromarray(255 - np.asarray(image.convert("L")))
    except OSError as error:
        raise ValueError(f"{path} is no PNG file: {error}") from error
    shrunk = np.asarray(bright.resize((28, 28), Image.Resampling.BOX))
    return path.parts[-3], path.parts[-2], int(match[1]), shrunk


# ---------------------------------------------------------------------------------------- silhouettes


def _silhouettes(folder: Path) -> Arrays:
    """Return the official split; validation rows come last in the training part."""
    mat = _load_mat(_find("caltech101_silhouettes", folder, "caltech101_silhouettes_28_split1.mat"))
    parts = {part: (_upright(mat[f"{part}_data"]), _labels(mat, part)) for part in ("train", "val", "test")}
    n_train, n_val = len(parts["train"][0]), len(parts["val"][0])
    return {
        "class_names": np.array([str(np.squeeze(each)) for each in mat["classnames"].ravel()]),
        "x_train": np.concatenate([parts["train"][0], parts["val"][0]]),
        "y_train": np.concatenate([parts["train"][1], parts["val"][1]]),
        "x_test": parts["test"][0],
        "y_test": parts["test"][1],
        "is_val": np.repeat([False, True], [n_train, n_val]),
    }


def _labels(mat: Arrays, part: str) -> np.ndarray:
    return mat[f"{part}_labels"].ravel().astype(np.int64) - 1


def _upright(flat: np.ndarray) -> np.ndarray:
    """Return images (n, 784) by column, object 0 on ground 1, as (n, 28, 28), object 255 on ground 0."""
    images = flat.reshape(-1, 28, 28).swapaxes(1, 2)
    return np.where(images > 0, 0, 255).astype(np.uint8)


def _load_mat(path: Path) -> Arrays:
    from scipy.io import loadmat

    try:
        return loadmat(path)
    except Exception as error:  # scipy raises whatever a damaged file makes it stumble over
        raise ValueError(f"{path} is no MATLAB file that scipy reads: {error}") from error


# ----------------------------------------------------------------------------------- Tennessee Eastman


def _plant(folder: Path) -> Arrays:
    """Label = fault; a test run is normal before its fault starts."""
    arrays: Arrays = {
        "class_names": np.array(["normal", *(f"IDV({i})" for i in range(1, 22))]),
        "feature_names": np.array(PLANT_VARIABLES),
    }
    for part, suffix, start in (("train", "", 0), ("test", "_te", FAULT_START)):
        runs = [_run(_find("tennessee_eastman", folder, f"d{fault:02}{suffix}.dat")) for fault in range(22)]
        lengths = [len(run) for run in runs]
        step = np.concatenate([np.arange(n) for n in lengths])
        run = np.repeat(np.arange(22), lengths)
        arrays |= {f"x_{part}": np.concatenate(runs), f"y_{part}": np.where(step < start, 0, run)}
        arrays |= {f"run_{part}": run, f"step_{part}": step}
    return arrays


def _run(path: Path) -> np.ndarray:
    """Return the rows of one file; d00.dat was published on its side."""
    try:
        values = np.loadtxt(path, dtype=np.float32, ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path} is no table of numbers: {error}") from error
    rows = values if values.shape[1] == len(PLANT_VARIABLES) else values.T
    check(
        rows.shape[1] == len(PLANT_VARIABLES), f"{path} has shape {values.shape}: 52 columns were published"
    )
    return rows


# ------------------------------------------------------------------------------------------- bearings


def _bearings(folder: Path) -> Arrays:
    """Windows of the drive end's sensor; the first 70 % of each record are for training."""
    arrays: Arrays = {"class_names": np.array(list(RECORDS)), "sample_rate": np.array(SAMPLE_RATE)}
    parts: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    for number in RECORDS.values():
        record = _record(_find("cwru_bearing", folder, f"{number}.mat"), number)
        end = int(TRAIN_FRACTION * len(record))
        parts["train"].append(_windows(record[:end]))
        parts["test"].append(_windows(record[end:]))
    for part, windows in parts.items():
        arrays[f"x_{part}"] = np.concatenate(windows).astype(np.float32)
        arrays[f"y_{part}"] = np.repeat(np.arange(len(RECORDS)), [len(each) for each in windows])
    return arrays


def _record(path: Path, number: int) -> np.ndarray:
    """Return the samples at 12 kHz: the normal record has 48, though its page does not say so."""
    from scipy.signal import decimate

    key = f"X{number:03}_DE_time"
    mat = _load_mat(path)
    check(key in mat, f"{path} has no {key}, but {', '.join(each for each in mat if each[0] != '_')}")
    record = mat[key].ravel()
    return decimate(record, 4, ftype="fir") if number == RECORDS["Normal"] else record


def _windows(record: np.ndarray) -> np.ndarray:
    check(len(record) >= WINDOW, f"a part of a record has {len(record)} samples, a window {WINDOW}")
    return np.lib.stride_tricks.sliding_window_view(record, WINDOW)[::HOP]


_BUILDERS: dict[str, Callable[[Path], Arrays]] = {
    "omniglot": _omniglot,
    "caltech101_silhouettes": _silhouettes,
    "tennessee_eastman": _plant,
    "cwru_bearing": _bearings,
}
