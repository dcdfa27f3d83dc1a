"""Pictures of what a model does: arrays in, one matplotlib Figure out.

Only matplotlib's object interface is used: no pyplot, no global state, so a server may draw in threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps, patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Kind = Literal["image", "table", "signal"]

_WIDTH = 7.0
_GREY = "#b8b8b8"
# Okabe and Ito's eight with a darker yellow, and Tol's indigo and wine: safe for colour-blind readers
_TEN = [
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#332288",
    "#D2C200",
    "#882255",
    "#222222",
]
_MARKERS = "o^sDvP*"


def _must(holds: bool | np.bool_, message: str) -> None:
    if not holds:
        raise ValueError(message)


def _numbers(name: str, values: ArrayLike, n_dims: tuple[int, ...]) -> Array:
    array = np.asarray(values)
    wanted = " or ".join(map(str, n_dims))
    _must(array.ndim in n_dims, f"{name} must have {wanted} axes, found shape {array.shape}")
    _must(array.size > 0, f"{name} is empty, found shape {array.shape}")
    _must(array.dtype.kind in "buif", f"{name} must hold numbers, found dtype {array.dtype}")
    n_bad = int(array.size - np.isfinite(array).sum())
    _must(n_bad == 0, f"{name} must be finite, found {n_bad} NaN or infinite values")
    return array


def _classes(name: str, values: ArrayLike, n: int, n_classes: int) -> NDArray[np.int64]:
    array = np.asarray(values)
    _must(array.shape == (n,), f"{name} must have shape ({n},), found {array.shape}")
    _must(array.dtype.kind in "bui", f"{name} must hold integer class indices, found dtype {array.dtype}")
    _must(array.max() < n_classes, f"{name} must be below the {n_classes} class names, found {array.max()}")
    return array.astype(np.int64)


def _figure(height: float, title: str, width: float = _WIDTH) -> Figure:
    figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def class_colors(n_classes: int) -> list[tuple[float, float, float]]:
    """Return one colour a class: a colour-blind safe set up to ten, evenly spaced hues beyond.

    Beyond ten, colour alone tells no class apart: `latent_map` adds markers and the class's index.

    >>> len(class_colors(101)), len(set(class_colors(10)))
    (101, 10)
    """
    if n_classes <= len(_TEN):
        return [to_rgb(color) for color in _TEN[:n_classes]]
    spread = np.asarray(colormaps["turbo"](np.linspace(0.03, 0.97, n_classes)))[:, :3]
    # the middle of the map is too light to be seen on white
    dark = spread * np.minimum(1, 0.55 / (spread @ [0.21, 0.72, 0.07]))[:, None]
    return [to_rgb(color) for color in dark]


def _draw_regions(axes: Axes, regions: tuple[ArrayLike, ArrayLike, ArrayLike], colors: Sequence[Any]) -> None:
    xs, ys = (
        _numbers(f"regions' {name}", line, (1,)) for name, line in zip(("xs", "ys"), regions, strict=False)
    )
    labels = _numbers("regions' labels", regions[2], (2,))
    wanted = (len(ys), len(xs))
    _must(labels.shape == wanted, f"regions' labels must have shape {wanted}, found {labels.shape}")
    pale = ListedColormap([tuple(0.2 * part + 0.8 for part in color) for color in colors])
    style: dict[str, Any] = {"vmin": -0.5, "vmax": len(colors) - 0.5, "shading": "nearest", "zorder": 0}
    axes.pcolormesh(xs, ys, labels, cmap=pale, rasterized=True, **style)
    axes.set_xlim(xs.min(), xs.max())
    axes.set_ylim(ys.min(), ys.max())


def _draw_points(axes: Axes, z: Array, y: NDArray[np.int64], colors: Sequence[Any]) -> None:
    size, alpha = float(np.clip(40000 / len(z), 4, 24)), float(np.clip(5000 / len(z), 0.5, 0.9))
    style: dict[str, Any] = {"s": size, "linewidths": 0, "rasterized": True}
    unknown = z[y < 0]
    axes.scatter(unknown[:, 0], unknown[:, 1], color=_GREY, alpha=alpha * 0.6, zorder=1, **style)
    markers = _MARKERS if len(colors) > len(_TEN) else "o"
    for c in np.unique(y[y >= 0]):
        style |= {"color": colors[c], "marker": markers[c % len(markers)]}
        axes.scatter(z[y == c, 0], z[y == c, 1], alpha=alpha, zorder=2, **style)


def _write_indices(axes: Axes, z: Array, y: NDArray[np.int64]) -> None:
    halo: list[patheffects.AbstractPathEffect] = [patheffects.withStroke(linewidth=2, foreground="white")]
    for c in np.unique(y[y >= 0]):
        middle = np.median(z[y == c], axis=0)
        text = axes.text(middle[0], middle[1], str(c), fontsize=7, ha="center", va="center", zorder=3)
        text.set_path_effects(halo)


def _legend(figure: Figure, y: NDArray[np.int64], names: Sequence[str], colors: Sequence[Any]) -> None:
    entries = [(names[c], colors[c]) for c in range(len(names))]
    if (y < 0).any():
        entries.append(("unlabelled", _GREY))
    dots = [Line2D([], [], marker="o", linestyle="", color=color, markersize=5) for _, color in entries]
    labels = [label for label, _ in entries]
    figure.legend(dots, labels, loc="outside right upper", fontsize=9, frameon=False, handletextpad=0.2)


def latent_map(
    z: ArrayLike,
    y: ArrayLike,
    class_names: Sequence[str],
    *,
    regions: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
    title: str = "",
    explained: Sequence[float] | None = None,
) -> Figure:
    """Draw codes in the plane by class; unlabelled rows pale grey, behind.

    z (n, 2); y (n,), index into `class_names`, -1 unlabelled. `regions` = (xs, ys, labels) draws the class
    decided at each point, labels (len(ys), len(xs)), as a pale ground. `explained` holds the two shares of
    variance when z is a PCA of more dimensions, written at the axes. Up to ten classes get a legend; more get
    their index at the class's median and no legend. Raises ValueError on NaN, wrong shapes or labels.
    """
    points = _numbers("z", z, (2,))
    _must(points.shape[1] == 2, f"z must have 2 columns, found {points.shape[1]}")
    names = [str(name) for name in class_names]
    labels, colors = _classes("y", y, len(points), len(names)), class_colors(len(names))
    figure = _figure(5.6, title)
    axes = figure.add_subplot()
    _draw_points(axes, points, labels, colors)
    if regions is not None:
        _draw_regions(axes, regions, colors)
    if len(names) > len(_TEN):
        _write_indices(axes, points, labels)
    if len(names) <= len(_TEN) or (labels < 0).any():
        _legend(figure, labels, names if len(names) <= len(_TEN) else [], colors)
    shares = [] if explained is None else [f"{share:.0%}" for share in explained]
    _must(len(shares) in (0, 2), f"explained must hold two shares, found {len(shares)}")
    texts = [f"principal component {i} ({share} of variance)" for i, share in enumerate(shares, 1)]
    axes.set_xlabel(texts[0] if texts else "$z_1$", fontsize=9)
    axes.set_ylabel(texts[1] if texts else "$z_2$", fontsize=9)
    _plain(axes)
    return figure


def _tile(images: Array) -> Array:
    """Join (rows, cols, H, W[, C]) to one picture, row 0 on top."""
    rows, cols, height, width = images.shape[:4]
    joined = images.swapaxes(1, 2).reshape(rows * height, cols * width, *images.shape[4:])
    return joined[..., 0] if joined.ndim == 3 and joined.shape[2] == 1 else joined


def decoded_grid(images: ArrayLike, extent: Sequence[float], *, title: str = "") -> Figure:
    """Draw pictures decoded over a grid of the latent plane, without gaps, with latent axes.

    images (rows, cols, H, W[, C]) in [0, 1], row 0 the lowest y; extent (x0, x1, y0, y1). Raises ValueError
    on NaN or wrong shapes.
    """
    pictures = _numbers("images", images, (4, 5))
    _must(len(extent) == 4, f"extent must be x0, x1, y0, y1, found {len(extent)} values")
    x0, x1, y0, y1 = (float(value) for value in extent)
    figure = _figure(6.6, title)
    axes = figure.add_subplot()
    canvas = _tile(pictures[::-1]).clip(0, 1)
    axes.imshow(canvas, cmap="gray", vmin=0, vmax=1, extent=(x0, x1, y0, y1), aspect="auto")
    axes.set_box_aspect(canvas.shape[0] / canvas.shape[1])
    axes.set_xlabel("$z_1$", fontsize=9)
    axes.set_ylabel("$z_2$", fontsize=9)
    axes.tick_params(labelsize=8)
    return figure


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
    figure = _figure((0.66 * aspect + 0.15) * n_rows + 0.3, title, width=max(0.68 * n_cols + 0.2, 3.0))
    grid = figure.subplots(n_rows, n_cols, squeeze=False)
    gap = np.ones((max(1, x.shape[1] // 20), *x.shape[2:]))
    for axes in grid.flat:
        axes.set_axis_off()
    for i, axes in enumerate(grid.flat[: len(x)]):
        _show(axes, _tile(np.concatenate([x[i], gap, x_rec[i]])[None, None]))
        axes.set_title(labels[i] if labels else "", fontsize=8, pad=2)
    for axes in grid[:, 0]:
        _name_left(axes, "input", 0.75, rotation=90)
        _name_left(axes, "output", 0.25, rotation=90)
    return figure


def _line_pairs(x: Array, x_rec: Array, labels: Sequence[str], title: str, kind: Kind) -> Figure:
    n_rows = min(len(x), 6)
    figure = _figure(1.15 * n_rows + 0.7, title)
    grid = figure.subplots(n_rows, 1, sharex=True, squeeze=False)[:, 0]
    marks = ("o", "x") if kind == "table" else ("", "")
    for i, axes in enumerate(grid):
        line = "" if kind == "table" else "-"
        axes.plot(x[i], color="#777777", marker=marks[0], markersize=4, linestyle=line, linewidth=0.9)
        axes.plot(x_rec[i], color="#D55E00", marker=marks[1], markersize=4, linestyle=line, linewidth=0.9)
        axes.set_title(labels[i] if labels else "", fontsize=8, loc="left", pad=2)
        _plain(axes)
    grid[-1].set_xlabel("column" if kind == "table" else "sample", fontsize=9)
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
    title: str = "",
) -> Figure:
    """Draw inputs beside what the decoder makes of them.

    kind "image": x (n, H, W[, C]) in [0, 1], each input above its output, ten pairs a row; "table": x (n, d)
    and "signal": x (n, T), both drawn over each other for the first six rows. labels: one text a row. Raises
    ValueError on NaN, unequal shapes, or a kind that the shape does not fit.
    """
    real = _checked_rows("x", x, kind)
    rec = _checked_rows("x_rec", x_rec, kind)
    _must(real.shape == rec.shape, f"x_rec must have the shape {real.shape} of x, found {rec.shape}")
    texts = [str(label) for label in ([] if labels is None else labels)]
    _must(len(texts) in (0, len(real)), f"labels must have {len(real)} entries, found {len(texts)}")
    if kind == "image":
        return _image_pairs(real, rec, texts, title)
    return _line_pairs(real, rec, texts, title, kind)


def _checked_rows(name: str, values: ArrayLike, kind: Kind) -> Array:
    _must(kind in ("image", "table", "signal"), f"kind must be image, table or signal, found {kind!r}")
    return _numbers(name, values, (3, 4) if kind == "image" else (2,))


def _image_strip(axes: Axes, rows: Array, n_cols: int) -> None:
    blank = np.ones((n_cols - len(rows), *rows.shape[1:]))
    _show(axes, _tile(np.concatenate([rows, blank])[None]))


def _line_strip(axes: Axes, rows: Array, n_cols: int, color: Any) -> None:
    width = rows.shape[1]
    for i, line in enumerate(rows):
        axes.plot(np.arange(width) + 1.1 * width * i, line, color=color, linewidth=0.6)
    axes.set_xlim(-0.05 * width, 1.1 * width * n_cols)
    axes.set_xticks([])
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
    _plain(axes)
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
    labels = _classes("y", y, len(rows), len(names))
    found = np.unique(labels[labels >= 0])
    _must(len(found) > 0, f"y must have a labelled row, found none in {len(labels)}")
    n_blocks = min(3, -(-len(found) // 34))
    n_cols, n_lines = (10, 8, 5)[n_blocks - 1], -(-len(found) // n_blocks)
    aspect = rows.shape[1] / rows.shape[2] if kind == "image" else 1.0
    figure = _figure((7.0 / n_blocks - 0.5) / n_cols * aspect * n_lines * 1.05 + 0.4, title)
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


def _panels(history: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, Array, Array]]:
    curves: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in history:
        _must({"step", "epoch"} <= set(row), f"history must have step and epoch, found {list(row)}")
        for name, value in row.items():
            if name not in ("step", "epoch", "seconds") and isinstance(value, Real):
                curves.setdefault((str(row["step"]), name), []).append((float(row["epoch"]), float(value)))
    panels = [(step, name, *np.array(points).T) for (step, name), points in curves.items()]
    return [
        (step, name, epochs, values) for step, name, epochs, values in panels if np.isfinite(values).any()
    ]


def _draw_curve(axes: Axes, name: str, epochs: Array, values: Array) -> None:
    axes.plot(
        epochs, values, color=_TEN[0], marker="o" if len(epochs) < 30 else "", markersize=3, linewidth=1.2
    )
    known = values[np.isfinite(values)]
    if known.min() > 0 and known.max() > 100 * known.min():
        axes.set_yscale("log")
    axes.set_title(name, fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    _plain(axes)


def loss_curves(history: Iterable[Mapping[str, Any]], *, title: str = "") -> Figure:
    """Draw one small panel for each value of the history, a column of panels for each step.

    history: rows like ``{"step": "vec", "epoch": 1, "loss_kl": 3.2}``, by epoch; "seconds" is left out, gaps
    are allowed. The scale is logarithmic where all values are positive and differ by more than 100 times.
    Raises ValueError when no row holds a value.
    """
    panels = _panels(history)
    _must(len(panels) > 0, "history must hold a finite value, found none")
    steps = list(dict.fromkeys(step for step, *_ in panels))
    columns = [[panel for panel in panels if panel[0] == step] for step in steps]
    n_rows = max(map(len, columns))
    figure = _figure(1.5 * n_rows + 0.6, title, width=min(_WIDTH, 3.5 * len(steps) + 0.5))
    grid = figure.subplots(n_rows, len(steps), squeeze=False)
    for axes in grid.flat:
        axes.set_visible(False)
    for col, column in enumerate(columns):
        for axes, (step, name, epochs, values) in zip(grid[:, col], column, strict=False):
            axes.set_visible(True)
            _draw_curve(axes, f"{step}: {name}", epochs, values)
        grid[len(column) - 1, col].set_xlabel("epoch", fontsize=9)
    return figure


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write the figure as .png, .svg or .pdf at 150 dpi, to a temporary name that is then renamed.

    Returns the path. Raises ValueError on another suffix; the folder must exist.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    _must(suffix in (".png", ".svg", ".pdf"), f"path must end in .png, .svg or .pdf, found {target.name!r}")
    partial = target.with_name(f".{target.stem}.{os.getpid()}.partial{suffix}")
    try:
        figure.savefig(partial, dpi=150, format=suffix[1:])
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return target
