"""The history as TensorBoard events, beside history.csv, where ``ssavae[tensorboard]`` is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Record = Callable[[Mapping[str, Any]], None]


@contextmanager
def recording(folder: Path | None) -> Iterator[Record]:
    """Give a function that takes a row of the history and writes its numbers to an event file in a folder.

    Each number is a scalar ``step/name`` by epoch, to be seen while training goes on.  Without a folder, or
    without tensorboard, nothing is written.
    """
    if folder is None or importlib.util.find_spec("tensorboard") is None:
        yield lambda row: None
        return
    from torch.utils.tensorboard import SummaryWriter  # here, since it takes a second

    with SummaryWriter(str(folder)) as writer:

        def record(row: Mapping[str, Any]) -> None:
            for name, value in row.items():
                if isinstance(value, float):
                    writer.add_scalar(f"{row['step']}/{name}", value, row["epoch"])
            writer.flush()

        yield record
