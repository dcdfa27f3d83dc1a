"""A run over time: its way over the map, its novelty against the limit, and the class that is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from ssavae._checks import Array, check, classes, numbers, same_shape
from ssavae.figures.maps import draw_regions
from ssavae.figures.style import GREY, VERMILION, class_colors, new_figure, plain


def track(
    z: ArrayLike,
    novelty: ArrayLike,
    limit: float,
    alarm: ArrayLike,
    read_as: ArrayLike,
    class_names: Sequence[str],
    *,
    regions: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
    title: str = "",
) -> Figure:
    """Draw one run, row after row.

    z (n, 2): the way over the map, early rows pale; novelty (n,) and its limit; alarm (n,) of bool, shaded;
    read_as (n,), index into `class_names`, -1 without classes. `regions` as in `latent_map`. Raises
    ValueError on NaN or wrong shapes.
    """
    path, strange = numbers("z", z, (2,)), numbers("novelty", novelty, (1,))
    check(path.shape[1] == 2, f"z must have 2 columns, found {path.shape[1]}")
    same_shape("novelty", strange.shape, (len(path),))
    raised, names = np.asarray(alarm, dtype=bool), [str(name) for name in class_names]
    same_shape("alarm", raised.shape, (len(path),))
    labels = classes("read_as", read_as, len(path), len(names)) if names else np.full(len(path), -1)
    figure = new_figure(4.2, title, width=10.0)
    parts = figure.subplot_mosaic([["way", "novelty"], ["way", "class"]], width_ratios=[1.0, 1.3])
    _draw_way(parts["way"], path, raised, regions, len(names))
    _draw_novelty(parts["novelty"], strange, limit, raised)
    _draw_classes(parts["class"], labels, names)
    parts["class"].sharex(parts["novelty"])
    for axes in parts.values():
        plain(axes)
    return figure


def _draw_way(
    axes: Axes,
    z: Array,
    raised: Array,
    regions: tuple[ArrayLike, ArrayLike, ArrayLike] | None,
    n_classes: int,
) -> None:
    if regions is not None:
        draw_regions(axes, regions, class_colors(n_classes))
    axes.plot(z[:, 0], z[:, 1], color=GREY, linewidth=0.5, zorder=1)
    colors = np.array([to_rgba("#202020"), to_rgba(VERMILION)])[raised.astype(int)]
    colors[:, 3] = np.linspace(0.25, 1.0, len(z))
    axes.scatter(z[:, 0], z[:, 1], s=9, c=colors, linewidths=0, zorder=2)
    axes.annotate("start", z[0], (4, 4), textcoords="offset points", fontsize=8, zorder=3)
    axes.annotate("end", z[-1], (4, 4), textcoords="offset points", fontsize=8, zorder=3)
    axes.set_xlabel("$z_1$", fontsize=9)
    axes.set_ylabel("$z_2$", fontsize=9)


def _draw_novelty(axes: Axes, novelty: Array, limit: float, raised: Array) -> None:
    rows = np.arange(len(novelty))
    axes.plot(rows, novelty, color="#202020", linewidth=0.8)
    axes.axhline(limit, color=VERMILION, linewidth=0.8, linestyle="--")
    low, high = axes.get_ylim()
    shaded = axes.fill_between(
        rows, low, high, where=raised.tolist(), color=VERMILION, alpha=0.15, linewidth=0
    )
    axes.set_ylim(low, high)
    key: dict[str, Any] = {"fontsize": 8, "frameon": False, "ncols": 2, "borderaxespad": 0.2}
    axes.legend(
        [axes.lines[1], shaded], ["limit", "alarm"], loc="lower right", bbox_to_anchor=(1.0, 1.0), **key
    )
    axes.set_ylabel("novelty", fontsize=9)
    axes.tick_params(labelbottom=False)


def _draw_classes(axes: Axes, labels: Array, names: Sequence[str]) -> None:
    seen = np.unique(labels[labels >= 0])
    for place, c in enumerate(seen):
        rows = np.flatnonzero(labels == c)
        axes.scatter(rows, np.full(len(rows), place), s=8, color=class_colors(len(names))[c], linewidths=0)
    axes.set_yticks(np.arange(len(seen)), [names[int(c)] for c in seen], fontsize=8 if len(seen) < 12 else 5)
    axes.set_ylim(-0.6, max(len(seen), 1) - 0.4)
    axes.set_xlabel("row", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
