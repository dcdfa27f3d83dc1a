"""Rows that stay where they are stored train, and are used, like the same rows in memory."""

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
from ssavae.preprocessing.inputs import Inputs
from ssavae.preprocessing.lazy import LazyArray, chunks, concatenate, load_if_small, sample_rows
from ssavae.preprocessing.preprocessor import Preprocessor, check_finite


@pytest.fixture
def all_large(monkeypatch):
    """Treat the smallest file as one that does not fit into memory, and read it in small pieces."""
    monkeypatch.setattr(lazy, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(lazy, "CHUNK_BYTES", 1000)


def mapped(path: Path, x: np.ndarray) -> np.ndarray:
    np.save(path, x)
    return np.lib.format.open_memmap(path, mode="r")


def tensors(model: SSAVAE) -> dict[str, torch.Tensor]:
    modules = {"vec": model.vec_, "decoder": model.decoder_, "discriminator": model.discriminator_}
    return {f"{m}.{k}": v for m, module in modules.items() for k, v in module.state_dict().items()}


def same_weights(a: SSAVAE, b: SSAVAE) -> bool:
    one, other = tensors(a), tensors(b)
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


# ---- reading


@given(
    numbers=st.lists(st.integers(0, 39), max_size=60),
    view=st.sampled_from(["whole", "part", "every third", "backwards", "one column of a matrix"]),
)
def test_rows_of_a_file_are_the_rows_of_its_map(tmp_path_factory, numbers, view):
    path = tmp_path_factory.mktemp("a") / "x.npy"
    x = mapped(path, np.arange(200 * 3 * 4, dtype=np.float32).reshape(200, 3, 4))
    seen = {"whole": x, "part": x[60:150], "every third": x[::3], "backwards": x[::-2]}
    rows = seen.get(view, x[:, 1])
    file = lazy._file_of(np.asarray(rows))
    assert file is not None
    source = LazyArray(rows.shape, rows.dtype, file)
    chosen = np.array(numbers, dtype=np.int64)
    np.testing.assert_array_equal(source[chosen], rows[chosen])
    np.testing.assert_array_equal(source.take(slice(5, 30))[::4], rows[5:30:4])
    np.testing.assert_array_equal(np.asarray(source), rows)
    assert (
        pickle.loads(pickle.dumps(source))[chosen].tolist() == rows[chosen].tolist()
    )  # for worker processes


def test_only_rows_that_lie_in_a_file_in_order_stay_there(tmp_path, all_large):
    x = np.arange(600.0).reshape(50, 12)
    assert isinstance(load_if_small(mapped(tmp_path / "c.npy", x)), LazyArray)
    for other in (x, mapped(tmp_path / "f.npy", np.asfortranarray(x)), mapped(tmp_path / "a.npy", x)[:, ::2]):
        assert load_if_small(other) is other
    changed = np.lib.format.open_memmap(tmp_path / "c.npy", mode="c")
    changed[20] = 7  # in memory alone, not in the file
    assert load_if_small(changed) is changed
    gone = mapped(tmp_path / "g.npy", x)
    os.replace(tmp_path / "c.npy", tmp_path / "g.npy")
    assert isinstance(load_if_small(gone), LazyArray)  # the same content
    np.save(tmp_path / "h.npy", x + 1)
    os.replace(tmp_path / "h.npy", tmp_path / "g.npy")
    assert load_if_small(gone) is gone  # another file has taken the name


def test_few_rows_are_held_and_many_are_not(tmp_path, monkeypatch):
    x = mapped(tmp_path / "x.npy", np.zeros((10, 8, 8), np.uint8))
    assert (
        type(load_if_small(x)) is np.ndarray and load_if_small(x).base is None
    )  # read, not looked at through the map
    monkeypatch.setattr(lazy, "RESIDENT_BYTES", 4 * x.size - 1)
    assert isinstance(load_if_small(x), LazyArray)


def test_a_file_that_is_cut_is_an_error(tmp_path, all_large):
    source = load_if_small(mapped(tmp_path / "x.npy", np.zeros((100, 12), np.float64)))
    with (tmp_path / "x.npy").open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(ValueError, match=r"x\.npy ends before its last row"):
        source[:]


def test_sources_are_chosen_from_and_joined_unread(tmp_path, all_large):
    x = np.arange(90, dtype=np.int16).reshape(30, 3)
    parts = [
        load_if_small(mapped(tmp_path / f"{i}.npy", part)) for i, part in enumerate(np.split(x, [4, 15]))
    ]
    whole = concatenate(parts)
    order = np.random.default_rng(0).permutation(30)
    np.testing.assert_array_equal(whole[order], x[order])
    np.testing.assert_array_equal(whole.take(x[:, 0] > 40)[:], x[x[:, 0] > 40])
    np.testing.assert_array_equal(np.concatenate(list(chunks(whole))), x)
    with pytest.raises(ValueError, match=r"rows are chosen by numbers \(m,\)"):
        whole[np.zeros((2, 2), dtype=int)]


def test_scales_come_from_rows_drawn_evenly_where_there_are_many(tmp_path, all_large, monkeypatch):
    x = np.random.default_rng(0).normal(3, 2, (5000, 4))
    source = load_if_small(mapped(tmp_path / "x.npy", x))
    assert len(sample_rows(source)) == 5000
    monkeypatch.setattr(lazy, "SAMPLE_VALUES", 8000)
    assert len(sample_rows(source)) == 2000
    columns = Preprocessor.fit(source).columns
    assert all(c.low == pytest.approx(3, abs=0.2) and c.scale == pytest.approx(2, abs=0.2) for c in columns)


def test_gaps_and_infinities_are_found_wherever_they_are(tmp_path, all_large, monkeypatch):
    monkeypatch.setattr(lazy, "SAMPLE_VALUES", 40)
    x = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    x[400, 2] = np.nan
    source = load_if_small(mapped(tmp_path / "x.npy", x))
    assert [column.has_missing for column in Preprocessor.fit(source).columns] == [False, False, True, False]
    x[450, 1] = x[470, 0] = np.inf
    source = load_if_small(mapped(tmp_path / "y.npy", x))
    for rows in (x, source):
        with pytest.raises(
            ValueError, match=r"infinity: row 450, position \(1,\) \(column 'b'\), 2 such values"
        ):
            check_finite(rows, ["a", "b", "c", "d"], missing_allowed=True)


def test_the_range_of_images_is_that_of_all(tmp_path, all_large):
    x = np.zeros((300, 8, 8), np.float32)
    x[123, 4, 4], x[290, 1, 1] = 7.0, -3.0
    assert Preprocessor.fit(load_if_small(mapped(tmp_path / "x.npy", x))) == Preprocessor.fit(x)


# ---- training


def images(toy_images) -> np.ndarray:
    return (255 * toy_images[0]).astype(np.uint8)


def rows_of(kind, toy_images, toy_table):
    """Rows of a kind, their labels, and the kind to name."""
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
    X, y, named = rows_of(kind, toy_images, toy_table)
    y = np.where(np.arange(len(y)) % 7 == 0, -1, y)
    settings: dict = {"n_epochs": 2, "n_epochs_decoder": 1, "widths": (8, 8), "batch_size": 16, "kind": named}
    settings |= {"validation_fraction": 0.2, "random_state": 0}
    held = SSAVAE(**settings).fit(X, y, eval_set=(X, y))
    monkeypatch.setattr(lazy, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(lazy, "CHUNK_BYTES", 1000)
    x = mapped(tmp_path / "x.npy", X)
    with monkeypatch.context() as patched:
        patched.setattr("ssavae.estimator.TensorRows", None)  # nothing is held
        stored = SSAVAE(**settings, n_workers=n_workers).fit(x, y, eval_set=(x, y))
    assert same_weights(held, stored)
    without_time = [{k: v for k, v in row.items() if k != "seconds"} for row in held.history_]
    assert without_time == [{k: v for k, v in row.items() if k != "seconds"} for row in stored.history_]
    for use in (SSAVAE.transform, SSAVAE.predict_proba, SSAVAE.reconstruct, SSAVAE.novelty, SSAVAE.is_novel):
        np.testing.assert_array_equal(use(held, X), use(stored, x))
    assert (held.suggest(X, 5) == stored.suggest(x, 5)).all()
    assert same_weights(held.fit_decoder(X), stored.fit_decoder(x))
    assert held.calibrate(X, y).is_novel(X).tolist() == stored.calibrate(x, y).is_novel(x).tolist()


def test_a_mapped_run_goes_on_bit_for_bit_and_knows_its_data(tmp_path, all_large, toy_images, monkeypatch):
    X, y = images(toy_images), toy_images[1]
    x = mapped(tmp_path / "x.npy", X)
    settings: dict = {"n_epochs": 3, "n_epochs_decoder": 2, "widths": (8, 8), "batch_size": 16}
    settings |= {"random_state": 0, "checkpoint_folder": tmp_path / "run", "checkpoint_every": 3}
    whole = SSAVAE(**settings).fit(x, y)
    read, seen = LazyArray.__getitem__, []

    def dies(self, rows):
        seen.append(len(seen))
        if len(seen) == 20:  # in the second epoch, some batches after the last state
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


def test_training_holds_no_more_rows_than_a_piece(tmp_path, all_large, toy_images, monkeypatch):
    x = mapped(tmp_path / "x.npy", np.tile(images(toy_images), (10, 1, 1)))
    most, read = [0], LazyArray.__getitem__

    def watched(self, rows):
        found = read(self, rows)
        most[0] = max(most[0], len(found))
        return found

    monkeypatch.setattr(LazyArray, "__getitem__", watched)
    y = np.tile(toy_images[1], 10)
    settings: dict = {"n_epochs": 1, "n_epochs_decoder": 1, "widths": (8, 8), "batch_size": 16}
    for name, n in (
        ("training.SCALE_ROWS", 32),
        ("estimator.SAMPLER_ROWS", 64),
        ("estimator.NOVELTY_ROWS", 32),
    ):
        monkeypatch.setattr(f"ssavae.{name}", n)
    monkeypatch.setattr("ssavae.inference.predictor.BATCH", 40)
    model = SSAVAE(**settings, validation_fraction=0.2, random_state=0).fit(x, y)
    model.predict(x)
    assert most[0] <= 64


def test_a_dataset_is_a_source(digits_like):
    source = lazy_dataset(digits_like)
    assert source.shape == (20, 8, 8) and not source.is_deterministic
    assert load_if_small(source) is source  # its rows may change at random
    np.testing.assert_array_equal(source[np.array([3, 3])], np.stack([digits_like[3][0]] * 2))
    inputs = Inputs(source, lambda x: x.astype(np.float32))
    assert [len(part) for part in inputs.split(8)] == [8, 8, 4]


@pytest.fixture
def digits_like():
    x = np.random.default_rng(0).random((20, 8, 8))
    return [(row, i % 2) for i, row in enumerate(x)]
