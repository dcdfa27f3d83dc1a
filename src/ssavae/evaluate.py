"""Measures of what a model does: arrays in, floats out.

The judge is trained on real rows only, so what it says is independent of the model's own encoder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import pdist
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn
from torch.nn import functional as F

Array = NDArray[Any]


def _must(holds: bool | np.bool_, message: str) -> None:
    if not holds:
        raise ValueError(message)


def _same(name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    _must(found == wanted, f"{name} must have shape {wanted}, found {found}")


def _numbers(name: str, values: ArrayLike, n_dims: tuple[int, ...] = ()) -> Array:
    array = np.asarray(values)
    _must(array.dtype.kind in "buif", f"{name} must hold numbers, found dtype {array.dtype}")
    _must(array.size > 0, f"{name} is empty, found shape {array.shape}")
    wanted = " or ".join(map(str, n_dims))
    _must(not n_dims or array.ndim in n_dims, f"{name} must have {wanted} axes, found shape {array.shape}")
    array = array.astype(np.result_type(array.dtype, np.float32), copy=False)
    n_bad = int(array.size - np.isfinite(array).sum())
    _must(n_bad == 0, f"{name} must be finite, found {n_bad} NaN or infinite values")
    return array


def _classes(name: str, values: ArrayLike, n: int) -> NDArray[np.int64]:
    array = np.asarray(values)
    _same(name, array.shape, (n,))
    _must(array.dtype.kind in "bui", f"{name} must hold integer class indices, found dtype {array.dtype}")
    return array.astype(np.int64)


def _labelled(name: str, y: NDArray[np.int64]) -> NDArray[np.bool_]:
    keep = y >= 0
    _must(keep.any(), f"{name} must have a labelled row, found none in {len(y)}")
    return keep


def _draw(n: int, n_max: int, random_state: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(random_state).choice(n, min(n, n_max), replace=False))


def _conv(in_dim: int, out_dim: int) -> list[nn.Module]:
    conv = nn.Conv2d(in_dim, out_dim, 3, stride=2, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(out_dim), nn.ReLU()]


def _image_body(n_channels: int, feature_dim: int) -> nn.Sequential:
    blocks = [*_conv(n_channels, 32), *_conv(32, 64), *_conv(64, 128)]
    dense = nn.Linear(4 * 128, feature_dim)
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(2), nn.Flatten(), dense, nn.ReLU())


def _table_body(in_dim: int, feature_dim: int) -> nn.Sequential:
    hidden = [nn.BatchNorm1d(in_dim), nn.Linear(in_dim, 256), nn.BatchNorm1d(256), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(256, feature_dim), nn.ReLU())


def _is_image(sample_shape: tuple[int, ...]) -> bool:
    return len(sample_shape) in (2, 3) and min(sample_shape[:2]) >= 8


class Judge(nn.Module):
    """A small classifier of real rows: convolutions for images, two dense layers for all else.

    sample_shape is one row's: (H, W) or (H, W, C) with H, W >= 8 for images, else e.g. (d,). feature_dim is
    the width of the penultimate layer. Raises ValueError for fewer than two classes or an empty shape.
    """

    def __init__(self, sample_shape: tuple[int, ...], n_classes: int, feature_dim: int = 128) -> None:
        super().__init__()
        _must(n_classes >= 2, f"n_classes must be at least 2, found {n_classes}")
        _must(min(sample_shape, default=0) > 0, f"sample_shape must be positive, found {sample_shape}")
        self.sample_shape = tuple(int(size) for size in sample_shape)
        self.n_classes, self.feature_dim = n_classes, feature_dim
        self.is_image = _is_image(self.sample_shape)
        n_channels = self.sample_shape[2] if len(self.sample_shape) == 3 else 1
        flat_dim = int(np.prod(self.sample_shape))
        build, in_dim = (_image_body, n_channels) if self.is_image else (_table_body, flat_dim)
        self.body = build(in_dim, feature_dim)
        self.head = nn.Linear(feature_dim, n_classes)

    def features(self, x: Tensor) -> Tensor:
        """Return the penultimate layer after ReLU, (n, feature_dim), of x (n, *sample_shape)."""
        if self.is_image:
            # seen as (n, C, H, W), rows of (H, W, C) are in the channels_last layout already
            x = x.reshape(len(x), *self.sample_shape[:2], -1).permute(0, 3, 1, 2)
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (n, n_classes) of x (n, *sample_shape)."""
        return self.head(self.features(x))


def _without_grey_axis(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:2] if shape[2:] == (1,) else shape


def _judge_input(x: ArrayLike, sample_shape: tuple[int, ...]) -> Array:
    array = _numbers("x", x).astype(np.float32, copy=False)
    _same("a row of x", _without_grey_axis(array.shape[1:]), _without_grey_axis(sample_shape))
    low, high = (array.min(), array.max()) if _is_image(sample_shape) else (0, 1)
    _must(low > -0.01 and high < 1.01, f"x must lie in [0, 1], found {low:.4g} to {high:.4g}")
    return array


def _shifted(x: Tensor, reach: int) -> Tensor:
    down, right = (int(step) for step in torch.randint(-reach, reach + 1, (2,)))
    return torch.roll(x, (down, right), (1, 2))


def _fit_judge(judge: Judge, x: Tensor, y: Tensor, n_epochs: int, batch_size: int) -> None:
    # splitting evenly leaves no last batch of one row, which batch normalisation cannot take
    n_batches = max(1, len(x) // batch_size)
    optimizer = torch.optim.Adam(judge.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=n_epochs * n_batches + 1)
    reach = min(judge.sample_shape[:2]) // 14 if judge.is_image else 0
    for _ in range(n_epochs):
        for rows in torch.randperm(len(x)).tensor_split(n_batches):
            batch = _shifted(x[rows], reach) if reach else x[rows]
            loss = F.cross_entropy(judge(batch), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def train_judge(
    x: ArrayLike,
    y: ArrayLike,
    *,
    n_epochs: int = 6,
    batch_size: int = 128,
    random_state: int = 0,
    device: str = "cpu",
) -> Judge:
    """Train a judge on real rows, by cross-entropy with Adam and one learning-rate cycle.

    x (n, H, W) or (n, H, W, C) in [0, 1], shifted by up to H/14 pixels a batch at a time, or any other
    (n, ...); y (n,), rows with -1 left out. The same seed gives the same judge, which stays on `device` in
    evaluation mode; the global random state stays as it was. Raises ValueError on NaN, wrong shapes, images
    outside [0, 1] or fewer than two classes.
    """
    x_all = _numbers("x", x)
    y_all = _classes("y", y, len(x_all))
    x_all, keep = _judge_input(x_all, x_all.shape[1:]), _labelled("y", y_all)
    _must(y_all[keep].min() < y_all.max(), f"y must hold two classes or more, found only {y_all.max()}")
    _must(n_epochs > 0 and batch_size > 1, f"n_epochs, batch_size too small: found {n_epochs}, {batch_size}")
    with torch.random.fork_rng():
        torch.manual_seed(random_state)
        judge = Judge(x_all.shape[1:], int(y_all.max()) + 1).to(torch.device(device))
        judge = judge.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        rows = torch.from_numpy(x_all[keep]).to(device)
        _fit_judge(judge.train(), rows, torch.from_numpy(y_all[keep]).to(device), n_epochs, batch_size)
    return judge.eval()


@torch.inference_mode()
def _apply(judge: Judge, layer: Callable[[Tensor], Tensor], x: ArrayLike, batch_size: int) -> Array:
    array = _judge_input(x, judge.sample_shape).reshape(-1, *judge.sample_shape)
    device = judge.eval().head.weight.device
    starts = range(0, len(array), batch_size)
    batches = (torch.tensor(array[i : i + batch_size], device=device) for i in starts)
    return torch.cat([layer(batch).cpu() for batch in batches]).numpy()


def judge_logits(judge: Judge, x: ArrayLike, *, batch_size: int = 512) -> Array:
    """Return the judge's logits, (n, n_classes), of x (n, *sample_shape), in evaluation mode.

    Raises ValueError on NaN, an empty x, rows of another shape, or images outside [0, 1].
    """
    return _apply(judge, judge, x, batch_size)


def judge_features(judge: Judge, x: ArrayLike, *, batch_size: int = 512) -> Array:
    """Return the judge's penultimate layer, (n, feature_dim), values >= 0; raises as `judge_logits`."""
    return _apply(judge, judge.features, x, batch_size)


def save_judge(judge: Judge, path: str | os.PathLike[str]) -> None:
    """Write the judge to one safetensors file, its sizes in the header; replaces it in one move."""
    sizes = {name: getattr(judge, name) for name in ("sample_shape", "n_classes", "feature_dim")}
    # safetensors refuses the strides of channels_last weights
    weights = {name: value.cpu().contiguous() for name, value in judge.state_dict().items()}
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    save_file(weights, partial, metadata={"ssavae_judge": json.dumps(sizes)})
    os.replace(partial, target)


def load_judge(path: str | os.PathLike[str]) -> Judge:
    """Read a judge written by `save_judge`, on the CPU, in evaluation mode; ValueError for any other file."""
    try:
        with safe_open(path, framework="pt") as file:
            sizes = json.loads((file.metadata() or {})["ssavae_judge"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        judge = Judge(tuple(sizes["sample_shape"]), sizes["n_classes"], sizes["feature_dim"])
        judge.load_state_dict(weights)
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError, RuntimeError) as error:
        raise ValueError(f"path must name a judge's file, found {path}: {error}") from error
    return judge.to(memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]


def agreement(logits: ArrayLike, y: ArrayLike) -> float:
    """Return the share of rows whose largest logit is the class asked for: mean [argmax logits = y].

    logits (n, n_classes), y (n,) with -1 left out; in [0, 1]. Raises ValueError on NaN, wrong shapes, or
    when no labelled row remains.

    >>> agreement([[2.0, 1.0], [0.0, 3.0], [5.0, 0.0]], [0, 0, -1])
    0.5
    """
    scores = _numbers("logits", logits, (2,))
    return accuracy(_classes("y", y, len(scores)), scores.argmax(axis=1))


def accuracy(y: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the share of labelled rows predicted right: mean [y_pred = y] over y != -1.

    Raises ValueError on labels that are no integers, unequal lengths, or when no labelled row remains.

    >>> accuracy([0, 1, 2, -1], [0, 1, 1, 5])
    0.6666666666666666
    """
    truth = _classes("y", y, np.size(y))
    guess = _classes("y_pred", y_pred, len(truth))
    keep = _labelled("y", truth)
    return float(np.mean(truth[keep] == guess[keep]))


def expected_calibration_error(probs: ArrayLike, y: ArrayLike, n_bins: int = 15) -> float:
    """Return sum_b (n_b / n) |accuracy_b - confidence_b| over equal bins of confidence (Guo 2017).

    probs (n, n_classes) with rows that sum to 1, y (n,) with -1 left out; in [0, 1], 0 is perfect. Raises
    ValueError on NaN, wrong shapes, rows which are no probabilities, or when no labelled row remains.

    >>> round(expected_calibration_error([[0.75, 0.25], [0.75, 0.25]], [0, 1]), 6)
    0.25
    """
    # torchmetrics imports matplotlib when it can: kept out of the import of this module
    from torchmetrics.functional.classification import multiclass_calibration_error

    p = _numbers("probs", probs, (2,))
    truth = _classes("y", y, len(p))
    keep = _labelled("y", truth)
    worst = float(np.abs(p.sum(axis=1) - 1).max())
    _must(p.min() >= 0 and worst < 1e-3, f"probs must be >= 0 and sum to 1, found a sum off by {worst:.4g}")
    _must(truth.max() < p.shape[1], f"y must be below the {p.shape[1]} columns of probs, found {truth.max()}")
    rows, labels = torch.from_numpy(p[keep].clip(0, 1)), torch.from_numpy(truth[keep])
    return float(multiclass_calibration_error(rows, labels, p.shape[1], n_bins=n_bins, norm="l1"))


def pixel_error(x: ArrayLike, x_rec: ArrayLike) -> float:
    """Return the mean squared error over all values: mean (x - x_rec)^2, for any equal shapes.

    Raises ValueError on NaN, empty input or unequal shapes.

    >>> pixel_error([[0.0, 1.0]], [[0.0, 0.5]])
    0.125
    """
    real, rec = _numbers("x", x), _numbers("x_rec", x_rec)
    _same("x_rec", rec.shape, real.shape)
    return float(np.mean(np.square(real - rec), dtype=np.float64))


def frechet_distance(features_a: ArrayLike, features_b: ArrayLike) -> float:
    """Return |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) of two feature sets (Heusel 2017).

    m and S are mean and covariance of (n, d) and (m, d); 0 or more. Biased upwards in small samples: compare
    only values with the same judge and numbers of rows. Raises ValueError on NaN, wrong shapes or one row.

    >>> round(frechet_distance([[0.0], [2.0]], [[3.0], [5.0]]), 6)
    9.0
    """
    a, b = _numbers("features_a", features_a, (2,)), _numbers("features_b", features_b, (2,))
    _same("a row of features_b", b.shape[1:], a.shape[1:])
    _must(min(len(a), len(b)) > 1, f"features must have 2 rows or more, found {len(a)} and {len(b)}")
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
    rows = _numbers("features", features, (2,))
    truth = _classes("y", y, len(rows))
    groups = [rows[truth == c] for c in np.unique(truth[_labelled("y", truth)])]
    groups = [group[_draw(len(group), n_max, random_state)] for group in groups if len(group) > 1]
    _must(len(groups) > 0, "y must hold a class with two rows, found none")
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
    made, real = _numbers("x_rec", x_rec, (3, 4)), _numbers("x", x, (3, 4))
    _same("an image of x_rec", made.shape[1:], real.shape[1:])
    reference = float(_edge_slope(real).mean())
    _must(reference > 0, "x must hold images with an edge, found only flat ones")
    return float(_edge_slope(made).mean()) / reference


def knn_accuracy(
    z_train: ArrayLike, y_train: ArrayLike, z_test: ArrayLike, y_test: ArrayLike, k: int = 15
) -> float:
    """Return the test accuracy of the vote of the k nearest training codes (Euclidean).

    z_train (n, d), z_test (m, d), y_train (n,), y_test (m,), -1 left out on both sides; in [0, 1]. Raises
    ValueError on NaN, wrong shapes, k beyond the labelled training rows, or when no labelled row remains.

    >>> knn_accuracy([[0.0], [9.0]], [0, 1], [[1.0], [8.0], [2.0]], [0, 1, 1], k=1)
    0.6666666666666666
    """
    known, asked = _numbers("z_train", z_train, (2,)), _numbers("z_test", z_test, (2,))
    y_known, y_asked = _classes("y_train", y_train, len(known)), _classes("y_test", y_test, len(asked))
    _same("a row of z_test", asked.shape[1:], known.shape[1:])
    keep, keep_asked = _labelled("y_train", y_known), _labelled("y_test", y_asked)
    _must(1 <= k <= keep.sum(), f"k must be from 1 to the {keep.sum()} labelled training rows, found {k}")
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
    codes = _numbers("z", z, (2,))
    rows, labels = _numbers("x", x), _classes("y", y, len(codes))
    _same("x, by rows,", (len(rows),), (len(codes),))
    _must(len(rows) >= 12, f"x must have 12 rows or more, found {len(rows)}")
    pick = _draw(len(codes), n_max, random_state)
    rows, codes, labels = rows.reshape(len(rows), -1)[pick], codes[pick], labels[pick]
    keep = _labelled("y", labels)
    n = len(np.unique(labels[keep]))
    _must(2 <= n < keep.sum(), f"y must hold 2 or more classes, fewer than its labelled rows, found {n}")
    silhouette = silhouette_score(codes[keep], labels[keep])
    trust = trustworthiness(rows, codes, n_neighbors=5)
    return {"silhouette": float(silhouette), "trustworthiness": float(trust)}
