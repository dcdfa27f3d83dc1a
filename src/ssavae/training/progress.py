"""Progress of a run: a bar on the terminal, and the history as TensorBoard events."""

from __future__ import annotations

import importlib.util
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ssavae.persistence.model_folder import HistoryRow

if TYPE_CHECKING:
    from tensorboard.summary.writer.record_writer import RecordWriter

Progress = Callable[[int, float, Mapping[str, str | int | float]], None]
Record = Callable[[HistoryRow], None]


def announce(text: str) -> None:
    """Print lines before the first bar, where the bars are shown."""
    from rich.console import Console

    Console().print(text, highlight=False)


@contextmanager
def progress_bar(title: str, n_epochs: int) -> Iterator[Progress]:
    """Show a bar with every loss and the time left, and one line an epoch that stays.

    Yields
    ------
    callable
        Takes the epochs done, the fraction of the current epoch, and the mean losses so far.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(20), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns) as bars:
        task = bars.add_task("", total=n_epochs)

        def show(epochs: int, fraction: float, losses: Mapping[str, str | int | float]) -> None:
            values = {name: value for name, value in losses.items() if isinstance(value, float)}
            text = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
            bars.update(task, completed=epochs + fraction, description=text)
            if fraction == 0.0:
                bars.console.print(f"{title} epoch {epochs}/{n_epochs}  {text}", highlight=False)

        yield show


@contextmanager
def tensorboard_events(folder: Path | None) -> Iterator[Record | None]:
    """Write rows of the history to an event file in a folder: a scalar ``step/name`` an epoch.

    Without a folder, or without the extra ``tensorboard``, nothing is written.  TensorBoard's own writer is
    a thread, whose errors are tracebacks on the terminal.

    Yields
    ------
    callable or None
        Takes a row of the history.
    """
    if folder is None or importlib.util.find_spec("tensorboard") is None:
        yield None
        return
    from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.summary.writer.record_writer import RecordWriter

    name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}.{time.monotonic_ns()}"
    path = folder / name
    with open(path, "ab", buffering=0) as file:
        write = partial(_write_event, RecordWriter(file), path)
        write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())

        def record(row: HistoryRow) -> None:
            numbers = {name: value for name, value in row.items() if isinstance(value, float)}
            values = [Summary.Value(tag=f"{row['step']}/{k}", simple_value=v) for k, v in numbers.items()]
            event = Event(wall_time=time.time(), step=int(row["epoch"]), summary=Summary(value=values))
            write(event.SerializeToString())

        yield record


def _write_event(writer: RecordWriter, path: Path, event: bytes) -> None:
    """Write an event; an error names the file."""
    try:
        writer.write(event)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
