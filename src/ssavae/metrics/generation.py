"""Metrics of reconstructed and generated rows: error, similarity, distance, variety and sharpness."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import pdist

from ssavae._checks import check, check_array, check_shape
from ssavae.metrics.classification import labelled_rows


def subsample(n: int, n_max: int, random_state: int) -> NDArray[np.int64]:
    """Return at most n_max of the indices below n, drawn at random, in ascending order."""
    return np.sort(np.random.default_rng(random_state).choice(n, min(n, n_max), replace=False))


def pixel_error(x: ArrayLike, x_rec: ArrayLike) -> float:
    """Return the mean squared error over all values: mean (x - x_rec)^2, for any equal shapes.

    Raises ValueError on NaN, empty input or unequal shapes.

    >>> pixel_error([[0.0, 1.0]], [[0.0, 0.5]])
    0.125
    """
    real = check_array("x", x)
    rec = check_array("x_rec", x_rec)
    check_shape("x_rec", rec.shape, real.shape)
    return float(np.mean(np.square(real - rec), dtype=np.float64))


def check_unit_range(name: str, array: np.ndarray) -> None:
    """Raise ValueError unless the values lie in [0, 1], up to 0.01."""
    low, high = array.min(), array.max()
    check(low > -0.01 and high < 1.01, f"{name} must lie in [0, 1], found {low:.4g} to {high:.4g}")


def _check_images(name: str, images: ArrayLike) -> np.ndarray:
    """Return images (n, H, W[, C]) in single precision."""
    array = check_array(name, images, (3, 4))
    check_unit_range(name, array)
    height, width = array.shape[1:3]
    check(min(height, width) > 2, f"{name} must have 3 x 3 pixels or more, found {height} x {width}")
    return array.astype(np.float32, copy=False)


def ssim(x: ArrayLike, x_rec: ArrayLike) -> float:
    """Return the structural similarity of images (Wang 2004): its mean over all values, borders mirrored.

    At a pixel it is (2 m m' + a) (2 c + b) / ((m^2 + m'^2 + a) (v + v' + b)): m, v, c are mean, variance and
    covariance under a Gaussian of 1.5 pixels in a window of 11, both shrunk to fit smaller images, a = 0.01^2
    and b = 0.03^2. x, x_rec (n, H, W[, C]) in [0, 1]; in [-1, 1], 1 for equal images. Raises ValueError on
    NaN, unequal shapes, other axes, sides below 3 pixels, or values outside [0, 1].

    >>> round(ssim(np.zeros((1, 8, 8)), np.ones((1, 8, 8))), 6)
    0.0001
    """
    real = _check_images("x", x)
    rec = _check_images("x_rec", x_rec)
    check_shape("x_rec", rec.shape, real.shape)
    window = min(11, (min(real.shape[1:3]) - 1) // 2 * 2 + 1)
    n_chunk = max(1, 2**16 // real[0].size)
    starts = range(0, len(real), n_chunk)
    total = sum(_ssim_sum(real[i : i + n_chunk], rec[i : i + n_chunk], window) for i in starts)
    return min(1.0, total / real.size)


def _ssim_sum(x: np.ndarray, x_rec: np.ndarray, window: int) -> float:
    """Return the sum of the similarity over all values of images (n, H, W[, C])."""
    blur = partial(gaussian_filter, sigma=1.5 * window / 11, mode="mirror", radius=window // 2, axes=(1, 2))
    mean, mean_rec = blur(x), blur(x_rec)
    variances = (blur(x * x) - mean**2).clip(0) + (blur(x_rec * x_rec) - mean_rec**2).clip(0)
    covariance = blur(x * x_rec) - mean * mean_rec
    luminance = (2 * mean * mean_rec + 0.01**2) / (mean**2 + mean_rec**2 + 0.01**2)
    return float((luminance * (2 * covariance + 0.03**2) / (variances + 0.03**2)).sum(dtype=np.float64))


def frechet_distance(features_a: ArrayLike, features_b: ArrayLike) -> float:
    """Return |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) of two feature sets (Heusel 2017).

    m and S are mean and covariance of (n, d) and (m, d); 0 or more. Biased upwards in small samples: compare
    only values with the same judge and numbers of rows. Raises ValueError on NaN, wrong shapes or one row.

    >>> round(frechet_distance([[0.0], [2.0]], [[3.0], [5.0]]), 6)
    9.0
    """
    a = check_array("features_a", features_a, (2,))
    b = check_array("features_b", features_b, (2,))
    check_shape("a row of features_b", b.shape[1:], a.shape[1:])
    check(min(len(a), len(b)) > 1, f"features must have 2 rows or more, found {len(a)} and {len(b)}")
    cov_a, cov_b = (np.atleast_2d(np.cov(rows, rowvar=False, dtype=np.float64)) for rows in (a, b))
    # S_a S_b has the eigenvalues of R^T S_b R with S_a = R R^T, which is symmetric: real and stable roots
    eigenvalues, eigenvectors = np.linalg.eigh(cov_a)
    root_a = eigenvectors * np.sqrt(eigenvalues.clip(0))
    trace_root = np.sqrt(np.linalg.eigvalsh(root_a.T @ cov_b @ root_a).clip(0)).sum()
    mean_diff = a.mean(axis=0, dtype=np.float64) - b.mean(axis=0, dtype=np.float64)
    return max(0.0, float(mean_diff @ mean_diff + np.trace(cov_a) + np.trace(cov_b) - 2 * trace_root))


def variety(features: ArrayLike, y: ArrayLike, *, n_max: int = 500, random_state: int = 0) -> float:
    """Return the mean over classes of the mean Euclidean distance between two rows of the class.

    features (n, d), y (n,); 0 or more, 0 when all rows of a class are alike. Rows with y = -1 and classes of
    one row are left out; at most `n_max` rows a class, drawn by seed. Raises ValueError on NaN, wrong
    shapes, or when no class has two rows.

    >>> variety([[0.0], [1.0], [0.0], [3.0]], [0, 0, 1, 1])
    2.0
    """
    rows, labels = labelled_rows("y", y, check_array("features", features, (2,)))
    groups = [rows[labels == c] for c in np.unique(labels)]
    groups = [group[subsample(len(group), n_max, random_state)] for group in groups if len(group) > 1]
    check(len(groups) > 0, "y must hold a class with two rows, found none")
    return float(np.mean([pdist(group).mean() for group in groups]))


def _edge_slopes(images: np.ndarray) -> NDArray[np.float64]:
    """Return the mean slope along edges, s in `sharpness`, of each image, (n,)."""
    grey = images if images.ndim == 3 else images.mean(axis=3)
    grad_y, grad_x = np.gradient(gaussian_filter(grey.astype(np.float64), (0, 1, 1)), axis=(1, 2))
    products = (grad_y * grad_y, grad_x * grad_x, grad_y * grad_x)
    yy, xx, yx = (gaussian_filter(product, (0, 1.5, 1.5)) for product in products)
    eigenvalue_gap = np.hypot(yy - xx, 2 * yx).sum(axis=(1, 2))
    total = np.hypot(grad_y, grad_x).sum(axis=(1, 2))
    return np.divide(eigenvalue_gap, total, out=np.zeros_like(total), where=total > 0)


def sharpness(x_rec: ArrayLike, x: ArrayLike) -> float:
    """Return how steep edges are relative to real images: mean s(x_rec) / mean s(x), a measure of our own.

    s = sum (l_1 - l_2) / sum |g|: g the gradient of the image smoothed by 1 pixel, l_1 >= l_2 the eigenvalues
    of its structure tensor (Bigun 1987). At an edge l_1 - l_2 is |g|^2, so s is the mean slope weighted by
    itself: blur lowers it. Noise has no direction: l_1 - l_2 is near 0, its small slopes lower s.

    x_rec (n, H, W[, C]) and x (m, H, W[, C]) in the same units; 0 or more, 1 is as sharp as x. Raises
    ValueError on NaN, other shapes, images of another size, or an x without any edge.
    """
    rec = check_array("x_rec", x_rec, (3, 4))
    real = check_array("x", x, (3, 4))
    check_shape("an image of x_rec", rec.shape[1:], real.shape[1:])
    reference = float(_edge_slopes(real).mean())
    check(reference > 0, "x must hold images with an edge, found only flat ones")
    return float(_edge_slopes(rec).mean()) / reference
