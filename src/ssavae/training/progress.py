"""Progress of a run: a bar on the terminal, and the history as TensorBoard events."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ssavae.persistence.model_folder import HistoryRow

Progress = Callable[[int, float, Mapping[str, str | int | float]], None]
Record = Callable[[HistoryRow], None]


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

    Without a folder, or without the extra ``tensorboard``, nothing is written.

    Yields
    ------
    callable or None
        Takes a row of the history.
    """
    if folder is None or importlib.util.find_spec("tensorboard") is None:
        yield None
        return
    from torch.utils.tensorboard import SummaryWriter  # here, since it takes a second

    with SummaryWriter(str(folder)) as writer:

        def record(row: HistoryRow) -> None:
            for name, value in row.items():
                if isinstance(value, float):
                    writer.add_scalar(f"{row['step']}/{name}", value, row["epoch"])
            writer.flush()

        yield record
