"""How well faults are found, and told apart: rows of runs in time order in, floats out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ssavae.checks import classes, must, numbers, same_shape


def per_class(y: ArrayLike, y_pred: ArrayLike, n_classes: int) -> dict[str, np.ndarray]:
    """Return recall, precision and F1 of each class, (n_classes,) each; NaN where a class has no rows.

    y, y_pred (n,); rows with y = -1 are left out. F1 = 2 TP / (2 TP + FP + FN). Raises ValueError on wrong
    shapes or indices.

    >>> per_class([0, 0, 1, 1], [0, 1, 1, 1], 3)["f1"].round(3).tolist()
    [0.667, 0.8, nan]
    """
    truth = classes("y", y, len(np.asarray(y)), n_classes)
    found = classes("y_pred", y_pred, len(truth), n_classes)
    keep = truth >= 0
    pairs = np.bincount(truth[keep] * n_classes + found[keep], minlength=n_classes**2)
    table = pairs.reshape(n_classes, n_classes).astype(np.float64)
    right, true, read = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
    with np.errstate(invalid="ignore"):
        recall, precision, f1 = right / true, right / read, 2 * right / (true + read)
    precision = np.where((read == 0) & (true > 0), 0.0, precision)
    return {"recall": recall, "precision": precision, "f1": np.where(true > 0, f1, np.nan)}


def macro_f1(y: ArrayLike, y_pred: ArrayLike, n_classes: int, without: Sequence[int] = ()) -> float:
    """Return the mean F1 of the classes that have rows, some left out of the mean (not out of the rows).

    >>> y, y_pred = [0, 0, 1, 1], [0, 1, 1, 1]
    >>> round(macro_f1(y, y_pred, 2), 3), macro_f1(y, y_pred, 2, without=[0])
    (0.733, 0.8)
    """
    f1 = per_class(y, y_pred, n_classes)["f1"]
    kept = np.setdiff1d(np.arange(n_classes), np.asarray(without, dtype=np.int64))
    must(bool(np.isfinite(f1[kept]).any()), "y must hold a class that counts, found none")
    return float(np.nanmean(f1[kept]))


def alarm_limit(score: ArrayLike, normal: ArrayLike, alpha: float = 0.05) -> float:
    """Return the limit that a share ``alpha`` of normal rows is above.

    score (n,), higher is more like a fault; normal (n,) of bool. Raises ValueError on NaN, wrong shapes, an
    alpha not in (0, 1), or no normal row.

    >>> alarm_limit([0.1, 0.2, 0.3, 0.9], [True, True, True, False], alpha=0.4)
    0.2
    """
    s, is_normal = numbers("score", score, (1,)), np.asarray(normal, dtype=bool)
    same_shape("normal", is_normal.shape, s.shape)
    must(0 < alpha < 1, f"alpha must be between 0 and 1, found {alpha}")
    must(bool(is_normal.any()), "normal must mark a row, found none")
    return float(np.quantile(s[is_normal], 1 - alpha, method="lower"))


def raised(over: ArrayLike, run_length: int = 3) -> np.ndarray:
    """Say where an alarm stands, (n,): the last ``run_length`` rows are all over the limit.

    over (n,) of bool, one run in time order. One row alone is often noise.

    >>> raised([True, False, True, True, True, False], run_length=2).tolist()
    [False, False, False, True, True, False]
    """
    must(run_length >= 1, f"run_length must be at least 1, found {run_length}")
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
        after = raised(flags[rows], run_length)[int(truth[rows].argmax()) :]
        found[str(run)] = float(after.argmax()) if after.any() else None
    return found
