"""The judge: a classifier trained on real rows only, independent of any model's own encoder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from ssavae._checks import Array, check, classes, numbers, same_shape


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
        check(n_classes >= 2, f"n_classes must be at least 2, found {n_classes}")
        check(min(sample_shape, default=0) > 0, f"sample_shape must be positive, found {sample_shape}")
        self.sample_shape = tuple(int(size) for size in sample_shape)
        self.n_classes, self.feature_dim = n_classes, feature_dim
        self.is_image = _is_image(self.sample_shape)
        n_channels = self.sample_shape[2] if len(self.sample_shape) == 3 else 1
        flat_dim = int(np.prod(self.sample_shape))
        build, in_dim = (_image_body, n_channels) if self.is_image else (_table_body, flat_dim)
        self.body = build(in_dim, feature_dim)
        self.head = nn.Linear(feature_dim, n_classes)

    def _seen(self, x: Tensor) -> Tensor:
        if not self.is_image:
            return x
        # seen as (n, C, H, W), rows of (H, W, C) are in the channels_last layout already
        return x.reshape(len(x), *self.sample_shape[:2], -1).permute(0, 3, 1, 2)

    def features(self, x: Tensor) -> Tensor:
        """Return the penultimate layer after ReLU, (n, feature_dim), of x (n, *sample_shape)."""
        return self.body(self._seen(x))

    def activations(self, x: Tensor) -> Iterator[Tensor]:
        """Yield what the convolution blocks of an image judge make of x (n, *sample_shape), after ReLU.

        Three tensors (n, channels, height, width), each of half the height and width before.
        """
        x = self._seen(x)
        for start in (0, 3, 6):
            x = self.body[start : start + 3](x)
            yield x

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (n, n_classes) of x (n, *sample_shape)."""
        return self.head(self.features(x))


def _without_grey_axis(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:2] if shape[2:] == (1,) else shape


def _judge_input(name: str, x: ArrayLike, sample_shape: tuple[int, ...]) -> Array:
    array = numbers(name, x).astype(np.float32, copy=False)
    same_shape(f"a row of {name}", _without_grey_axis(array.shape[1:]), _without_grey_axis(sample_shape))
    low, high = (array.min(), array.max()) if _is_image(sample_shape) else (0, 1)
    check(low > -0.01 and high < 1.01, f"{name} must lie in [0, 1], found {low:.4g} to {high:.4g}")
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
    x_all = numbers("x", x)
    y_all = classes("y", y, len(x_all))
    x_all, keep = _judge_input("x", x_all, x_all.shape[1:]), y_all >= 0
    check(keep.any(), f"y must have a labelled row, found none in {len(y_all)}")
    check(y_all[keep].min() < y_all.max(), f"y must hold two classes or more, found only {y_all.max()}")
    check(n_epochs > 0 and batch_size > 1, f"n_epochs, batch_size too small: found {n_epochs}, {batch_size}")
    with torch.random.fork_rng():
        torch.manual_seed(random_state)
        judge = Judge(x_all.shape[1:], int(y_all.max()) + 1).to(torch.device(device))
        judge = judge.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        rows = torch.from_numpy(x_all[keep]).to(device)
        _fit_judge(judge.train(), rows, torch.from_numpy(y_all[keep]).to(device), n_epochs, batch_size)
    return judge.eval()


@torch.inference_mode()
def _apply(judge: Judge, layer: Callable[..., Tensor], batch_size: int, *inputs: Array) -> Array:
    device = judge.eval().head.weight.device
    starts = range(0, len(inputs[0]), batch_size)
    # torch takes no negative strides, such as those of a mirrored view
    batches = ([np.ascontiguousarray(x[i : i + batch_size]) for x in inputs] for i in starts)
    found = [layer(*(torch.tensor(rows, device=device) for rows in batch)).cpu() for batch in batches]
    return torch.cat(found).numpy()


def _rows(judge: Judge, name: str, x: ArrayLike) -> Array:
    return _judge_input(name, x, judge.sample_shape).reshape(-1, *judge.sample_shape)


def judge_logits(judge: Judge, x: ArrayLike, *, batch_size: int = 512) -> Array:
    """Return the judge's logits, (n, n_classes), of x (n, *sample_shape), in evaluation mode.

    Raises ValueError on NaN, an empty x, rows of another shape, or images outside [0, 1].
    """
    return _apply(judge, judge, batch_size, _rows(judge, "x", x))


def judge_features(judge: Judge, x: ArrayLike, *, batch_size: int = 512) -> Array:
    """Return the judge's penultimate layer, (n, feature_dim), values >= 0; raises as `judge_logits`."""
    return _apply(judge, judge.features, batch_size, _rows(judge, "x", x))


def _distances(judge: Judge, x: Tensor, x_rec: Tensor) -> Tensor:
    total = torch.zeros(len(x), device=x.device)
    for real, rec in zip(judge.activations(x), judge.activations(x_rec), strict=True):
        total += (F.normalize(real) - F.normalize(rec)).square().sum(dim=1).mean(dim=(1, 2))
    return total


def perceptual_distance(judge: Judge, x: ArrayLike, x_rec: ArrayLike, *, batch_size: int = 512) -> float:
    """Return how differently the judge sees images: mean sum_b mean_p |u_b,p(x) - u_b,p(x_rec)|^2.

    u_b,p is the activation vector after convolution block b at position p, scaled to length 1: LPIPS (Zhang
    2018) without learned weights. x, x_rec (n, *sample_shape); in [0, 6], 0 for equal images. Compare only
    values of the same judge. Raises ValueError for a judge of tables, unequal lengths, and as `judge_logits`.
    """
    check(judge.is_image, f"judge must be one of images, found one of rows of shape {judge.sample_shape}")
    real, rec = _rows(judge, "x", x), _rows(judge, "x_rec", x_rec)
    same_shape("x_rec", rec.shape, real.shape)
    found = _apply(judge, lambda *batch: _distances(judge, *batch), batch_size, real, rec)
    return float(found.mean(dtype=np.float64))


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
