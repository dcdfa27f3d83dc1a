"""The sheet that pictures are drawn on: figure, palette, tiles, file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ssavae._checks import check

Array = NDArray[Any]

WIDTH, DPI = 7.0, 150
GREY = "#b8b8b8"
# Seven of Okabe and Ito's eight, Tol's indigo and wine, and a violet: their yellow is too pale on white, and
# a darker one is their orange to a deuteranope. tests/test_figures.py simulates who sees fewer colours.
TEN = [
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#332288",
    "#963CFF",
    "#882255",
    "#222222",
]
MARKERS = "o^sDvP*"
VERMILION, GREEN = TEN[5], TEN[2]


def new_figure(height: float, title: str, width: float = WIDTH) -> Figure:
    """Return a white figure in inches that lays out its axes itself."""
    figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def plain(axes: Axes) -> None:
    """Take away what the axes need not show."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def class_colors(n_classes: int) -> list[tuple[float, float, float]]:
    """Return one colour a class: a colour-blind safe set up to ten, evenly spaced hues beyond.

    Beyond ten, colour alone tells no class apart: `latent_map` adds markers and the class's index.

    >>> len(class_colors(101)), len(set(class_colors(10)))
    (101, 10)
    """
    if n_classes <= len(TEN):
        return [to_rgb(color) for color in TEN[:n_classes]]
    spread = np.asarray(colormaps["turbo"](np.linspace(0.03, 0.97, n_classes)))[:, :3]
    # the middle of the map is too light to be seen on white
    dark = spread * np.minimum(1, 0.55 / (spread @ [0.21, 0.72, 0.07]))[:, None]
    return [to_rgb(color) for color in dark]


def class_markers(n_classes: int) -> str:
    """Return one marker a class, discs alone where colours are enough."""
    markers = MARKERS if n_classes > len(TEN) else "o"
    return "".join(markers[c % len(markers)] for c in range(n_classes))


def write_index(axes: Axes, place: Array, c: int, size: float = 7) -> None:
    """Write the class's index there, on a white rim."""
    text = axes.text(place[0], place[1], str(c), fontsize=size, ha="center", va="center", zorder=5)
    text.set_path_effects([patheffects.withStroke(linewidth=2, foreground="white")])


def write_apart(axes: Axes, z: Array, y: NDArray[np.int64], size: float = 7) -> bool:
    """Write the classes' indices at their medians, larger classes first; return whether some had no room.

    z (n, 2), y (n,) with -1 unlabelled.
    """
    found, counts = np.unique(y[y >= 0], return_counts=True)
    low, high = z.min(axis=0), z.max(axis=0)
    # the size of an index in shares of the axes
    room = np.array([0.036, 0.026])
    written: list[Array] = []
    for c in found[np.argsort(-counts, kind="stable")]:
        middle = np.median(z[y == c], axis=0)
        place = (middle - low) / np.maximum(high - low, 1e-12) / room
        if all(np.abs(place - other).max() >= 1 for other in written):
            written.append(place)
            write_index(axes, middle, c, size)
    return len(written) < len(found)


def tile(images: Array) -> Array:
    """Join (rows, cols, H, W[, C]) to one picture, row 0 on top."""
    rows, cols, height, width = images.shape[:4]
    joined = images.swapaxes(1, 2).reshape(rows * height, cols * width, *images.shape[4:])
    return joined[..., 0] if joined.ndim == 3 and joined.shape[2] == 1 else joined


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write the figure as .png, .svg or .pdf at 150 dpi, to a temporary name that is then renamed.

    Returns the path. Raises ValueError on another suffix; the folder must exist.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    check(suffix in (".png", ".svg", ".pdf"), f"path must end in .png, .svg or .pdf, found {target.name!r}")
    partial = target.with_name(f".{target.stem}.{os.getpid()}.partial{suffix}")
    try:
        figure.savefig(partial, dpi=DPI, format=suffix[1:])
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return target
