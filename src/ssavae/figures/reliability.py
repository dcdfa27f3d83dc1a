"""Reliability diagram: accuracy against confidence."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ssavae._checks import check, check_array, check_shape
from ssavae.figures.style import GREY, PALETTE, new_figure, style_axes


def wilson_interval(share: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % interval of a share of n rows, (b,) each (Wilson 1927).

    >>> low, high = wilson_interval(np.array([0.5]), np.array([100.0]))
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.404], [0.596])
    """
    z = 1.96
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return middle - half, middle + half


def reliability_diagram(
    confidence: ArrayLike, accuracy: ArrayLike, n_rows: ArrayLike, *, title: str = ""
) -> Figure:
    """Draw accuracy over confidence with 95 % intervals, bin by bin, above the fraction of rows in each bin.

    confidence, accuracy (b,) in [0, 1], n_rows (b,); a calibrated model lies on the diagonal. Raises
    ValueError on NaN, unequal lengths or values outside [0, 1].
    """
    x = check_array("confidence", confidence, (1,))
    y = check_array("accuracy", accuracy, (1,))
    counts = check_array("n_rows", n_rows, (1,))
    check_shape("accuracy", y.shape, x.shape)
    check_shape("n_rows", counts.shape, x.shape)
    check(min(x.min(), y.min()) >= 0 and max(x.max(), y.max()) <= 1, "confidence and accuracy are in [0, 1]")
    figure = new_figure(4.6, title)
    curve, bars = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    curve.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 2)))
    low, high = wilson_interval(y, counts)
    curve.vlines(x, low, high, color=PALETTE[0], linewidth=1, alpha=0.6)
    curve.plot(x, y, color=PALETTE[0], marker="o", markersize=4, linewidth=1.2)
    curve.set_ylim(-0.02, 1.02)
    style_axes(curve, ylabel="accuracy, 95 % interval")
    bars.vlines(x, 0, counts / counts.sum(), color=PALETTE[0], linewidth=4)
    bars.set_ylim(0, 1)
    bars.set_xlim(np.floor(10 * x.min()) / 10 - 0.02, 1.02)
    style_axes(bars, "confidence (largest probability)", "fraction of rows")
    return figure
