"""What the command line prints: values, tables, files written, warnings in one line each."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ssavae.training.distributed.launcher import is_first


def say_written(*files: Path) -> None:
    """Name the files written, a line each."""
    for file in files:
        print(f"wrote {file}")


def print_values(title: str, values: Mapping[str, Any]) -> None:
    """Print names and values as a table; None is left out."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat[name] = ", ".join(f"{k}: {shown_value(v)}" for k, v in value.items())
        elif value is not None:
            flat[name] = shown_value(value)
    print_table([title, "value"], [[name.replace("_", " "), text] for name, text in flat.items()])


def shown_value(value: Any) -> str:
    """Return a value as it is printed; nothing for None."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of text under their columns; without frames where no person reads them."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None if not sys.stdout.isatty() else Table().box)
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False).print(table)


def counting(what: str) -> Callable[[int, int], None]:
    """Return what shows, in one line on a terminal, how many are done of how many; elsewhere it is silent."""

    def told(done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{what}: {done:,} of {total:,}", end="\n" if done == total else "", file=sys.stderr)

    return told


def warn(text: str) -> None:
    """Print a warning in one line."""
    print(f"warning: {' '.join(text.split())}", file=sys.stderr)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Show our own warnings in one line each; what libraries tell programmers stays away."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if is_first():
            warnings.filterwarnings("always", category=UserWarning, module=r"ssavae(\.|$)")
        warnings.showwarning = lambda message, *_, **__: warn(str(message))
        yield
