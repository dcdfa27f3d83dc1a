"""Maps of the latent plane: codes by class, and pictures decoded over a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from ssavae._checks import check, classes, numbers, same_shape
from ssavae.figures.style import (
    GREY,
    TEN,
    Array,
    class_colors,
    class_markers,
    new_figure,
    plain,
    tile,
    write_apart,
)

KEY_COLUMNS = 5  # of the key that names more than ten classes
LONGEST_NAME = 17  # in it
HATCHED = "hatched: decoded rows do not come back here, or no data is near"


def draw_regions(axes: Axes, regions: tuple[ArrayLike, ArrayLike, ArrayLike], colors: Sequence[Any]) -> None:
    """Draw the class decided at each point, (xs, ys, labels), as a pale ground."""
    xs, ys = (
        numbers(f"regions' {name}", line, (1,)) for name, line in zip(("xs", "ys"), regions[:2], strict=True)
    )
    labels = numbers("regions' labels", regions[2], (2,))
    same_shape("regions' labels", labels.shape, (len(ys), len(xs)))
    pale = ListedColormap([tuple(0.2 * part + 0.8 for part in color) for color in colors])
    style: dict[str, Any] = {"vmin": -0.5, "vmax": len(colors) - 0.5, "shading": "nearest", "zorder": 0}
    axes.pcolormesh(xs, ys, labels, cmap=pale, rasterized=True, **style)
    axes.set_xlim(xs.min(), xs.max())
    axes.set_ylim(ys.min(), ys.max())


def _draw_hatching(axes: Axes, untrusted: tuple[ArrayLike, ArrayLike, ArrayLike]) -> None:
    xs, ys = (
        numbers(f"untrusted's {name}", line, (1,))
        for name, line in zip(("xs", "ys"), untrusted[:2], strict=True)
    )
    mask = numbers("untrusted's mask", untrusted[2], (2,))
    same_shape("untrusted's mask", mask.shape, (len(ys), len(xs)))
    if mask.any():  # contourf warns where there is nothing to draw
        hatch = axes.contourf(xs, ys, mask, levels=[0.5, 1.5], colors="none", hatches=["///"], zorder=0.5)
        hatch.set_edgecolor((0.72, 0.72, 0.72))
        hatch.set_linewidth(0)


def _draw_points(axes: Axes, z: Array, y: NDArray[np.int64], colors: Sequence[Any]) -> None:
    size, alpha = float(np.clip(40000 / len(z), 4, 24)), float(np.clip(5000 / len(z), 0.5, 0.9))
    style: dict[str, Any] = {"s": size, "linewidths": 0, "rasterized": True}
    unknown = z[y < 0]
    axes.scatter(unknown[:, 0], unknown[:, 1], color=GREY, alpha=alpha * 0.6, zorder=1, **style)
    markers = class_markers(len(colors))
    for c in np.unique(y[y >= 0]):
        style |= {"color": colors[c], "marker": markers[c]}
        axes.scatter(z[y == c, 0], z[y == c, 1], alpha=alpha, zorder=2, **style)


def _legend(figure: Figure, y: NDArray[np.int64], names: Sequence[str], colors: Sequence[Any]) -> None:
    entries = [(names[c], colors[c]) for c in range(len(names))]
    if (y < 0).any():
        entries.append(("unlabelled", GREY))
    dots = [Line2D([], [], marker="o", linestyle="", color=color, markersize=5) for _, color in entries]
    labels = [label for label, _ in entries]
    figure.legend(dots, labels, loc="outside right upper", fontsize=9, frameon=False, handletextpad=0.2)


def _key(figure: Figure, names: Sequence[str], colors: Sequence[Any], notes: Sequence[str]) -> None:
    """Name every class below the map: its marker in its colour, its index, its name; then the notes."""
    marks = [
        Line2D([], [], marker=marker, linestyle="", color=color, markersize=4)
        for marker, color in zip(class_markers(len(names)), colors, strict=True)
    ]
    shown = [name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in names]
    texts = [f"{c} {name}" for c, name in enumerate(shown)]
    style: dict[str, Any] = {"fontsize": 6.5, "frameon": False, "handletextpad": 0.1, "labelspacing": 0.25}
    figure.legend(
        marks,
        texts,
        loc="outside lower center",
        ncols=KEY_COLUMNS,
        columnspacing=0.8,
        title="\n".join(notes),
        title_fontsize=8,
        **style,
    )


def latent_map(
    z: ArrayLike,
    y: ArrayLike,
    class_names: Sequence[str],
    *,
    regions: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
    untrusted: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
    title: str = "",
    explained: Sequence[float] | None = None,
) -> Figure:
    """Draw codes in the plane by class; unlabelled rows pale grey, behind.

    z (n, 2); y (n,), index into `class_names`, -1 unlabelled. `regions` = (xs, ys, labels) draws the class
    decided at each point, labels (len(ys), len(xs)), as a pale ground. `untrusted` = (xs, ys, mask) hatches
    where the map should not be read, and says so below it. `explained` holds the two shares of
    variance when z is a PCA of more dimensions, written at the axes. Up to ten classes get a legend; more get
    markers, their index at the class's median where there is room, and a key below the map. Raises ValueError
    on NaN, wrong shapes or labels.
    """
    points = numbers("z", z, (2,))
    check(points.shape[1] == 2, f"z must have 2 columns, found {points.shape[1]}")
    names = [str(name) for name in class_names]
    labels, colors = classes("y", y, len(points), len(names)), class_colors(len(names))
    many = len(names) > len(TEN)
    figure = new_figure(5.6 + (0.2 + 0.135 * -(-len(names) // KEY_COLUMNS)) * many, title)
    axes = figure.add_subplot()
    _draw_points(axes, points, labels, colors)
    if regions is not None:
        draw_regions(axes, regions, colors)
    if untrusted is not None:
        _draw_hatching(axes, untrusted)
    hatched = [HATCHED] * (untrusted is not None)
    if many:
        crowded = write_apart(axes, points, labels)
        notes = ["number: class, at its median" + (", where there is room" if crowded else "")]
        notes += ["grey: unlabelled"] * bool((labels < 0).any())
        _key(figure, names, colors, ["; ".join(notes), *hatched])
    else:
        _legend(figure, labels, names, colors)
        figure.supxlabel("".join(hatched), fontsize=8)
    shares = [] if explained is None else [f"{share:.0%}" for share in explained]
    check(len(shares) in (0, 2), f"explained must hold two shares, found {len(shares)}")
    texts = [f"principal component {i} ({share} of variance)" for i, share in enumerate(shares, 1)]
    axes.set_xlabel(texts[0] if texts else "$z_1$", fontsize=9)
    axes.set_ylabel(texts[1] if texts else "$z_2$", fontsize=9)
    plain(axes)
    return figure


def decoded_grid(images: ArrayLike, extent: Sequence[float], *, title: str = "") -> Figure:
    """Draw pictures decoded over a grid of the latent plane, without gaps, with latent axes.

    images (rows, cols, H, W[, C]) in [0, 1], row 0 the lowest y; extent (x0, x1, y0, y1). Raises ValueError
    on NaN or wrong shapes.
    """
    pictures = numbers("images", images, (4, 5))
    check(len(extent) == 4, f"extent must be x0, x1, y0, y1, found {len(extent)} values")
    x0, x1, y0, y1 = (float(value) for value in extent)
    figure = new_figure(6.6, title)
    axes = figure.add_subplot()
    canvas = tile(pictures[::-1]).clip(0, 1)
    axes.imshow(canvas, cmap="gray", vmin=0, vmax=1, extent=(x0, x1, y0, y1), aspect="auto")
    axes.set_box_aspect(canvas.shape[0] / canvas.shape[1])
    axes.set_xlabel("$z_1$", fontsize=9)
    axes.set_ylabel("$z_2$", fontsize=9)
    axes.tick_params(labelsize=8)
    return figure
