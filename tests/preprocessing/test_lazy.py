"""Rows that stay where they are stored give the same models and results as the same rows in memory."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssavae import SSAVAE
from ssavae.preprocessing import lazy
from ssavae.preprocessing.adapters import lazy_dataset
from ssavae.preprocessing.inputs import check_finite
from ssavae.preprocessing.lazy import LazyArray, chunks, concatenate, load_if_small, sample_rows
from ssavae.preprocessing.preprocessor import Preprocessor
from ssavae.preprocessing.tensors import LazyInputs


@pytest.fixture
def all_large(monkeypatch):
    """Treat the smallest file as one that does not fit into memory, and read it in small chunks."""
    monkeypatch.setattr(lazy, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(lazy, "CHUNK_BYTES", 1000)


def mapped(path: Path, x: np.ndarray) -> np.ndarray:
    np.save(path, x)
    return np.lib.format.open_memmap(path, mode="r")


def tensors(model: SSAVAE) -> dict[str, torch.Tensor]:
    modules = {"vec": model.vec_, "decoder": model.decoder_, "discriminator": model.discriminator_}
    return {f"{m}.{k}": v for m, module in modules.items() for k, v in module.state_dict().items()}


def same_weights(a: SSAVAE, b: SSAVAE) -> bool:
    tensors_a = tensors(a)
    tensors_b = tensors(b)
    return tensors_a.keys() == tensors_b.keys() and all(
        torch.equal(tensors_a[k], tensors_b[k]) for k in tensors_a
    )


# ---- reading


@given(
    indices=st.lists(st.integers(0, 39), max_size=60),
    view=st.sampled_from(["whole", "part", "every third", "backwards", "one column of a matrix"]),
)
def test_rows_of_a_file_are_the_rows_of_its_map(tmp_path_factory, indices, view):
    path = tmp_path_factory.mktemp("a") / "x.npy"
    x = mapped(path, np.arange(200 * 3 * 4, dtype=np.float32).reshape(200, 3, 4))
    views = {"whole": x, "part": x[60:150], "every third": x[::3], "backwards": x[::-2]}
    rows = views.get(view, x[:, 1])
    file = lazy._file_of(np.asarray(rows))
    assert file is not None
    array = LazyArray(rows.shape, rows.dtype, file)
    chosen = np.array(indices, dtype=np.int64)
    np.testing.assert_array_equal(array[chosen], rows[chosen])
    np.testing.assert_array_equal(array.take(slice(5, 30))[::4], rows[5:30:4])
    np.testing.assert_array_equal(np.asarray(array), rows)
    unpickled = pickle.loads(pickle.dumps(array))  # as worker processes get it
    assert unpickled[chosen].tolist() == rows[chosen].tolist()


def test_only_rows_that_are_contiguous_in_a_file_stay_there(tmp_path, all_large):
    x = np.arange(600.0).reshape(50, 12)
    assert isinstance(load_if_small(mapped(tmp_path / "c.npy", x)), LazyArray)
    for other in (x, mapped(tmp_path / "f.npy", np.asfortranarray(x)), mapped(tmp_path / "a.npy", x)[:, ::2]):
        assert load_if_small(other) is other
    changed = np.lib.format.open_memmap(tmp_path / "c.npy", mode="c")
    changed[20] = 7  # in memory alone, not in the file
    assert load_if_small(changed) is changed
    replaced = mapped(tmp_path / "g.npy", x)
    os.replace(tmp_path / "c.npy", tmp_path / "g.npy")
    assert isinstance(load_if_small(replaced), LazyArray)  # the same content
    np.save(tmp_path / "h.npy", x + 1)
    os.replace(tmp_path / "h.npy", tmp_path / "g.npy")
    assert load_if_small(replaced) is replaced  # another file has taken the name


def test_few_rows_are_read_and_many_are_not(tmp_path, monkeypatch):
    x = mapped(tmp_path / "x.npy", np.zeros((10, 8, 8), np.uint8))
    in_memory = load_if_small(x)
    assert type(in_memory) is np.ndarray and in_memory.base is None  # read, not a view of the map
    monkeypatch.setattr(lazy, "RESIDENT_BYTES", 4 * x.size - 1)
    assert isinstance(load_if_small(x), LazyArray)


def test_a_truncated_file_is_an_error(tmp_path, all_large):
    array = load_if_small(mapped(tmp_path / "x.npy", np.zeros((100, 12), np.float64)))
    with (tmp_path / "x.npy").open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(ValueError, match=r"x\.npy ends before its last row"):
        array[:]


def test_lazy_arrays_are_indexed_and_concatenated_unread(tmp_path, all_large):
    x = np.arange(90, dtype=np.int16).reshape(30, 3)
    files = [mapped(tmp_path / f"{i}.npy", part) for i, part in enumerate(np.split(x, [4, 15]))]
    parts = [part for part in map(load_if_small, files) if isinstance(part, LazyArray)]
    assert len(parts) == 3
    whole = concatenate(parts)
    order = np.random.default_rng(0).permutation(30)
    np.testing.assert_array_equal(whole[order], x[order])
    np.testing.assert_array_equal(whole.take(x[:, 0] > 40)[:], x[x[:, 0] > 40])
    np.testing.assert_array_equal(np.concatenate(list(chunks(whole))), x)
    with pytest.raises(ValueError, match=r"rows are selected by indices \(m,\)"):
        whole[np.zeros((2, 2), dtype=int)]


def test_scales_are_learned_from_a_random_sample_where_rows_are_many(tmp_path, all_large, monkeypatch):
    x = np.random.default_rng(0).normal(3, 2, (5000, 4))
    array = load_if_small(mapped(tmp_path / "x.npy", x))
    assert len(sample_rows(array)) == 5000
    monkeypatch.setattr(lazy, "SAMPLE_VALUES", 8000)
    assert len(sample_rows(array)) == 2000
    columns = Preprocessor.fit(array).columns
    assert all(c.low == pytest.approx(3, abs=0.2) and c.scale == pytest.approx(2, abs=0.2) for c in columns)


def test_nan_and_infinity_are_found_in_any_row(tmp_path, all_large, monkeypatch):
    monkeypatch.setattr(lazy, "SAMPLE_VALUES", 40)
    x = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    x[400, 2] = np.nan
    array = load_if_small(mapped(tmp_path / "x.npy", x))
    assert [column.has_missing for column in Preprocessor.fit(array).columns] == [False, False, True, False]
    x[450, 1] = x[470, 0] = np.inf
    array = load_if_small(mapped(tmp_path / "y.npy", x))
    for rows in (x, array):
        with pytest.raises(
            ValueError, match=r"infinity: row 450, position \(1,\) \(column 'b'\), 2 such values"
        ):
            check_finite(rows, ["a", "b", "c", "d"], missing_allowed=True)


def test_the_range_of_images_is_that_of_all_rows(tmp_path, all_large):
    x = np.zeros((300, 8, 8), np.float32)
    x[123, 4, 4] = 7.0
    x[290, 1, 1] = -3.0
    assert Preprocessor.fit(load_if_small(mapped(tmp_path / "x.npy", x))) == Preprocessor.fit(x)


# ---- training


def images(toy_images) -> np.ndarray:
    return (255 * toy_images[0]).astype(np.uint8)


def rows_of(kind, toy_images, toy_table):
    """Return rows of a kind, their labels, and the parameter ``kind``."""
    if kind == "table":
        return *toy_table, None
    if kind == "signal":
        return np.repeat(toy_table[0], 4, axis=1), toy_table[1], "signal"
    return images(toy_images), toy_images[1], None


@pytest.mark.parametrize("kind", ["image", "table", "signal"])
@pytest.mark.parametrize("n_workers", [0, 2])
def test_mapped_rows_give_the_same_bits_as_rows_in_memory(
    tmp_path, monkeypatch, toy_images, toy_table, kind, n_workers
):
    X, y, parameter = rows_of(kind, toy_images, toy_table)
    y = np.where(np.arange(len(y)) % 7 == 0, -1, y)
    settings: dict = {
        "n_epochs": 2,
        "n_epochs_decoder": 1,
        "widths": (8, 8),
        "batch_size": 16,
        "kind": parameter,
    }
    settings |= {"validation_fraction": 0.2, "random_state": 0}
    in_memory = SSAVAE(**settings).fit(X, y, eval_set=(X, y))
    monkeypatch.setattr(lazy, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(lazy, "CHUNK_BYTES", 1000)
    x = mapped(tmp_path / "x.npy", X)
    with monkeypatch.context() as patched:
        patched.setattr("ssavae.training.batches.TensorRows", None)  # no rows are read into memory
        stored = SSAVAE(**settings, n_workers=n_workers).fit(x, y, eval_set=(x, y))
    assert same_weights(in_memory, stored)
    without_time = [{k: v for k, v in row.items() if k != "seconds"} for row in in_memory.history_]
    assert without_time == [{k: v for k, v in row.items() if k != "seconds"} for row in stored.history_]
    for method in (
        SSAVAE.transform,
        SSAVAE.predict_proba,
        SSAVAE.reconstruct,
        SSAVAE.novelty,
        SSAVAE.is_novel,
    ):
        np.testing.assert_array_equal(method(in_memory, X), method(stored, x))
    assert (in_memory.suggest(X, 5) == stored.suggest(x, 5)).all()
    assert same_weights(in_memory.fit_decoder(X), stored.fit_decoder(x))
    assert in_memory.calibrate(X, y).is_novel(X).tolist() == stored.calibrate(x, y).is_novel(x).tolist()


def test_a_run_on_mapped_rows_is_resumed_bit_for_bit_and_with_the_same_data_only(
    tmp_path, all_large, toy_images, monkeypatch
):
    X, y = images(toy_images), toy_images[1]
    x = mapped(tmp_path / "x.npy", X)
    settings: dict = {"n_epochs": 3, "n_epochs_decoder": 2, "widths": (8, 8), "batch_size": 16}
    settings |= {"random_state": 0, "checkpoint_folder": tmp_path / "run", "checkpoint_every": 3}
    whole = SSAVAE(**settings).fit(x, y)
    read = LazyArray.__getitem__
    reads = []

    def dies(self, rows):
        reads.append(rows)
        if len(reads) == 20:  # in the second epoch, some batches after the last state
            raise OSError("unplugged")
        return read(self, rows)

    with monkeypatch.context() as patched:
        patched.setattr(LazyArray, "__getitem__", dies)
        with pytest.raises(OSError, match="unplugged"):
            SSAVAE(**settings).fit(x, y)
    other = X.copy()
    other[5, 0, 0] += 1
    with pytest.raises(ValueError, match="other data or parameters"):
        SSAVAE(**settings).fit(mapped(tmp_path / "y.npy", other), y, resume=True)
    assert same_weights(whole, SSAVAE(**settings).fit(x, y, resume=True))


def test_training_reads_no_more_rows_at_once_than_a_chunk(tmp_path, all_large, toy_images, monkeypatch):
    x = mapped(tmp_path / "x.npy", np.tile(images(toy_images), (10, 1, 1)))
    read = LazyArray.__getitem__
    sizes = []

    def recording_read(self, rows):
        values = read(self, rows)
        sizes.append(len(values))
        return values

    monkeypatch.setattr(LazyArray, "__getitem__", recording_read)
    y = np.tile(toy_images[1], 10)
    settings: dict = {"n_epochs": 1, "n_epochs_decoder": 1, "widths": (8, 8), "batch_size": 16}
    for name, n in (
        ("training.steps.SCALE_ROWS", 32),
        ("estimator.SAMPLER_ROWS", 64),
        ("estimator.NOVELTY_ROWS", 32),
        ("preprocessing.ranges.COMPARED_ROWS", 32),
    ):
        monkeypatch.setattr(f"ssavae.{name}", n)
    monkeypatch.setattr("ssavae.inference.transfer.BATCH", 40)
    model = SSAVAE(**settings, validation_fraction=0.2, random_state=0).fit(x, y)
    model.predict(x)
    assert max(sizes) <= 64


def test_a_dataset_is_a_lazy_array(digits_like):
    array = lazy_dataset(digits_like)
    assert array.shape == (20, 8, 8) and not array.is_deterministic
    assert load_if_small(array) is array  # its rows may change at random
    np.testing.assert_array_equal(array[np.array([3, 3])], np.stack([digits_like[3][0]] * 2))
    inputs = LazyInputs(array, lambda x: x.astype(np.float32))
    assert [len(part) for part in inputs.split(8)] == [8, 8, 4]


@pytest.fixture
def digits_like():
    x = np.random.default_rng(0).random((20, 8, 8))
    return [(row, i % 2) for i, row in enumerate(x)]
