"""The layers of judges: a table's, a small image's, and those that read photographs."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ssavae._checks import check

Network = Literal["small", "photograph"]
PATCH_SIZE = 2  # side of the patches that the first layer of the photograph network whitens
WHITENING_EPS = 5e-4


def is_image(sample_shape: tuple[int, ...]) -> bool:
    """Return whether rows of this shape, (H, W) or (H, W, C), are images."""
    return len(sample_shape) in (2, 3) and min(sample_shape[:2]) >= 8


def check_network(network: Network, sample_shape: tuple[int, ...]) -> None:
    """Raise ValueError for an unknown network, or rows that the photograph network cannot take."""
    names = get_args(Network)
    check(network in names, f"network must be one of {', '.join(names)}, found {network!r}")
    fits = network == "small" or (is_image(sample_shape) and min(sample_shape[:2]) >= 16)
    check(fits, f"network 'photograph' needs images of 16 x 16 pixels or more, found rows {sample_shape}")


def small_body(n_channels: int, feature_dim: int) -> nn.Sequential:
    """Return three strided convolutions and a dense layer: (n, C, H, W) to (n, feature_dim)."""
    blocks: list[nn.Module] = []
    for in_dim, out_dim in ((n_channels, 32), (32, 64), (64, 128)):
        conv = nn.Conv2d(in_dim, out_dim, 3, stride=2, padding=1, bias=False)
        blocks += [conv, nn.BatchNorm2d(out_dim), nn.ReLU()]
    dense = nn.Linear(4 * 128, feature_dim)
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(2), nn.Flatten(), dense, nn.ReLU())


def table_body(in_dim: int, feature_dim: int) -> nn.Sequential:
    """Return two dense layers: (n, in_dim) to (n, feature_dim)."""
    hidden = [nn.BatchNorm1d(in_dim), nn.Linear(in_dim, 256), nn.BatchNorm1d(256), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(256, feature_dim), nn.ReLU())


# ------------------------------------------------------------------------------------------- photographs


def _conv(in_dim: int, out_dim: int) -> nn.Conv2d:
    """Return a 3x3 convolution whose first filters pass their input on (Dirac), the rest random."""
    conv = nn.Conv2d(in_dim, out_dim, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(conv.weight[:in_dim])
    return conv


def _norm(n_channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(n_channels)
    norm.weight.requires_grad_(False)  # the next convolution scales
    return norm


def _photograph_block(in_dim: int, out_dim: int) -> nn.Sequential:
    first = [_conv(in_dim, out_dim), nn.MaxPool2d(2), _norm(out_dim), nn.GELU()]
    return nn.Sequential(*first, _conv(out_dim, out_dim), _norm(out_dim), nn.GELU())


def photograph_body(n_channels: int, feature_dim: int) -> nn.Sequential:
    """Return a whitening layer and three blocks of two convolutions: (n, C, H, W) to (n, feature_dim).

    The network of Jordan (2024), "94% on CIFAR-10 in 3.29 seconds on a single GPU".
    """
    n_filters = 2 * PATCH_SIZE**2 * n_channels
    whitening = nn.Conv2d(n_channels, n_filters, PATCH_SIZE, bias=False)
    whitening.weight.requires_grad_(False)
    widths = (n_filters, feature_dim // 4, feature_dim, feature_dim)
    blocks = [_photograph_block(widths[i], widths[i + 1]) for i in range(3)]
    return nn.Sequential(whitening, nn.GELU(), *blocks, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.ReLU())


@torch.no_grad()
def whiten(layer: nn.Module, images: Tensor) -> None:
    """Set the first layer of `photograph_body` to whiten the 2x2 patches of images (n, C, H, W).

    Filter i is v_i / sqrt(lambda_i + eps), of eigenvectors and eigenvalues of the patches' covariance. The
    second half of the filters are the negatives of the first.
    """
    assert isinstance(layer, nn.Conv2d)
    n_channels = images.shape[1]
    patches = images.unfold(2, PATCH_SIZE, 1).unfold(3, PATCH_SIZE, 1)
    patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, n_channels * PATCH_SIZE**2)
    values, vectors = torch.linalg.eigh(torch.cov(patches.T))
    filters = (vectors / (values + WHITENING_EPS).sqrt()).T.reshape(-1, n_channels, PATCH_SIZE, PATCH_SIZE)
    layer.weight.copy_(torch.cat([filters, -filters]))


# ------------------------------------------------------------------------------------------- choice


def build_body(network: Network, sample_shape: tuple[int, ...], feature_dim: int) -> nn.Sequential:
    """Return the body of a judge of rows of this shape."""
    if not is_image(sample_shape):
        return table_body(math.prod(sample_shape), feature_dim)
    n_channels = (*sample_shape, 1)[2]
    return (photograph_body if network == "photograph" else small_body)(n_channels, feature_dim)
