"""Maps of several databases on one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import offset_copy
from numpy.typing import ArrayLike, NDArray

from ssavae._checks import check, classes, numbers
from ssavae.figures.style import GREY, TEN, Array, class_colors, class_markers, new_figure, plain, write_apart

_N_TRAIN, _N_TEST = 5000, 2500
_PANEL = (5.0, 4.7)


@dataclass(frozen=True)
class MapPanel:
    """One database of `map_panels`: codes (n, 2) with class indices (n,), -1 unlabelled, and what to say."""

    name: str
    z_train: ArrayLike
    y_train: ArrayLike
    z_test: ArrayLike
    y_test: ArrayLike
    class_names: Sequence[str]
    notes: str = ""


def _codes(panel: MapPanel, part: str, n_max: int) -> tuple[Array, NDArray[np.int64], bool]:
    """Return codes and classes in random order, since what is drawn last hides the rest."""
    z = numbers(f"{panel.name}: z_{part}", getattr(panel, f"z_{part}"), (2,))
    check(z.shape[1] == 2, f"{panel.name}: z_{part} must have 2 columns, found {z.shape[1]}")
    y = classes(f"{panel.name}: y_{part}", getattr(panel, f"y_{part}"), len(z), len(panel.class_names))
    order = np.random.default_rng(0).permutation(len(z))[:n_max]
    return z[order], np.maximum(y[order], -1), len(z) > n_max


def _scatter(axes: Axes, z: Array, y: NDArray[np.int64], n_classes: int, *, pale: bool) -> None:
    palette = np.array([*class_colors(n_classes), (0.72, 0.72, 0.72)])  # -1 is the last
    colors = 0.35 * palette + 0.65 if pale else palette
    edge: dict[str, Any] = {"linewidths": 0} if pale else {"linewidths": 0.3, "edgecolors": "#202020"}
    size = 6 if pale else 8 if n_classes <= len(TEN) else 11
    markers = np.array([*class_markers(n_classes), "o"])
    for marker in np.unique(markers[y]):
        rows = markers[y] == marker
        style = edge | {"s": size, "zorder": 1 if pale else 2, "rasterized": True}
        axes.scatter(z[rows, 0], z[rows, 1], c=colors[y[rows]], marker=marker, **style)


def _name_classes(figure: Figure, axes: Axes, panel: MapPanel, n_lines: int) -> None:
    colors = class_colors(len(panel.class_names))
    dots = [Line2D([], [], marker="o", linestyle="", color=color, markersize=5) for color in colors]
    place = offset_copy(axes.transAxes, figure, x=0, y=-0.36 - 0.14 * n_lines, units="inches")
    style: dict[str, Any] = {"fontsize": 8, "frameon": False, "handletextpad": 0.1, "columnspacing": 0.9}
    names = [str(name) for name in panel.class_names]
    n_cols = max(1, min(len(names), 72 // (max(map(len, names), default=0) + 3)))
    axes.legend(
        dots, names, loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=place, ncols=n_cols, **style
    )


def _draw_panel(figure: Figure, axes: Axes, panel: MapPanel) -> tuple[bool, bool]:
    """Return whether points, and whether indices, were left out."""
    z_train, y_train, train_thinned = _codes(panel, "train", _N_TRAIN)
    z_test, y_test, test_thinned = _codes(panel, "test", _N_TEST)
    n_classes, crowded = len(panel.class_names), False
    _scatter(axes, z_train, y_train, n_classes, pale=True)
    _scatter(axes, z_test, y_test, n_classes, pale=False)
    axes.set_title(panel.name, fontsize=11)
    axes.set_xlabel("\n".join(["$z_1$", panel.notes]), fontsize=8.5)
    axes.set_ylabel("$z_2$", fontsize=8.5)
    plain(axes)
    if n_classes > len(TEN):
        z, y = np.concatenate([z_train, z_test]), np.concatenate([y_train, y_test])
        crowded = write_apart(axes, z, y, size=6.5)
    else:
        _name_classes(figure, axes, panel, 1 + panel.notes.count("\n"))
    return train_thinned or test_thinned, crowded


def _panel_key(figure: Figure, n_cols: int, *, thinned: bool, indices: bool, crowded: bool) -> None:
    dots = [
        Line2D([], [], marker="o", linestyle="", color=GREY, markersize=3.5),
        Line2D([], [], marker="o", linestyle="", color="#606060", markeredgecolor="#202020", markersize=4.5),
    ]
    texts = ["pale: train", "dark: test"]
    if thinned:
        texts.append(f"at most {_N_TRAIN:,} and {_N_TEST:,} rows a panel, drawn at random")
    if indices:
        texts.append("number: class, at its median" + (", where there is room" if crowded else ""))
    dots += [Line2D([], [], linestyle="") for _ in texts[2:]]
    figure.legend(dots, texts, loc="outside lower center", ncols=2 * n_cols, fontsize=8.5, frameon=False)


def map_panels(panels: Sequence[MapPanel], *, title: str = "") -> Figure:
    """Draw the maps of one to four databases on a page, as the paper's figure 7.

    Training rows are small and pale, test rows opaque with a dark edge above them; of each at most 5,000 and
    2,500 are drawn, picked at random with a fixed seed. Colours, markers and indices are those of
    `latent_map`; up to ten classes are named below their panel, an index without room is left out. Raises
    ValueError on NaN, wrong shapes or labels, and other numbers of panels.
    """
    check(1 <= len(panels) <= 4, f"panels must be 1 to 4, found {len(panels)}")
    n_cols, n_rows = min(2, len(panels)), -(-len(panels) // 2)
    figure = new_figure(_PANEL[1] * n_rows + 0.4, title, width=_PANEL[0] * n_cols)
    grid = figure.subplots(n_rows, n_cols, squeeze=False)
    left_out = [_draw_panel(figure, axes, panel) for axes, panel in zip(grid.flat, panels, strict=False)]
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    thinned, crowded = (any(flags) for flags in zip(*left_out, strict=True))
    indices = any(len(panel.class_names) > len(TEN) for panel in panels)
    _panel_key(figure, n_cols, thinned=thinned, indices=indices, crowded=crowded)
    return figure
