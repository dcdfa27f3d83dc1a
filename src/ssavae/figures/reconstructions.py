"""Rows of a data set: inputs with their reconstructions, and samples by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import wrap
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from ssavae._checks import check, check_array, check_labels
from ssavae.figures.style import RGB, VERMILION, class_colors, new_figure, shorten, style_axes, tile

Kind = Literal["image", "table", "signal"]
MAX_COLUMN_NAMES = 60  # more cannot be read under one axis


def write_left(axes: Axes, name: str, height: float = 0.5, gap: float = 4, rotation: int = 0) -> None:
    """Write the name to the left of the axes, at this fraction of their height."""
    text = axes.annotate(_broken(name), (0, height), (-gap, 0), "axes fraction", "offset points", fontsize=8)
    text.set(rotation=rotation, ha="right", va="center")


def _broken(name: str) -> str:
    r"""Return a name in lines of 17 characters, at most three.

    >>> _broken("a class with a long name")
    'a class with a\nlong name'
    """
    lines = wrap(name, 17)
    return "\n".join(lines if len(lines) <= 3 else [*lines[:2], shorten(" ".join(lines[2:]))])


def show_image(axes: Axes, image: np.ndarray) -> None:
    """Draw an image (H, W[, 3]) in [0, 1] at the right end of its axes."""
    axes.imshow(image.clip(0, 1), cmap="gray", vmin=0, vmax=1)
    axes.set_anchor("E")


def _hidden_axes(figure: Figure, n_rows: int, n_cols: int) -> np.ndarray:
    """Return a grid of axes, (n_rows, n_cols), without frames, ticks and labels."""
    grid = figure.subplots(n_rows, n_cols, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    return grid


def _image_pairs(x: np.ndarray, x_rec: np.ndarray, labels: Sequence[str], title: str) -> Figure:
    n_cols = min(len(x), 10)
    n_rows = math.ceil(len(x) / n_cols)
    aspect = 2 * x.shape[1] / x.shape[2]
    figure = new_figure((0.66 * aspect + 0.15) * n_rows + 0.3, title, width=max(0.68 * n_cols + 0.2, 3.0))
    grid = _hidden_axes(figure, n_rows, n_cols)
    gap = np.ones((max(1, x.shape[1] // 20), *x.shape[2:]))
    for axes, real, rec, label in zip(grid.flat, x, x_rec, labels, strict=False):
        show_image(axes, tile(np.concatenate([real, gap, rec])[None, None]))
        axes.set_title(label, fontsize=8, pad=2)
    for axes in grid[:, 0]:
        write_left(axes, "input", 0.75, rotation=90)
        write_left(axes, "output", 0.25, rotation=90)
    return figure


def _line_pairs(
    x: np.ndarray,
    x_rec: np.ndarray,
    labels: Sequence[str],
    title: str,
    kind: Kind,
    columns: Sequence[str],
    axis_labels: tuple[str, str],
) -> Figure:
    n_rows = min(len(x), 6)
    figure = new_figure(1.15 * n_rows + 0.7, title)
    grid = figure.subplots(n_rows, 1, sharex=True, squeeze=False)[:, 0]
    formats = ("o", "x") if kind == "table" else ("-", "-")
    for axes, real, rec, label in zip(grid, x, x_rec, labels, strict=False):
        axes.plot(real, formats[0], color="#777777", markersize=4, linewidth=0.9)
        axes.plot(rec, formats[1], color=VERMILION, markersize=4, linewidth=0.9)
        axes.set_title(label, fontsize=8, loc="left", pad=2)
        style_axes(axes)
    if 0 < len(columns) <= MAX_COLUMN_NAMES:
        grid[-1].set_xticks(np.arange(len(columns)), columns, rotation=90, fontsize=7)
    else:
        grid[-1].set_xlabel(axis_labels[0] or ("column" if kind == "table" else "sample"), fontsize=9)
        grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.supylabel(axis_labels[1], fontsize=9)
    figure.legend(
        grid[0].lines, ["input", "output"], loc="outside upper right", ncols=2, fontsize=9, frameon=False
    )
    return figure


def reconstructions(
    x: ArrayLike,
    x_rec: ArrayLike,
    labels: Sequence[str] | None = None,
    *,
    kind: Kind = "image",
    columns: Sequence[str] = (),
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
) -> Figure:
    """Draw inputs beside their reconstructions.

    kind "image": x (n, H, W[, C]) in [0, 1], each input above its output, ten pairs a row; "table": x (n, d)
    and "signal": x (n, T), both drawn over each other for the first six rows, with the labels of their axes.
    labels: one text a row; columns: a table's names, written where there are no more than 60. Raises
    ValueError on NaN, unequal shapes, or a kind that the shape does not fit.
    """
    real = _check_rows("x", x, kind)
    rec = _check_rows("x_rec", x_rec, kind)
    check(real.shape == rec.shape, f"x_rec must have the shape {real.shape} of x, found {rec.shape}")
    texts = [""] * len(real) if labels is None else [str(label) for label in labels]
    check(len(texts) == len(real), f"labels must have {len(real)} entries, found {len(texts)}")
    if kind == "image":
        return _image_pairs(real, rec, texts, title)
    return _line_pairs(real, rec, texts, title, kind, columns, (xlabel, ylabel))


def _check_rows(name: str, values: ArrayLike, kind: Kind) -> np.ndarray:
    check(kind in ("image", "table", "signal"), f"kind must be image, table or signal, found {kind!r}")
    return check_array(name, values, (3, 4) if kind == "image" else (2,))


def _image_strip(axes: Axes, rows: np.ndarray, n_cols: int) -> None:
    blank = np.ones((n_cols - len(rows), *rows.shape[1:]))
    show_image(axes, tile(np.concatenate([rows, blank])[None]))


def _line_strip(axes: Axes, rows: np.ndarray, n_cols: int, color: RGB) -> None:
    axes.set_axis_on()
    width = rows.shape[1]
    for i, line in enumerate(rows):
        axes.plot(np.arange(width) + 1.1 * width * i, line, color=color, linewidth=0.6)
    axes.set_xlim(-0.05 * width, 1.1 * width * n_cols)
    axes.set_xticks([0, width - 1], ["0", f"{width - 1:,}"], fontsize=6)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
    style_axes(axes)
    axes.spines["bottom"].set_bounds(0, width - 1)


def class_samples(
    x: ArrayLike,
    y: ArrayLike,
    class_names: Sequence[str],
    *,
    kind: Kind = "image",
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
) -> Figure:
    """Draw up to ten rows of each class that occurs, one line for each class.

    x as in `reconstructions`; y (n,), index into `class_names`; rows with -1 are left out. Tables and signals
    are drawn as curves side by side, all on one scale, with the labels of their axes. Beyond 34 classes there
    are two or three columns of classes, with eight or five rows each. Raises ValueError on NaN, wrong shapes
    or no labelled row.
    """
    rows = _check_rows("x", x, kind)
    names = [str(name) for name in class_names]
    labels = check_labels("y", y, len(rows), len(names))
    present = np.unique(labels[labels >= 0])
    check(len(present) > 0, f"y must have a labelled row, found none in {len(labels)}")
    n_blocks = min(3, math.ceil(len(present) / 34))
    n_lines = math.ceil(len(present) / n_blocks)
    n_cols = (10, 8, 5)[n_blocks - 1]
    aspect = rows.shape[1] / rows.shape[2] if kind == "image" else 1.4
    figure = new_figure((7.0 / n_blocks - 0.5) / n_cols * aspect * n_lines * 1.05 + 0.4, title)
    grid = _hidden_axes(figure, n_lines, n_blocks)
    for axes, c in zip(grid.T.flat, present, strict=False):
        samples = rows[labels == c][:n_cols]
        if kind == "image":
            _image_strip(axes, samples, n_cols)
        else:
            _line_strip(axes, samples, n_cols, class_colors(len(names))[c])
        write_left(axes, names[c], gap=4 if kind == "image" else 34)
    if kind != "image":
        drawn = rows[labels >= 0]
        low, high = _limits(drawn)
        for axes in grid.flat[: len(present)]:
            axes.set_ylim(low, high)
        along = xlabel or ("sample" if kind == "signal" else "column")
        figure.supxlabel(f"{along}; samples side by side", fontsize=8)
        figure.supylabel(ylabel, fontsize=8)
    return figure


def _limits(rows: np.ndarray) -> tuple[float, float]:
    """Return the ends of an axis that holds every value: a single impact must not be cut."""
    low, high = rows.min(), rows.max()
    margin = 0.05 * (high - low) or 0.5
    return float(low - margin), float(high + margin)


def image_sheet(images: ArrayLike, column_names: Sequence[str] = (), *, title: str = "") -> Figure:
    """Draw images in lines and columns, the first column apart: rows beside what was made of each.

    images (lines, columns, H, W[, C]) in [0, 1], two columns or more; names stand above the columns. Raises
    ValueError on NaN, wrong shapes, or names of another number.
    """
    tiles = check_array("images", images, (4, 5))
    n_lines, n_columns, height, width = tiles.shape[:4]
    check(n_columns > 1, f"images must have 2 columns or more, found {n_columns}")
    names = [str(name) for name in column_names]
    check(len(names) in (0, n_columns), f"column_names must have {n_columns} entries, found {len(names)}")
    sides = (7.0 / (n_columns + 0.5), 7.0 / (n_columns + 0.5) * height / width)
    figure = new_figure(sides[1] * n_lines + (0.8 if names else 0.5), title)
    grid = figure.subplots(1, 2, width_ratios=[1, n_columns - 1], squeeze=False)[0]
    for axes, part, labels in zip(grid, (tiles[:, :1], tiles[:, 1:]), (names[:1], names[1:]), strict=True):
        show_image(axes, tile(part))
        axes.set_yticks([])
        axes.set_xticks(
            [(i + 0.5) * width - 0.5 for i in range(len(labels))], map(shorten, labels), fontsize=8
        )
        axes.tick_params(top=False, bottom=False, labeltop=True, labelbottom=False, pad=2)
    return figure
