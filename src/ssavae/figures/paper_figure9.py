"""Reconstructions of one data set by latent dimension, gamma and beta, as the paper's figure 9."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ssavae._checks import check, check_array, check_shape
from ssavae.figures.style import DPI, GREEN, VERMILION, new_figure, tile

_TILE_HEIGHT = 56  # approximate height of an image, in pixels of the file
_KEY = ["the judge sees another class than the input's", "wrong at γ = 0 with the same β, corrected here"]


@dataclass(frozen=True)
class BetaLine:
    """One model of `beta_sheet`: its n reconstructions, and which of them the judge classifies wrongly.

    images (n, H, W[, C]) in [0, 1]; wrong (n,), booleans: the judge sees another class than the input's;
    notes: a few characters each, written behind the line, one for each of `note_heads`.
    """

    latent_dim: int
    gamma: float
    beta: float
    images: ArrayLike
    wrong: ArrayLike
    notes: Sequence[str] = ()


_Grid = dict[tuple[int, float, float], BetaLine]  # by latent dimension, gamma and beta, in this order


def _as_rgb(name: str, images: ArrayLike) -> np.ndarray:
    """Return images as (n, H, W, 3) in [0, 1]."""
    array = check_array(name, images, (3, 4))
    array = array.reshape(*array.shape[:3], -1)
    check(array.shape[3] in (1, 3), f"{name} must have 1 or 3 channels, found {array.shape[3]}")
    return np.broadcast_to(array, (*array.shape[:3], 3)).clip(0, 1)


def _check_lines(lines: Sequence[BetaLine], shape: tuple[int, ...], n_notes: int) -> _Grid:
    """Return the lines in order, their images (n, H, W, 3) of this shape and wrong (n,) as arrays."""
    grid: _Grid = {}
    for line in sorted(lines, key=lambda line: (line.latent_dim, line.gamma, line.beta)):
        key = (line.latent_dim, line.gamma, line.beta)
        name = "latent_dim {}, gamma {:g}, beta {:g}".format(*key)
        check(key not in grid, f"{name} occurs twice")
        images = _as_rgb(f"images of {name}", line.images)
        wrong = np.asarray(line.wrong)
        check_shape(f"images of {name}", images.shape, shape)
        check_shape(f"wrong of {name}", wrong.shape, shape[:1])
        check(wrong.dtype == bool, f"wrong of {name} must hold booleans, found dtype {wrong.dtype}")
        check(
            len(line.notes) == n_notes,
            f"notes of {name} must have {n_notes} entries, as note_heads, found {len(line.notes)}",
        )
        grid[key] = replace(line, images=images, wrong=wrong)
    check(len(grid) > 0, "lines must hold a line, found none")
    return grid


def _frame(images: np.ndarray, wrong: np.ndarray, corrected: np.ndarray, gap: int) -> np.ndarray:
    """Join images (lines, n, H, W, 3) to one: a full frame around the wrong, corners on the corrected.

    wrong, corrected (lines, n) of bool; gap: pixels of white around a frame twice as wide.
    """
    scale = max(1, round(_TILE_HEIGHT / images.shape[2]))
    edge = 3 * gap
    height, width = (scale * side + 2 * edge for side in images.shape[2:4])
    tiles = np.ones((*images.shape[:2], height, width, 3))
    rim = edge - gap // 2
    tiles[:, :, rim:-rim, rim:-rim] = 0.7  # a grey rim, as a white image would merge into the white page
    tiles[:, :, edge:-edge, edge:-edge] = images.repeat(scale, axis=2).repeat(scale, axis=3)
    rows, cols = np.ogrid[:height, :width]
    rows, cols = np.minimum(rows, rows[::-1]), np.minimum(cols, cols[:, ::-1])
    frame = (np.minimum(rows, cols) >= gap) & (np.minimum(rows, cols) < edge)
    corners = frame & (np.maximum(rows, cols) < edge + min(height, width) // 5)
    tiles[wrong[..., None, None] & frame] = to_rgb(VERMILION)
    tiles[corrected[..., None, None] & corners] = to_rgb(GREEN)
    return tile(tiles)


class _Page:
    """One axes in pixels of the page from its upper left corner, and the positions on it.

    xs: left of each column's images; start: top of the inputs; tops: of each gamma's block, and of the key;
    notes: left of each column of notes, from the right of the images.
    """

    def __init__(
        self,
        line: int,
        width: int,
        n_columns: int,
        n_lines: Sequence[int],
        n_letters: Sequence[int],
        title: str,
    ) -> None:
        # letters grow with the page, which is shown at the width of a text
        em = self.em = max(18.0, n_columns * width / 72)
        left = 6.5 * em
        self.notes = np.cumsum([em / 3, *((1.2 + 0.6 * n) * em for n in n_letters)])
        note = self.notes[-1] + em
        column = left + max(width + note, (20 if n_columns > 1 else 32) * em)
        self.xs = left + column * np.arange(n_columns)
        self.start = (5 if title else 2.5) * em
        headings = 2 * em * np.arange(1, len(n_lines) + 2)
        self.tops = self.start + line + np.cumsum([0, *n_lines]) * line + headings
        page_width = column * n_columns
        height = self.tops[-1] + 2 * line + em
        self.figure = new_figure(height / DPI, "", width=page_width / DPI)
        self.figure.set_layout_engine("none")
        limits = {"xlim": (0, page_width), "ylim": (height, 0)}
        self.axes = self.figure.add_axes((0, 0, 1, 1), autoscale_on=False, **limits)
        self.axes.set_axis_off()
        self.write(page_width / 2, 1.6 * em, title, ha="center", size=1.3)

    def write(self, x: float, y: float, text: str, *, ha: str = "left", size: float = 1.0) -> None:
        weight = "bold" if size > 1 else "normal"
        points = size * self.em * 72 / DPI
        self.axes.text(x, y, text, ha=ha, va="center", fontsize=points, fontweight=weight)

    def draw(
        self, x: float, y: float, canvas: np.ndarray, labels: Sequence[str], notes: Sequence[Sequence[str]]
    ) -> None:
        """Draw lines of images with their upper left corner at (x, y), each between label and notes."""
        height, width = canvas.shape[:2]
        self.axes.imshow(canvas, extent=(x, x + width, y + height, y), aspect="auto")
        for i, (label, texts) in enumerate(zip(labels, notes, strict=True)):
            middle = y + (i + 0.5) * height / len(labels)
            self.write(x - self.em / 3, middle, label, ha="right")
            for left, text in zip(self.notes.tolist(), texts, strict=False):
                self.write(x + width + left, middle, text)


def _draw_block(page: _Page, x: float, y: float, grid: _Grid, dim: int, gamma: float, gap: int) -> None:
    """Draw the lines of one latent dimension and gamma, by beta."""
    lines = [line for line in grid.values() if (line.latent_dim, line.gamma) == (dim, gamma)]
    wrong = np.stack([line.wrong for line in lines])
    # nothing counts as corrected where there is no model of gamma = 0 to compare with
    baselines = [grid.get((dim, 0, line.beta)) for line in lines]
    wrong_before = [line.wrong if line else np.zeros_like(wrong[0]) for line in baselines]
    corrected = np.stack(wrong_before) & ~wrong
    heading = f"γ = {gamma:g}: {wrong.sum()} of {wrong.size} wrong"
    page.write(x, y - 0.9 * page.em, heading + (f", {corrected.sum()} corrected" if gamma else ""))
    canvas = _frame(np.stack([line.images for line in lines]), wrong, corrected, gap)
    page.draw(x, y, canvas, [f"β = {line.beta:g}" for line in lines], [line.notes for line in lines])


def beta_sheet(
    inputs: ArrayLike, lines: Sequence[BetaLine], *, title: str = "", note_heads: Sequence[str] = ()
) -> Figure:
    """Draw n inputs as every model of a grid reconstructs them, as the paper's figure 9.

    inputs (n, H, W[, C]) in [0, 1] stand at the head of a column for each latent dimension; below them a
    block for each gamma has one line for each beta, its notes behind, each in its column with its head above.
    A vermilion frame: wrong; green corners: right, but wrong at gamma = 0 with the same latent dimension and
    beta. Any part of a grid will do. Raises ValueError on NaN, unequal shapes or numbers of notes, or a line
    that occurs twice.
    """
    images = _as_rgb("inputs", inputs)
    grid = _check_lines(lines, images.shape, len(note_heads))
    dims, gammas, _ = (sorted(set(values)) for values in zip(*grid, strict=True))
    # a wide page is scaled down to the width of a text, and its frames with it
    gap = 2 + len(dims) * len(images) // 16
    unmarked = np.zeros((1, len(images)), dtype=bool)
    head = _frame(images[None], unmarked, unmarked, gap)
    blocks = Counter((dim, gamma) for dim, gamma, _ in grid)
    n_lines = [max(n for (_, gamma), n in blocks.items() if gamma == g) for g in gammas]
    columns = zip(note_heads, *(line.notes for line in lines), strict=True)
    n_letters = [max(len(part) for text in column for part in text.split("\n")) for column in columns]
    page = _Page(head.shape[0], head.shape[1], len(dims), n_lines, n_letters, title)
    for x, dim in zip(page.xs, dims, strict=True):
        page.write(x, page.start - page.em, f"K = {dim}", size=1.15)
        page.draw(x, page.start, head, ["input"], [note_heads])
    for dim, gamma in blocks:
        x, y = page.xs[dims.index(dim)], page.tops[gammas.index(gamma)]
        _draw_block(page, x, y, grid, dim, gamma, gap)
    first = np.array([[True], [False]])
    examples = _frame(images[[0, 0], None], first, ~first, gap)
    page.draw(page.xs[0], page.tops[-1], examples, ["", ""], [[text] for text in _KEY])
    return page.figure
