"""Places of the classes on the map, and ranges of the dimensions of a code."""

from __future__ import annotations

import numpy as np

RANGE_ROWS = 10_000  # evenly spaced, of which ranges are computed


def class_places(
    places: np.ndarray, label: np.ndarray, predicted: np.ndarray, n_classes: int
) -> dict[int, np.ndarray]:
    """Return a place for each class: of its points, the one nearest to their median.

    Only points that the model reads as the class they are labelled with count; unlabelled ones count for the
    class that is read. A class without such points has no place.

    Parameters
    ----------
    places : (n, m)
        Points of the map.
    label, predicted : (n,)
        Index of the class; -1 where there is none.
    n_classes : int

    Examples
    --------
    >>> places = np.array([[0.0], [1.0], [5.0], [9.0]])
    >>> class_places(places, np.array([0, 0, -1, 1]), np.array([0, 0, 0, 0]), 2)
    {0: array([1.])}
    """
    agree = (label == predicted) | (label < 0)
    found = {}
    for c in range(n_classes):
        members = places[agree & (predicted == c)]
        if len(members):
            away = np.linalg.norm(members - np.median(members, axis=0), axis=1)
            found[c] = members[away.argmin()]
    return found


def ranges(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return standard deviation, 1st and 99th percentile of each dimension of codes (n, K), (K,) each."""
    some = z[:: max(1, len(z) // RANGE_ROWS)].astype(np.float64)
    low, high = np.percentile(some, (1, 99), axis=0)
    return some.std(axis=0), low, high
