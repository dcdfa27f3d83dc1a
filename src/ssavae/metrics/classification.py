"""Metrics of classification: accuracy, calibration, prediction sets, and precision, recall and F1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import precision_recall_fscore_support

from ssavae._checks import check, check_array, check_labels


def labelled_rows(
    name: str, y: ArrayLike, rows: np.ndarray, n_classes: int | None = None
) -> tuple[np.ndarray, NDArray[np.int64]]:
    """Return the rows with y != -1 and their labels; ValueError on invalid labels, or none."""
    labels = check_labels(name, y, len(rows), n_classes)
    mask = labels >= 0
    check(mask.any(), f"{name} must have a labelled row, found none in {len(labels)}")
    return rows[mask], labels[mask]


def agreement(logits: ArrayLike, y: ArrayLike) -> float:
    """Return the fraction of rows whose largest logit is that of their class: mean [argmax logits = y].

    logits (n, n_classes), y (n,) with -1 left out; in [0, 1]. Raises ValueError on NaN, wrong shapes, or
    when no labelled row remains.

    >>> agreement([[2.0, 1.0], [0.0, 3.0], [5.0, 0.0]], [0, 0, -1])
    0.5
    """
    scores = check_array("logits", logits, (2,))
    predicted, y_true = labelled_rows("y", y, scores.argmax(axis=1))
    return float(np.mean(predicted == y_true))


def accuracy(y: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the fraction of labelled rows predicted correctly: mean [y_pred = y] over y != -1.

    Raises ValueError on labels that are not integers, unequal lengths, or when no labelled row remains.

    >>> accuracy([0, 1, 2, -1], [0, 1, 1, 5])
    0.6666666666666666
    """
    predicted, y_true = labelled_rows("y", y, check_labels("y_pred", y_pred, np.size(y)))
    return float(np.mean(predicted == y_true))


def coverage(sets: ArrayLike, y: ArrayLike) -> float:
    """Return the fraction of labelled rows whose set contains their class: mean [sets[i, y_i]] over y != -1.

    sets (n, n_classes) of bool, y (n,) with -1 left out; in [0, 1]. Raises ValueError on wrong shapes or
    labels, or when no labelled row remains.

    >>> coverage([[True, False], [True, True], [False, False]], [0, 1, 0])
    0.6666666666666666
    """
    members = check_array("sets", sets, (2,))
    members, y_true = labelled_rows("y", y, members, members.shape[1])
    return float(np.mean(members[np.arange(len(y_true)), y_true], dtype=np.float64))


def reliability(probs: ArrayLike, y: ArrayLike, n_bins: int = 15) -> NDArray[np.float64]:
    """Return mean confidence, accuracy and number of rows in equal bins of confidence, (3, non-empty bins).

    The confidence of a row is its largest probability. probs (n, n_classes), y (n,) with -1 left out.
    Raises ValueError on NaN, wrong shapes, or when no labelled row remains.

    >>> reliability([[0.75, 0.25], [0.75, 0.25], [0.1, 0.9]], [0, 1, 1]).tolist()
    [[0.75, 0.9], [0.5, 1.0], [2.0, 1.0]]
    """
    p, y_true = labelled_rows("y", y, check_array("probs", probs, (2,)))
    confidence = p.max(axis=1)
    correct = p.argmax(axis=1) == y_true
    bins = np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    sums = np.stack([np.bincount(bins, weights, n_bins) for weights in (confidence, correct)])
    counts = np.bincount(bins, minlength=n_bins).astype(np.float64)
    filled = counts > 0
    return np.stack([*(sums[:, filled] / counts[filled]), counts[filled]])


def expected_calibration_error(probs: ArrayLike, y: ArrayLike, n_bins: int = 15) -> float:
    """Return sum_b (n_b / n) |accuracy_b - confidence_b| over equal bins of confidence (Guo 2017).

    probs (n, n_classes) with rows that sum to 1, y (n,) with -1 left out; in [0, 1], 0 is perfect. Raises
    ValueError on NaN, wrong shapes, rows that are not probabilities, or when no labelled row remains.

    >>> round(expected_calibration_error([[0.75, 0.25], [0.75, 0.25]], [0, 1]), 6)
    0.25
    """
    p = check_array("probs", probs, (2,))
    n_classes = p.shape[1]
    error = float(np.abs(p.sum(axis=1) - 1).max())
    check(p.min() >= 0 and error < 1e-3, f"probs must be >= 0 and sum to 1, found a sum off by {error:.4g}")
    rows, y_true = labelled_rows("y", y, p.clip(0, 1))
    check(y_true.max() < n_classes, f"y must be below the {n_classes} columns of probs, found {y_true.max()}")
    confidence, accuracy, counts = reliability(rows, y_true, n_bins)
    return float(counts @ np.abs(accuracy - confidence) / counts.sum())


def per_class(y: ArrayLike, y_pred: ArrayLike, n_classes: int) -> dict[str, np.ndarray]:
    """Return recall, precision and F1 of each class, (n_classes,) each.

    y, y_pred (n,); rows with y = -1 are left out. Recall and F1 are NaN where a class has no rows, and so is
    precision where it is not predicted either. Raises ValueError on wrong shapes or indices, or when no
    labelled row remains.

    >>> per_class([0, 0, 1, 1], [0, 1, 1, 1], 3)["f1"].round(3).tolist()
    [0.667, 0.8, nan]
    """
    predicted = check_labels("y_pred", y_pred, np.size(y), n_classes)
    predicted, y_true = labelled_rows("y", y, predicted, n_classes)
    undefined: Any = np.nan  # scikit-learn's default leads type checkers to expect a str
    scores = precision_recall_fscore_support(
        y_true, predicted, labels=np.arange(n_classes), zero_division=undefined
    )
    precision, recall, f1, n_rows = (np.asarray(score) for score in scores)
    # a class that has rows but is never predicted has precision 0
    precision = np.where(n_rows > 0, np.nan_to_num(precision), precision)
    return {"recall": recall, "precision": precision, "f1": np.where(n_rows > 0, f1, np.nan)}


def macro_f1(y: ArrayLike, y_pred: ArrayLike, n_classes: int, without: Sequence[int] = ()) -> float:
    """Return the mean F1 of the classes that have rows.

    ``without`` lists classes to leave out of the mean; their rows count in the F1 of the others.

    >>> y, y_pred = [0, 0, 1, 1], [0, 1, 1, 1]
    >>> round(macro_f1(y, y_pred, 2), 3), macro_f1(y, y_pred, 2, without=[0])
    (0.733, 0.8)
    """
    f1 = np.delete(per_class(y, y_pred, n_classes)["f1"], np.asarray(without, dtype=np.int64))
    check(np.isfinite(f1).any(), "y must hold a class that counts, found none")
    return float(np.nanmean(f1))
