"""Data that stays where it is stored, from the file to the metrics of a run."""

import gc
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ssavae import SSAVAE
from ssavae.app import cli
from ssavae.app.runs import evaluate
from ssavae.data import arrays, labelled, tables
from ssavae.data.files import parquet
from ssavae.data.labelled import LabelledData, Reading
from ssavae.data.loading import load_dataset
from ssavae.data.partition import Part, divide, read, whole
from ssavae.persistence.model_folder import load_model
from ssavae.preprocessing import adapters, images, lazy
from ssavae.preprocessing.lazy import LazyArray


@pytest.fixture
def all_large(monkeypatch):
    """Leave the smallest data where it is, and go through it in small pieces."""
    for module in (lazy, arrays, tables):
        monkeypatch.setattr(module, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(lazy, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(parquet, "CHUNK_BYTES", 1000)


@pytest.fixture
def pixels(toy_images) -> np.ndarray:
    return (255 * toy_images[0]).astype(np.uint8)


def image_folder(folder: Path, x: np.ndarray, y: np.ndarray) -> Path:
    for i, (row, c) in enumerate(zip(x, y, strict=True)):
        (folder / f"c{c}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(row).save(folder / f"c{c}" / f"{i:03d}.png")
    return folder


# ---- reading


def test_an_uncompressed_npz_stays_where_it_is_and_a_compressed_one_is_read(tmp_path, all_large, pixels):
    arrays: dict[str, Any] = {"x_train": pixels, "x_test": pixels[::-1], "y_train": np.arange(64) % 3}
    arrays |= {"run_train": np.arange(64) // 8}
    np.savez(tmp_path / "a.npz", **arrays)
    np.savez_compressed(tmp_path / "b.npz", **arrays)
    stored, packed = (load_dataset(tmp_path / f"{n}.npz", Reading(group="run_train")) for n in "ab")
    assert isinstance(stored.x_train, LazyArray) and isinstance(packed.x_train, np.ndarray)
    np.testing.assert_array_equal(stored.x_train[:], packed.x_train)
    np.testing.assert_array_equal(np.asarray(stored.x_test), packed.x_test)
    assert stored.groups is not None and stored.groups[9] == "1"


def test_a_folder_of_npy_files_is_an_npz_unpacked(tmp_path, all_large, pixels):
    arrays = {"x_train": pixels, "y_train": np.arange(64) % 3, "class_names": np.array(["a", "b", "c"])}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    loaded = load_dataset(tmp_path)
    assert isinstance(loaded.x_train, LazyArray) and loaded.class_names == ("a", "b", "c")
    assert loaded.y_train is not None and loaded.y_train.tolist() == arrays["y_train"].tolist()
    np.save(tmp_path / "y_train.npy", np.arange(63))
    with pytest.raises(ValueError, match="64 rows but y_train has 63 labels"):
        load_dataset(tmp_path)


def test_few_images_are_read_at_once_and_many_when_they_are_needed(tmp_path, monkeypatch, pixels):
    folder = image_folder(tmp_path / "images", pixels, np.arange(64) % 3)
    in_memory = load_dataset(folder)
    monkeypatch.setattr(lazy, "RESIDENT_BYTES", 0)
    decoded = []
    monkeypatch.setattr(
        "ssavae.data.image_folder.read_image",
        lambda *source: decoded.append(1) or images.read_image(*source),
    )
    stored = load_dataset(folder)
    assert isinstance(in_memory.x_train, np.ndarray) and isinstance(stored.x_train, LazyArray) and not decoded
    np.testing.assert_array_equal(stored.x_train[np.array([5, 0])], in_memory.x_train[[5, 0]])
    assert len(decoded) == 2


def test_gray_and_colour_are_one_set_of_images(tmp_path, all_large):
    (tmp_path / "a").mkdir()
    Image.new("L", (9, 8), 7).save(tmp_path / "a" / "1.png")
    Image.new("RGB", (9, 8), (1, 2, 3)).save(tmp_path / "a" / "2.png")
    Image.new("P", (9, 8)).save(tmp_path / "a" / "3.gif")
    x = load_dataset(tmp_path).x_train
    assert isinstance(x, LazyArray) and x.shape == (3, 8, 9, 3)
    assert x[:][:, 0, 0].tolist() == [[7, 7, 7], [1, 2, 3], [0, 0, 0]]


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(500, 3)), columns=["a", "b", "c"])
    frame["n"] = rng.integers(0, 9, 500)
    frame["small"] = rng.normal(size=500).astype(np.float32)
    frame.loc[450, "b"] = np.nan
    frame["state"] = np.where(np.arange(500) % 4, "ok", "bad")
    return frame


def test_parquet_is_streamed_to_a_plain_file_that_goes_again(tmp_path, monkeypatch, frame):
    frame.set_index(frame.index + 7).to_parquet(tmp_path / "a.parquet", row_group_size=64)
    reading = Reading(label="state", drop=("c",))
    in_memory = load_dataset(tmp_path / "a.parquet", reading)
    monkeypatch.setattr(tables, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(lazy, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(parquet, "CHUNK_BYTES", 999)
    scratch_folder = tmp_path / "scratch"
    scratch_folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch_folder))
    stored = load_dataset(tmp_path / "a.parquet", reading)
    assert isinstance(in_memory.x_train, pd.DataFrame) and isinstance(stored.x_train, LazyArray)
    assert stored.x_train.names == stored.feature_names
    assert stored.feature_names == in_memory.feature_names == ("a", "b", "n", "small")
    np.testing.assert_array_equal(stored.x_train[:], in_memory.x_train)
    assert (
        stored.y_train is not None
        and in_memory.y_train is not None
        and (stored.y_train == in_memory.y_train).all()
    )
    scratch = Path(stored.x_train.read.path)  # pyright: ignore[reportFunctionMemberAccess]
    some = stored.x_train.take(np.arange(3))
    del stored
    gc.collect()
    assert scratch.exists() and len(some[:]) == 3
    if sys.platform == "linux":  # nothing to remove if this process were killed
        assert list(scratch_folder.iterdir()) == []
    del some
    gc.collect()
    assert not scratch.exists()


def test_parquet_with_text_is_read_into_memory(tmp_path, all_large, frame):
    frame.to_parquet(tmp_path / "a.parquet")
    x = load_dataset(tmp_path / "a.parquet").x_train
    assert isinstance(x, pd.DataFrame) and x.iloc[1, 5] == "ok" and np.isnan(x["b"][450])


def test_windows_are_made_in_memory(tmp_path, all_large):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(10, 64)))
    cut = load_dataset(tmp_path / "x.npy", Reading(window=16), kind="signal")
    assert isinstance(cut.x_train, np.ndarray) and cut.x_train.shape == (130, 16)


# ---- Hugging Face


@pytest.fixture
def library():
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    return datasets


def hub_images(library, x: np.ndarray, y: np.ndarray):
    features = {"image": library.Image(), "id": library.Value("string")}
    features |= {"kind": library.ClassLabel(names=["left", "right", "low"])}
    columns = {"image": [Image.fromarray(row) for row in x], "id": [f"i{i}" for i in range(len(x))]}
    return library.Dataset.from_dict({**columns, "kind": y.tolist()}, features=library.Features(features))


def test_images_of_hugging_face_train_like_arrays(library, pixels, toy_images, monkeypatch):
    y = np.where(np.arange(64) % 5 == 0, -1, toy_images[1])
    names = np.array(["left", "right", "low", None], dtype=object)[y]
    settings: dict = {"n_epochs": 2, "n_epochs_decoder": 1, "widths": (8, 8), "random_state": 0}
    in_memory = SSAVAE(**settings).fit(pixels, names)
    data = hub_images(library, pixels, y)
    for resident in (2**28, 0):
        monkeypatch.setattr(lazy, "RESIDENT_BYTES", resident)
        stored = SSAVAE(**settings).fit(data)
        assert stored.classes_.tolist() == ["left", "low", "right"]
        np.testing.assert_array_equal(in_memory.transform(pixels), stored.transform(data))
        assert (stored.predict(data) == in_memory.predict(pixels)).all()


def test_arrays_and_tables_of_hugging_face(library):
    x = np.random.default_rng(0).integers(0, 255, (30, 8, 9), dtype=np.uint8)
    typed = library.Features({"x": library.Array2D((8, 9), "uint8"), "label": library.Value("int64")})
    arrays = library.Dataset.from_dict({"x": x, "label": [0, None, -1] * 10}, features=typed).shuffle(seed=0)
    source = adapters.lazy_hugging_face(arrays)
    order = np.array(arrays[:]["x"], dtype=np.uint8)
    np.testing.assert_array_equal(source[np.array([4, 2, 4])], order[[4, 2, 4]])
    labels = adapters.hugging_face_labels(arrays)
    assert source.dtype == np.uint8 and labels is not None and set(labels) == {0, None, -1}
    columns = {"a": [1.0, None], "b": [3, 4], "ok": [True, False], "target": ["u", None]}
    table = library.Dataset.from_dict(columns)
    source = adapters.lazy_hugging_face(table)
    assert source.names == ("a", "b", "ok")
    np.testing.assert_array_equal(source[:], [[1, 3, 1], [np.nan, 4, 0]])
    labels = adapters.hugging_face_labels(table)
    assert labels is not None and labels.tolist() == ["u", None]
    lists = library.Dataset.from_generator(lambda: ({"v": [i, i + 1.0]} for i in range(5)))
    assert (
        adapters.lazy_hugging_face(lists)[:][3].tolist() == [3, 4]
        and adapters.hugging_face_labels(lists) is None
    )


def test_what_hugging_face_holds_that_cannot_be_trained_on(library):
    from_dict = library.Dataset.from_dict
    for columns, message in [
        ({"v": [[1.0, 2.0], [3.0]]}, r"rows of column 'v' differ in shape"),
        ({"v": [[1.0, None], [3.0, 4.0], None]}, r"rows of column 'v' differ in shape|gaps"),
        ({"note": ["a", "b"], "n": [1, 2]}, "column 'note' holds no numbers"),
        ({"label": [0, 1]}, "no column holds rows; its columns are label"),
        ({"v": [[1.0]], "w": [[1.0]]}, "v and w both hold arrays"),
    ]:
        with pytest.raises(ValueError, match=message):
            np.asarray(adapters.lazy_hugging_face(from_dict(columns)))
    numbers = from_dict({"a": [1.0, 2.0]})
    with pytest.raises(ValueError, match="pass a torch Dataset"):
        adapters.lazy_hugging_face(numbers.with_transform(lambda batch: batch))
    with pytest.raises(ValueError, match="without streaming=True"):
        SSAVAE().fit(numbers.to_iterable_dataset())
    with pytest.raises(ValueError, match=r"like data\['train'\]"):
        SSAVAE().fit(library.DatasetDict(train=numbers))


def test_a_saved_data_set_is_data(library, tmp_path, pixels, toy_images, all_large):
    data = hub_images(library, pixels, toy_images[1])
    library.DatasetDict(train=data, test=data.select(range(9))).save_to_disk(tmp_path / "both")
    data.save_to_disk(tmp_path / "one")
    loaded = load_dataset(tmp_path / "both", Reading(label="kind", group="id"))
    assert loaded.x_train.shape == (64, 8, 8)
    assert loaded.x_test is not None and len(loaded.x_test) == 9
    assert loaded.groups is not None and loaded.groups[3] == "i3"
    assert loaded.y_test is not None and set(loaded.y_test) == {"left", "right", "low"}
    assert load_dataset(tmp_path / "one").x_test is None
    with pytest.raises(ValueError, match=r"no column 'kinds'; did you mean 'kind'|no column 'kinds'"):
        load_dataset(tmp_path / "one", Reading(label="kinds"))
    (tmp_path / "one" / "state.json").write_text("{")
    with pytest.raises(ValueError, match="one is not a readable data set of Hugging Face"):
        load_dataset(tmp_path / "one")


# ---- parts and reports


def test_a_split_leaves_rows_where_they_are(tmp_path, all_large, pixels):
    np.save(tmp_path / "x.npy", pixels)
    loaded = read(str(tmp_path / "x.npy"))
    train, test = divide(loaded, np.array([3, 60]))
    assert isinstance(train.x, LazyArray) and test is not None
    np.testing.assert_array_equal(test.x[:], pixels[[3, 60]])
    np.testing.assert_array_equal(train.x[:], np.delete(pixels, [3, 60], axis=0))
    assert loaded.rows_sha256 == LabelledData("same", pixels).rows_sha256
    np.savez(tmp_path / "a.npz", x_train=pixels, x_test=pixels[:5], y_test=np.zeros(5, int))
    every = whole(read(str(tmp_path / "a.npz")))
    assert isinstance(every.x, LazyArray) and every.y is not None and len(every.y) == 69
    np.testing.assert_array_equal(every.x[:], np.concatenate([pixels, pixels[:5]]))


def test_what_is_looked_at_all_at_once_has_a_limit(monkeypatch, pixels):
    source = lazy.wrap_array(pixels)
    monkeypatch.setattr(labelled, "RESIDENT_BYTES", 4 * 64 * 10)
    assert len(np.arange(64)[Part(source, None).some()]) == 10
    assert Part(pixels, None).some() == slice(None)


def run_of(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert not stop.value.code


@pytest.mark.parametrize("kind", ["npy", "images", "parquet"])
def test_a_run_on_stored_rows_is_the_run_on_in_memory_ones(
    tmp_path, monkeypatch, pixels, toy_images, frame, kind
):
    y, words = toy_images[1], ["--set", "n_epochs=2", "--set", "n_epochs_decoder=1"]
    words += [] if kind == "npy" else ["--no-pictures"]  # one kind is enough for them
    if kind == "npy":
        data = tmp_path / "data"
        data.mkdir()
        np.save(data / "x_train.npy", pixels)
        np.save(data / "y_train.npy", y)
    elif kind == "images":
        data = image_folder(tmp_path / "data", pixels, y)
    else:
        data, words = tmp_path / "data.parquet", [*words, "--label", "state"]
        frame.to_parquet(data)
    runs = {}
    for name in ("in_memory", "stored"):
        if name == "stored":
            monkeypatch.setattr("ssavae.training.batches.TensorRows", None)
            monkeypatch.setattr(evaluate, "CHUNK_ROWS", 7)
            for module in (lazy, arrays, tables):
                monkeypatch.setattr(module, "RESIDENT_BYTES", 0)
        out = tmp_path / name
        run_of(["train", str(data), "--out", str(out), *words])
        run_of(["evaluate", str(out), str(data)])
        run_of(["predict", str(out), str(data)])
        metrics = json.loads((out / "metrics.json").read_text())
        runs[name] = load_model(out)[1], metrics, (out / "predictions.csv").read_text()
    in_memory, stored = runs["in_memory"], runs["stored"]
    assert in_memory[0].keys() == stored[0].keys()
    assert all(torch.equal(in_memory[0][k], stored[0][k]) for k in in_memory[0])
    assert in_memory[2] == stored[2]
    for name in ("accuracy", "reconstruction_error", "novel_share", "trustworthiness"):
        assert in_memory[1]["evaluate"][name] == pytest.approx(stored[1]["evaluate"][name], rel=1e-5)
