"""Rows of a data set side by side: inputs with their reconstructions, and samples by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from ssavae._checks import check, classes, numbers
from ssavae.figures.style import Array, class_colors, new_figure, plain, tile

Kind = Literal["image", "table", "signal"]
MOST_NAMES = 60  # of columns that can be read under one axis


def _name_left(axes: Axes, name: str, height: float = 0.5, gap: float = 4, rotation: int = 0) -> None:
    shown = name if len(name) <= 17 else f"{name[:16]}…"
    style: dict[str, Any] = {"rotation": rotation, "ha": "right", "va": "center", "fontsize": 8}
    axes.annotate(
        shown, (0, height), (-gap, 0), xycoords="axes fraction", textcoords="offset points", **style
    )


def _show(axes: Axes, picture: Array) -> None:
    axes.imshow(picture.clip(0, 1), cmap="gray", vmin=0, vmax=1)
    axes.set_anchor("E")
    axes.set_axis_off()


def _image_pairs(x: Array, x_rec: Array, labels: Sequence[str], title: str) -> Figure:
    n_cols = min(len(x), 10)
    n_rows = -(-len(x) // n_cols)
    aspect = 2 * x.shape[1] / x.shape[2]
    figure = new_figure((0.66 * aspect + 0.15) * n_rows + 0.3, title, width=max(0.68 * n_cols + 0.2, 3.0))
    grid = figure.subplots(n_rows, n_cols, squeeze=False)
    gap = np.ones((max(1, x.shape[1] // 20), *x.shape[2:]))
    for axes in grid.flat:
        axes.set_axis_off()
    for i, axes in enumerate(grid.flat[: len(x)]):
        _show(axes, tile(np.concatenate([x[i], gap, x_rec[i]])[None, None]))
        axes.set_title(labels[i] if labels else "", fontsize=8, pad=2)
    for axes in grid[:, 0]:
        _name_left(axes, "input", 0.75, rotation=90)
        _name_left(axes, "output", 0.25, rotation=90)
    return figure


def _line_pairs(
    x: Array, x_rec: Array, labels: Sequence[str], title: str, kind: Kind, columns: Sequence[str]
) -> Figure:
    n_rows = min(len(x), 6)
    figure = new_figure(1.15 * n_rows + 0.7, title)
    grid = figure.subplots(n_rows, 1, sharex=True, squeeze=False)[:, 0]
    marks = ("o", "x") if kind == "table" else ("", "")
    for i, axes in enumerate(grid):
        line = "" if kind == "table" else "-"
        axes.plot(x[i], color="#777777", marker=marks[0], markersize=4, linestyle=line, linewidth=0.9)
        axes.plot(x_rec[i], color="#D55E00", marker=marks[1], markersize=4, linestyle=line, linewidth=0.9)
        axes.set_title(labels[i] if labels else "", fontsize=8, loc="left", pad=2)
        plain(axes)
    grid[-1].set_xlabel("column" if kind == "table" else "place in the signal", fontsize=9)
    if 0 < len(columns) <= MOST_NAMES:
        grid[-1].set_xticks(np.arange(len(columns)), columns, rotation=90, fontsize=7)
        grid[-1].set_xlabel("")
    else:
        grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(
        grid[0].lines, ["input", "output"], loc="outside upper right", ncols=2, fontsize=9, frameon=False
    )
    return figure


def reconstructions(
    x: ArrayLike,
    x_rec: ArrayLike,
    labels: Sequence[str] | None = None,
    *,
    kind: Kind = "image",
    columns: Sequence[str] = (),
    title: str = "",
) -> Figure:
    """Draw inputs beside what the decoder makes of them.

    kind "image": x (n, H, W[, C]) in [0, 1], each input above its output, ten pairs a row; "table": x (n, d)
    and "signal": x (n, T), both drawn over each other for the first six rows. labels: one text a row;
    columns: a table's names, written where there are no more than 60. Raises ValueError on NaN, unequal
    shapes, or a kind that the shape does not fit.
    """
    real = _checked_rows("x", x, kind)
    rec = _checked_rows("x_rec", x_rec, kind)
    check(real.shape == rec.shape, f"x_rec must have the shape {real.shape} of x, found {rec.shape}")
    texts = [str(label) for label in ([] if labels is None else labels)]
    check(len(texts) in (0, len(real)), f"labels must have {len(real)} entries, found {len(texts)}")
    if kind == "image":
        return _image_pairs(real, rec, texts, title)
    return _line_pairs(real, rec, texts, title, kind, columns)


def _checked_rows(name: str, values: ArrayLike, kind: Kind) -> Array:
    check(kind in ("image", "table", "signal"), f"kind must be image, table or signal, found {kind!r}")
    return numbers(name, values, (3, 4) if kind == "image" else (2,))


def _image_strip(axes: Axes, rows: Array, n_cols: int) -> None:
    blank = np.ones((n_cols - len(rows), *rows.shape[1:]))
    _show(axes, tile(np.concatenate([rows, blank])[None]))


def _line_strip(axes: Axes, rows: Array, n_cols: int, color: Any) -> None:
    width = rows.shape[1]
    for i, line in enumerate(rows):
        axes.plot(np.arange(width) + 1.1 * width * i, line, color=color, linewidth=0.6)
    axes.set_xlim(-0.05 * width, 1.1 * width * n_cols)
    axes.set_xticks([])
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
    plain(axes)
    axes.spines["bottom"].set_visible(False)


def class_samples(
    x: ArrayLike, y: ArrayLike, class_names: Sequence[str], *, kind: Kind = "image", title: str = ""
) -> Figure:
    """Draw up to ten rows of each class that occurs, one line of the sheet a class.

    x as in `reconstructions`; y (n,), index into `class_names`; rows with -1 are left out. Tables and signals
    are drawn as lines side by side. Beyond 34 classes the sheet gets two or three columns of classes, with
    eight or five rows each. Raises ValueError on NaN, wrong shapes or no labelled row.
    """
    rows = _checked_rows("x", x, kind)
    names = [str(name) for name in class_names]
    labels = classes("y", y, len(rows), len(names))
    found = np.unique(labels[labels >= 0])
    check(len(found) > 0, f"y must have a labelled row, found none in {len(labels)}")
    n_blocks = min(3, -(-len(found) // 34))
    n_cols, n_lines = (10, 8, 5)[n_blocks - 1], -(-len(found) // n_blocks)
    aspect = rows.shape[1] / rows.shape[2] if kind == "image" else 1.0
    figure = new_figure((7.0 / n_blocks - 0.5) / n_cols * aspect * n_lines * 1.05 + 0.4, title)
    grid = figure.subplots(n_lines, n_blocks, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, c in zip(grid.T.flat, found, strict=False):
        picked = rows[labels == c][:n_cols]
        if kind == "image":
            _image_strip(axes, picked, n_cols)
        else:
            axes.set_axis_on()
            _line_strip(axes, picked, n_cols, class_colors(len(names))[c])
        _name_left(axes, names[c], gap=4 if kind == "image" else 34)
    return figure
