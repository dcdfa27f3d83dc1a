"""Curves: a training history by epoch, and what a grid of models measures by beta."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from numbers import Real
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ssavae._checks import check
from ssavae.figures.style import TEN, WIDTH, Array, new_figure, plain

_MEASURES = {
    "agreement": "agreement with the judge",
    "frechet": "Fréchet distance",
    "sharpness": "sharpness",
    "ssim": "SSIM",
    "perceptual": "perceptual distance",
}
# the paper's three regimes of beta, from and to
_REGIMES = {"blurred": (0.0, 0.003), "clear": (0.005, 0.01), "mismatch": (0.1, np.inf)}
_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (4, 1.2, 1, 1.2)))


def _panels(history: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, Array, Array]]:
    curves: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in history:
        check({"step", "epoch"} <= set(row), f"history must have step and epoch, found {list(row)}")
        for name, value in row.items():
            if name not in ("step", "epoch", "seconds") and isinstance(value, Real):
                curves.setdefault((str(row["step"]), name), []).append((float(row["epoch"]), float(value)))
    panels = [(step, name, *np.array(points).T) for (step, name), points in curves.items()]
    return [
        (step, name, epochs, values) for step, name, epochs, values in panels if np.isfinite(values).any()
    ]


def _draw_curve(axes: Axes, name: str, epochs: Array, values: Array) -> None:
    axes.plot(
        epochs, values, color=TEN[0], marker="o" if len(epochs) < 30 else "", markersize=3, linewidth=1.2
    )
    known = values[np.isfinite(values)]
    if known.min() > 0 and known.max() > 100 * known.min():
        axes.set_yscale("log")
    axes.set_title(name, fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    plain(axes)


def loss_curves(history: Iterable[Mapping[str, Any]], *, title: str = "") -> Figure:
    """Draw one small panel for each value of the history, a column of panels for each step.

    history: rows like ``{"step": "vec", "epoch": 1, "loss_kl": 3.2}``, by epoch; "seconds" is left out, gaps
    are allowed. The scale is logarithmic where all values are positive and differ by more than 100 times.
    Raises ValueError when no row holds a value.
    """
    panels = _panels(history)
    check(len(panels) > 0, "history must hold a finite value, found none")
    steps = list(dict.fromkeys(step for step, *_ in panels))
    columns = [[panel for panel in panels if panel[0] == step] for step in steps]
    n_rows = max(map(len, columns))
    figure = new_figure(1.5 * n_rows + 0.6, title, width=min(WIDTH, 3.5 * len(steps) + 0.5))
    grid = figure.subplots(n_rows, len(steps), squeeze=False)
    for axes in grid.flat:
        axes.set_visible(False)
    for col, column in enumerate(columns):
        for axes, (step, name, epochs, values) in zip(grid[:, col], column, strict=False):
            axes.set_visible(True)
            _draw_curve(axes, f"{step}: {name}", epochs, values)
        grid[len(column) - 1, col].set_xlabel("epoch", fontsize=9)
    return figure


def _known(row: Mapping[str, Any], name: str) -> bool:
    return isinstance(row.get(name), Real) and bool(np.isfinite(row[name]))


def _checked_rows(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows by latent dimension, gamma and beta."""
    keys = ("latent_dim", "gamma", "beta")
    for row in rows:
        check(all(_known(row, key) for key in keys), f"rows must have {', '.join(keys)}, found {dict(row)}")
        check(row["beta"] >= 0, f"beta must not be negative, found {row['beta']}")
    places = [tuple(row[key] for key in keys) for row in rows]
    check(len(set(places)) == len(places), "rows must differ in latent_dim, gamma or beta, found one twice")
    return [rows[i] for i in sorted(range(len(rows)), key=lambda i: places[i])]


def _log_beta(betas: Iterable[float], zero: float) -> Array:
    return np.log10([beta or zero for beta in betas])


def _mark_regimes(axes: Axes, betas: Sequence[float], zero: float) -> None:
    low, high = _log_beta([betas[0], betas[-1]], zero) + np.array([-0.25, 0.25])
    for name, (start, end) in _REGIMES.items():
        if not any(start <= beta <= end for beta in betas):
            continue
        left = max(low, np.log10(start) - 0.08 if start else low)
        right = min(high, np.log10(end) + 0.08)
        axes.axvspan(left, right, color="#f0f0f0" if name != "clear" else "#e0e0e0", linewidth=0, zorder=0)
        style: dict[str, Any] = {"fontsize": 7, "color": "#555555", "ha": "center", "va": "bottom"}
        axes.text((left + right) / 2, 1.01, name, transform=axes.get_xaxis_transform(), **style)
    axes.set_xlim(low, high)
    axes.set_xticks(_log_beta(betas, zero), [f"{beta:g}" for beta in betas], rotation=90)


def _styles(places: Iterable[tuple[Any, Any]]) -> dict[tuple[Any, Any], dict[str, Any]]:
    """Return how to draw each latent dimension and gamma."""
    dims, gammas = (sorted(set(values)) for values in zip(*places, strict=True))
    # blue and vermilion first: the two farthest apart
    colors = dict(zip(dims, cycle([TEN[0], TEN[5], *TEN[1:5], *TEN[6:]]), strict=False))
    dashes = dict(zip(gammas, cycle(_DASHES), strict=False))
    common: dict[str, Any] = {"marker": "o", "markersize": 3.5, "linewidth": 1.3}
    return {
        (dim, gamma): common
        | {"color": colors[dim], "linestyle": dashes[gamma], "label": f"$K_z$ = {dim:g}, γ = {gamma:g}"}
        | ({} if gamma == gammas[0] else {"markerfacecolor": "white"})
        for dim, gamma in places
    }


def _draw_measure(
    axes: Axes, name: str, rows: Sequence[Mapping[str, Any]], styles: Mapping[Any, Any], zero: float
) -> None:
    for place, style in styles.items():
        own = [row for row in rows if (row["latent_dim"], row["gamma"]) == place and _known(row, name)]
        axes.plot(_log_beta([row["beta"] for row in own], zero), [row[name] for row in own], **style)
    axes.set_title(_MEASURES[name], fontsize=10, pad=16)
    axes.set_xlabel("β", fontsize=9, labelpad=1)
    plain(axes)


def regime_curves(rows: Sequence[Mapping[str, Any]], *, title: str = "") -> Figure:
    """Draw what a grid of models measures against beta, with the paper's three regimes as pale bands.

    rows: mappings with latent_dim, gamma, beta and any of agreement, frechet, sharpness, ssim and perceptual,
    a panel each; one that no row holds gets none. A colour each latent dimension, a line style each gamma;
    beta is on a log scale with 0 at its left end. Raises ValueError when no row holds a value, a key is
    missing, or two rows have the same place in the grid.
    """
    ordered = _checked_rows(rows)
    names = [name for name in _MEASURES if any(_known(row, name) for row in ordered)]
    check(len(names) > 0, f"rows must hold a finite value of {', '.join(_MEASURES)}, found none")
    betas = sorted({float(row["beta"]) for row in ordered})
    zero = min([beta for beta in betas if beta > 0], default=1.0) / 4
    styles = _styles(list(dict.fromkeys((row["latent_dim"], row["gamma"]) for row in ordered)))
    n_cols = min(3, len(names))
    n_rows = -(-len(names) // n_cols)
    figure = new_figure(2.6 * n_rows + 0.6, title, width=3.3 * n_cols)
    grid = figure.subplots(n_rows, n_cols, squeeze=False)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for axes, name in zip(grid.flat, names, strict=False):
        _mark_regimes(axes, betas, zero)
        _draw_measure(axes, name, ordered, styles, zero)
    lines = [Line2D([], [], **style) for style in styles.values()]
    figure.legend(
        handles=lines, loc="outside lower center", ncols=2 * n_cols, fontsize=9, frameon=False, handlelength=3
    )
    return figure
