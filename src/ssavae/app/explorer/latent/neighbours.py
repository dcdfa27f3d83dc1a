"""Nearest rows of an array."""

from __future__ import annotations

import numpy as np

CHUNK = 100_000  # rows whose differences are in memory at once


def nearest(values: np.ndarray, i: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the n rows nearest to row i, itself left out, and their Euclidean distances.

    Of a short array they are fewer.

    Parameters
    ----------
    values : (m, d)
    i, n : int

    Examples
    --------
    >>> nearest(np.array([[0.0], [5.0], [1.0], [9.0]]), 0, 2)
    (array([2, 1]), array([1., 5.]))
    """
    distances = np.concatenate(
        [np.linalg.norm(values[k : k + CHUNK] - values[i], axis=1) for k in range(0, len(values), CHUNK)]
    )
    distances[i] = np.inf
    n = min(n, len(values) - 1)
    some = np.argpartition(distances, n)[:n]
    order = some[np.lexsort((some, distances[some]))]
    return order, distances[order]
