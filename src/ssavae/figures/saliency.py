"""Saliency of one row: which of its values speak for its class, and its counterpart in another class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from ssavae._checks import check, check_array, check_shape
from ssavae.figures.reconstructions import Kind, show_image, write_left
from ssavae.figures.strips import show_strip
from ssavae.figures.style import GREY, PALETTE, VERMILION, new_figure, shorten, style_axes

MOST_COLUMNS = 15  # of a table, those with the largest share
COLORS = "RdBu_r"  # red speaks for the class of the row, blue for the other one


def saliency(
    row: ArrayLike,
    share: ArrayLike,
    path: ArrayLike,
    probability: ArrayLike,
    classes: Sequence[str],
    *,
    kind: Kind = "image",
    columns: Sequence[str] = (),
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
) -> Figure:
    """Draw a row, what speaks for its class and against another, and the way to its counterpart there.

    kind "image": row (H, W[, C]) in [0, 1], share (H, W); "signal": (T,) and (T,); "table": (d,)
    standardised, with its columns. share sums to the logit of the first of the two classes over that of the
    second. path (steps, ...) holds decoded rows from the row to its counterpart, probability (steps,) that of
    the second class on it. Raises ValueError on NaN or wrong shapes.
    """
    real = check_array("row", row, (2, 3) if kind == "image" else (1,))
    shares = check_array("share", share, (2,) if kind == "image" else (1,))
    check_shape("share", shares.shape, real.shape[: shares.ndim])
    decoded = check_array("path", path, (real.ndim + 1,))
    check_shape("path", decoded.shape[1:], real.shape)
    probs = check_array("probability", probability, (1,))
    check_shape("probability", probs.shape, decoded.shape[:1])
    check(len(classes) == 2, f"classes must name two classes, found {len(classes)}")
    names = [str(name) for name in classes]
    if kind == "image":
        return _image_saliency(real, shares, decoded, probs, names, title)
    if kind == "signal":
        return _signal_saliency(real, shares, decoded, probs, names, (xlabel, ylabel), title)
    return _table_saliency(real, shares, decoded, probs, names, columns, title)


def _image_saliency(
    row: np.ndarray, share: np.ndarray, path: np.ndarray, probs: np.ndarray, names: Sequence[str], title: str
) -> Figure:
    n_steps = len(path)
    height = 2.2 * row.shape[0] / row.shape[1] + 7.0 / n_steps * row.shape[0] / row.shape[1] + 1.0
    figure = new_figure(height, title)
    heights = (2.2, 7.0 / n_steps + 0.25)
    panels = figure.subplot_mosaic([["row", "share", "other"], ["way"] * 3], height_ratios=heights)
    for axes, image, name in (
        (panels["row"], row, f"the row, read as {names[0]}"),
        (panels["other"], path[-1], f"decoded as {names[1]}"),
    ):
        show_image(axes, image)
        axes.set_anchor("C")
        axes.set_title(shorten(name, 30), fontsize=8)
    grey = row if row.ndim == 2 else row.mean(axis=2)
    panels["share"].imshow(grey, cmap="gray", vmin=0, vmax=1, alpha=0.35)
    strongest = _strongest(share)
    heat = panels["share"].imshow(share, cmap=COLORS, vmin=-strongest, vmax=strongest, alpha=0.8)
    panels["share"].set_title("what speaks for either", fontsize=8)
    _color_bar(figure, heat, panels["share"], names)
    for axes in panels.values():
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_anchor("N")
    panels["way"].set_axis_off()
    show_strip(panels["way"], path, [f"{p:.2f}" for p in probs])
    panels["way"].set_anchor("C")
    write_left(panels["way"], f"probability of {shorten(names[1], 12)} on the way")
    return figure


def _signal_saliency(
    row: np.ndarray,
    share: np.ndarray,
    path: np.ndarray,
    probs: np.ndarray,
    names: Sequence[str],
    labels: tuple[str, str],
    title: str,
) -> Figure:
    figure = new_figure(5.2, title)
    curve, bars, way = figure.subplots(3, 1, height_ratios=(2.4, 1.1, 1.1))
    bars.sharex(curve)
    at = np.arange(len(row))
    strongest = _strongest(share)
    low, high = min(row.min(), path.min()), max(row.max(), path.max())
    curve.imshow(
        share[None],
        cmap=COLORS,
        vmin=-strongest,
        vmax=strongest,
        alpha=0.45,
        aspect="auto",
        extent=(-0.5, len(row) - 0.5, low, high),
    )
    curve.plot(at, row, color="#202020", linewidth=0.9, label=f"the row, read as {names[0]}")
    curve.plot(at, path[-1], color=PALETTE[2], linewidth=0.9, label=f"decoded as {names[1]}")
    curve.set_xlim(0, len(row) - 1)
    curve.legend(fontsize=7, frameon=False, loc="upper right")
    style_axes(curve, "", labels[1])
    curve.tick_params(labelbottom=False)
    colors = np.where(share > 0, VERMILION, PALETTE[0])
    bars.vlines(at, 0, share, colors=colors.tolist(), linewidth=max(0.4, 400 / len(row) * 0.8))
    bars.axhline(0, color=GREY, linewidth=0.6)
    style_axes(
        bars, labels[0], f"for {shorten(names[0], 12)} (+)\nor {shorten(names[1], 12)} (−)", fontsize=8
    )
    _draw_way(way, probs, names[1])
    return figure


def _table_saliency(
    row: np.ndarray,
    share: np.ndarray,
    path: np.ndarray,
    probs: np.ndarray,
    names: Sequence[str],
    columns: Sequence[str],
    title: str,
) -> Figure:
    texts = [str(name) for name in columns] or [f"column {i}" for i in range(len(row))]
    check(len(texts) == len(row), f"columns must have {len(row)} entries, found {len(texts)}")
    shown = np.argsort(-np.abs(share), kind="stable")[:MOST_COLUMNS][::-1]
    figure = new_figure(0.2 * len(shown) + 2.4, title)
    heights = (0.2 * len(shown) + 0.9, 1.0)
    panels = figure.subplot_mosaic([["share", "values"], ["way", "way"]], height_ratios=heights)
    bars, values = panels["share"], panels["values"]
    values.sharey(bars)
    at = np.arange(len(shown))
    bars.barh(at, share[shown], color=np.where(share[shown] > 0, VERMILION, PALETTE[0]))
    bars.axvline(0, color=GREY, linewidth=0.6)
    bars.set_yticks(at, [shorten(texts[i], 40) for i in shown.tolist()], fontsize=7)
    speaks = f"speaks for {shorten(names[0], 14)} (+) or {shorten(names[1], 14)} (−)"
    style_axes(bars, speaks, "", fontsize=8)
    values.hlines(at, row[shown], path[-1][shown], color=GREY, linewidth=1.2)
    values.plot(row[shown], at, "o", color="#202020", markersize=4, label="the row")
    values.plot(path[-1][shown], at, "s", color=PALETTE[2], markersize=4, label=f"decoded as {names[1]}")
    values.legend(fontsize=7, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    style_axes(values, "standard deviations from the mean", "", fontsize=8)
    bars.tick_params("y", labelsize=7)
    values.tick_params("y", labelleft=False)
    _draw_way(panels["way"], probs, names[1])
    return figure


def _strongest(share: np.ndarray) -> float:
    """Return where the colours end: few values are much larger than all others."""
    return max(float(np.quantile(np.abs(share), 0.99)), 1e-12)


def _color_bar(figure: Figure, heat: ScalarMappable, axes: Axes, names: Sequence[str]) -> None:
    bar = figure.colorbar(heat, ax=axes, orientation="horizontal", shrink=0.9, pad=0.03)
    end = float(heat.get_clim()[1] or 0)
    bar.set_ticks([-end, 0, end], labels=[shorten(names[1], 14), "0", shorten(names[0], 14)])
    bar.ax.tick_params(labelsize=7)


def _draw_way(axes: Axes, probs: np.ndarray, other: str) -> None:
    axes.plot(np.linspace(0, 1, len(probs)), probs, "-o", color=PALETTE[0], markersize=3)
    axes.set_ylim(-0.04, 1.04)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
    style_axes(
        axes, "way from the row (0) to its counterpart (1)", "probability of\n" + shorten(other, 18), 8
    )
