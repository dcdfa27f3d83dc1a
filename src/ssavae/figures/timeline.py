"""Timeline of one run: its path over the map, its novelty and its predicted class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from ssavae._checks import check_array, check_labels, check_shape
from ssavae.figures.maps import Raster, draw_regions
from ssavae.figures.style import GREY, VERMILION, check_points, class_colors, new_figure, style_axes

BLACK = "#202020"


def track(
    z: ArrayLike,
    novelty: ArrayLike,
    limit: float,
    alarm: ArrayLike,
    y_pred: ArrayLike,
    class_names: Sequence[str],
    *,
    regions: Raster | None = None,
    title: str = "",
) -> Figure:
    """Draw one run in time order.

    z (n, 2): the path over the map, early rows pale; novelty (n,) and its limit; alarm (n,) of bool, shaded;
    y_pred (n,), index into `class_names`, -1 without classes. `regions` as in `latent_map`. Raises
    ValueError on NaN or wrong shapes.
    """
    path = check_points("z", z)
    scores = check_array("novelty", novelty, (1,))
    check_shape("novelty", scores.shape, (len(path),))
    is_alarm = np.asarray(alarm, dtype=bool)
    check_shape("alarm", is_alarm.shape, (len(path),))
    names = [str(name) for name in class_names]
    labels = check_labels("y_pred", y_pred, len(path), len(names)) if names else np.full(len(path), -1)
    figure = new_figure(4.2, title, width=10.0)
    axes = figure.subplot_mosaic([["path", "novelty"], ["path", "class"]], width_ratios=[1.0, 1.3])
    if regions is not None:
        draw_regions(axes["path"], regions, class_colors(len(names)))
    _draw_path(axes["path"], path, is_alarm)
    _draw_novelty(axes["novelty"], scores, limit, is_alarm)
    _draw_classes(axes["class"], labels, names)
    axes["class"].sharex(axes["novelty"])
    return figure


def _draw_path(axes: Axes, z: np.ndarray, is_alarm: np.ndarray) -> None:
    axes.plot(z[:, 0], z[:, 1], color=GREY, linewidth=0.5, zorder=1)
    colors = np.where(is_alarm[:, None], to_rgba(VERMILION), to_rgba(BLACK))
    colors[:, 3] = np.linspace(0.25, 1.0, len(z))
    axes.scatter(z[:, 0], z[:, 1], s=9, c=colors, linewidths=0, zorder=2)
    for text, point in (("start", z[0]), ("end", z[-1])):
        axes.annotate(text, point, (4, 4), textcoords="offset points", fontsize=8, zorder=3)
    style_axes(axes, "z₁", "z₂")


def _draw_novelty(axes: Axes, novelty: np.ndarray, limit: float, is_alarm: np.ndarray) -> None:
    rows = np.arange(len(novelty))
    axes.plot(rows, novelty, color=BLACK, linewidth=0.8)
    axes.axhline(limit, color=VERMILION, linewidth=0.8, linestyle="--", label="limit")
    low, high = axes.get_ylim()
    alarm = axes.fill_between(rows, low, high, where=is_alarm.tolist(), color=VERMILION, label="alarm")
    alarm.set(alpha=0.15, linewidth=0)
    axes.set_ylim(low, high)
    legend = axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=8, borderaxespad=0.2)
    legend.set_frame_on(False)
    style_axes(axes, ylabel="novelty")
    axes.tick_params(labelbottom=False)


def _draw_classes(axes: Axes, labels: np.ndarray, names: Sequence[str]) -> None:
    present = np.unique(labels[labels >= 0])
    colors = class_colors(len(names))
    for height, c in enumerate(present):
        rows = np.flatnonzero(labels == c)
        axes.scatter(rows, np.full(len(rows), height), s=8, color=colors[c], linewidths=0)
    style_axes(axes, xlabel="row")
    axes.set_yticks(np.arange(len(present)), [names[int(c)] for c in present])
    axes.tick_params("y", labelsize=8 if len(present) < 12 else 5)
    axes.set_ylim(-0.6, max(len(present), 1) - 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
