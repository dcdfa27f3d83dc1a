"""Measures of what a model does: arrays in, floats out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ssavae._checks import check, classes, numbers


def _labelled(name: str, y: NDArray[np.int64]) -> NDArray[np.bool_]:
    keep = y >= 0
    check(keep.any(), f"{name} must have a labelled row, found none in {len(y)}")
    return keep


def agreement(logits: ArrayLike, y: ArrayLike) -> float:
    """Return the share of rows whose largest logit is the class asked for: mean [argmax logits = y].

    logits (n, n_classes), y (n,) with -1 left out; in [0, 1]. Raises ValueError on NaN, wrong shapes, or
    when no labelled row remains.

    >>> agreement([[2.0, 1.0], [0.0, 3.0], [5.0, 0.0]], [0, 0, -1])
    0.5
    """
    scores = numbers("logits", logits, (2,))
    return accuracy(classes("y", y, len(scores)), scores.argmax(axis=1))


def accuracy(y: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the share of labelled rows predicted right: mean [y_pred = y] over y != -1.

    Raises ValueError on labels that are no integers, unequal lengths, or when no labelled row remains.

    >>> accuracy([0, 1, 2, -1], [0, 1, 1, 5])
    0.6666666666666666
    """
    truth = classes("y", y, np.size(y))
    guess = classes("y_pred", y_pred, len(truth))
    keep = _labelled("y", truth)
    return float(np.mean(truth[keep] == guess[keep]))


def coverage(sets: ArrayLike, y: ArrayLike) -> float:
    """Return the share of labelled rows whose class is in their set: mean [sets[i, y_i]] over y != -1.

    sets (n, n_classes) of bool, y (n,) with -1 left out; in [0, 1]. Raises ValueError on wrong shapes or
    labels, or when no labelled row remains.

    >>> coverage([[True, False], [True, True], [False, False]], [0, 1, 0])
    0.6666666666666666
    """
    members = numbers("sets", sets, (2,))
    truth = classes("y", y, len(members), members.shape[1])
    keep = _labelled("y", truth)
    return float(np.mean(members[keep, truth[keep]], dtype=np.float64))


def reliability(probs: ArrayLike, y: ArrayLike, n_bins: int = 15) -> NDArray[np.float64]:
    """Return mean confidence, accuracy and number of rows in equal bins of confidence, (3, bins with rows).

    The confidence of a row is its largest probability. probs (n, n_classes), y (n,) with -1 left out. Raises
    ValueError on NaN, wrong shapes, or when no labelled row remains.

    >>> reliability([[0.75, 0.25], [0.75, 0.25], [0.1, 0.9]], [0, 1, 1]).tolist()
    [[0.75, 0.9], [0.5, 1.0], [2.0, 1.0]]
    """
    p = numbers("probs", probs, (2,))
    truth = classes("y", y, len(p))
    keep = _labelled("y", truth)
    confidence, right = p[keep].max(axis=1), p[keep].argmax(axis=1) == truth[keep]
    bins = np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    n = np.bincount(bins, minlength=n_bins).astype(np.float64)
    sums = [np.bincount(bins, weights, n_bins)[n > 0] for weights in (confidence, right)]
    return np.stack([*(total / n[n > 0] for total in sums), n[n > 0]])


def expected_calibration_error(probs: ArrayLike, y: ArrayLike, n_bins: int = 15) -> float:
    """Return sum_b (n_b / n) |accuracy_b - confidence_b| over equal bins of confidence (Guo 2017).

    probs (n, n_classes) with rows that sum to 1, y (n,) with -1 left out; in [0, 1], 0 is perfect. Raises
    ValueError on NaN, wrong shapes, rows which are no probabilities, or when no labelled row remains.

    >>> round(expected_calibration_error([[0.75, 0.25], [0.75, 0.25]], [0, 1]), 6)
    0.25
    """
    # torchmetrics imports matplotlib when it can: kept out of the import of this module
    from torchmetrics.functional.classification import multiclass_calibration_error

    p = numbers("probs", probs, (2,))
    truth = classes("y", y, len(p))
    keep = _labelled("y", truth)
    worst = float(np.abs(p.sum(axis=1) - 1).max())
    check(p.min() >= 0 and worst < 1e-3, f"probs must be >= 0 and sum to 1, found a sum off by {worst:.4g}")
    check(truth.max() < p.shape[1], f"y must be below the {p.shape[1]} columns of probs, found {truth.max()}")
    rows, labels = torch.from_numpy(p[keep].clip(0, 1)), torch.from_numpy(truth[keep])
    return float(multiclass_calibration_error(rows, labels, p.shape[1], n_bins=n_bins, norm="l1"))


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
    check(bool(np.isfinite(f1[kept]).any()), "y must hold a class that counts, found none")
    return float(np.nanmean(f1[kept]))
