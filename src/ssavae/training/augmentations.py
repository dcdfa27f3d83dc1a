"""Augmentations: random changes of network inputs that keep their class, by kind of data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ssavae._checks import check

if TYPE_CHECKING:
    from jaxtyping import Float

Draws = torch.Generator | None  # what random numbers are drawn from; None is torch's global generator

MAX_SHIFT = 14  # images are translated by up to their side over this, rounded: 2 pixels of 28
MAX_DEGREES = 15.0  # of `affine`
MAX_SHEAR = 0.15
MAX_MIXUP = 0.4  # so that a row stays nearer to itself than to the other


def translate(x: Float[Tensor, "b c h w"], generator: Draws = None) -> Float[Tensor, "b c h w"]:
    """Translate each image by a random distance, up or down, left or right; the border is filled with 0.

    Examples
    --------
    >>> translate(torch.ones(2, 1, 4, 4)).shape
    torch.Size([2, 1, 4, 4])
    """
    n, _, height, width = x.shape
    reach = round(min(height, width) / MAX_SHIFT)
    padded = F.pad(x, (reach, reach, reach, reach))
    down, right = torch.randint(0, 2 * reach + 1, (2, n, 1), device=x.device, generator=generator)
    rows = down + torch.arange(height, device=x.device)
    columns = right + torch.arange(width, device=x.device)
    image = torch.arange(n, device=x.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def flip(x: Float[Tensor, "b c h w"], generator: Draws = None) -> Float[Tensor, "b c h w"]:
    """Flip about half of the images horizontally.

    Examples
    --------
    >>> flip(torch.ones(2, 1, 4, 4)).shape
    torch.Size([2, 1, 4, 4])
    """
    return torch.where(_half_of(x, generator), x.flip(3), x)


def erase(x: Float[Tensor, "b c h w"], generator: Draws = None) -> Float[Tensor, "b c h w"]:
    """Set a random square of a third of the side to 0 (random erasing), and change brightness by up to 0.4.

    No single detail then decides alone. That helps where classes differ by several (garments), and hurts
    where one stroke makes the class (digits).

    Examples
    --------
    >>> erase(torch.ones(2, 1, 9, 9)).shape
    torch.Size([2, 1, 9, 9])
    """
    n, _, height, width = x.shape
    rows = _random_window(n, height, x.device, generator)
    columns = _random_window(n, width, x.device, generator)
    erased = rows[:, None, :, None] & columns[:, None, None, :]
    brightness = _uniform(0.6, 1.4, (n, 1, 1, 1), x.device, generator)
    return torch.where(erased, 0.0, (x * brightness).clamp(0.0, 1.0))


def _random_window(n: int, side: int, device: torch.device, generator: Draws) -> Tensor:
    """Return for n images which pixels of a side lie within a sixth of it from a random one, (n, side)."""
    middle = torch.randint(0, side, (n, 1), device=device, generator=generator)
    return (torch.arange(side, device=device) - middle).abs() <= side // 6


def noise(x: Float[Tensor, "b *shape"], generator: Draws = None) -> Float[Tensor, "b *shape"]:
    """Add normal noise of standard deviation 1, which is that of a scaled column.

    A column on which classes differ by less than it varies then decides nothing alone: the network
    relies on many columns together, and memorises no single row.

    Examples
    --------
    >>> noise(torch.ones(4, 3)).shape
    torch.Size([4, 3])
    """
    return x + _normal_like(x, generator)


def mixup(x: Float[Tensor, "b *shape"], generator: Draws = None) -> Float[Tensor, "b *shape"]:
    """Interpolate each row with another of the batch, by up to 0.4, and keep its class (cf. Zhang 2018).

    Rows between two training rows then have the class of the nearer one.

    Examples
    --------
    >>> mixup(torch.ones(4, 3)).shape
    torch.Size([4, 3])
    """
    weight = _uniform(0.0, MAX_MIXUP, _per_row(x), x.device, generator)
    return x.lerp(x[torch.randperm(len(x), device=x.device, generator=generator)], weight.to(x.dtype))


AUGMENTATIONS = {"translate": translate, "flip": flip, "erase": erase, "noise": noise, "mixup": mixup}
BY_KIND = {"image": ("translate", "flip", "erase"), "table": ("noise", "mixup"), "signal": ("noise", "mixup")}
FORMER_NAMES = {"shift": "translate", "mirror": "flip", "cover": "erase", "mix": "mixup"}


def affine(x: Float[Tensor, "b c h w"], generator: Draws = None) -> Float[Tensor, "b c h w"]:
    """Rotate by up to 15 degrees, scale by a tenth, shear by 0.15 and translate by 0.075 of the side.

    Examples
    --------
    >>> affine(torch.ones(2, 1, 9, 9)).shape
    torch.Size([2, 1, 9, 9])
    """
    n = len(x)
    draws = _uniform(-1.0, 1.0, (4, n), x.device, generator)
    angle = draws[0] * math.radians(MAX_DEGREES)
    shear = draws[1] * MAX_SHEAR
    # In the coordinates of affine_grid the whole side is 2.
    down, right = draws[2:] * 0.15
    cos = angle.cos()
    sin = angle.sin()
    matrix = torch.stack([torch.stack([cos, shear - sin], 1), torch.stack([sin, cos], 1)], 1)
    matrix = matrix * _uniform(0.9, 1.1, (n, 2, 1), x.device, generator)
    shift = torch.stack([right, down], 1)[:, :, None]
    grid = F.affine_grid(torch.cat([matrix, shift], 2), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid.to(x.dtype), align_corners=False)


def swap_noise(x: Float[Tensor, "b d"], generator: Draws = None) -> Float[Tensor, "b d"]:
    """Replace a fifth of the values by those of other rows, and add noise of a tenth (cf. VIME, Yoon 2020).

    Examples
    --------
    >>> swap_noise(torch.ones(4, 3)).shape
    torch.Size([4, 3])
    """
    other = x[torch.randperm(len(x), device=x.device, generator=generator)]
    swapped = torch.where(torch.empty_like(x).uniform_(generator=generator) < 0.2, other, x)
    return swapped + 0.1 * _normal_like(x, generator)


def jitter(x: Float[Tensor, "b c t"], generator: Draws = None) -> Float[Tensor, "b c t"]:
    """Rotate signals in time, scale by up to a fifth, add noise of a tenth, and set an eighth to 0.

    Examples
    --------
    >>> jitter(torch.ones(2, 1, 32)).shape
    torch.Size([2, 1, 32])
    """
    n, _, length = x.shape
    time = torch.arange(length, device=x.device)
    start, erased = torch.randint(0, length, (2, n, 1), device=x.device, generator=generator)
    rotated = x.gather(2, ((time + start) % length)[:, None, :].expand(x.shape))
    scaled = rotated * _uniform(0.8, 1.2, (n, 1, 1), x.device, generator) + 0.1 * _normal_like(x, generator)
    return torch.where(((time - erased) % length < length // 8)[:, None, :], 0.0, scaled)


STRONG = {"image": affine, "table": swap_noise, "signal": jitter}
WEAK = {"image": translate, "table": mixup, "signal": mixup}


def weak(x: Float[Tensor, "b *shape"], kind: str, generator: Draws = None) -> Float[Tensor, "b *shape"]:
    """Augment about half of the rows weakly: translate images, interpolate rows of tables and signals.

    Examples
    --------
    >>> weak(torch.ones(4, 3), "table").shape
    torch.Size([4, 3])
    """
    return torch.where(_half_of(x, generator), WEAK[kind](x, generator), x)


def _half_of(x: Tensor, generator: Draws) -> Tensor:
    """Choose about half of the rows: a mask of as many axes as x."""
    return _uniform(0.0, 1.0, _per_row(x), x.device, generator) < 0.5


def _per_row(x: Tensor) -> tuple[int, ...]:
    """Return the shape of one number for each row of x, to be broadcast."""
    return (len(x), *[1] * (x.ndim - 1))


def _normal_like(x: Tensor, generator: Draws) -> Tensor:
    return torch.empty_like(x).normal_(generator=generator)


def _uniform(
    low: float, high: float, shape: tuple[int, ...], device: torch.device, generator: Draws
) -> Tensor:
    draws = torch.rand(shape, device=device, dtype=torch.float32, generator=generator)
    return low + (high - low) * draws


def current_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of augmentations, with the present names for those that older files hold."""
    return tuple(FORMER_NAMES.get(name, name) for name in names)


def check_augment(names: Sequence[str], kind: str) -> None:
    """Raise ValueError for augmentations that rows of this kind cannot take."""
    for name in names:
        suits = name in BY_KIND[kind]
        allowed = ", ".join(BY_KIND[kind])
        check(
            suits, f"augment={tuple(names)!r}: {name!r} is not for rows of kind {kind}, which take {allowed}"
        )


def augmented(x: Tensor, augmentations: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
    """Return the rows of a batch after one augmentation and the next, different ones each time."""
    for augment in augmentations:
        x = augment(x)
    return x
