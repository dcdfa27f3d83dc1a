"""Maps of several data sets on one page, as the paper's figure 7."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import offset_copy
from numpy.typing import ArrayLike, NDArray

from ssavae._checks import check, check_labels
from ssavae.figures import style
from ssavae.figures.style import GREY, PALETTE

_MAX_ROWS = {"train": 5000, "test": 2500}
_LONGEST = 30  # characters of a name in the key


@dataclass(frozen=True)
class MapPanel:
    """One data set of `map_panels`: codes (n, 2) with class indices (n,), -1 unlabelled, and its texts."""

    name: str
    z_train: ArrayLike
    y_train: ArrayLike
    z_test: ArrayLike
    y_test: ArrayLike
    class_names: Sequence[str]
    notes: str = ""


def _subsample(panel: MapPanel, part: str) -> tuple[np.ndarray, NDArray[np.int64]]:
    """Return codes and classes in random order, since points drawn later hide earlier ones."""
    z = style.check_points(f"{panel.name}: z_{part}", getattr(panel, f"z_{part}"))
    y = check_labels(f"{panel.name}: y_{part}", getattr(panel, f"y_{part}"), len(z), len(panel.class_names))
    order = np.random.default_rng(0).permutation(len(z))[: _MAX_ROWS[part]]
    return z[order], np.maximum(y[order], -1)


def _scatter(axes: Axes, z: np.ndarray, y: NDArray[np.int64], n_classes: int, *, pale: bool) -> None:
    colors = np.array([*style.class_colors(n_classes), (0.72, 0.72, 0.72)])  # -1 is the last
    size = 8 if n_classes <= len(PALETTE) else 11
    if pale:
        colors = 0.35 * colors + 0.65
        size = 6
    markers = np.array([*style.class_markers(n_classes), "o"])
    for marker in np.unique(markers[y]):
        rows = markers[y] == marker
        points = axes.scatter(z[rows, 0], z[rows, 1], s=size, c=colors[y[rows]], marker=marker)
        points.set(linewidths=0 if pale else 0.3, zorder=1 if pale else 2, rasterized=True)
        points.set_edgecolor("face" if pale else "#202020")


def _key_columns(names: Sequence[str]) -> int:
    """Return how many columns of names a panel is wide enough for."""
    characters = 105 if len(names) > len(PALETTE) else 72
    longest = min(_LONGEST, max(map(len, names), default=0))
    return max(1, min(len(names), characters // (longest + 3)))


def _key_height(panels: Sequence[MapPanel]) -> float:
    """Return the inches that the keys of more than ten classes add to panels beside one another."""
    many = [panel.class_names for panel in panels if len(panel.class_names) > len(PALETTE)]
    return max((0.09 * math.ceil(len(names) / _key_columns(names)) for names in many), default=0.0)


def _draw_legend(figure: Figure, axes: Axes, panel: MapPanel) -> None:
    """Name the classes below the panel and its notes."""
    names = [style.shorten(str(name), _LONGEST) for name in panel.class_names]
    is_many = len(names) > len(PALETTE)
    n_lines = 1 + panel.notes.count("\n")
    anchor = offset_copy(axes.transAxes, figure, x=0, y=-0.36 - 0.14 * n_lines, units="inches")
    axes.legend(
        style.legend_dots(
            style.class_colors(len(names)), 3 if is_many else 5, style.class_markers(len(names))
        ),
        names,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=anchor,
        ncols=_key_columns(names),
        fontsize=5 if is_many else 8,
        frameon=False,
        handletextpad=0.1,
        columnspacing=0.9,
        labelspacing=0.2 if is_many else 0.5,
    )


def _draw_panel(figure: Figure, axes: Axes, panel: MapPanel) -> bool:
    """Draw one data set; return whether names of classes were left out."""
    z_train, y_train = _subsample(panel, "train")
    z_test, y_test = _subsample(panel, "test")
    n_classes = len(panel.class_names)
    _scatter(axes, z_train, y_train, n_classes, pale=True)
    _scatter(axes, z_test, y_test, n_classes, pale=False)
    axes.set_title(panel.name, fontsize=11)
    style.style_axes(axes, f"z₁\n{panel.notes}", "z₂", fontsize=8.5)
    _draw_legend(figure, axes, panel)
    if n_classes <= len(PALETTE):
        return False
    z, y = np.concatenate([z_train, z_test]), np.concatenate([y_train, y_test])
    return style.write_names(axes, z, y, [str(name) for name in panel.class_names], size=6, room=1.3)


def _draw_key(figure: Figure, n_cols: int, notes: Sequence[str]) -> None:
    """Explain pale and dark points below all panels; the notes stand beside them."""
    dots = style.legend_dots([GREY], 3.5) + style.legend_dots(["#606060"], 4.5)
    dots[1].set_markeredgecolor("#202020")
    blanks = [Line2D([], [], linestyle="") for _ in notes]
    texts = ["pale: train", "dark: test", *notes]
    figure.legend(
        dots + blanks, texts, loc="outside lower center", ncols=2 * n_cols, fontsize=8.5, frameon=False
    )


def map_panels(panels: Sequence[MapPanel], *, title: str = "") -> Figure:
    """Draw the maps of one to four data sets on a page, as the paper's figure 7.

    Training rows are small and pale, test rows opaque with a dark edge above them; of each at most 5,000 and
    2,500 are drawn, picked at random with a fixed seed. Colours, markers and names are those of
    `latent_map`: all classes are named below their panel, and more than ten on it too, where there is room.
    Raises ValueError on NaN, wrong shapes or labels, and other numbers of panels.
    """
    check(1 <= len(panels) <= 4, f"panels must be 1 to 4, found {len(panels)}")
    n_cols = min(2, len(panels))
    n_rows = math.ceil(len(panels) / 2)
    keys = sum(_key_height(panels[i : i + n_cols]) for i in range(0, len(panels), n_cols))
    figure = style.new_figure(4.7 * n_rows + 0.4 + keys, title, width=5.0 * n_cols)
    grid = figure.subplots(n_rows, n_cols, squeeze=False)
    crowded = [_draw_panel(figure, axes, panel) for axes, panel in zip(grid.flat, panels, strict=False)]
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    notes = []
    n_train = max(np.shape(panel.z_train)[0] for panel in panels)
    n_test = max(np.shape(panel.z_test)[0] for panel in panels)
    if n_train > _MAX_ROWS["train"] or n_test > _MAX_ROWS["test"]:
        notes.append("at most {train:,} and {test:,} rows a panel, drawn at random".format(**_MAX_ROWS))
    if any(len(panel.class_names) > len(PALETTE) for panel in panels):
        notes.append(style.names_note(any(crowded)))
    _draw_key(figure, n_cols, notes)
    return figure
