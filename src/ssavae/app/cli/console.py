"""Output of the command line: values, tables, files written, warnings in one line each."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from ssavae.training.distributed.launcher import is_first


class Output:
    """A standard stream that swallows what is written once nobody reads it: ``| head``, a closed terminal."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream or open(os.devnull, "w")  # noqa: SIM115
        self.is_closed = stream is None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text, if it can be."""
        with self._swallowing():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream, if it can be."""
        with self._swallowing():
            self._stream.flush()

    @contextmanager
    def _swallowing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            self.is_closed = True
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())  # what is buffered goes there when the process ends
            os.close(nowhere)


@contextmanager
def closable_output() -> Iterator[None]:
    """Let the command go on when its output, or its terminal, is closed."""
    with redirect_stdout(Output(sys.stdout)) as out, redirect_stderr(Output(sys.stderr)) as err:  # pyright: ignore[reportArgumentType]
        try:
            yield
        finally:
            out.flush()
            err.flush()


def print_written(*files: Path) -> None:
    """Print the names of files that were written, one in a line."""
    for file in files:
        print(f"wrote {file}")


def print_line(text: str) -> None:
    """Print a line at once, of several processes by the first."""
    if is_first():
        print(text, flush=True)


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
    width = None if sys.stdout.isatty() else 100_000  # a pipe has no width: its lines are not wrapped
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
