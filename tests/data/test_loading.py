"""Loading of data sets: every format, every error by its message, downloads from a local server."""

import gc
import gzip
import hashlib
import http.server
import io
import os
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from ssavae.data import catalog, labelled, loading
from ssavae.data.catalog import available, fetch
from ssavae.data.labelled import Reading
from ssavae.data.loading import load_dataset
from ssavae.preprocessing import lazy

SHAPES = {
    "mnist": ((60000, 28, 28), (10000, 28, 28), 10),
    "fashion_mnist": ((60000, 28, 28), (10000, 28, 28), 10),
    "omniglot": ((24345, 28, 28), (8115, 28, 28), 50),
    "caltech101_silhouettes": ((6364, 28, 28), (2307, 28, 28), 101),
    "tennessee_eastman": ((10580, 52), (21120, 52), 22),
    "cwru_bearing": ((3134, 1024), (1322, 1024), 10),
}


@pytest.fixture
def real_data(monkeypatch):
    shared = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("SSAVAE_DATA") or shared)
    if not (folder / "mnist.npz").is_file():
        pytest.skip(
            f"the real data sets are not here: no mnist.npz in {folder}; set SSAVAE_DATA to their folder"
        )
    monkeypatch.setenv("SSAVAE_DATA", str(folder))
    return folder


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """A machine without any data: no SSAVAE_DATA, an empty cache."""
    folder = tmp_path / "cache"
    monkeypatch.delenv("SSAVAE_DATA", raising=False)
    monkeypatch.delenv("SSAVAE_MIRROR", raising=False)
    monkeypatch.setattr(catalog, "_cache_folder", lambda: folder)
    return folder


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_npz(path: Path, **arrays) -> Path:
    np.savez(path, **arrays)
    return path


def write_image(path: Path, size=(5, 4), mode="L", value=7) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)
    return path


def sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


# ---- named sets


@pytest.mark.parametrize("name", SHAPES)
def test_named_set_is_what_the_readme_says(real_data, name):
    data = load_dataset(name)
    train, test, n_classes = SHAPES[name]
    assert data.x_train.shape == train
    assert data.x_test is not None and data.x_test.shape == test
    assert data.class_names is not None and len(data.class_names) == n_classes
    assert data.y_train is not None and data.y_train.dtype == np.int64
    assert set(np.unique(data.y_train)) == set(range(n_classes))
    row = catalog.SETS[name]
    assert (data.name, data.kind, data.sha256) == (name, row.kind, row.sha256)
    assert (row.rows, row.n_classes) == (train[0] + test[0], n_classes)
    assert row.class_names in ((), data.class_names)
    assert (data.feature_names is not None) == (name == "tennessee_eastman")


def test_mnist_has_the_known_checksum(real_data):
    header = np.array([0x803, 60000, 28, 28], ">i4").tobytes()
    md5 = hashlib.md5(header + np.asarray(load_dataset("mnist").x_train).tobytes()).hexdigest()
    assert md5 == "6bbc9ace898e44ae57da46a324031adb"


def test_cifar10_is_decoded_as_pillow_does(real_data, tmp_path):
    with np.load(real_data / "cifar10_jpeg.npz", allow_pickle=False) as archive:
        n, ends = 20, archive["ends_train"][:20]
        raw, y, names = archive["jpeg_train"][: ends[-1]], archive["y_train"][:n], archive["class_names"]
    path = write_npz(
        tmp_path / "c.npz", jpeg_train=raw, ends_train=ends, jpeg_test=raw[: ends[0]], ends_test=ends[:1],
        y_train=y, y_test=y[:1], class_names=names,
    )  # fmt: skip
    data = load_dataset(path)
    assert data.x_train.shape == (n, 32, 32, 3) and data.x_train.dtype == np.uint8
    third = np.asarray(Image.open(io.BytesIO(raw[ends[1] : ends[2]].tobytes())).convert("RGB"))
    np.testing.assert_array_equal(np.asarray(data.x_train)[2], third)
    assert data.class_names == catalog.SETS["cifar10"].class_names


@pytest.mark.slow
def test_cifar10_in_full(real_data):
    data = load_dataset("cifar10")
    assert data.x_train.shape == (50000, 32, 32, 3)
    assert data.x_test is not None and data.x_test.shape == (10000, 32, 32, 3)
    assert data.y_train is not None and np.bincount(data.y_train).tolist() == [5000] * 10


def test_digits_are_split_once_and_for_all():
    one, two = load_dataset("digits"), load_dataset("digits")
    assert one.x_train.shape == (1347, 8, 8) and one.x_train.dtype == np.float32
    assert isinstance(one.x_train, np.ndarray) and one.x_train.min() == 0 and one.x_train.max() == 1
    assert one.y_train is not None and one.y_test is not None and len(one.y_test) == 450
    assert np.bincount(one.y_test).min() >= 43
    np.testing.assert_array_equal(one.y_train, two.y_train)
    assert (one.kind, one.source, one.sha256) == ("image", "embedded in scikit-learn", None)


def test_available_lists_all_and_says_where(cache, tmp_path, monkeypatch):
    assert [row.path for row in available()] == [None] * 8
    (tmp_path / "mnist.npz").touch()
    monkeypatch.setenv("SSAVAE_DATA", str(tmp_path))
    rows = {row.name: row for row in available()}
    assert rows["mnist"].path == tmp_path / "mnist.npz"
    assert rows["digits"].source == "embedded in scikit-learn"
    assert all(row.licence and row.description and row.kind in labelled.KINDS for row in rows.values())


def test_local_file_with_other_content_is_refused(cache, tmp_path, monkeypatch):
    path = write(tmp_path / "omniglot.npz", "something else")
    monkeypatch.setenv("SSAVAE_DATA", str(tmp_path))
    expected, found = catalog.SETS["omniglot"].sha256, sha256(b"something else")
    for call in (fetch, load_dataset):
        with pytest.raises(ValueError, match=f"expected sha256 {expected}, found {found}") as error:
            call("omniglot")
        assert str(path) in str(error.value)


@pytest.mark.parametrize("name", [name for name in SHAPES if "mnist" not in name])
def test_set_without_official_files_says_which_file_belongs_where(cache, name):
    with pytest.raises(FileNotFoundError) as error:
        load_dataset(name)
    for part in (f"put {name}.npz", catalog.SETS[name].sha256, "SSAVAE_DATA", "not set now"):
        assert part in str(error.value)


def test_fetch_digits_says_there_is_nothing_to_fetch():
    with pytest.raises(ValueError, match="digits is embedded in scikit-learn"):
        fetch("digits")


@pytest.mark.parametrize(
    ("word", "nearest"), [("minst", "mnist"), ("MNIST", "mnist"), ("cifar-10", "cifar10")]
)
def test_unknown_name_gets_the_nearest(word, nearest):
    for call in (fetch, load_dataset):
        with pytest.raises(
            ValueError, match=f"called '{word}'.*did you mean '{nearest}'.*named sets are digits, mnist"
        ):
            call(word)


def test_importing_is_cheap():
    check = """if True:
        import sys
        import ssavae.data.loading
        print({"pandas", "PIL", "pooch", "sklearn", "torch"} & set(sys.modules))
    """
    env = os.environ | {"PYTHONPATH": str(Path(loading.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == "set()"


# ---- downloads


def idx_gz(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return gzip.compress(header + array.astype(np.uint8).tobytes())


def mnist_files(rng) -> dict[str, np.ndarray]:
    shapes = ((6, 28, 28), (6,), (3, 28, 28), (3,))
    return {file: rng.integers(0, 10, shape) for file, shape in zip(catalog._IDX_FILES, shapes, strict=True)}


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server of tmp_path/www, named in SSAVAE_MIRROR; a file in `cut` breaks off in the middle."""
    cut: set[str] = set()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path / "www"))

        def log_message(self, format, *args):
            pass

        def copyfile(self, source, outputfile):
            raw = source.read()
            outputfile.write(raw[: len(raw) // 2] if Path(self.path).name in cut else raw)

    (tmp_path / "www").mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("SSAVAE_MIRROR", f"http://127.0.0.1:{httpd.server_port}/")
        yield tmp_path / "www", cut
        httpd.shutdown()
        thread.join()
    gc.collect()


@pytest.fixture
def small_mnist(cache, server, monkeypatch):
    """The server offers a small MNIST, and its checksums are the expected ones."""
    arrays = mnist_files(np.random.default_rng(0))
    packed = {file: idx_gz(array) for file, array in arrays.items()}
    (server[0] / "mnist").mkdir()
    for file, raw in packed.items():
        (server[0] / "mnist" / file).write_bytes(raw)
    downloads = tuple((file, sha256(raw)) for file, raw in packed.items())
    monkeypatch.setitem(catalog.SETS, "mnist", replace(catalog.SETS["mnist"], downloads=downloads))
    return arrays


def test_download_is_parsed_and_kept(cache, server, small_mnist):
    data = load_dataset("mnist")
    x_train, y_train, x_test, y_test = small_mnist.values()
    for found, sent in (
        (data.x_train, x_train),
        (data.y_train, y_train),
        (data.x_test, x_test),
        (data.y_test, y_test),
    ):
        np.testing.assert_array_equal(found, sent)
    assert data.x_train.dtype == np.uint8 and data.y_train is not None and data.y_train.dtype == np.int64
    assert (data.kind, data.class_names) == ("image", tuple("0123456789"))
    assert os.listdir(cache) == ["mnist.npz"]
    for file in (server[0] / "mnist").iterdir():
        file.unlink()
    again = load_dataset("mnist")  # from the cache: the server has nothing any more
    np.testing.assert_array_equal(again.x_train, x_train)
    assert again.sha256 == data.sha256 == sha256((cache / "mnist.npz").read_bytes())


def test_download_goes_to_the_folder_asked_for(cache, small_mnist, tmp_path):
    assert fetch("mnist", folder=tmp_path / "mine") == tmp_path / "mine" / "mnist.npz"
    assert not cache.exists()


def test_local_folder_comes_before_the_server(cache, small_mnist, tmp_path, monkeypatch):
    path = write(tmp_path / "mnist.npz", "local")
    row = replace(catalog.SETS["mnist"], sha256=sha256(b"local"))
    monkeypatch.setitem(catalog.SETS, "mnist", row)
    monkeypatch.setenv("SSAVAE_DATA", str(tmp_path))
    assert fetch("mnist") == path


# pooch leaves the socket of a broken download to the garbage collector
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore:unclosed:ResourceWarning"
)
@pytest.mark.parametrize("fault", ["truncated", "corrupt", "absent", "cut short on the server"])
@pytest.mark.parametrize("file", [catalog._IDX_FILES[0], catalog._IDX_FILES[3]])
def test_failed_download_is_one_clear_error_and_leaves_nothing(cache, server, small_mnist, file, fault):
    www, cut = server
    raw = (www / "mnist" / file).read_bytes()
    if fault == "truncated":
        cut.add(file)
    elif fault == "corrupt":
        (www / "mnist" / file).write_bytes(raw[:-9] + bytes([raw[-9] ^ 1]) + raw[-8:])
    elif fault == "absent":
        (www / "mnist" / file).unlink()
    else:
        (www / "mnist" / file).write_bytes(raw[:-9])
    with pytest.raises(
        OSError, match=f"mnist: could not download http://127.0.0.1.*/mnist/{file}: "
    ) as error:
        load_dataset("mnist")
    reason = {"truncated": "IncompleteRead", "absent": "404"}.get(fault, "does not match the known hash")
    for part in (reason, "Nothing was saved", "SSAVAE_MIRROR", "put mnist.npz (sha256 a555a14a"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert os.listdir(cache) == []


def test_no_server_at_all(cache, server, monkeypatch):
    monkeypatch.setenv("SSAVAE_MIRROR", "http://127.0.0.1:1")
    with pytest.raises(
        OSError, match=r"fashion_mnist: could not download http://127.0.0.1:1/fashion_mnist/train-im"
    ):
        fetch("fashion_mnist")
    assert os.listdir(cache) == []


def test_damaged_cache_names_the_file(cache, small_mnist):
    path = fetch("mnist")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"mnist\.npz is not a readable \.npz of plain arrays"):
        load_dataset("mnist")


def test_cifar10_binary_download(cache, server, monkeypatch):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (12, 32, 32, 3), np.uint8), rng.integers(0, 10, 12)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        files = [f"data_batch_{i}.bin" for i in (3, 1, 2, 4, 5)] + ["test_batch.bin"]  # in any order
        rows = [4, 0, 2, 6, 8, 10]
        for file, i in zip([*files, "readme.html"], [*rows, 0], strict=True):
            pairs = zip(labels[i : i + 2], images[i : i + 2], strict=True)
            raw = b"".join(bytes([label]) + image.transpose(2, 0, 1).tobytes() for label, image in pairs)
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{file}")
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    (server[0] / "cifar10").mkdir()
    (server[0] / "cifar10" / "cifar-10-binary.tar.gz").write_bytes(packed.getvalue())
    downloads = (("cifar-10-binary.tar.gz", sha256(packed.getvalue())),)
    monkeypatch.setitem(catalog.SETS, "cifar10", replace(catalog.SETS["cifar10"], downloads=downloads))
    data = load_dataset("cifar10")
    np.testing.assert_array_equal(data.x_train, images[:10])
    np.testing.assert_array_equal(data.x_test, images[10:])
    np.testing.assert_array_equal(data.y_train, labels[:10])
    assert data.class_names is not None and data.class_names[0] == "airplane"


def test_official_servers_are_used_without_a_mirror(cache, monkeypatch):
    import pooch

    asked = []

    def retrieve(url, known_hash, fname, path):
        asked.append((url, known_hash))
        raise OSError("not in a test")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    for name in ("mnist", "fashion_mnist", "cifar10"):
        with pytest.raises(OSError, match="not in a test"):
            fetch(name)
    assert [url for url, _ in asked] == [
        "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    ]
    assert all(len(known) == len("sha256:") + 64 for _, known in asked)


# ---- .npz and .npy


@given(
    x=hnp.arrays(
        st.sampled_from([np.uint8, np.float32, np.float64, np.int64]),
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
    )
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_npz_and_npy_give_back_what_was_saved(tmp_path, x):
    y = np.arange(len(x)) - 1
    data = load_dataset(write_npz(tmp_path / "some.npz", X=x, y=y))
    np.testing.assert_array_equal(data.x_train, x)
    np.testing.assert_array_equal(data.y_train, y)
    np.save(tmp_path / "some.npy", x)
    np.testing.assert_array_equal(load_dataset(tmp_path / "some.npy").x_train, x)


def test_npz_with_the_common_layout(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 3)).astype(np.float32)
    path = write_npz(
        tmp_path / "plant.npz", x_train=x, y_train=np.array([0, 1, -1, 0, 1, 1]), x_test=x[:2], y_test=[0, 1],
        class_names=["ok", "fault"], feature_names=["a", "b", "c"], other=np.zeros(2),
    )  # fmt: skip
    data = load_dataset(str(path), kind="table")
    assert (data.name, data.kind, data.source) == ("plant", "table", str(path))
    assert (data.class_names, data.feature_names) == (("ok", "fault"), ("a", "b", "c"))
    assert data.sha256 == sha256(path.read_bytes())
    np.testing.assert_array_equal(data.y_test, [0, 1])


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (np.array([0, 255], np.uint8), [0, 255]),
        (np.array([1.0, np.nan]), [1, -1]),
        (np.array(["cat", ""]), ["cat", None]),
        (np.array([b"a", b"b"]), ["a", "b"]),
        (np.array([True, False]), [1, 0]),
    ],
)
def test_npz_labels_of_any_type(tmp_path, y, expected):
    data = load_dataset(write_npz(tmp_path / "a.npz", x=np.eye(2), y=y))
    assert data.y_train is not None and data.y_train.tolist() == expected
    assert data.y_train.dtype == (object if isinstance(expected[0], str) else np.int64)


def test_npz_without_labels(tmp_path):
    data = load_dataset(write_npz(tmp_path / "a.npz", X=np.eye(3)))
    assert (data.y_train, data.x_test, data.class_names, data.kind) == (None, None, None, None)


EYE = np.eye(3)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": EYE, "labels": EYE}, "has the keys pictures, labels; wanted are x_train .* or X"),
        ({}, r"has the keys \(none\)"),
        ({"X": EYE, "y": np.zeros(4)}, "x_train of .*a.npz has 3 rows but y_train has 4 labels"),
        ({"X": EYE, "x_test": EYE, "y_test": [0, 1]}, "x_test of .* has 3 rows but y_test has 2 labels"),
        ({"X": EYE, "y_test": [0, 1]}, "has y_test but no x_test"),
        ({"X": EYE, "x_test": np.eye(2)}, r"x_test of .* has rows of shape \(2,\), x_train of \(3,\)"),
        ({"X": EYE, "y": EYE}, r"y of .*a.npz must hold one label per row, found shape \(3, 3\)"),
        ({"X": EYE, "y": [0.5, 1, 2]}, "y of .*a.npz holds 0.5, which is no class number"),
        ({"X": EYE, "y": [np.inf, 1, 2]}, "y of .*a.npz holds inf, which is no class number"),
        ({"X": EYE, "y": [1j, 1, 2]}, "y of .*a.npz holds complex128, which cannot be labels"),
        ({"X": EYE, "y": [0, 1, 2], "class_names": ["a", "b"]}, "holds class 2, class_names 2 names"),
        ({"X": np.array([["a"]])}, "x_train of .*a.npz holds <U1, not numbers"),
        ({"X": np.zeros(3)}, r"x_train of .*a.npz has shape \(3,\); wanted are rows"),
        ({"X": np.zeros((0, 3))}, r"x_train of .*a.npz has shape \(0, 3\)"),
        ({"X": EYE, "y": np.array([None, 1, 2])}, "is not a readable .npz of plain arrays: .*Python objects"),
    ],
)
def test_npz_errors(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message):
        load_dataset(write_npz(tmp_path / "a.npz", **arrays))


@pytest.mark.parametrize("raw", [b"", b"text", b"PK\3\4 half an archive"])
def test_damaged_npz_and_npy(tmp_path, raw):
    for suffix in ("npz", "npy"):
        (tmp_path / f"a.{suffix}").write_bytes(raw)
        with pytest.raises(ValueError, match=rf"a\.{suffix} is not a readable \.{suffix} of plain"):
            load_dataset(tmp_path / f"a.{suffix}")


def test_flipped_byte_in_npz(tmp_path):
    path = write_npz(tmp_path / "a.npz", X=np.ones((50, 9)))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"a\.npz is not a readable .*CRC"):
        load_dataset(path)


def test_pickles_are_not_opened(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"a\.npy is not a readable \.npy of plain numbers"):
        load_dataset(tmp_path / "a.npy")


def test_npy_is_read_where_it_is_small_and_stays_a_file_where_it_is_large(tmp_path, monkeypatch):
    np.save(tmp_path / "wave.npy", np.zeros((4, 100), np.float32))
    data = load_dataset(tmp_path / "wave.npy", kind="signal")
    assert isinstance(data.x_train, np.ndarray) and data.kind == "signal"
    assert (data.name, data.kind, data.y_train) == ("wave", "signal", None)
    assert data.sha256 == sha256((tmp_path / "wave.npy").read_bytes())
    monkeypatch.setattr(loading, "HASH_LIMIT", 100)
    monkeypatch.setattr(lazy, "RESIDENT_BYTES", 100)
    data = load_dataset(tmp_path / "wave.npy")
    assert isinstance(data.x_train, lazy.LazyArray) and data.sha256 is None


# ---- .csv and .parquet


def test_csv_with_labels(tmp_path):
    path = write(
        tmp_path / "iris.csv", "width,kind,length,good\n1.5,setosa,3,True\n,NA,4,False\ninf,,-5,True\n"
    )
    data = load_dataset(path, Reading(label="kind"))
    assert isinstance(data.x_train, pd.DataFrame)
    np.testing.assert_array_equal(data.x_train[["width", "length"]], [[1.5, 3], [np.nan, 4], [np.inf, -5]])
    assert data.x_train["good"].tolist() == [True, False, True]
    assert data.y_train is not None and data.y_train.tolist() == ["setosa", "NA", None]
    assert (data.name, data.kind, data.feature_names) == ("iris", "table", ("width", "length", "good"))
    assert data.sha256 == sha256(path.read_bytes())


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["3", "", "-1"], [3, -1, -1]),
        (["3.0", "nan", "1.0"], [3, -1, 1]),
        (["", "", ""], [-1, -1, -1]),
        (["1", "b", ""], ["1", "b", None]),
        (["0.5", "1", ""], ["0.5", "1", None]),
        ([" a", "a ", "None"], ["a", "a", "None"]),
        (["9" * 18, "0", "1"], [int("9" * 18), 0, 1]),
    ],
)
def test_csv_labels(tmp_path, cells, expected):
    rows = "".join(f"{cell},{i}\n" for i, cell in enumerate(cells))
    y = load_dataset(write(tmp_path / "a.csv", f"y,x\n{rows}"), Reading(label="y")).y_train
    assert y is not None and y.tolist() == expected
    assert y.dtype == (object if isinstance(expected[0], str) else np.int64)


@given(
    x=hnp.arrays(np.float64, (4, 2), elements=st.floats(allow_nan=True, allow_infinity=True, width=32)),
    y=st.lists(st.integers(-1, 10**6), min_size=4, max_size=4),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_csv_and_parquet_give_back_what_pandas_wrote(tmp_path, x, y):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(x, columns=["a", "b"]).assign(y=y)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    for file in ("a.csv", "a.parquet"):
        data = load_dataset(tmp_path / file, Reading(label="y"))
        np.testing.assert_allclose(data.x_train, x, rtol=1e-12)
        np.testing.assert_array_equal(data.y_train, y)


def test_csv_without_label_has_none(tmp_path):
    data = load_dataset(write(tmp_path / "a.CSV", "a,b\n1,2\n"))
    assert isinstance(data.x_train, pd.DataFrame) and data.y_train is None
    assert data.x_train.columns.tolist() == ["a", "b"] and set(data.x_train.dtypes) == {np.dtype(np.float64)}


def test_csv_with_gaps_in_a_yes_or_no_column(tmp_path):
    data = load_dataset(write(tmp_path / "a.csv", "a,b\nTrue,2\n,3\nFalse,4\n"))
    assert np.asarray(data.x_train)[:, 0].tolist() == [True, None, False]


def test_csv_with_categories(tmp_path):
    data = load_dataset(write(tmp_path / "a.csv", "colour,b\nred,2\n,3\n blue ,4\n"))
    assert np.asarray(data.x_train).tolist() == [["red", 2.0], [None, 3.0], ["blue", 4.0]]


@pytest.mark.parametrize(
    ("text", "label", "message"),
    [
        ("", None, "a.csv is empty"),
        ("a,b\n", None, "a.csv has a header but no rows"),
        ("a,b\n1,2\n", "aa", r"has no column 'aa' \(did you mean 'a'\?\); its columns are a, b"),
        ("y\n1\n", "y", "has no column beside 'y'"),
        ("a,b\n1,2\n\n3,oops\n", None, "a.csv: column 'b' holds text in row 4 among numbers: 'oops'"),
        ('note,b\n1,2\n"two\nlines",2\n', None, r"column 'note' holds text in row 4 among .*'two\\nlines'"),
        ("\na,b\n1,2\n3,x\n", None, "column 'b' holds text in row 4 among numbers: 'x'"),
        ("a,b\n1,2\n3\n", None, "row 3 has 1 cells, the header 2"),
        (
            'a,b\n1,"2,5"\n2,"1.000,5"\n',
            None,
            r"column 'b' holds numbers with decimal commas \(--decimal ,\), in row 2 '2,5'",
        ),
        (
            "id\n" + "".join(f"part {i}\n" for i in range(60)),
            None,
            "'id' holds 60 different texts in 60 rows",
        ),
        ("a,y\n1,u\n3\n", "y", "row 3 has 1 cells, the header 2"),
        ("a,b\n1,2\n3,4,5\n", None, "row 3 has 3 cells, the header 2: a cell that holds the separator needs"),
        ("a,b\n1,2,3\n4,5,6\n", None, "row 2 has 3 cells, the header 2"),
        (
            "# 2 columns\na,b\n1,2\n",
            None,
            "row 2 has 2 cells, the header 1: .* first line has to be the header",
        ),
        ("a,when\n1,2024-01-01\n", None, "column 'when' holds dates, in row 2 '2024-01-01'"),
    ],
)
def test_csv_errors(tmp_path, text, label, message):
    with pytest.raises(ValueError, match=message):
        load_dataset(write(tmp_path / "a.csv", text), Reading(label=label))


def test_csv_in_another_encoding(tmp_path):
    (tmp_path / "a.csv").write_bytes("größe,b\n1,2\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"a\.csv is not UTF-8: row 1, column 1, byte 0xf6"):
        load_dataset(tmp_path / "a.csv")


def test_csv_with_a_byte_order_mark(tmp_path):
    (tmp_path / "a.csv").write_bytes("\ufeffgröße,b\n1,2\n,3\n".encode())
    data = load_dataset(tmp_path / "a.csv", Reading(label="größe"))
    assert data.feature_names == ("b",) and data.y_train is not None and data.y_train.tolist() == [1, -1]


def test_long_lists_of_columns_are_cut(tmp_path):
    header = ",".join(f"c{i}" for i in range(100))
    with pytest.raises(ValueError, match="c28, c29 and 70 more"):
        load_dataset(write(tmp_path / "a.csv", f"{header}\n"), Reading(label="kind"))


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(
        {"a": pd.array([1, None, 3], "Int64"), "ok": [True, False, True], "kind": ["x", None, "y"]}
    )
    frame.to_parquet(tmp_path / "a.parquet")
    data = load_dataset(tmp_path / "a.parquet", Reading(label="kind"))
    assert isinstance(data.x_train, pd.DataFrame)
    np.testing.assert_array_equal(data.x_train["a"], [1, np.nan, 3])
    assert data.x_train["ok"].tolist() == [True, False, True]
    assert data.y_train is not None and data.y_train.tolist() == ["x", None, "y"]
    assert (data.kind, data.feature_names) == ("table", ("a", "ok"))
    frame.drop(columns="kind").to_parquet(tmp_path / "b.parquet")
    assert load_dataset(tmp_path / "b.parquet", Reading(label="a")).y_train.tolist() == [1, -1, 3]  # pyright: ignore


def test_parquet_errors(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    pd.DataFrame({"a": [1, 2], "note": ["1", "x"], "when": pd.to_datetime(["2024-01-01"] * 2)}).to_parquet(
        path
    )
    with pytest.raises(ValueError, match=r"a\.parquet: column 'note' holds text in row 2 among numbers: 'x'"):
        load_dataset(path)
    with pytest.raises(ValueError, match="column 'when' holds dates, in row 1 '2024-01-01"):
        load_dataset(path, Reading(label="note"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"a\.parquet is not a readable parquet file"):
        load_dataset(path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'a\.parquet needs pyarrow: pip install "ssavae\[parquet\]"'):
        load_dataset(path)


# ---- folders of images


def test_image_folder(tmp_path):
    for i, (name, suffix) in enumerate(
        [("b", "png"), ("a", "BMP"), ("a", "png"), ("unlabelled", "gif"), ("c", "tif")]
    ):
        write_image(tmp_path / name / f"{i}.{suffix}", value=i)
    write_image(tmp_path / ".hidden" / "x.png")
    data = load_dataset(tmp_path)
    assert data.x_train.shape == (5, 4, 5) and data.x_train.dtype == np.uint8
    assert np.asarray(data.x_train)[:, 0, 0].tolist() == [1, 2, 0, 4, 3]
    assert data.y_train is not None and data.y_train.tolist() == [0, 0, 1, 2, -1]
    assert (data.class_names, data.kind, data.sha256) == (("a", "b", "c"), "image", None)
    assert (data.name, data.source, data.x_test) == (tmp_path.name, str(tmp_path), None)


def test_image_folder_with_train_and_test(tmp_path):
    for part, name in [("train", "a"), ("train", "b"), ("train", "unlabeled"), ("test", "b")]:
        write_image(tmp_path / part / name / "1.png")
    data = load_dataset(tmp_path)
    assert data.y_train is not None and data.y_train.tolist() == [0, 1, -1]
    assert data.x_test is not None and data.x_test.shape == (1, 4, 5)
    assert data.y_test is not None and data.y_test.tolist() == [1]


def test_a_class_may_be_called_train(tmp_path):
    for name in ("train", "plane"):
        write_image(tmp_path / name / "1.png")
    assert load_dataset(tmp_path).class_names == ("plane", "train")


def test_colour_and_gray_together_become_colour(tmp_path):
    write_image(tmp_path / "a" / "1.png", mode="L", value=9)
    assert load_dataset(tmp_path).x_train.shape == (1, 4, 5)
    write_image(tmp_path / "a" / "2.png", mode="RGB", value=(1, 2, 3))  # pyright: ignore
    x = load_dataset(tmp_path).x_train
    assert x.shape == (2, 4, 5, 3)
    assert np.asarray(x)[:, 0, 0].tolist() == [[9, 9, 9], [1, 2, 3]]


def test_sixteen_bits_are_kept(tmp_path):
    Image.fromarray(np.full((4, 5), 40000, np.uint16)).save(write(tmp_path / "a" / "1.png", ""))
    assert np.asarray(load_dataset(tmp_path).x_train).max() == 40000


def test_only_unlabelled_images(tmp_path):
    write_image(tmp_path / "unlabelled" / "1.png")
    data = load_dataset(tmp_path)
    assert (data.y_train, data.class_names) == (None, None)


def test_image_folder_errors(tmp_path):
    with pytest.raises(ValueError, match=r"holds no images: wanted are sub-folders by class with \.png"):
        load_dataset(tmp_path)
    one, two = write_image(tmp_path / "a" / "1.png"), write_image(tmp_path / "b" / "2.png", size=(6, 4))
    with pytest.raises(ValueError) as error:
        load_dataset(tmp_path)
    assert f"2 sizes (height x width): {one} is 4x5 uint8, {two} is 4x6 uint8; resize" in str(error.value)
    write(two, "no image")
    with pytest.raises(ValueError, match=r"b.2\.png is not a readable image"):
        load_dataset(tmp_path)
    one.rename(tmp_path / "1.png")
    with pytest.raises(ValueError, match=r"1\.png lies outside the class folders: .*unlabelled/"):
        load_dataset(tmp_path)


def test_truncated_image(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "a" / "1.png"
    path.parent.mkdir()
    Image.fromarray(rng.integers(0, 256, (40, 40), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ValueError, match=r"1\.png is not a readable image"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("parts", [("train", "test"), ("Train", "Test"), ("Training", "Testing")])
def test_parts_of_a_folder_by_their_usual_names(tmp_path, parts):
    for part in parts:
        for name in "ab":
            write_image(tmp_path / part / name / "1.png")
    data = load_dataset(tmp_path)
    assert data.class_names == ("a", "b") and len(data.x_train) == 2
    assert data.x_test is not None and len(data.x_test) == 2


def test_folder_beside_train_and_test(tmp_path):
    for part in ("train", "test", "val"):
        write_image(tmp_path / part / "a" / "1.png")
    with pytest.raises(ValueError, match="only train/ and test/ may stand side by side, found val"):
        load_dataset(tmp_path)


# ---- wrong calls


def test_wrong_calls(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file or folder: .*absent\.csv"):
        load_dataset(tmp_path / "absent.csv", Reading(label="y"))
    with pytest.raises(ValueError, match=r"a\.txt: unknown suffix '\.txt'; give \.csv"):
        load_dataset(write(tmp_path / "a.txt", "1"))
    with pytest.raises(ValueError, match="kind 'picture' is not one of image, table, signal"):
        load_dataset("digits", kind="picture")
    for data in ("digits", tmp_path, write_npz(tmp_path / "a.npz", X=EYE)):
        with pytest.raises(ValueError, match=r"label 'y' names a column of a \.csv or \.parquet table"):
            load_dataset(data, Reading(label="y"))


def test_a_folder_called_like_a_named_set(tmp_path, monkeypatch):
    write_image(tmp_path / "digits" / "a" / "1.png")
    monkeypatch.chdir(tmp_path)
    assert len(load_dataset("digits").x_train) == 1347
    assert len(load_dataset("./digits").x_train) == 1
    assert len(load_dataset(Path("digits")).x_train) == 1


def test_the_group_column_is_kept_as_text_and_is_no_input(tmp_path):
    path = write(tmp_path / "a.csv", "a,machine,y\n1,007,u\n2,007,v\n3,8,u\n")
    data = load_dataset(path, Reading(label="y", group="machine"))
    assert data.feature_names == ("a",)
    assert data.groups is not None and data.groups.tolist() == ["007", "007", "8"]


def test_groups_of_an_archive(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.zeros((3, 4)), run=np.array([1, 1, 2]), few=np.zeros(2))
    data = load_dataset(tmp_path / "a.npz", Reading(group="run"))
    assert data.groups is not None and data.groups.tolist() == ["1", "1", "2"]
    with pytest.raises(ValueError, match=r"no array 'rum' \(did you mean 'run'\?\)"):
        load_dataset(tmp_path / "a.npz", Reading(group="rum"))
    with pytest.raises(ValueError, match=r"few of .* has shape \(2,\)"):
        load_dataset(tmp_path / "a.npz", Reading(group="few"))


@pytest.mark.parametrize(
    ("text", "label", "group", "message"),
    [
        ("a,g\n1,x\n", None, "h", "no column 'h'"),
        ("a,g\n1,x\n2,\n", None, "g", "column 'g' is empty in data row 2"),
        ("a,g\n1,x\n", "g", "g", "column 'g' cannot be label and group at once"),
    ],
)
def test_group_errors(tmp_path, text, label, group, message):
    with pytest.raises(ValueError, match=message):
        load_dataset(write(tmp_path / "a.csv", text), Reading(label=label, group=group))


def test_data_without_groups_says_so():
    with pytest.raises(ValueError, match="digits has neither"):
        load_dataset("digits", Reading(group="run"))
