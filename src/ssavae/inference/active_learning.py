"""Active learning: rows to label next, uncertain and far from one another and from labelled rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from ssavae._checks import check

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

MAX_FEATURES = 2**25  # values of features in memory; of more rows only the most uncertain are candidates
PORTION = 10000  # labelled rows whose features are in memory at once
BLOCK = 256  # labelled rows per matrix of distances


def suggest_rows(
    probs: Float[np.ndarray, "n c"],
    labelled: Bool[np.ndarray, "n"],
    features: Callable[[np.ndarray], np.ndarray],
    n: int,
) -> Int[np.ndarray, "k"]:
    """Return the indices of n unlabelled rows to label next, best first.

    Parameters
    ----------
    probs : (n, n_classes)
        Class probabilities of all rows.
    labelled : (n,) of bool
    features : callable
        Returns the features (m, d) of the rows whose indices (m,) it is given.
    n : int
    """
    uncertain = uncertainty(probs)
    n_features = features(np.zeros(1, int)).shape[1]
    free = candidates(uncertain, np.flatnonzero(~labelled), n_features, n)
    if len(free) == 0:
        return free
    known_rows = np.flatnonzero(labelled)
    known = (features(known_rows[i : i + PORTION]) for i in range(0, len(known_rows), PORTION))
    return free[choose_rows(uncertain[free], features(free), known, n)]


def uncertainty(probs: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n"]:
    """Return one minus the margin between the two most probable classes (Scheffer 2001), in [0, 1].

    Examples
    --------
    >>> uncertainty(np.array([[0.5, 0.5, 0.0], [0.75, 0.25, 0.0]])).tolist()
    [1.0, 0.5]
    """
    first, second = -np.partition(-probs, 1, axis=1)[:, :2].T
    return 1.0 - (first - second)


def choose_rows(
    uncertainties: Float[np.ndarray, "n"],
    features: Float[np.ndarray, "n d"],
    labelled: Float[np.ndarray, "m d"] | Iterable[np.ndarray],
    n: int,
) -> Int[np.ndarray, "k"]:
    r"""Choose rows one by one, each with the largest product of uncertainty and distance.

    .. math:: i = \arg\max_i \; u_i \, \min_{j \in \text{labelled or chosen}} \lVert h_i - h_j \rVert

    Uncertainty alone would choose near duplicates, distance alone outliers.

    Parameters
    ----------
    uncertainties : (n,)
        u, at least 0.
    features : (n, d)
        h of the rows to choose from.
    labelled : (m, d)
        h of the rows that have a label already, as one array or in parts; m may be 0.
    n : int
        Number of rows to choose; all rows if there are fewer.

    Raises
    ------
    ValueError
        If n is under 1.

    Examples
    --------
    >>> rows = np.array([[0.0], [0.1], [5.0], [9.0]])
    >>> choose_rows(np.array([1.0, 1.0, 1.0, 0.1]), rows, np.array([[0.0]]), 2).tolist()
    [2, 3]
    """
    check(n >= 1, f"n={n} must be at least 1")
    distance = np.full(len(features), np.inf)
    for part in [labelled] if isinstance(labelled, np.ndarray) else labelled:
        for block in np.array_split(part, math.ceil(len(part) / BLOCK)) if len(part) else ():
            distance = np.minimum(distance, _distances(features, block).min(axis=1))
    chosen: list[int] = []
    for _ in range(min(n, len(features))):
        # without any labelled row the first choice is by uncertainty alone
        scores = uncertainties * distance if np.isfinite(distance).any() else uncertainties.copy()
        scores[chosen] = -1.0
        chosen.append(int(scores.argmax()))
        distance = np.minimum(distance, _distances(features, features[chosen[-1:]])[:, 0])
    return np.array(chosen, dtype=np.int64)


def candidates(
    uncertainties: Float[np.ndarray, "n"], unlabelled: Int[np.ndarray, "m"], n_features: int, n: int
) -> Int[np.ndarray, "k"]:
    """Return the unlabelled rows to choose n from: all, or the most uncertain if memory limits them.

    With ``n_features`` values each they hold at most ``MAX_FEATURES`` values, unless n rows hold more.

    Examples
    --------
    >>> candidates(np.array([0.1, 0.9, 0.5]), np.array([0, 2]), MAX_FEATURES, 1)
    array([2])
    """
    n_rows = max(n, MAX_FEATURES // n_features)
    if len(unlabelled) <= n_rows:
        return unlabelled
    return np.sort(unlabelled[np.argsort(-uncertainties[unlabelled], kind="stable")[:n_rows]])


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the Euclidean distances, (len(a), len(b)), without a tensor of all differences."""
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2.0 * a @ b.T
    return np.sqrt(squares.clip(0))
