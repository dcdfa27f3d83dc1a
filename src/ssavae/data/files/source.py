"""An open table whose columns are read by name, as every reader of tables returns it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd


def _next_row(name: str, index: int, text: str) -> int:
    return index + 1


class Source(NamedTuple):
    """An open table whose columns can be read."""

    columns: list[str]
    n_rows: int
    read: Callable[[str], pd.Series]
    numeric: frozenset[str] = frozenset()  # columns that hold numbers alone
    stored: frozenset[str] = frozenset()  # those of them that can be read row by row from their file
    row_number: Callable[[str, int, str], int] = _next_row  # of a cell: its column, index and text
