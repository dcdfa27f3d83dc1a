"""Catalog of the named sets: their sources and checksums, and their download.

A set is looked for in the folder `SSAVAE_DATA` (environment), then in the user cache, then fetched.
`SSAVAE_MIRROR` (environment) replaces the official servers: a file is then read from
`$SSAVAE_MIRROR/<set name>/<file name>`, for example `http://host/mnist/train-images-idx3-ubyte.gz`.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ssavae._checks import nearest
from ssavae._serialize import sha256_of, write_atomically


@dataclass(frozen=True)
class NamedSet:
    """A row of `ssavae data`, with what is needed to locate, check and download the set."""

    name: str
    description: str
    rows: int  # train and test together
    kind: str
    n_classes: int
    licence: str
    source: str  # URL (of the folder with the downloads, where there are any), or "embedded in scikit-learn"
    file: str = ""  # its name in SSAVAE_DATA
    sha256: str = ""  # of that file
    downloads: tuple[tuple[str, str], ...] = ()  # raw files on the official server, with their sha256
    class_names: tuple[str, ...] = ()  # where the downloads do not hold them
    originals: str = ""  # files to build it from, where nothing is downloaded
    path: Path | None = None  # on this machine, filled in by available()


EMBEDDED = "embedded in scikit-learn"
DIGITS = tuple("0123456789")
_GARMENTS = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
_OBJECTS = "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck"
_IDX_PARTS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
_IDX_FILES = tuple(f"{part}-ubyte.gz" for part in _IDX_PARTS)
_MNIST_SHA256 = """440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609
3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c
8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6
f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"""
_FASHION_SHA256 = """3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84
a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845
346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073
67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"""
_CIFAR_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
_ROWS = (
    NamedSet("digits", "8x8 handwritten digits", 1797, "image", 10, "CC BY 4.0 (UCI)", EMBEDDED),
    NamedSet("mnist", "28x28 handwritten digits", 70000, "image", 10, "not stated",
             "https://ossci-datasets.s3.amazonaws.com/mnist/",
             "mnist.npz", "a555a14a778b70e9b1ddc59005059a25e83ba15b1c23914adfb62d504eeb6d65",
             tuple(zip(_IDX_FILES, _MNIST_SHA256.split(), strict=True)), DIGITS),
    NamedSet("fashion_mnist", "28x28 garments", 70000, "image", 10, "MIT (Zalando SE)",
             "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
             "fashion_mnist.npz", "8d749f0eeca5bcf131c85ed39003d8efaf086b4546207398afd67986896618d2",
             tuple(zip(_IDX_FILES, _FASHION_SHA256.split(), strict=True)), tuple(_GARMENTS.split(","))),
    NamedSet("omniglot", "28x28 characters, by alphabet", 32460, "image", 50, "MIT (Brenden Lake)",
             "https://github.com/brendenlake/omniglot",
             "omniglot.npz", "0d4df7b6a491fb42cb709bd908c797b798262bbf32a98127adb32566ec31bb36",
             originals="images_background.zip and images_evaluation.zip"),
    NamedSet("caltech101_silhouettes", "28x28 outlines of objects", 8671, "image", 101, "not stated",
             "https://people.cs.umass.edu/~marlin/data.shtml",
             "caltech101_silhouettes.npz",
             "86719ef93e7cf06a3f250e390ee9b5fc3164d28fd3993cf7abdbae1cb6510bd7",
             originals="caltech101_silhouettes_28_split1.mat"),
    # The local file holds JPEG copies in another order; the download is the lossless original.
    NamedSet("cifar10", "32x32 colour photographs", 60000, "image", 10, "not stated",
             "https://www.cs.toronto.edu/~kriz/",
             "cifar10_jpeg.npz", "6e8cdb88e615a9316cbb97435ef611517a4e453ebb1c26dcdd1c428347e8387b",
             (("cifar-10-binary.tar.gz", _CIFAR_SHA256),), tuple(_OBJECTS.split(","))),
    NamedSet("tennessee_eastman", "chemical plant, 52 variables, 21 faults", 31700, "table", 22,
             "University of Illinois, permissive",
             "https://github.com/camaramm/tennessee-eastman-profBraatz",
             "tennessee_eastman.npz", "bcf4f22992316399836535d5e807b0c7703f3dd3d5af0a888cc9995bc67b44eb",
             originals="d00.dat to d21.dat and d00_te.dat to d21_te.dat"),
    NamedSet("cwru_bearing", "bearing vibration, 1024 samples at 12 kHz", 4456, "signal", 10,
             "not stated (credit: CWRU)", "https://engineering.case.edu/bearingdatacenter",
             "cwru_bearing.npz", "7f6c123c8ed5a37befc4c85be799167d1be176c18bbba5ba341f93839f732fca",
             originals="97, 105, 118, 130, 169, 185, 197, 209, 222 and 234.mat"),
)  # fmt: skip
SETS = {row.name: row for row in _ROWS}
CAUTIONS = {
    "cwru_bearing": "Training and test windows of a class were cut from one recording of one bearing at one "
    "load: they share no sample, but everything peculiar to that bearing, its mounting and that minute. "
    "Such a split flatters every method; only other bearings or loads would show how well a fault is known.",
    "tennessee_eastman": "Each fault has one simulated training run: rows of a run follow one another, so "
    "that labels drawn at random from it give away those of their neighbours: draw them in one block. "
    "Runs are numbered anew in the test part, so run_train and run_test are no groups.",
}
UNDETECTABLE = {"tennessee_eastman": ("IDV(3)", "IDV(9)", "IDV(15)")}  # faults that leave no known trace


def available() -> list[NamedSet]:
    """List the named sets, each with its path on this machine, None where it has to be downloaded."""
    cache = _cache_folder()
    return [replace(row, path=_find(row, cache)[0]) for row in SETS.values()]


def fetch(name: str, *, folder: Path | None = None) -> Path:
    """Return the checked file of a named set; download it (to `folder`, by default the user cache) if needed.

    Raises
    ------
    FileNotFoundError
        The set has no official raw files; the message says which file to put where.
    OSError
        A download failed; nothing of it remains.
    ValueError
        The name is unknown or embedded, or a file has another sha256 than expected.
    """
    return locate(name, folder)[0]


def locate(name: str, folder: Path | None) -> tuple[Path, str]:
    """Return the checked file of a named set and its sha256; raises as `fetch`."""
    if name not in SETS:
        raise ValueError(unknown_name(name))
    if SETS[name].source == EMBEDDED:
        raise ValueError(f"{name} is {EMBEDDED}: there is no file to fetch")
    cache = _cache_folder() if folder is None else Path(folder)
    local, expected = _find(SETS[name], cache)
    path = local or _download(SETS[name], cache)
    digest = sha256_of(path)
    if expected is not None and digest != expected:
        raise ValueError(f"{path} is damaged or another version: expected sha256 {expected}, found {digest}")
    return path, digest


def _find(row: NamedSet, cache: Path) -> tuple[Path | None, str | None]:
    """Return the file and its expected sha256; None where it was built here, from downloads or originals."""
    local = os.environ.get("SSAVAE_DATA")
    cached = cache / f"{row.name}.npz"
    if local and row.file and (Path(local) / row.file).is_file():
        return Path(local) / row.file, row.sha256
    return (cached, None) if cached.is_file() else (None, None)


def _cache_folder() -> Path:
    import pooch

    return Path(pooch.os_cache("ssavae"))


def _download(row: NamedSet, cache: Path) -> Path:
    if not row.downloads:
        raise FileNotFoundError(f"{row.name} is not on this machine: {_by_hand(row)}")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{row.name}-", dir=cache) as scratch:
        files = [_retrieve(row, file, digest, scratch) for file, digest in row.downloads]
        arrays = _parse_cifar(files[0]) if row.name == "cifar10" else _parse_mnist(files)
    arrays["class_names"] = np.array(row.class_names)
    return store(row.name, arrays, cache)


def store(name: str, arrays: Mapping[str, np.ndarray], cache: Path | None = None) -> Path:
    """Write the arrays of a named set into the cache, the whole file or nothing, and return its path."""
    cache = _cache_folder() if cache is None else cache
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # pyright: ignore[reportArgumentType]
    cache.mkdir(parents=True, exist_ok=True)
    write_atomically(cache / f"{name}.npz", content.getvalue())
    return cache / f"{name}.npz"


def _retrieve(row: NamedSet, file: str, digest: str, folder: str) -> Path:
    import pooch

    mirror = os.environ.get("SSAVAE_MIRROR")
    url = f"{mirror.rstrip('/')}/{row.name}/{file}" if mirror else row.source + file
    try:
        return Path(pooch.retrieve(url, f"sha256:{digest}", fname=file, path=folder))
    except (ValueError, OSError) as error:  # requests' errors are OSErrors; a wrong hash is a ValueError
        reason = " ".join(str(error).split()).rstrip(".")
        raise OSError(
            f"{row.name}: could not download {url}: {reason}. Nothing was saved. Try again, name another "
            f"server in SSAVAE_MIRROR, or {_by_hand(row)}"
        ) from error


def _by_hand(row: NamedSet) -> str:
    local = os.environ.get("SSAVAE_DATA")
    now = f"now {local}" if local else "not set now"
    file = f"put {row.file} (sha256 {row.sha256}) into the folder that SSAVAE_DATA names ({now})"
    return f"{build_command(row.name)}; or {file}" if row.originals else file


def build_command(name: str) -> str:
    """Return the command that builds a set from its originals, and where they are published."""
    row = SETS[name]
    return f"`ssavae data build {name} --from FOLDER` takes {row.originals} of {row.source}"


def _parse_mnist(files: Sequence[Path]) -> dict[str, np.ndarray]:
    x_train, y_train, x_test, y_test = (_parse_idx(gzip.decompress(file.read_bytes())) for file in files)
    return {
        "x_train": x_train,
        "x_test": x_test,
        "y_train": y_train.astype(np.int64),
        "y_test": y_test.astype(np.int64),
    }


def _parse_idx(raw: bytes) -> np.ndarray:
    shape = np.frombuffer(raw, ">i4", raw[3], 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def _parse_cifar(file: Path) -> dict[str, np.ndarray]:
    with tarfile.open(file) as archive:
        streams = {Path(member.name).stem: archive.extractfile(member) for member in archive}
        raw = {name: stream.read() for name, stream in streams.items() if stream}
    x_train, y_train = _cifar_rows(b"".join(raw[f"data_batch_{i}"] for i in range(1, 6)))
    x_test, y_test = _cifar_rows(raw["test_batch"])
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _cifar_rows(raw: bytes) -> tuple[np.ndarray, np.ndarray]:
    rows = np.frombuffer(raw, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
    return rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), rows[:, 0].astype(np.int64)


def unknown_name(name: str) -> str:
    """Return the message for an unknown name, with the nearest name and all there are."""
    return f"no data set or path called {name!r}{nearest(name, SETS)}; the named sets are {', '.join(SETS)}"
