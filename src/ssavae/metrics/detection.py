"""Metrics of fault detection: alarm limit, alarms and detection delays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ssavae._checks import check, check_array, check_shape


def alarm_limit(score: ArrayLike, normal: ArrayLike, alpha: float = 0.05) -> float:
    """Return the limit that a fraction ``alpha`` of the normal rows exceeds.

    score (n,), higher is more like a fault; normal (n,) of bool. Raises ValueError on NaN, wrong shapes, an
    alpha not in (0, 1), or no normal row.

    >>> alarm_limit([0.1, 0.2, 0.3, 0.9], [True, True, True, False], alpha=0.4)
    0.2
    """
    scores = check_array("score", score, (1,))
    is_normal = np.asarray(normal, dtype=bool)
    check_shape("normal", is_normal.shape, scores.shape)
    check(0 < alpha < 1, f"alpha must be between 0 and 1, found {alpha}")
    check(is_normal.any(), "normal must mark a row, found none")
    return float(np.quantile(scores[is_normal], 1 - alpha, method="lower"))


def alarms(over: ArrayLike, run_length: int = 3) -> np.ndarray:
    """Return where the alarm is on, (n,) of bool: the last ``run_length`` rows are all over the limit.

    over (n,) of bool, one run in time order. A single row over the limit is often noise.

    >>> alarms([True, False, True, True, True, False], run_length=2).tolist()
    [False, False, False, True, True, False]
    """
    check(run_length >= 1, f"run_length must be at least 1, found {run_length}")
    is_over = np.asarray(over, dtype=bool)
    n_seen = np.arange(1, len(is_over) + 1)
    last_below = np.maximum.accumulate(np.where(is_over, 0, n_seen))
    return n_seen - last_below >= run_length


def detection_delays(
    over: ArrayLike, faulty: ArrayLike, groups: ArrayLike, run_length: int = 3
) -> dict[str, float | None]:
    """Return for each run with a fault the number of rows from its onset to the alarm; None without one.

    over, faulty (n,) of bool, groups (n,): the rows of a run are in time order. The onset is the first faulty
    row; an alarm that is already on at the onset has a delay of 0.

    >>> detection_delays([0, 0, 1, 1, 0, 0], [0, 1, 1, 1, 0, 1], ["a"] * 4 + ["b"] * 2, run_length=1)
    {'a': 1.0, 'b': None}
    """
    is_over = np.asarray(over, dtype=bool)
    is_faulty = np.asarray(faulty, dtype=bool)
    runs = np.asarray(groups)
    check_shape("over", is_over.shape, is_faulty.shape)
    check_shape("groups", runs.shape, is_faulty.shape)
    delays: dict[str, float | None] = {}
    for run in dict.fromkeys(runs.tolist()):
        rows = np.flatnonzero(runs == run)
        if is_faulty[rows].any():
            onset = int(is_faulty[rows].argmax())
            after = alarms(is_over[rows], run_length)[onset:]
            delays[str(run)] = float(after.argmax()) if after.any() else None
    return delays
