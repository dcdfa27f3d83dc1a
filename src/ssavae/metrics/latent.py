"""Measures of what a model does: arrays in, floats out."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier

from ssavae._checks import check, classes, numbers, same_shape
from ssavae.metrics.classification import _labelled, accuracy
from ssavae.metrics.generation import _draw


def knn_accuracy(
    z_train: ArrayLike, y_train: ArrayLike, z_test: ArrayLike, y_test: ArrayLike, k: int = 15
) -> float:
    """Return the test accuracy of the vote of the k nearest training codes (Euclidean).

    z_train (n, d), z_test (m, d), y_train (n,), y_test (m,), -1 left out on both sides; in [0, 1]. Raises
    ValueError on NaN, wrong shapes, k beyond the labelled training rows, or when no labelled row remains.

    >>> knn_accuracy([[0.0], [9.0]], [0, 1], [[1.0], [8.0], [2.0]], [0, 1, 1], k=1)
    0.6666666666666666
    """
    known, asked = numbers("z_train", z_train, (2,)), numbers("z_test", z_test, (2,))
    y_known, y_asked = classes("y_train", y_train, len(known)), classes("y_test", y_test, len(asked))
    same_shape("a row of z_test", asked.shape[1:], known.shape[1:])
    keep, keep_asked = _labelled("y_train", y_known), _labelled("y_test", y_asked)
    check(1 <= k <= keep.sum(), f"k must be from 1 to the {keep.sum()} labelled training rows, found {k}")
    voters = KNeighborsClassifier(n_neighbors=k).fit(known[keep], y_known[keep])
    return accuracy(y_asked[keep_asked], voters.predict(asked[keep_asked]))


def map_quality(
    x: ArrayLike, z: ArrayLike, y: ArrayLike, *, n_max: int = 2000, random_state: int = 0
) -> dict[str, float]:
    """Return how well a map separates classes (silhouette) and keeps neighbours (trustworthiness).

    ``silhouette`` (Rousseeuw 1987) of labelled codes by class is in [-1, 1]; ``trustworthiness`` (Venna 2001)
    of the 5 nearest neighbours in z (n, d) against those in x (n, ...) is in [0, 1]; both better when higher.
    At most `n_max` rows, drawn by seed. Raises ValueError on NaN, wrong shapes, fewer than 12 rows, or fewer
    than two labelled classes in the draw.
    """
    codes = numbers("z", z, (2,))
    rows, labels = numbers("x", x), classes("y", y, len(codes))
    same_shape("x, by rows,", (len(rows),), (len(codes),))
    check(len(rows) >= 12, f"x must have 12 rows or more, found {len(rows)}")
    pick = _draw(len(codes), n_max, random_state)
    rows, codes, labels = rows.reshape(len(rows), -1)[pick], codes[pick], labels[pick]
    keep = _labelled("y", labels)
    n = len(np.unique(labels[keep]))
    check(2 <= n < keep.sum(), f"y must hold 2 or more classes, fewer than its labelled rows, found {n}")
    silhouette = silhouette_score(codes[keep], labels[keep])
    trust = trustworthiness(rows, codes, n_neighbors=5)
    return {"silhouette": float(silhouette), "trustworthiness": float(trust)}
