"""How well faults are found, and told apart: rows of runs in time order in, floats out."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ssavae._checks import check, numbers, same_shape


def alarm_limit(score: ArrayLike, normal: ArrayLike, alpha: float = 0.05) -> float:
    """Return the limit that a share ``alpha`` of normal rows is above.

    score (n,), higher is more like a fault; normal (n,) of bool. Raises ValueError on NaN, wrong shapes, an
    alpha not in (0, 1), or no normal row.

    >>> alarm_limit([0.1, 0.2, 0.3, 0.9], [True, True, True, False], alpha=0.4)
    0.2
    """
    s, is_normal = numbers("score", score, (1,)), np.asarray(normal, dtype=bool)
    same_shape("normal", is_normal.shape, s.shape)
    check(0 < alpha < 1, f"alpha must be between 0 and 1, found {alpha}")
    check(bool(is_normal.any()), "normal must mark a row, found none")
    return float(np.quantile(s[is_normal], 1 - alpha, method="lower"))


def alarms(over: ArrayLike, run_length: int = 3) -> np.ndarray:
    """Say where an alarm stands, (n,): the last ``run_length`` rows are all over the limit.

    over (n,) of bool, one run in time order. One row alone is often noise.

    >>> raised([True, False, True, True, True, False], run_length=2).tolist()
    [False, False, False, True, True, False]
    """
    check(run_length >= 1, f"run_length must be at least 1, found {run_length}")
    flags = np.asarray(over, dtype=bool)
    ends = np.arange(1, len(flags) + 1)
    last_quiet = np.maximum.accumulate(np.where(flags, 0, ends))
    return ends - last_quiet >= run_length


def detection_delays(
    over: ArrayLike, faulty: ArrayLike, groups: ArrayLike, run_length: int = 3
) -> dict[str, float | None]:
    """Return for each run with a fault how many rows after its onset the alarm is raised; None if never.

    over, faulty (n,) of bool, groups (n,): a run's rows stand in time order. The onset is the first faulty
    row; an alarm that stands at the onset already counts as one of 0 rows.

    >>> detection_delays([0, 0, 1, 1, 0, 0], [0, 1, 1, 1, 0, 1], ["a"] * 4 + ["b"] * 2, run_length=1)
    {'a': 1.0, 'b': None}
    """
    flags, truth, runs = np.asarray(over, dtype=bool), np.asarray(faulty, dtype=bool), np.asarray(groups)
    same_shape("over", flags.shape, truth.shape)
    same_shape("groups", runs.shape, truth.shape)
    found: dict[str, float | None] = {}
    for run in dict.fromkeys(runs.tolist()):
        rows = np.flatnonzero(runs == run)
        if not truth[rows].any():
            continue
        after = alarms(flags[rows], run_length)[int(truth[rows].argmax()) :]
        found[str(run)] = float(after.argmax()) if after.any() else None
    return found
