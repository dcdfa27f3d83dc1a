"""Small networks run with one thread of torch, and every number of threads is put back."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ssavae import SSAVAE
from ssavae.inference.threads import SMALL, is_small, one_thread_if
from ssavae.networks import Encoder, Spec
from ssavae.training import steps

QUICK: dict[str, Any] = {"n_epochs": 1, "n_epochs_decoder": 1, "random_state": 0}


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """Let torch have two threads, as on the machines where waiting for each other costs most."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def in_a_new_thread() -> int:
    numbers: list[int] = []
    thread = threading.Thread(target=lambda: numbers.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return numbers[0]


def test_one_thread_here_alone_and_put_back_after_an_error():
    with pytest.raises(KeyError), one_thread_if(True):
        assert (torch.get_num_threads(), in_a_new_thread()) == (1, 2)
        raise KeyError
    assert (torch.get_num_threads(), in_a_new_thread()) == (2, 2)
    with one_thread_if(False):
        assert torch.get_num_threads() == 2


def test_tables_of_default_widths_are_small_and_images_are_not():
    assert is_small(Encoder(Spec((30,), 2, 3, False)), 128)
    assert not is_small(Encoder(Spec((1, 28, 28), 2, 10, True)), 128)
    assert not is_small(nn.Linear(1000, SMALL // 100_000), 100)


@pytest.fixture
def counted(monkeypatch) -> list[int]:
    """The number of threads in each update of step 1."""
    counts: list[int] = []
    step = steps.vec_step

    def counting_step(*args, **kwargs):
        counts.append(torch.get_num_threads())
        return step(*args, **kwargs)

    monkeypatch.setattr(steps, "vec_step", counting_step)
    return counts


def test_a_small_table_trains_with_one_thread_to_the_same_bits(toy_table, counted):
    X, y = toy_table
    codes = SSAVAE(**QUICK).fit(X, y).transform(X)
    assert set(counted) == {1} and torch.get_num_threads() == 2
    torch.set_num_threads(1)
    assert np.array_equal(SSAVAE(**QUICK).fit(X, y).transform(X), codes)


def test_a_large_network_keeps_its_threads(toy_table, counted):
    X, y = toy_table
    SSAVAE(**QUICK, widths=(2000, 500)).fit(X, y)
    assert set(counted) == {2}


def test_fits_in_threads_put_the_number_back(toy_table):
    X, y = toy_table
    threads = [threading.Thread(target=SSAVAE(**QUICK).fit, args=(X, y)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (torch.get_num_threads(), in_a_new_thread()) == (2, 2)
