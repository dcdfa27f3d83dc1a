"""Maps of the latent plane: codes by class, and images decoded over a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ssavae._checks import check, check_array, check_labels, check_shape
from ssavae.figures import style
from ssavae.figures.style import GREY, PALETTE, RGB, class_colors

Raster = tuple[ArrayLike, ArrayLike, ArrayLike]  # xs, ys, and values (len(ys), len(xs)) over the plane

KEY_COLUMNS = 5  # of the key that names more than ten classes, at most
KEY_CHARACTERS = 100  # that fit into one of its lines
LONGEST = 40  # characters of a name in it
HATCHED = "hatched: decoded rows do not come back here, or no data is near"


def _check_raster(name: str, raster: Raster) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    xs = check_array(f"xs of {name}", raster[0], (1,))
    ys = check_array(f"ys of {name}", raster[1], (1,))
    values = check_array(f"values of {name}", raster[2], (2,))
    check_shape(f"values of {name}", values.shape, (len(ys), len(xs)))
    return xs, ys, values


def draw_regions(axes: Axes, regions: Raster, colors: Sequence[RGB]) -> None:
    """Draw the class predicted at each point, (xs, ys, labels), as a pale background."""
    xs, ys, labels = _check_raster("regions", regions)
    pale = ListedColormap([tuple(0.2 * part + 0.8 for part in color) for color in colors])
    mesh = axes.pcolormesh(xs, ys, labels, cmap=pale, shading="nearest", rasterized=True, zorder=0)
    mesh.set_clim(-0.5, len(colors) - 0.5)
    axes.set_xlim(xs.min(), xs.max())
    axes.set_ylim(ys.min(), ys.max())


def _draw_hatching(axes: Axes, untrusted: Raster) -> None:
    xs, ys, mask = _check_raster("untrusted", untrusted)
    if mask.any():  # contourf warns where there is nothing to draw
        hatch = axes.contourf(xs, ys, mask, levels=[0.5, 1.5], colors="none", hatches=["///"], zorder=0.5)
        hatch.set_edgecolor((0.72, 0.72, 0.72))
        hatch.set_linewidth(0)


def _draw_points(axes: Axes, z: np.ndarray, y: NDArray[np.int64], colors: Sequence[RGB]) -> None:
    size = float(np.clip(40000 / len(z), 4, 24))
    alpha = float(np.clip(5000 / len(z), 0.5, 0.9))
    markers = style.class_markers(len(colors))
    scatter = partial(axes.scatter, s=size, linewidths=0, rasterized=True)
    unlabelled = z[y < 0]
    scatter(unlabelled[:, 0], unlabelled[:, 1], color=GREY, alpha=alpha * 0.6, zorder=1)
    for c in np.unique(y[y >= 0]):
        rows = z[y == c]
        scatter(rows[:, 0], rows[:, 1], color=colors[c], marker=markers[c], alpha=alpha, zorder=2)


def _draw_legend(axes: Axes, names: Sequence[str], colors: Sequence[RGB], *, unlabelled: bool) -> None:
    """Name up to ten classes to the right of the map."""
    dots = style.legend_dots([*colors, GREY] if unlabelled else colors)
    labels = [*names, "unlabelled"] if unlabelled else names
    beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.0}
    axes.legend(dots, labels, **beside, fontsize=9, frameon=False, handletextpad=0.2)


def _draw_key(figure: Figure, names: Sequence[str], colors: Sequence[RGB], notes: Sequence[str]) -> None:
    """Name every class below the map: its marker in its colour, its name; above them the notes."""
    figure.legend(
        style.legend_dots(colors, 4, style.class_markers(len(names))),
        [style.shorten(name, LONGEST) for name in names],
        loc="outside lower center",
        ncols=_key_columns(names),
        title="\n".join(notes),
        title_fontsize=8,
        fontsize=6.5,
        frameon=False,
        columnspacing=0.8,
        handletextpad=0.1,
        labelspacing=0.25,
    )


def _key_columns(names: Sequence[str]) -> int:
    """Return how many columns of names the page is wide enough for."""
    longest = min(LONGEST, max(map(len, names)))
    return int(np.clip(KEY_CHARACTERS // (longest + 4), 1, KEY_COLUMNS))


def _axis_labels(explained: Sequence[float] | None) -> list[str]:
    if explained is None:
        return ["z₁", "z₂"]
    check(len(explained) == 2, f"explained must hold two fractions, found {len(explained)}")
    return [f"principal component {i} ({part:.0%} of variance)" for i, part in enumerate(explained, 1)]


def latent_map(
    z: ArrayLike,
    y: ArrayLike,
    class_names: Sequence[str],
    *,
    regions: Raster | None = None,
    untrusted: Raster | None = None,
    title: str = "",
    explained: Sequence[float] | None = None,
) -> Figure:
    """Draw codes in the plane by class; unlabelled rows in pale grey behind the others.

    z (n, 2); y (n,), index into `class_names`, -1 unlabelled. `regions` = (xs, ys, labels) draws the class
    predicted at each point, labels (len(ys), len(xs)), as a pale background. `untrusted` = (xs, ys, mask)
    hatches where the map is unreliable, and says so below it; both axes have one scale. `explained` holds
    the two fractions of variance when z is a PCA of more dimensions, written at the axes. Up to ten
    classes get a legend; more get markers, their name at the class's median where there is room, and a key
    below the map. Raises ValueError on NaN, wrong shapes or labels.
    """
    points = style.check_points("z", z)
    names = [str(name) for name in class_names]
    labels = check_labels("y", y, len(points), len(names))
    colors = class_colors(len(names))
    many = len(names) > len(PALETTE)
    key_height = 0.2 + 0.135 * math.ceil(len(names) / _key_columns(names)) if many else 0.0
    figure = style.new_figure(5.6 + key_height, title)
    axes = figure.add_subplot()
    _draw_points(axes, points, labels, colors)
    if regions is not None:
        draw_regions(axes, regions, colors)
    if untrusted is not None:
        _draw_hatching(axes, untrusted)
    unlabelled = bool((labels < 0).any())
    if many:
        note = style.names_note(style.write_names(axes, points, labels, names))
        note += "; grey: unlabelled" if unlabelled else ""
        _draw_key(figure, names, colors, [note] if untrusted is None else [note, HATCHED])
    else:
        _draw_legend(axes, names, colors, unlabelled=unlabelled)
        figure.supxlabel("" if untrusted is None else HATCHED, fontsize=8)
    xlabel, ylabel = _axis_labels(explained)
    style.style_axes(axes, xlabel, ylabel)
    # distances between codes are what they look like; regions have limits of their own
    axes.set_aspect("equal", adjustable="datalim" if regions is None else "box")
    return figure


def decoded_grid(images: ArrayLike, extent: Sequence[float], *, title: str = "") -> Figure:
    """Draw images decoded over a grid of the latent plane, without gaps, with latent axes.

    images (rows, cols, H, W[, C]) in [0, 1], row 0 the lowest y; extent (x0, x1, y0, y1). Raises ValueError
    on NaN or wrong shapes.
    """
    tiles = check_array("images", images, (4, 5))
    check(len(extent) == 4, f"extent must be x0, x1, y0, y1, found {len(extent)} values")
    x0, x1, y0, y1 = (float(value) for value in extent)
    figure = style.new_figure(6.6, title)
    axes = figure.add_subplot()
    canvas = style.tile(tiles[::-1]).clip(0, 1)
    axes.imshow(canvas, cmap="gray", vmin=0, vmax=1, extent=(x0, x1, y0, y1), aspect="auto")
    axes.set_box_aspect(canvas.shape[0] / canvas.shape[1])
    axes.set_xlabel("z₁", fontsize=9)
    axes.set_ylabel("z₂", fontsize=9)
    axes.tick_params(labelsize=8)
    return figure
