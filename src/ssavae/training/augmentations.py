"""Random changes of network inputs that leave their class as it is: slight ones, and strong ones by kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ssavae._checks import check

REACH = 14  # an image is shifted by up to its side over this, rounded: 2 pixels of 28


def translate(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Move each image by a distance of its own, up or down, left or right; what comes in is 0.

    Examples
    --------
    >>> translate(torch.ones(2, 1, 4, 4)).shape
    torch.Size([2, 1, 4, 4])
    """
    n, _, height, width = x.shape
    reach = round(min(height, width) / REACH)
    padded = F.pad(x, (reach,) * 4)
    start = torch.randint(0, 2 * reach + 1, (2, n, 1), device=x.device)
    down, right = (start[i] + torch.arange(side, device=x.device) for i, side in enumerate((height, width)))
    each = torch.arange(n, device=x.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[each, down[:, :, None], right[:, None, :]].permute(0, 3, 1, 2)


def flip(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Swap left and right in about half of the images.

    Examples
    --------
    >>> flip(torch.ones(2, 1, 4, 4)).shape
    torch.Size([2, 1, 4, 4])
    """
    chosen = torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5
    return torch.where(chosen, x.flip(3), x)


def erase(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Blank a square of a third of each image's side, anywhere, and change its brightness by 0.4 at most.

    No single detail then decides alone, which helps where classes differ by several (garments), and harms
    where one stroke makes the class (digits).

    Examples
    --------
    >>> erase(torch.ones(2, 1, 9, 9)).shape
    torch.Size([2, 1, 9, 9])
    """
    n, _, *sides = x.shape
    across = []
    for side in sides:
        middle = torch.randint(0, side, (n, 1), device=x.device)
        across.append((torch.arange(side, device=x.device) - middle).abs() <= side // 6)
    covered = across[0][:, None, :, None] & across[1][:, None, None, :]
    brightness = _between(0.6, 1.4, (n, 1, 1, 1), x.device)
    return torch.where(covered, 0.0, (x * brightness).clamp(0.0, 1.0))


def noise(x: Float[Tensor, "b *shape"]) -> Float[Tensor, "b *shape"]:
    """Add normal noise as large as a column's own spread, which is 1 for what the networks see of tables.

    A column on which classes differ by less than it varies then decides nothing alone: the network looks
    for what many columns say together, and learns no single row by heart.

    Examples
    --------
    >>> noise(torch.ones(4, 3)).shape
    torch.Size([4, 3])
    """
    return x + torch.randn_like(x)


def mixup(x: Float[Tensor, "b *shape"]) -> Float[Tensor, "b *shape"]:
    """Move each row up to 0.4 of the way to another of the batch, so that it stays nearer to itself.

    What lies between two training rows then has the class of the nearer one, and a new row beside them has a
    place on the map.

    Examples
    --------
    >>> mixup(torch.ones(4, 3)).shape
    torch.Size([4, 3])
    """
    far = _between(0.0, 0.4, (len(x), *[1] * (x.ndim - 1)), x.device)
    return x.lerp(x[torch.randperm(len(x), device=x.device)], far.to(x.dtype))


AUGMENTATIONS = {"translate": translate, "flip": flip, "erase": erase, "noise": noise, "mixup": mixup}
BY_KIND = {"image": ("translate", "flip", "erase"), "table": ("noise", "mixup"), "signal": ("noise", "mixup")}


def affine(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Turn by up to 15 degrees, scale by a tenth, shear by 0.15 and shift by 0.075 of the side, all at most.

    Examples
    --------
    >>> affine(torch.ones(2, 1, 9, 9)).shape
    torch.Size([2, 1, 9, 9])
    """
    n, device = len(x), x.device
    # of a shift 2 is the whole side
    most = torch.tensor([math.radians(15.0), 0.15, 0.15, 0.15], device=device)
    angle, shear, down, right = _between(-1.0, 1.0, (4, n), device) * most[:, None]
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([cos, shear - sin], 1), torch.stack([sin, cos], 1)], 1)
    turn = turn * _between(0.9, 1.1, (n, 2, 1), device)
    where = F.affine_grid(
        torch.cat([turn, torch.stack([right, down], 1)[:, :, None]], 2), list(x.shape), align_corners=False
    )
    return F.grid_sample(x, where.to(x.dtype), align_corners=False)


def _between(low: float, high: float, shape: tuple[int, ...], device: torch.device) -> Tensor:
    return low + (high - low) * torch.rand(shape, device=device)


def swap_noise(x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    """Replace a fifth of the values by those of other rows of the batch, and add noise of a tenth.

    Examples
    --------
    >>> swap_noise(torch.ones(4, 3)).shape
    torch.Size([4, 3])
    """
    other = x[torch.randperm(len(x), device=x.device)]
    mixed = torch.where(torch.rand_like(x) < 0.2, other, x)
    return mixed + 0.1 * torch.randn_like(x)


def jitter(x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
    """Start signals elsewhere, in a circle; scale by up to a fifth, add noise of a tenth, blank an eighth.

    Examples
    --------
    >>> jitter(torch.ones(2, 1, 32)).shape
    torch.Size([2, 1, 32])
    """
    n, _, length = x.shape
    steps = torch.arange(length, device=x.device)
    begin, blank = torch.randint(0, length, (2, n, 1), device=x.device)
    rolled = x.gather(2, ((steps + begin) % length)[:, None, :].expand(x.shape))
    changed = rolled * _between(0.8, 1.2, (n, 1, 1), x.device) + 0.1 * torch.randn_like(x)
    return torch.where(((steps - blank) % length < length // 8)[:, None, :], 0.0, changed)


STRONG = {"image": affine, "table": swap_noise, "signal": jitter}


WEAK = {"image": translate, "table": mixup, "signal": mixup}


def weak(x: Float[Tensor, "b *shape"], kind: str) -> Float[Tensor, "b *shape"]:
    """Change about half of the rows a little: shift images, mix rows of tables and signals.

    Examples
    --------
    >>> nearby(torch.ones(4, 3), "table").shape
    torch.Size([4, 3])
    """
    chosen = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) < 0.5
    return torch.where(chosen, WEAK[kind](x), x)


def check_augment(names: Sequence[str], kind: str) -> None:
    """Refuse changes that rows of this kind cannot take, ValueError."""
    for name in names:
        told = f"augment={tuple(names)!r}: {name!r} does not suit rows of kind {kind}"
        check(name in BY_KIND[kind], f"{told}, which take {', '.join(BY_KIND[kind])}")


def augment_batches(
    batches: Iterable[tuple[Tensor, Tensor]], changes: Sequence[Callable[[Tensor], Tensor]]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches with these ``AUGMENTATIONS`` made to their rows, others every time."""
    for x, y in batches:
        for change in changes:
            x = change(x)
        yield x, y
