"""Metrics of latent codes: nearest-neighbour accuracy, separation of classes and preserved neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier

from ssavae._checks import check, check_array, check_labels, check_shape
from ssavae.metrics.classification import labelled_rows
from ssavae.metrics.generation import subsample


def knn_accuracy(
    z_train: ArrayLike, y_train: ArrayLike, z_test: ArrayLike, y_test: ArrayLike, k: int = 15
) -> float:
    """Return the test accuracy of the vote of the k nearest training codes (Euclidean).

    z_train (n, d), z_test (m, d), y_train (n,), y_test (m,), -1 left out on both sides; in [0, 1]. Raises
    ValueError on NaN, wrong shapes, k beyond the labelled training rows, or when no labelled row remains.

    >>> knn_accuracy([[0.0], [9.0]], [0, 1], [[1.0], [8.0], [2.0]], [0, 1, 1], k=1)
    0.6666666666666666
    """
    train, labels_train = labelled_rows("y_train", y_train, check_array("z_train", z_train, (2,)))
    test, labels_test = labelled_rows("y_test", y_test, check_array("z_test", z_test, (2,)))
    check_shape("a row of z_test", test.shape[1:], train.shape[1:])
    check(1 <= k <= len(train), f"k must be from 1 to the {len(train)} labelled training rows, found {k}")
    return float(KNeighborsClassifier(n_neighbors=k).fit(train, labels_train).score(test, labels_test))


def map_quality(
    x: ArrayLike, z: ArrayLike, y: ArrayLike, *, n_max: int = 2000, random_state: int = 0
) -> dict[str, float]:
    """Return how well a map separates classes (silhouette) and keeps neighbours (trustworthiness).

    ``silhouette`` (Rousseeuw 1987) of labelled codes by class is in [-1, 1]; ``trustworthiness`` (Venna 2001)
    of the 5 nearest neighbours in z (n, d) against those in x (n, ...) is in [0, 1]; both better when higher.
    At most `n_max` rows, drawn by seed. Raises ValueError on NaN, wrong shapes, fewer than 12 rows, or fewer
    than two labelled classes in the draw.
    """
    rows = check_array("x", x)
    codes = check_array("z", z, (2,))
    labels = check_labels("y", y, len(codes))
    check_shape("x, by rows,", (len(rows),), (len(codes),))
    check(len(rows) >= 12, f"x must have 12 rows or more, found {len(rows)}")
    drawn = subsample(len(codes), n_max, random_state)
    labelled, labels = labelled_rows("y", labels[drawn], codes[drawn])
    n = len(np.unique(labels))
    check(2 <= n < len(labels), f"y must hold 2 or more classes, fewer than its labelled rows, found {n}")
    silhouette = silhouette_score(labelled, labels)
    trust = trustworthiness(rows.reshape(len(rows), -1)[drawn], codes[drawn], n_neighbors=5)
    return {"silhouette": float(silhouette), "trustworthiness": float(trust)}
