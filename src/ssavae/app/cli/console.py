"""Output of the command line: values, tables, files written, warnings in one line each."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ssavae.training.distributed.launcher import is_first


def print_written(*files: Path) -> None:
    """Print the names of files that were written, one in a line."""
    for file in files:
        print(f"wrote {file}")


def print_values(title: str, values: Mapping[str, object]) -> None:
    """Print names and values as a table; None is left out."""
    texts = {name: format_value(value) for name, value in values.items() if value is not None}
    print_table([title, "value"], [[name.replace("_", " "), text] for name, text in texts.items()])


def format_value(value: object) -> str:
    """Return a value as text; nothing for None.

    Examples
    --------
    >>> format_value({"oak": 1 / 3, "elm": 2})
    'oak: 0.3333, elm: 2'
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {format_value(each)}" for name, each in value.items())
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of text under their columns; with frames on a terminal only."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None if not sys.stdout.isatty() else Table().box)
    for row in rows:
        table.add_row(*row)
    width = None if sys.stdout.isatty() else 200
    Console(width=width, highlight=False, markup=False, emoji=False).print(table)


def progress_printer(title: str) -> Callable[[int, int], None]:
    """Return a function that prints, in one line on a terminal, how many are done of how many."""

    def print_progress(done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{title}: {done:,} of {total:,}", end="\n" if done == total else "", file=sys.stderr)

    return print_progress


def warn(text: str) -> None:
    """Print a warning in one line."""
    print(f"warning: {' '.join(text.split())}", file=sys.stderr)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Print our own warnings in one line each, and none of other libraries."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if is_first():
            warnings.filterwarnings("always", category=UserWarning, module=r"ssavae(\.|$)")
        warnings.showwarning = lambda message, *_, **__: warn(str(message))
        yield
