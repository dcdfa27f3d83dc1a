"""Which rows to label next: those the classifier is unsure of, far from one another and from known ones."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Int

from ssavae._checks import check

FEATURES = 2**25  # values of features held at once: of more rows than that the most uncertain are looked at


def uncertainty(probs: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n"]:
    """Return one less the margin between the two most probable classes (Scheffer 2001), in [0, 1].

    Examples
    --------
    >>> uncertainty(np.array([[0.5, 0.5, 0.0], [0.75, 0.25, 0.0]])).tolist()
    [1.0, 0.5]
    """
    first, second = -np.partition(-probs, 1, axis=1)[:, :2].T
    return 1.0 - (first - second)


def choose_rows(
    uncertain: Float[np.ndarray, "n"],
    features: Float[np.ndarray, "n d"],
    known: Float[np.ndarray, "m d"] | Iterable[np.ndarray],
    n: int,
) -> Int[np.ndarray, "k"]:
    r"""Choose rows one by one, each the one with the largest uncertainty times distance.

    .. math:: i = \arg\max_i \; u_i \, \min_{j \in \text{known or chosen}} \lVert h_i - h_j \rVert

    Uncertainty alone would ask for the same row many times over, distance alone for outliers.

    Parameters
    ----------
    uncertain : (n,)
        u, at least 0.
    features : (n, d)
        h of the rows to choose from.
    known : (m, d)
        h of the rows that have a label already, at once or in parts; m may be 0.
    n : int
        How many rows to choose; no more than there are.

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
    for part in [known] if isinstance(known, np.ndarray) else known:
        for block in np.array_split(part, -(-len(part) // 256)) if len(part) else ():
            distance = np.minimum(distance, _distances(features, block).min(axis=1))
    chosen: list[int] = []
    for _ in range(min(n, len(features))):
        # before anything is known, uncertainty decides alone
        merit = uncertain * distance if np.isfinite(distance).any() else uncertain.copy()
        merit[chosen] = -1.0
        chosen.append(int(merit.argmax()))
        distance = np.minimum(distance, _distances(features, features[chosen[-1:]])[:, 0])
    return np.array(chosen, dtype=np.int64)


def candidates(
    uncertain: Float[np.ndarray, "n"], free: Int[np.ndarray, "m"], width: int, n: int
) -> Int[np.ndarray, "k"]:
    """Return the rows among ``free`` whose features are looked at: all, or the most uncertain.

    As many as hold ``FEATURES`` values with ``width`` each, and n at least.

    Examples
    --------
    >>> candidates(np.array([0.1, 0.9, 0.5]), np.array([0, 2]), FEATURES, 1)
    array([2])
    """
    most = max(n, FEATURES // width)
    if len(free) <= most:
        return free
    return np.sort(free[np.argsort(-uncertain[free], kind="stable")[:most]])


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Euclidean distances, (len(a), len(b)), without a tensor of all differences."""
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2.0 * a @ b.T
    return np.sqrt(squares.clip(0))
