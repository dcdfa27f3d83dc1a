"""The judge: a classifier trained on real rows only, independent of the encoder of any model."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torch.nn import functional as F

from ssavae._checks import check, check_array, check_shape
from ssavae._serialize import write_atomically
from ssavae.metrics.classification import labelled_rows
from ssavae.metrics.generation import check_unit_range
from ssavae.metrics.judge_networks import Network, build_body, check_network, is_image
from ssavae.metrics.judge_photographs import fit_photographs, views

SIZES = ("sample_shape", "n_classes", "feature_dim", "network")  # stored with the weights
FEATURE_DIMS = {"small": 128, "photograph": 256}  # of judges that are trained here
BLOCK_ENDS = {"small": (0, 3, 6, 9), "photograph": (0, 3, 4, 5)}  # layers of the body in each block


class Judge(nn.Module):
    """A classifier of real rows: convolutions for images, two dense layers for other rows.

    sample_shape is the shape of one row: (H, W) or (H, W, C) with H, W >= 8 for images, else e.g. (d,).
    feature_dim is the width of the penultimate layer. network "photograph" is deeper and wider, for images of
    16 x 16 pixels or more whose mirror images are of the same class: in eval mode, features are the mean over
    two crops of each image and of its mirror image.
    Raises ValueError for fewer than two classes, an empty shape or another network.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        n_classes: int,
        feature_dim: int = 128,
        network: Network = "small",
    ) -> None:
        super().__init__()
        check(n_classes >= 2, f"n_classes must be at least 2, found {n_classes}")
        check(min(sample_shape, default=0) > 0, f"sample_shape must be positive, found {sample_shape}")
        check_network(network, sample_shape)
        self.sample_shape = tuple(int(size) for size in sample_shape)
        self.n_classes = n_classes
        self.feature_dim = feature_dim
        self.network = network
        self.is_image = is_image(self.sample_shape)
        self.body = build_body(network, self.sample_shape, feature_dim)
        self.head = nn.Linear(feature_dim, n_classes)

    def channels_first(self, images: Tensor) -> Tensor:
        """Return images (n, H, W[, C]) as (n, C, H, W)."""
        # permuting (n, H, W, C) gives the channels_last memory format without a copy
        return images.reshape(len(images), *images.shape[1:3], -1).permute(0, 3, 1, 2)

    def features(self, x: Tensor) -> Tensor:
        """Return the penultimate layer after ReLU, (n, feature_dim), of x (n, *sample_shape)."""
        if not self.is_image:
            return self.body(x)
        x = self.channels_first(x)
        if self.network == "small" or self.training:
            return self.body(x)
        return torch.stack([self.body(view) for view in views(x)]).mean(dim=0)

    def activations(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the outputs of the three blocks of convolutions of an image judge for x (n, *sample_shape).

        Each is (n, channels, height, width), after the activation; every block halves height and width.
        """
        x = self.channels_first(x)
        for start, end in pairwise(BLOCK_ENDS[self.network]):
            x = self.body[start:end](x)
            yield x

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (n, n_classes) of x (n, *sample_shape)."""
        return self.head(self.features(x))


def _drop_single_channel(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:2] if shape[2:] == (1,) else shape


def _check_rows(name: str, x: ArrayLike, sample_shape: tuple[int, ...]) -> np.ndarray:
    """Return x as float32 (n, *sample_shape); a channel axis of size 1 may be missing or extra."""
    array = check_array(name, x).astype(np.float32, copy=False)
    check_shape(f"a row of {name}", _drop_single_channel(array.shape[1:]), _drop_single_channel(sample_shape))
    if is_image(sample_shape):
        check_unit_range(name, array)
    return array.reshape(-1, *sample_shape)


def _random_translation(images: Tensor, max_shift: int) -> Tensor:
    """Translate the whole batch (n, H, W[, C]) by one random shift, wrapping around at the borders."""
    shift = torch.randint(-max_shift, max_shift + 1, (2,)).tolist()
    return torch.roll(images, shift, (1, 2))


def _fit_small(judge: Judge, x: Tensor, y: Tensor, n_epochs: int, batch_size: int) -> Iterator[int]:
    """Train on rows x and classes y; yield the number of epochs done after each."""
    # even splits avoid a last batch of one row, which batch normalisation cannot take
    n_batches = max(1, len(x) // batch_size)
    optimizer = torch.optim.Adam(judge.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=n_epochs * n_batches + 1)
    max_shift = min(judge.sample_shape[:2]) // 14 if judge.is_image else 0
    for epoch in range(n_epochs):
        for rows in torch.randperm(len(x)).tensor_split(n_batches):
            batch = _random_translation(x[rows], max_shift) if max_shift else x[rows]
            loss = F.cross_entropy(judge(batch), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        yield epoch + 1


def train_judge(
    x: ArrayLike,
    y: ArrayLike,
    *,
    n_epochs: int = 6,
    batch_size: int = 128,
    network: Network = "small",
    after_epoch: Callable[[int, Judge], None] | None = None,
    random_state: int = 0,
    device: str = "cpu",
) -> Judge:
    """Train a judge on real rows by cross-entropy.

    x (n, H, W) or (n, H, W, C) in [0, 1], or any other (n, ...); y (n,), rows with -1 left out. The small
    network learns with Adam and one learning-rate cycle, each batch translated by up to H/14 pixels; network
    "photograph" as `judge_photographs` says, for batches of about 500. `after_epoch` is called with the
    number of epochs done and the judge. The same seed gives the same judge, which stays on `device` in eval
    mode; the global random state is left unchanged. Raises ValueError on NaN, wrong shapes, images outside
    [0, 1], fewer than two classes or an unknown network.
    """
    array = check_array("x", x)
    rows, labels = labelled_rows("y", y, _check_rows("x", array, array.shape[1:]))
    top = labels.max()
    check(labels.min() < top, f"y must hold two classes or more, found only {top}")
    check(n_epochs > 0 and batch_size > 1, f"n_epochs, batch_size too small: found {n_epochs}, {batch_size}")
    check_network(network, rows.shape[1:])
    with torch.random.fork_rng():
        torch.manual_seed(random_state)
        judge = Judge(rows.shape[1:], int(top) + 1, FEATURE_DIMS[network], network).to(torch.device(device))
        judge = judge.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        x_train, y_train = (torch.from_numpy(array).to(device) for array in (rows, labels))
        fit = fit_photographs if network == "photograph" else _fit_small
        for n_done in fit(judge.train(), x_train, y_train, n_epochs, batch_size):
            if after_epoch is not None:
                after_epoch(n_done, judge)
                judge.train()
    return judge.eval()


@torch.inference_mode()
def _apply(judge: Judge, function: Callable[..., Tensor], batch_size: int, *arrays: np.ndarray) -> np.ndarray:
    """Return the function's outputs for the arrays, batch by batch, with the judge in eval mode."""
    device = judge.eval().head.weight.device
    # torch takes neither the negative strides of a flipped view nor read-only memory
    tensors = (torch.from_numpy(np.require(array, requirements=["C", "W"])) for array in arrays)
    batches = zip(*(tensor.split(batch_size) for tensor in tensors), strict=True)
    return torch.cat([function(*(rows.to(device) for rows in batch)) for batch in batches]).cpu().numpy()


def judge_logits(judge: Judge, x: ArrayLike, *, batch_size: int = 512) -> np.ndarray:
    """Return the judge's logits, (n, n_classes), of x (n, *sample_shape), in eval mode.

    Raises ValueError on NaN, an empty x, rows of another shape, or images outside [0, 1].
    """
    return _apply(judge, judge, batch_size, _check_rows("x", x, judge.sample_shape))


def judge_features(judge: Judge, x: ArrayLike, *, batch_size: int = 512) -> np.ndarray:
    """Return the judge's penultimate layer, (n, feature_dim), values >= 0; raises as `judge_logits`."""
    return _apply(judge, judge.features, batch_size, _check_rows("x", x, judge.sample_shape))


def _perceptual_distances(judge: Judge, x: Tensor, x_rec: Tensor) -> Tensor:
    total = torch.zeros(len(x), device=x.device)
    for real, rec in zip(judge.activations(x), judge.activations(x_rec), strict=True):
        total += (F.normalize(real) - F.normalize(rec)).square().sum(dim=1).mean(dim=(1, 2))
    return total


def perceptual_distance(judge: Judge, x: ArrayLike, x_rec: ArrayLike, *, batch_size: int = 512) -> float:
    """Return how much the judge's activations differ: mean sum_b mean_p |u_b,p(x) - u_b,p(x_rec)|^2.

    u_b,p is the activation vector after convolution block b at position p, scaled to length 1: LPIPS (Zhang
    2018) without learned weights. x, x_rec (n, *sample_shape); in [0, 6] after ReLU, 0 for equal images.
    Compare only values of the same judge. Raises ValueError for a judge of tables, unequal lengths, and as
    `judge_logits`.
    """
    check(judge.is_image, f"judge must be one of images, found one of rows of shape {judge.sample_shape}")
    real = _check_rows("x", x, judge.sample_shape)
    rec = _check_rows("x_rec", x_rec, judge.sample_shape)
    check_shape("x_rec", rec.shape, real.shape)
    distances = _apply(judge, partial(_perceptual_distances, judge), batch_size, real, rec)
    return float(distances.mean(dtype=np.float64))


def save_judge(judge: Judge, path: str | os.PathLike[str]) -> None:
    """Write the judge to one safetensors file, with its sizes in the header; the write is atomic."""
    sizes = {name: getattr(judge, name) for name in SIZES}
    # safetensors refuses the strides of channels_last weights
    weights = {name: value.cpu().contiguous() for name, value in judge.state_dict().items()}
    write_atomically(Path(path), save_tensors(weights, {"ssavae_judge": json.dumps(sizes)}))


def load_judge(path: str | os.PathLike[str]) -> Judge:
    """Read a judge written by `save_judge`, on the CPU, in eval mode; ValueError for any other file."""
    try:
        with safe_open(path, framework="pt") as file:
            sizes = json.loads((file.metadata() or {})["ssavae_judge"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        judge = Judge(**{name: sizes[name] for name in SIZES if name in sizes})
        judge.load_state_dict(weights)
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError, RuntimeError) as error:
        raise ValueError(f"path must name a judge's file, found {path}: {error}") from error
    return judge.to(memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]
