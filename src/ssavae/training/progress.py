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
BAR = 20  # characters


def announce(text: str) -> None:
    """Print lines before or after the bars, where these are shown; in a pipe they are not wrapped."""
    from rich import get_console

    get_console().print(text, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar(title: str, n_epochs: int) -> Iterator[Progress]:
    """Show epoch, bar, time left and as many losses as fit; and one line an epoch that stays.

    In a pipe there are only the lines, each with every loss, however long it is.

    Yields
    ------
    callable
        Takes the epochs done, the fraction of the current epoch, and the mean losses so far.
    """
    from rich import get_console

    console = get_console()
    if not (console.is_terminal or console.is_jupyter):
        yield partial(_print_epoch, title, n_epochs)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), TextColumn("{task.fields[epoch]}"), BarColumn(BAR), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.description}")) as bars:
        task = bars.add_task("", total=n_epochs, epoch="")

        def show(epochs: int, fraction: float, losses: Mapping[str, str | int | float]) -> None:
            epoch = f"epoch {min(epochs + (fraction > 0), n_epochs)}/{n_epochs}"
            taken = len(title) + len(epoch) + BAR + len("0:00:00") + 4  # and a blank between the columns
            text = fitting(losses, console.width - taken)
            bars.update(task, completed=epochs + fraction, epoch=epoch, description=text)
            if fraction == 0.0:
                start = f"{title} epoch {epochs}/{n_epochs}  "
                line = start + fitting(losses, console.width - len(start))
                bars.console.print(line, highlight=False, no_wrap=True)

        yield show


def fitting(losses: Mapping[str, str | int | float], room: float = float("inf")) -> str:
    """Return as many of the values as fit into so many characters, accuracies first.

    >>> fitting({"loss_kl": 0.25, "eval_accuracy": 0.5}, 30)
    'eval_accuracy 0.5'
    """
    numbers = {name: value for name, value in losses.items() if isinstance(value, float)}
    names = sorted(numbers, key=lambda name: not name.endswith("accuracy"))
    text = ""
    for name in names:
        longer = f"{text}{'  ' if text else ''}{name} {numbers[name]:.4g}"
        if len(longer) > room:
            break
        text = longer
    return text


def _print_epoch(
    title: str, n_epochs: int, epochs: int, fraction: float, losses: Mapping[str, str | int | float]
) -> None:
    if fraction == 0.0:
        print(f"{title} epoch {epochs}/{n_epochs}  {fitting(losses)}", flush=True)


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
