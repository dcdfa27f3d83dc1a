"""Damaged and hostile data files: one ValueError or OSError that names the file, in bounded memory."""

import io
import resource
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
from PIL import Image
from scipy.io import wavfile

from ssavae.data.loading import load_dataset

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 255, (9, 8, 3), dtype=np.uint8)
TABLE = pd.DataFrame({"a": RNG.normal(size=30), "b": ["x", "y"] * 15, "c": np.arange(30)})


def npz(path: Path, compressed: bool) -> None:
    save = np.savez_compressed if compressed else np.savez
    save(path, X=RNG.normal(size=(9, 4)), y=np.arange(9) % 2, class_names=["a", "b"])


def hdf5(path: Path) -> None:
    with pytest.importorskip("h5py").File(path, "w") as archive:
        archive.create_dataset("X", data=RNG.normal(size=(9, 4)), compression="gzip")
        archive["y"] = np.arange(9) % 2


WRITERS = {
    "a.csv": lambda path: TABLE.to_csv(path, index=False),
    "a.csv.gz": lambda path: TABLE.to_csv(path, index=False),
    "a.csv.zip": lambda path: TABLE.to_csv(path, index=False),
    "a.parquet": lambda path: TABLE.to_parquet(path),
    "a.npy": lambda path: np.save(path, RNG.normal(size=(9, 4))),
    "a.npz": lambda path: npz(path, compressed=False),
    "packed.npz": lambda path: npz(path, compressed=True),
    "a.mat": lambda path: scipy.io.savemat(path, {"x": RNG.normal(size=50), "s": {"Name": "n", "Data": 1}}),
    "packed.mat": lambda path: scipy.io.savemat(path, {"x": RNG.normal(size=50)}, do_compression=True),
    "a.h5": hdf5,
    "a.wav": lambda path: wavfile.write(path, 8000, RNG.normal(size=50).astype(np.float32)),
    **{
        f"a.{s}": lambda path: Image.fromarray(IMAGE).save(path)
        for s in ("png", "jpg", "gif", "tif", "webp", "ppm", "bmp")
    },
}


def load(path: Path) -> str:
    """Load a file, an image as a folder; return the error, empty where there is none."""
    is_image = path.suffix[1:] in ("png", "jpg", "gif", "tif", "webp", "ppm", "bmp")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            np.asarray(load_dataset(path.parent if is_image else path).x_train)
        except (ValueError, OSError) as error:
            return str(error)
    return ""


def mutations(content: bytes, n: int, rng: np.random.Generator):
    """Yield copies of a file with bytes changed, cut out, repeated or set to extremes."""
    for _ in range(n):
        raw = bytearray(content)
        start = int(rng.integers(len(raw)))
        length = int(rng.integers(1, 9))
        choice = rng.integers(5)
        if choice == 0:
            raw = raw[:start]
        elif choice == 1:
            del raw[start : start + length]
        elif choice == 2:
            raw[start:start] = raw[start : start + length] * 3
        else:
            new = rng.bytes(length) if choice == 3 else rng.choice([b"\0", b"\xff", b"\x7f"]) * length
            raw[start : start + length] = new[: len(raw) - start]
        yield bytes(raw)


def check_mutations(tmp_path: Path, name: str, n: int) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / name
    WRITERS[name](path)
    assert load(path) == ""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for content in mutations(path.read_bytes(), n, np.random.default_rng(1)):
        path.write_bytes(content)
        message = load(path)
        assert message == "" or str(folder) in message
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert peak < 2**20  # KiB: under 1 GiB more


@pytest.mark.parametrize("name", WRITERS)
def test_some_mutated_files(tmp_path, name):
    check_mutations(tmp_path, name, 12)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_many_mutated_files(tmp_path, name):
    check_mutations(tmp_path, name, 500)


# ---- made to harm


def npy_with_header(header: bytes, data: bytes = b"") -> bytes:
    header = header.ljust(118 - 1) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


HEADERS = {
    "deep parentheses": b"(" * 5000 + b")" * 5000,
    "huge": b"{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000, 9), }",
    "negative": b"{'descr': '<f8', 'fortran_order': False, 'shape': (-3, 9), }",
    "objects": b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
    "no type": b"{'descr': '<q99', 'fortran_order': False, 'shape': (1,), }",
    "no dictionary": b"[1, 2]",
    "code": b"__import__('os').system('true')",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_headers_of_arrays(tmp_path, header, suffix):
    content = npy_with_header(header, bytes(72))
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("X.npy", content)
    assert f"a.{suffix} is not a readable" in load(path)


@pytest.mark.parametrize("flag", ["encrypted", "unknown compression"])
def test_members_that_cannot_be_read(tmp_path, flag):
    path = tmp_path / "a.npz"
    npz(path, compressed=True)
    raw = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # local and central headers
        start = raw.find(signature)
        while start >= 0:
            raw[start + offset + (0 if flag == "encrypted" else 2)] = 1 if flag == "encrypted" else 98
            start = raw.find(signature, start + 4)
    path.write_bytes(raw)
    assert "a.npz is not a readable .npz" in load(path)


def test_an_archive_that_unpacks_to_gigabytes(tmp_path):
    path = tmp_path / "a.npz"
    header = npy_with_header(b"{'descr': '|u1', 'fortran_order': False, 'shape': (300, 1000000), }")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("X.npy", "w") as stream:
        stream.write(header)
        for _ in range(300):
            stream.write(bytes(1_000_000))
    assert path.stat().st_size < 10**6
    assert "it would unpack to 0.3 GB" in load(path)


def test_a_table_of_nothing_but_zeros(tmp_path):
    for content in (b"\0" * 1000, b"a,b\n1,\0\n", b"a,b\0\n1,2\n", b"\xff\xfe\0", b'"' * 999, b"," * 99):
        (tmp_path / "a.csv").write_bytes(content)
        message = load(tmp_path / "a.csv")
        assert message == "" or "a.csv" in message


def test_an_image_in_an_archive_that_ends_elsewhere(tmp_path):
    content = io.BytesIO()
    Image.fromarray(IMAGE).save(content, "JPEG")
    joined = np.frombuffer(content.getvalue(), np.uint8)
    for ends in ([10**9], [-5], [5, 2]):
        np.savez(tmp_path / "a.npz", jpeg_train=joined, ends_train=ends)
        assert load(tmp_path / "a.npz") == "" or "a.npz" in load(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", jpeg_train=joined)
    assert "a.npz" in load(tmp_path / "a.npz")
