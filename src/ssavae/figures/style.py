"""Shared style of the figures: page, colours, axes, legends, image tiles and files."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from colorsys import hls_to_rgb
from pathlib import Path
from threading import Lock

import numpy as np
from matplotlib import patheffects, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from ssavae._checks import check, check_array
from ssavae._serialize import write_atomically
from ssavae.figures.plain_text import PlainTextFigure

RGB = tuple[float, float, float]

WIDTH = 7.0  # inches
DPI = 150
GREY = "#b8b8b8"
# Seven of Okabe and Ito's eight, Tol's indigo and wine, and a violet: their yellow is too pale on white, and
# a darker one is their orange to a deuteranope. tests/figures/test_figures.py simulates colour blindness.
OKABE_ITO = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"]
PALETTE = [*OKABE_ITO, "#332288", "#963CFF", "#882255", "#222222"]
VERMILION = PALETTE[5]
GREEN = PALETTE[2]
MARKERS = "o^sDvP*"
_rc_lock = Lock()  # rc parameters are global: one figure is written at a time


def new_figure(height: float, title: str, width: float = WIDTH) -> Figure:
    """Return a white figure of this size in inches, with constrained layout."""
    figure = PlainTextFigure(figsize=(width, height), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def style_axes(axes: Axes, xlabel: str = "", ylabel: str = "", fontsize: float = 9) -> None:
    """Hide the top and right spines, and write the labels of the axes."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.set_xlabel(xlabel, fontsize=fontsize)
    axes.set_ylabel(ylabel, fontsize=fontsize)


def check_points(name: str, values: ArrayLike) -> np.ndarray:
    """Return points in the plane, (n, 2); ValueError on NaN or another shape."""
    points = check_array(name, values, (2,))
    check(points.shape[1] == 2, f"{name} must have 2 columns, found {points.shape[1]}")
    return points


def class_colors(n_classes: int) -> list[RGB]:
    """Return one colour for each class: a colour-blind safe palette up to ten, beyond it hues all around.

    They are those of the explorer's page.

    Beyond ten, colour alone cannot distinguish the classes: `latent_map` adds markers and class indices.

    >>> len(class_colors(101)), len(set(class_colors(10)))
    (101, 10)
    """
    if n_classes <= len(PALETTE):
        return [to_rgb(color) for color in PALETTE[:n_classes]]
    # as in the explorer's palette.js: a golden angle apart, in three lightnesses
    return [hls_to_rgb(c * 137.508 % 360 / 360, (0.30, 0.42, 0.54)[c % 3], 0.72) for c in range(n_classes)]


def class_markers(n_classes: int) -> str:
    """Return one marker for each class, all discs where colours suffice."""
    markers = MARKERS if n_classes > len(PALETTE) else "o"
    return "".join(markers[c % len(markers)] for c in range(n_classes))


def legend_dots(colors: Sequence[str | RGB], size: float = 5, markers: str = "") -> list[Line2D]:
    """Return legend handles without lines, one for each colour; discs unless markers are given."""
    return [
        Line2D([], [], marker=marker, linestyle="", color=color, markersize=size)
        for marker, color in zip(markers or "o" * len(colors), colors, strict=True)
    ]


def shorten(name: str, length: int = 17) -> str:
    """Return the name, its end replaced by an ellipsis where it is longer than this."""
    return name if len(name) <= length else f"{name[: length - 1]}…"


def write_names(
    axes: Axes, z: np.ndarray, y: NDArray[np.int64], names: Sequence[str], size: float = 7, room: float = 1
) -> bool:
    """Write the name of each class at its median, larger classes first, where there is room.

    z (n, 2), y (n,) with -1 unlabelled; room: that a letter takes of the axes, over that of a letter of 7
    points on a map of its own. Returns whether some were left out.
    """
    labels, counts = np.unique(y[y >= 0], return_counts=True)
    low, high = z.min(axis=0), z.max(axis=0)
    taken: list[tuple[np.ndarray, float]] = []  # positions, and lengths of the texts there
    for c in labels[np.argsort(-counts, kind="stable")]:
        median = np.median(z[y == c], axis=0)
        written = shorten(names[int(c)], 24)
        # in lines and characters, as fractions of the axes
        position = (median - low) / np.maximum(high - low, 1e-12) / [0.018 * room, 0.026 * room]
        length = 0.75 * max(2, len(written))
        if all(_is_apart(position - other, (length + its) / 2) for other, its in taken):
            taken.append((position, length))
            text = axes.text(median[0], median[1], written, fontsize=size, ha="center", va="center", zorder=5)
            text.set_path_effects([patheffects.withStroke(linewidth=2, foreground="white")])
    return len(taken) < len(labels)


def _is_apart(offset: np.ndarray, length: float) -> bool:
    return bool(abs(offset[0]) >= length or abs(offset[1]) >= 1)


def names_note(crowded: bool) -> str:
    """Return the legend text of `write_names`."""
    return "a name stands at the median of its class" + (", where there is room" if crowded else "")


def tile(images: np.ndarray) -> np.ndarray:
    """Join (rows, cols, H, W[, C]) to one image, row 0 on top."""
    rows, cols, height, width = images.shape[:4]
    joined = images.swapaxes(1, 2).reshape(rows * height, cols * width, *images.shape[4:])
    return joined[..., 0] if joined.ndim == 3 and joined.shape[2] == 1 else joined


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write the figure as .png, .svg or .pdf at 150 dpi and return the path; the write is atomic.

    Raises ValueError on another suffix.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    check(suffix in (".png", ".svg", ".pdf"), f"path must end in .png, .svg or .pdf, found {target.name!r}")
    content = io.BytesIO()
    with _rc_lock, rc_context({"pdf.fonttype": 42}):  # TrueType, which journals ask for; read while it draws
        figure.savefig(content, dpi=DPI, format=suffix[1:])
    write_atomically(target, content.getvalue())
    return target
