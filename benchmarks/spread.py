"""A mean over seeds or draws as text, with its spread."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def mean_and_deviation(values: Sequence[float], digits: int, unit: str) -> str:
    """Return mean ± standard deviation and the number of values; one value has no deviation."""
    mean = f"{statistics.mean(values):.{digits}f}"
    if len(values) == 1:
        return f"{mean} (1 {unit})"
    return f"{mean} ± {statistics.stdev(values):.{digits}f} ({len(values)} {unit}s)"
