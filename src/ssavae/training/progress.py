"""The history as TensorBoard events, beside history.csv, where ``ssavae[tensorboard]`` is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ssavae.training.loop import STAGES, Session

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


@contextmanager
def showing_progress(session: Session, stage: str, n_epochs: int) -> Iterator[None]:
    """Show a bar with every loss and the time left, and one line an epoch that stays."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    title = STAGES[stage]
    columns = (TextColumn(title), BarColumn(20), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns) as bars:
        task = bars.add_task("", total=n_epochs)

        def show(epoch: int, share: float, losses: Mapping[str, Any]) -> None:
            text = "  ".join(
                f"{name} {value:.4g}" for name, value in losses.items() if isinstance(value, float)
            )
            bars.update(task, completed=epoch + share, description=text)
            if share == 0.0:
                bars.console.print(f"{title} epoch {epoch}/{n_epochs}  {text}", highlight=False)

        session.progress = show
        yield
