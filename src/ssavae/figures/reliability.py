"""How far a classifier's confidence can be believed."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ssavae._checks import check, numbers, same_shape
from ssavae.figures.style import GREY, TEN, new_figure, plain


def reliability_diagram(
    confidence: ArrayLike, accuracy: ArrayLike, n_rows: ArrayLike, *, title: str = ""
) -> Figure:
    """Draw accuracy over confidence, bin by bin, above the share of rows in each bin.

    confidence, accuracy (b,) in [0, 1], n_rows (b,); on the diagonal a confidence is right. Raises ValueError
    on NaN, unequal lengths or values outside [0, 1].
    """
    x, y = numbers("confidence", confidence, (1,)), numbers("accuracy", accuracy, (1,))
    counts = numbers("n_rows", n_rows, (1,))
    for name, values in (("accuracy", y), ("n_rows", counts)):
        same_shape(name, values.shape, x.shape)
    check(min(x.min(), y.min()) >= 0 and max(x.max(), y.max()) <= 1, "confidence and accuracy are in [0, 1]")
    figure = new_figure(4.6, title)
    axes = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes[0].plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 2)))
    axes[0].plot(x, y, color=TEN[0], marker="o", markersize=4, linewidth=1.2)
    axes[0].set_ylabel("share that is right", fontsize=9)
    axes[0].set_ylim(-0.02, 1.02)
    axes[1].vlines(x, 0, counts / counts.sum(), color=TEN[0], linewidth=4)
    axes[1].set_ylabel("share of rows", fontsize=9)
    axes[1].set_ylim(0, 1)
    axes[1].set_xlabel("confidence (largest probability)", fontsize=9)
    low = float(np.floor(10 * x.min()) / 10)
    axes[1].set_xlim(low - 0.02, 1.02)
    for each in axes:
        plain(each)
    return figure
