"""Random changes of training images that leave their class as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

REACH = 14  # an image is shifted by up to its side over this, rounded: 2 pixels of 28


def shift(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Move each image by a distance of its own, up or down, left or right; what comes in is 0.

    Examples
    --------
    >>> shift(torch.ones(2, 1, 4, 4)).shape
    torch.Size([2, 1, 4, 4])
    """
    n, _, height, width = x.shape
    reach = round(min(height, width) / REACH)
    padded = F.pad(x, (reach,) * 4)
    start = torch.randint(0, 2 * reach + 1, (2, n, 1), device=x.device)
    down, right = (start[i] + torch.arange(side, device=x.device) for i, side in enumerate((height, width)))
    each = torch.arange(n, device=x.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[each, down[:, :, None], right[:, None, :]].permute(0, 3, 1, 2)


def mirror(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Swap left and right in about half of the images.

    Examples
    --------
    >>> mirror(torch.ones(2, 1, 4, 4)).shape
    torch.Size([2, 1, 4, 4])
    """
    chosen = torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5
    return torch.where(chosen, x.flip(3), x)


CHANGES = {"shift": shift, "mirror": mirror}


def augmented(
    batches: Iterable[tuple[Tensor, Tensor]], names: Sequence[str]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches with these ``CHANGES`` made to their images, others every time."""
    for x, y in batches:
        for name in names:
            x = CHANGES[name](x)
        yield x, y
