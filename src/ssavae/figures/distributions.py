"""Distributions of a table's columns: real rows and generated ones, in the columns' units."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ssavae._checks import check
from ssavae.figures.style import GREY, VERMILION, new_figure, shorten, style_axes

MOST_COLUMNS = 30
N_BINS = 25
MOST_WORDS = 8  # categories of a column, the most frequent ones
Columns = Sequence[tuple[str, np.ndarray, np.ndarray]]


def column_distributions(columns: Columns, *, title: str = "") -> Figure:
    """Draw real and generated values of each column: histograms of numbers, shares of categories.

    columns: (name, real values, generated values) each, numbers with NaN or objects with None where a value
    is missing; the first 30 are drawn. The bins span the middle 99 % of the real values. Raises ValueError
    without columns or values.
    """
    check(len(columns) > 0, "columns is empty")
    shown = columns[:MOST_COLUMNS]
    n_cols = min(5, len(shown))
    n_rows = math.ceil(len(shown) / n_cols)
    figure = new_figure(1.35 * n_rows + 0.9, title, width=max(1.9 * n_cols, 3.4))
    grid = figure.subplots(n_rows, n_cols, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.set_visible(False)
    for axes, (name, real, generated) in zip(grid.flat, shown, strict=False):
        check(len(real) > 0 and len(generated) > 0, f"column {name!r} has no values")
        draw = _draw_words if real.dtype == object else _draw_numbers
        draw(axes, real, generated)
        axes.set_title(shorten(name, 28), fontsize=8 if len(name) < 20 else 6.5, pad=2)
    handles = [Patch(color=GREY, label="rows"), Patch(color=VERMILION, label="samples")]
    more = f", the first {MOST_COLUMNS} of {len(columns)} columns" if len(columns) > MOST_COLUMNS else ""
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    figure.supylabel(f"share of rows{more}", fontsize=8)
    return figure


def _draw_numbers(axes: Axes, real: np.ndarray, generated: np.ndarray) -> None:
    finite = real[np.isfinite(real)].astype(float)
    low, high = np.quantile(finite, [0.005, 0.995]) if len(finite) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, N_BINS + 1)
    for values, color, is_filled in ((real, GREY, True), (generated, VERMILION, False)):
        known = values[np.isfinite(values)].astype(float).clip(edges[0], edges[-1])
        weights = np.full(len(known), 1 / max(1, len(values)))
        axes.hist(
            known, edges.tolist(), weights=weights, color=color, histtype="bar" if is_filled else "step"
        )
    axes.xaxis.set_major_locator(MaxNLocator(nbins=3))
    _plain(axes)


def _draw_words(axes: Axes, real: np.ndarray, generated: np.ndarray) -> None:
    words, counts = np.unique([str(word) for word in real], return_counts=True)
    shown = words[np.argsort(-counts, kind="stable")[:MOST_WORDS]]
    at = np.arange(len(shown))
    for values, offset, color in ((real, -0.2, GREY), (generated, 0.2, VERMILION)):
        texts = np.array([str(word) for word in values])
        axes.bar(at + offset, [(texts == word).mean() for word in shown], 0.4, color=color)
    axes.set_xticks(at, [shorten(str(word), 12) for word in shown], rotation=90 if len(shown) > 3 else 0)
    _plain(axes)


def _plain(axes: Axes) -> None:
    style_axes(axes)
    axes.tick_params(labelsize=6.5)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=2))
