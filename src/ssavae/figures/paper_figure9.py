"""Sheets of one database's reconstructions by latent dimension, gamma and beta."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ssavae._checks import check, numbers, same_shape
from ssavae.figures.style import DPI, GREEN, VERMILION, Array, new_figure, tile

# about how high an image gets, in pixels of the file
_TILE = 56
_KEY = "the judge sees another class than the input's", "wrong at γ = 0 with the same β, put right here"


@dataclass(frozen=True)
class BetaLine:
    """One model of `beta_sheet`: its n reconstructions, and what the judge says of them.

    images (n, H, W[, C]) in [0, 1]; wrong (n,), booleans: the judge sees another class than the input's;
    note: a few characters to write behind the line.
    """

    latent_dim: int
    gamma: float
    beta: float
    images: ArrayLike
    wrong: ArrayLike
    note: str = ""


@dataclass(frozen=True)
class _Block:
    """The lines of one latent dimension and gamma, by beta, framed and joined."""

    canvas: Array
    labels: list[str]
    notes: list[str]
    heading: str


_Cells = dict[tuple[int, float, float], tuple[Array, Array, str]]


def _colored(name: str, images: ArrayLike) -> Array:
    """Return images as (n, H, W, 3) in [0, 1]."""
    found = numbers(name, images, (3, 4))
    found = found[..., None] if found.ndim == 3 else found
    check(found.shape[3] in (1, 3), f"{name} must have 1 or 3 channels, found {found.shape[3]}")
    return np.broadcast_to(found, (*found.shape[:3], 3)).clip(0, 1)


def _checked(lines: Sequence[BetaLine], shape: tuple[int, ...]) -> _Cells:
    """Return images, wrong and note by latent dimension, gamma and beta, in that order."""
    cells: _Cells = {}
    for line in lines:
        place = (line.latent_dim, line.gamma, line.beta)
        name = "latent_dim {}, gamma {:g}, beta {:g}".format(*place)
        check(place not in cells, f"{name} occurs twice")
        images, wrong = _colored(f"images of {name}", line.images), np.asarray(line.wrong)
        same_shape(f"images of {name}", images.shape, shape)
        same_shape(f"wrong of {name}", wrong.shape, shape[:1])
        check(wrong.dtype == bool, f"wrong of {name} must hold booleans, found dtype {wrong.dtype}")
        cells[place] = images, wrong, line.note
    check(len(cells) > 0, "lines must hold a line, found none")
    return dict(sorted(cells.items(), key=lambda cell: cell[0]))


def _framed(images: Array, marks: Array, gap: int) -> Array:
    """Join images (lines, n, H, W, 3) to one picture: a full frame round the wrong, corners on the mended.

    marks (2, lines, n): which are wrong, which mended; gap: pixels of white round a frame twice as wide.
    """
    scale, edge = max(1, round(_TILE / images.shape[2])), 3 * gap
    height, width = (scale * side + 2 * edge for side in images.shape[2:4])
    tiles = np.ones((*images.shape[:2], height, width, 3))
    rim = edge - gap // 2
    tiles[:, :, rim:-rim, rim:-rim] = 0.7  # a white image would have no end on a white page
    tiles[:, :, edge:-edge, edge:-edge] = images.repeat(scale, axis=2).repeat(scale, axis=3)
    rows, cols = np.ogrid[:height, :width]
    rows, cols = np.minimum(rows, rows[::-1]), np.minimum(cols, cols[:, ::-1])
    frame = (np.minimum(rows, cols) >= gap) & (np.minimum(rows, cols) < edge)
    corners = frame & (np.maximum(rows, cols) < edge + min(height, width) // 5)
    tiles[marks[0, ..., None, None] & frame] = to_rgb(VERMILION)
    tiles[marks[1, ..., None, None] & corners] = to_rgb(GREEN)
    return tile(tiles)


def _block(cells: _Cells, dim: int, gamma: float, gap: int) -> _Block:
    betas = [beta for *place, beta in cells if place == [dim, gamma]]
    images, wrong = (np.stack([cells[dim, gamma, beta][part] for beta in betas]) for part in (0, 1))
    # what was not run at gamma = 0 is not known to have been put right
    before = [cells[dim, 0, beta][1] if (dim, 0, beta) in cells else False & wrong[0] for beta in betas]
    mended = np.stack(before) & ~wrong
    heading = f"γ = {gamma:g}: {wrong.sum()} of {wrong.size} wrong"
    return _Block(
        _framed(images, np.stack([wrong, mended]), gap),
        [f"β = {beta:g}" for beta in betas],
        [cells[dim, gamma, beta][2] for beta in betas],
        heading + (f", {mended.sum()} put right" if gamma else ""),
    )


class _Page:
    """One axes that counts the page's pixels from its upper left corner, and where things go on it.

    xs: left of each column's images; start: top of the inputs; tops: of each gamma's block, and of the key.
    """

    def __init__(
        self, line: int, width: int, n_columns: int, n_lines: Sequence[int], n_letters: int, title: str
    ) -> None:
        # letters grow with the page, which is shown at the width of a text
        em = self.em = max(18.0, n_columns * width / 72)
        left, note = 6.5 * em, (1.5 + 0.6 * n_letters) * em
        column = left + max(width + note, (20 if n_columns > 1 else 32) * em)
        self.xs, self.start = left + column * np.arange(n_columns), (5 if title else 2.5) * em
        above = 2 * em * np.arange(1, len(n_lines) + 2)
        self.tops = self.start + line + np.cumsum([0, *n_lines]) * line + above
        page_width, height = column * n_columns, self.tops[-1] + 2 * line + em
        self.figure = new_figure(height / DPI, "", width=page_width / DPI)
        self.figure.set_layout_engine("none")
        limits = {"xlim": (0, page_width), "ylim": (height, 0)}
        self.axes = self.figure.add_axes((0, 0, 1, 1), autoscale_on=False, **limits)
        self.axes.set_axis_off()
        self.write(page_width / 2, 1.6 * em, title, ha="center", size=1.3)

    def write(self, x: float, y: float, text: str, *, ha: str = "left", size: float = 1.0) -> None:
        weight, points = "bold" if size > 1 else "normal", size * self.em * 72 / DPI
        self.axes.text(x, y, text, ha=ha, va="center", fontsize=points, fontweight=weight)

    def put(self, x: float, y: float, canvas: Array, labels: Sequence[str], notes: Sequence[str]) -> None:
        """Draw lines of images with their upper left corner there, a label before and a note behind each."""
        height, width = canvas.shape[:2]
        self.axes.imshow(canvas, extent=(x, x + width, y + height, y), aspect="auto")
        for i, (label, note) in enumerate(zip(labels, notes, strict=True)):
            middle = y + (i + 0.5) * height / len(labels)
            self.write(x - self.em / 3, middle, label, ha="right")
            self.write(x + width + self.em / 3, middle, note)


def beta_sheet(
    inputs: ArrayLike, lines: Sequence[BetaLine], *, title: str = "", note_head: str = ""
) -> Figure:
    """Draw n inputs as every model of a grid reconstructs them, as the paper's figure 9.

    inputs (n, H, W[, C]) in [0, 1] stand at the head of a column for each latent dimension; below them a
    block for each gamma has one line for each beta, its note behind. A vermilion frame: wrong; green corners:
    right, but wrong at gamma = 0 with the same latent dimension and beta. `note_head` stands above the notes.
    Any part of a grid will do. Raises ValueError on NaN, unequal shapes, or a line that occurs twice.
    """
    shown = _colored("inputs", inputs)
    cells = _checked(lines, shown.shape)
    dims, gammas, _ = (sorted(set(values)) for values in zip(*cells, strict=True))
    # a wide page is made small to fit a text, and its frames with it
    gap = 2 + len(dims) * len(shown) // 16
    places = sorted({(dim, gamma) for dim, gamma, _ in cells})
    blocks = {(dim, gamma): _block(cells, dim, gamma, gap) for dim, gamma in places}
    first = _framed(shown[None], np.zeros((2, 1, len(shown)), bool), gap)
    n_lines = [max(len(block.labels) for place, block in blocks.items() if place[1] == g) for g in gammas]
    n_letters = max(len(note) for note in [note_head, *(line.note for line in lines)])
    page = _Page(first.shape[0], first.shape[1], len(dims), n_lines, n_letters, title)
    for x, dim in zip(page.xs, dims, strict=True):
        page.write(x, page.start - page.em, f"$K_z$ = {dim}", size=1.15)
        page.put(x, page.start, first, ["input"], [note_head])
    for (dim, gamma), block in blocks.items():
        x, top = page.xs[dims.index(dim)], page.tops[gammas.index(gamma)]
        page.write(x, top - 0.9 * page.em, block.heading)
        page.put(x, top, block.canvas, block.labels, block.notes)
    key = _framed(shown[[0, 0], None], np.eye(2, dtype=bool)[..., None], gap)
    page.put(page.xs[0], page.tops[-1], key, ["", ""], _KEY)
    return page.figure
