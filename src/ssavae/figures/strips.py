"""Strips of decoded rows: each line one walk through the codes, each column one step."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from ssavae._checks import check, check_array
from ssavae.figures.reconstructions import Kind, show_image, write_left
from ssavae.figures.style import PALETTE, new_figure, shorten, style_axes, tile

MOST_COLUMNS = 20  # of a table: those that change most
PANELS = 4  # of a table beside one another
STRONGEST = 3.0  # standard deviations, where the colours of a table end


def strips(
    rows: ArrayLike,
    line_names: Sequence[str],
    step_names: Sequence[str],
    *,
    kind: Kind = "image",
    columns: Sequence[str] = (),
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
) -> Figure:
    """Draw lines of decoded rows, step by step: interpolations between rows, or walks along one dimension.

    kind "image": rows (lines, steps, H, W[, C]) in [0, 1]; "signal": (lines, steps, T), as curves with the
    labels of their axes; "table": (lines, steps, d), standardised, as colours, at most the 20 columns that
    change most. Raises ValueError on NaN, wrong shapes, or names of another number.
    """
    array = check_array("rows", rows, (4, 5) if kind == "image" else (3,))
    n_lines, n_steps = array.shape[:2]
    check(len(line_names) == n_lines, f"line_names must have {n_lines} entries, found {len(line_names)}")
    check(len(step_names) == n_steps, f"step_names must have {n_steps} entries, found {len(step_names)}")
    if kind == "image":
        return _image_strips(array, line_names, step_names, title)
    if kind == "signal":
        return _signal_strips(array, line_names, step_names, (xlabel, ylabel), title)
    names = [str(name) for name in columns] or [f"column {i}" for i in range(array.shape[2])]
    check(len(names) == array.shape[2], f"columns must have {array.shape[2]} entries, found {len(names)}")
    return _table_strips(array, line_names, step_names, names, title)


def _image_strips(
    rows: np.ndarray, line_names: Sequence[str], step_names: Sequence[str], title: str
) -> Figure:
    n_lines, n_steps, height, width = rows.shape[:4]
    side = 6.0 / n_steps
    # high enough for the images to fill the width: else names would be cut at the left
    figure = new_figure((side * height / width + 0.12) * n_lines + 0.75, title)
    grid = figure.subplots(n_lines, 1, squeeze=False)[:, 0]
    for axes, line, name in zip(grid, rows, line_names, strict=True):
        axes.set_axis_off()
        show_strip(axes, line, step_names if axes is grid[0] else ())
        write_left(axes, name)
    return figure


def show_strip(axes: Axes, images: np.ndarray, names: Sequence[str]) -> None:
    """Draw images (n, H, W[, C]) in [0, 1] in a line, with gaps, and names above them."""
    width = images.shape[2]
    gap = max(1, width // 14)
    edges = [(0, 0)] * 2 + [(0, gap)] + [(0, 0)] * (images.ndim - 3)
    show_image(axes, tile(np.pad(images, edges, constant_values=1.0)[None]))
    for step, name in enumerate(names):
        middle = step * (width + gap) + width / 2 - 0.5
        text = axes.annotate(name, (middle, -0.5), (0, 3), textcoords="offset points", fontsize=7)
        text.set(ha="center", va="bottom")


def _signal_strips(
    rows: np.ndarray,
    line_names: Sequence[str],
    step_names: Sequence[str],
    labels: tuple[str, str],
    title: str,
) -> Figure:
    n_lines, n_steps, length = rows.shape
    figure = new_figure(0.95 * n_lines + 0.8, title, width=max(7.0, 1.0 * n_steps + 1.0))
    grid = figure.subplots(n_lines, n_steps, squeeze=False, sharex=True, sharey="row")
    for cells, line, name in zip(grid, rows, line_names, strict=True):
        for axes, row in zip(cells, line, strict=True):
            axes.plot(row, color=PALETTE[0], linewidth=0.6)
            axes.set_xticks([0, length - 1], ["0", f"{length - 1:,}"])
            axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
            style_axes(axes)
            axes.tick_params(labelsize=6)
        write_left(cells[0], name, gap=26)
    for axes, name in zip(grid[0], step_names, strict=True):
        axes.set_title(name, fontsize=7, pad=3)
    figure.supxlabel(labels[0], fontsize=8)
    figure.supylabel(labels[1], fontsize=8)
    return figure


def _table_strips(
    rows: np.ndarray, line_names: Sequence[str], step_names: Sequence[str], names: Sequence[str], title: str
) -> Figure:
    n_lines = len(rows)
    change = np.ptp(rows, axis=1).max(axis=0)
    shown = sorted(np.argsort(-change, kind="stable")[:MOST_COLUMNS].tolist())
    n_down = math.ceil(n_lines / PANELS)
    n_across = math.ceil(n_lines / n_down)
    figure = new_figure((0.14 * len(shown) + 0.8) * n_down + 0.8, title, width=max(7.0, 2.0 * n_across + 1.5))
    grid = figure.subplots(n_down, n_across, squeeze=False, sharey=True)
    labels = [shorten(name, 30) for i, name in enumerate(names) if i in shown]
    image = None
    for axes, line, name in zip(grid.flat, rows, line_names, strict=False):
        image = axes.imshow(
            line[:, shown].T, cmap="RdBu_r", vmin=-STRONGEST, vmax=STRONGEST, aspect="auto", rasterized=True
        )
        axes.set_title(shorten(name, 34), fontsize=8, pad=3)
        axes.set_xticks(range(len(step_names)), step_names, fontsize=6, rotation=90)
        axes.set_yticks(range(len(shown)), labels, fontsize=7)
    for axes in grid.flat[n_lines:]:
        axes.set_visible(False)
    _color_bar(figure, grid, image, more=len(names) - len(shown))
    return figure


def _color_bar(figure: Figure, grid: np.ndarray, image: object, more: int) -> None:
    bar = figure.colorbar(image, ax=list(grid.flat), shrink=0.8, extend="both", aspect=30)  # pyright: ignore[reportArgumentType]
    bar.ax.tick_params(labelsize=7)
    bar.set_label("standard deviations from the mean of the training rows", fontsize=7)
    if more:
        figure.supxlabel(f"the {MOST_COLUMNS} columns that change most; {more} more", fontsize=8)
