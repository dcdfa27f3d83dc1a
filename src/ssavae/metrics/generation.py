"""Measures of what a model does: arrays in, floats out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import pdist
from torch import Tensor

from ssavae._checks import Array, check, classes, numbers, same_shape
from ssavae.metrics.classification import _labelled


def _draw(n: int, n_max: int, random_state: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(random_state).choice(n, min(n, n_max), replace=False))


def pixel_error(x: ArrayLike, x_rec: ArrayLike) -> float:
    """Return the mean squared error over all values: mean (x - x_rec)^2, for any equal shapes.

    Raises ValueError on NaN, empty input or unequal shapes.

    >>> pixel_error([[0.0, 1.0]], [[0.0, 0.5]])
    0.125
    """
    real, rec = numbers("x", x), numbers("x_rec", x_rec)
    same_shape("x_rec", rec.shape, real.shape)
    return float(np.mean(np.square(real - rec), dtype=np.float64))


def _planes(name: str, values: ArrayLike) -> Tensor:
    array = numbers(name, values, (3, 4))
    low, high = array.min(), array.max()
    check(low > -0.01 and high < 1.01, f"{name} must lie in [0, 1], found {low:.4g} to {high:.4g}")
    n, height, width = array.shape[:3]
    check(
        min(height, width) > 2, f"{name} must hold images of 3 x 3 pixels or more, found {height} x {width}"
    )
    # single precision: torch convolves it many times faster; in order, as it takes no negative strides
    array = array.astype(np.float32, order="C", copy=False)
    return torch.from_numpy(array.reshape(n, height, width, -1)).movedim(-1, 1)


def ssim(x: ArrayLike, x_rec: ArrayLike) -> float:
    """Return the structural similarity of images (Wang 2004): its mean over all values, borders mirrored.

    At a pixel it is (2 m m' + a) (2 c + b) / ((m^2 + m'^2 + a) (v + v' + b)): m, v, c are mean, variance and
    covariance under a Gaussian of 1.5 pixels in a window of 11, both shrunk to fit smaller images, a = 0.01^2
    and b = 0.03^2. x, x_rec (n, H, W[, C]) in [0, 1]; in [-1, 1], 1 for equal images. Raises ValueError on
    NaN, unequal shapes, other axes, sides below 3 pixels, or values outside [0, 1].

    >>> round(ssim(np.zeros((1, 8, 8)), np.ones((1, 8, 8))), 6)
    0.0001
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    real, rec = _planes("x", x), _planes("x_rec", x_rec)
    same_shape("x_rec", np.shape(x_rec), np.shape(x))
    window = min(11, (min(real.shape[2:]) - 1) // 2 * 2 + 1)
    sigma = 1.5 * window / 11  # from which torchmetrics makes that window again, 3.5 sigma to either side
    n_chunk, total = max(1, 2**16 // real[0].numel()), 0.0
    for made, wanted in zip(rec.split(n_chunk), real.split(n_chunk), strict=True):
        # the map is averaged here, as older torchmetrics leave the borders out of the mean
        _, found = structural_similarity_index_measure(
            made, wanted, sigma=sigma, data_range=1.0, return_full_image=True
        )
        total += float(found.sum(dtype=torch.float64))
    return min(1.0, total / real.numel())


def frechet_distance(features_a: ArrayLike, features_b: ArrayLike) -> float:
    """Return |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) of two feature sets (Heusel 2017).

    m and S are mean and covariance of (n, d) and (m, d); 0 or more. Biased upwards in small samples: compare
    only values with the same judge and numbers of rows. Raises ValueError on NaN, wrong shapes or one row.

    >>> round(frechet_distance([[0.0], [2.0]], [[3.0], [5.0]]), 6)
    9.0
    """
    a, b = numbers("features_a", features_a, (2,)), numbers("features_b", features_b, (2,))
    same_shape("a row of features_b", b.shape[1:], a.shape[1:])
    check(min(len(a), len(b)) > 1, f"features must have 2 rows or more, found {len(a)} and {len(b)}")
    cov_a, cov_b = (np.atleast_2d(np.cov(rows, rowvar=False, dtype=np.float64)) for rows in (a, b))
    # S_a S_b has the eigenvalues of R^T S_b R with S_a = R R^T, which is symmetric: real and stable roots
    values, vectors = np.linalg.eigh(cov_a)
    root = vectors * np.sqrt(values.clip(0))
    overlap = np.sqrt(np.linalg.eigvalsh(root.T @ cov_b @ root).clip(0)).sum()
    shift = a.mean(axis=0, dtype=np.float64) - b.mean(axis=0, dtype=np.float64)
    return max(0.0, float(shift @ shift + np.trace(cov_a) + np.trace(cov_b) - 2 * overlap))


def variety(features: ArrayLike, y: ArrayLike, *, n_max: int = 500, random_state: int = 0) -> float:
    """Return the mean over classes of the mean Euclidean distance between two rows of the class.

    features (n, d), y (n,); 0 or more, 0 when all rows of a class are alike. Rows with y = -1 and classes of
    one row are left out; at most `n_max` rows a class, drawn by seed. Raises ValueError on NaN, wrong
    shapes, or when no class has two rows.

    >>> variety([[0.0], [1.0], [0.0], [3.0]], [0, 0, 1, 1])
    2.0
    """
    rows = numbers("features", features, (2,))
    truth = classes("y", y, len(rows))
    groups = [rows[truth == c] for c in np.unique(truth[_labelled("y", truth)])]
    groups = [group[_draw(len(group), n_max, random_state)] for group in groups if len(group) > 1]
    check(len(groups) > 0, "y must hold a class with two rows, found none")
    return float(np.mean([pdist(group).mean() for group in groups]))


def _edge_slope(images: Array) -> NDArray[np.float64]:
    grey = images if images.ndim == 3 else images.mean(axis=3)
    down, right = np.gradient(gaussian_filter(grey.astype(np.float64), (0, 1, 1)), axis=(1, 2))
    products = (down * down, right * right, down * right)
    dd, rr, dr = (gaussian_filter(product, (0, 1.5, 1.5)) for product in products)
    coherent = np.hypot(dd - rr, 2 * dr).sum(axis=(1, 2))
    total = np.hypot(down, right).sum(axis=(1, 2))
    return np.divide(coherent, total, out=np.zeros_like(total), where=total > 0)


def sharpness(x_rec: ArrayLike, x: ArrayLike) -> float:
    """Return how steep edges are relative to real images: mean s(x_rec) / mean s(x), ours.

    s = sum (l_1 - l_2) / sum |g|: g the gradient of the image smoothed by 1 pixel, l_1 >= l_2 the eigenvalues
    of its structure tensor (Bigun 1987). At an edge l_1 - l_2 is |g|^2, so s is the mean slope weighted by
    itself: blur lowers it. Noise has no direction: l_1 - l_2 is near 0, its small slopes lower s.

    x_rec (n, H, W[, C]) and x (m, H, W[, C]) in the same units; 0 or more, 1 is as sharp as x. Raises
    ValueError on NaN, other shapes, images of another size, or an x without any edge.
    """
    made, real = numbers("x_rec", x_rec, (3, 4)), numbers("x", x, (3, 4))
    same_shape("an image of x_rec", made.shape[1:], real.shape[1:])
    reference = float(_edge_slope(real).mean())
    check(reference > 0, "x must hold images with an edge, found only flat ones")
    return float(_edge_slope(made).mean()) / reference
