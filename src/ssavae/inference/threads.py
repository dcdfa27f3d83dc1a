"""torch with one thread for networks that are too small to be divided.

Threads wait for each other in every operation. Where layers are small that costs more than it saves, and on a
machine that other programs use too it costs ten times as much and more (docs/decisions.md).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

SMALL = 50_000_000  # weights times rows of a batch, below which one thread is used


def is_small(module: nn.Module, n_rows: int) -> bool:
    """Return whether a batch of so many rows is too little work for several threads, on the CPU."""
    return n_rows * sum(parameter.numel() for parameter in module.parameters()) < SMALL


@contextmanager
def one_thread_if(condition: bool) -> Iterator[None]:
    """Let torch compute with one thread in this thread of the program; all others keep their number."""
    n_threads = torch.get_num_threads()
    if not condition or n_threads == 1:
        yield
        return
    _set_num_threads(1, others=n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _set_num_threads(n: int, *, others: int) -> None:
    """Set the number for this thread. torch would also take it for threads that begin later: ``others``."""
    torch.set_num_threads(n)
    later = threading.Thread(target=torch.set_num_threads, args=(others,))
    later.start()
    later.join()
