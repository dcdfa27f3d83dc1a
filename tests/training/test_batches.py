"""Batches of training rows: their order, their content, and the rows held out of them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssavae.preprocessing.adapters import lazy_dataset
from ssavae.preprocessing.inputs import labels_in
from ssavae.preprocessing.splits import hold_out
from ssavae.preprocessing.tensors import channels_last
from ssavae.training import batches
from ssavae.training.batches import MIN_LABELLED_FRACTION, LazyRows, TensorRows, epoch_order, sample_inputs


@given(n=st.integers(2, 400), batch_size=st.integers(1, 130), seed=st.integers(0, 2**31))
def test_with_labels_everywhere_each_row_comes_at_most_once(n, batch_size, seed):
    order = epoch_order(np.zeros(n, dtype=int), batch_size, (seed, 0))
    size = min(batch_size, n)
    assert order.shape == (n // size, size)
    assert len(np.unique(order)) == order.size


@given(n_labelled=st.integers(1, 40), n=st.integers(200, 600), batch_size=st.integers(8, 128))
def test_few_labels_are_in_every_batch_and_every_other_row_still_comes(n_labelled, n, batch_size):
    y = np.full(n, -1)
    y[:n_labelled] = 0
    order = epoch_order(y, batch_size, (1, 0))
    fraction = (y[order] >= 0).mean(axis=1)
    if n_labelled < MIN_LABELLED_FRACTION * n:
        assert (np.abs(fraction - MIN_LABELLED_FRACTION) <= 0.5 / batch_size + 1e-9).all()
        unlabelled = np.unique(order[y[order] < 0])
        assert len(unlabelled) >= (n - n_labelled) - batch_size  # all but the last part batch
    assert set(np.unique(order[y[order] >= 0])) <= set(range(n_labelled))


def test_order_depends_on_seed_and_epoch_alone():
    y = np.zeros(50, dtype=int)
    assert (epoch_order(y, 10, (3, 0, 1)) == epoch_order(y, 10, (3, 0, 1))).all()
    assert (epoch_order(y, 10, (3, 0, 1)) != epoch_order(y, 10, (3, 0, 2))).any()
    assert (epoch_order(y, 10, (3, 0, 1)) != epoch_order(y, 10, (4, 0, 1))).any()


def test_held_out_rows_are_the_same_fraction_of_every_class():
    y = np.repeat([-1, 0, 1], [200, 100, 20])
    held_out = hold_out(y, 0.1, seed=0)
    assert np.bincount(y[held_out] + 1).tolist() == [20, 10, 2]
    with pytest.raises(ValueError, match=r"validation_fraction=1\.0"):
        hold_out(y, 1.0, seed=0)


class Pairs(torch.utils.data.Dataset):
    """Rows with their index as label."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        return np.full(3, i, dtype=np.float32), i


@pytest.mark.parametrize("n_workers", [0, 2])
def test_a_dataset_gives_the_same_batches_as_a_tensor(n_workers):
    indices = np.arange(5, 25)
    y = np.arange(20) % 4
    dataset = Pairs(30)
    cpu = torch.device("cpu")
    order = epoch_order(y, 6, (0, 0))
    lazy = LazyRows(lazy_dataset(dataset).take(indices), y, np.asarray, cpu, n_workers)
    in_memory = TensorRows(torch.arange(5.0, 25.0)[:, None].expand(20, 3), y, cpu)
    state = torch.get_rng_state()
    for (x, labels), (x_memory, labels_memory) in zip(
        lazy.batches(order), in_memory.batches(order), strict=True
    ):
        assert torch.equal(x, x_memory)
        assert torch.equal(labels, labels_memory)
    assert list(lazy.batches(order[:0])) == []  # a run resumed at the end of an epoch
    assert torch.equal(torch.get_rng_state(), state)  # which a resumed run restores
    assert labels_in(dataset) == list(range(30))


def test_images_are_stored_with_channels_last():
    assert channels_last(torch.zeros(2, 3, 4, 5)).is_contiguous(memory_format=torch.channels_last)
    assert channels_last(torch.zeros(2, 3)).shape == (2, 3)


def test_a_sample_of_sorted_rows_holds_every_class():
    y = np.repeat(np.arange(10), 100)
    rows = TensorRows(torch.arange(1000.0)[:, None], y, torch.device("cpu"))
    x, labels = sample_inputs(rows, 50)
    assert set(labels) == set(range(10))
    assert (y[x[:, 0].long().numpy()] == labels).all()


def test_a_sample_is_limited_in_bytes_and_does_not_depend_on_the_rows_read_at_once(monkeypatch):
    rows = TensorRows(torch.arange(3000.0).view(1000, 3), np.arange(1000) % 7, torch.device("cpu"))
    whole, _ = sample_inputs(rows, 100)
    monkeypatch.setattr(batches, "SAMPLE_BATCH", 7)
    x, labels = sample_inputs(rows, 100)
    assert torch.equal(x, whole)
    assert (labels == x[:, 0].numpy() / 3 % 7).all()
    monkeypatch.setattr(batches, "SAMPLE_BYTES", 4 * 3 * 20)
    assert len(sample_inputs(rows, 100)[0]) == 20


def test_a_group_never_crosses_the_split():
    y = np.repeat([0, 0, 1, 1, -1], 100)
    groups = np.repeat(np.arange(25), 20)
    held_out = hold_out(y, 0.4, seed=0, groups=groups)
    assert set(groups[held_out]).isdisjoint(np.delete(groups, held_out))
    assert len(held_out) == 200
    assert {c: int((y[held_out] == c).sum()) for c in (0, 1, -1)} == {0: 80, 1: 80, -1: 40}
    assert not np.array_equal(held_out, hold_out(y, 0.4, seed=1, groups=groups))


def test_a_class_with_one_group_stays_in_training():
    y = np.repeat([0, 1], 50)
    groups = np.where(y == 0, "alone", np.arange(100) % 5)
    held_out = hold_out(y, 0.5, seed=0, groups=groups)
    assert set(y[held_out]) == {1}


def test_groups_and_rows_must_be_as_many():
    with pytest.raises(ValueError, match=r"groups has shape \(3,\)"):
        hold_out(np.zeros(4, dtype=int), 0.5, seed=0, groups=[1, 2, 3])
