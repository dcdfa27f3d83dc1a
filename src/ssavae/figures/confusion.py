"""Confusion matrix: the classes of rows against those predicted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ssavae._checks import check, check_array, check_shape
from ssavae.figures.style import WIDTH, new_figure, shorten

MOST_WRITTEN = 22  # classes whose numbers can be read in their cells


def confusion_matrix(counts: ArrayLike, class_names: Sequence[str], *, title: str = "") -> Figure:
    """Draw how many rows of each class are predicted as each class, shaded by their share of the class.

    counts (c, c): true class by row, predicted class by column; a class without rows stays white. Numbers are
    written in the cells up to 22 classes. Raises ValueError on NaN, negative counts or another shape.
    """
    numbers = check_array("counts", counts, (2,))
    n = len(class_names)
    check_shape("counts", numbers.shape, (n, n))
    check(n > 0 and numbers.min() >= 0, f"counts must not be negative, found {numbers.min():g}")
    shares = numbers / np.maximum(numbers.sum(axis=1, keepdims=True), 1)
    size = float(np.clip(1.9 + 0.36 * n, 4.0, WIDTH + 2))
    figure = new_figure(size, title, width=max(size, 5.0))
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    _name_axes(axes, [shorten(str(name), 40) for name in class_names])
    if n <= MOST_WRITTEN:
        _write_numbers(axes, numbers, shares)
    bar = figure.colorbar(image, ax=axes, shrink=0.6)
    bar.set_label("share of the class", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def _name_axes(axes: Axes, names: Sequence[str]) -> None:
    size = 8 if len(names) <= MOST_WRITTEN else 5
    is_long = max(map(len, names)) > 3
    axes.set_xticks(range(len(names)), names, fontsize=size, rotation=90 if is_long else 0)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.set_xlabel("predicted", fontsize=9)
    axes.set_ylabel("class", fontsize=9)


def _write_numbers(axes: Axes, numbers: np.ndarray, shares: np.ndarray) -> None:
    for (row, column), number in np.ndenumerate(numbers):
        color = "white" if shares[row, column] > 0.5 else "#444444"
        if number:
            axes.text(column, row, f"{number:,.0f}", ha="center", va="center", fontsize=7, color=color)
