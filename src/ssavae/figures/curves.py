"""Curves: a training history by epoch, and the metrics of a grid of models by beta."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from numbers import Real
from operator import itemgetter

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from ssavae._checks import check
from ssavae.figures.style import PALETTE, WIDTH, new_figure, style_axes

_METRICS = {
    "agreement": "agreement with the judge",
    "frechet": "Fréchet distance",
    "sharpness": "sharpness",
    "ssim": "SSIM",
    "perceptual": "perceptual distance",
}
# the paper's three regimes of beta, from and to
_REGIMES = {"blurred": (0.0, 0.003), "clear": (0.005, 0.01), "mismatch": (0.1, np.inf)}
_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (4, 1.2, 1, 1.2)))
VALIDATED = {
    "vec": "loss_class",
    "decoder": "loss_rec",
}  # the loss that val_loss is of rows held out, by step
LOG_RATIO = 10  # of the largest to the smallest value
# blue and vermilion first: the two farthest apart
_COLORS = [PALETTE[0], PALETTE[5], *PALETTE[1:5], *PALETTE[6:]]


def _curves(history: Iterable[Mapping[str, object]]) -> dict[str, dict[str, np.ndarray]]:
    """Return (epoch, value) in rows by step and name, without names that have no finite value."""
    points: dict[tuple[str, str], list[tuple[object, object]]] = defaultdict(list)
    for row in history:
        check({"step", "epoch"} <= set(row), f"history must have step and epoch, found {list(row)}")
        for name, value in row.items():
            if name not in ("step", "epoch", "seconds") and isinstance(value, Real):
                points[str(row["step"]), name].append((row["epoch"], value))
    curves: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for (step, name), pairs in points.items():
        curve = np.array(pairs, dtype=float)
        if np.isfinite(curve[:, 1]).any():
            curves[step][name] = curve
    return curves


def _draw_curve(axes: Axes, curve: np.ndarray, held_out: np.ndarray | None) -> None:
    marker = "o" if len(curve) < 30 else ""
    line = {"marker": marker, "markersize": 3, "linewidth": 1.2}
    axes.plot(curve[:, 0], curve[:, 1], color=PALETTE[0], label="training rows", **line)
    if held_out is not None:
        axes.plot(held_out[:, 0], held_out[:, 1], color=PALETTE[5], label="held-out rows", **line)
        axes.legend(fontsize=7, frameon=False)
    values = np.concatenate([curve[:, 1], *([] if held_out is None else [held_out[:, 1]])])
    finite = values[np.isfinite(values)]
    if finite.min() > 0 and finite.max() > LOG_RATIO * finite.min():
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())  # labels of a small panel would lie on one another
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    style_axes(axes)


def _mark_kept(axes: Axes, epoch: int) -> None:
    axes.axvline(epoch, color="#777777", linewidth=0.9, linestyle=(0, (3, 2)), zorder=0)
    text = axes.annotate(f"kept: {epoch}", (epoch, 1), (2, -2), ("data", "axes fraction"), "offset points")
    text.set(fontsize=6.5, color="#555555", va="top")


def loss_curves(
    history: Iterable[Mapping[str, object]], *, best_epochs: Mapping[str, int] | None = None, title: str = ""
) -> Figure:
    """Draw one small panel for each value of the history, a column of panels for each step.

    history: rows like ``{"step": "vec", "epoch": 1, "loss_kl": 3.2}``, by epoch; "seconds" is left out, gaps
    are allowed. ``val_loss``, of rows held out, is drawn beside the loss that it measures. ``best_epochs``
    holds the epoch whose networks each step kept, which is marked. The scale is logarithmic where all values
    are positive and differ by more than 10 times. Raises ValueError when no row holds a value.
    """
    steps = _curves(history)
    held_out = {
        step: curves.pop("val_loss")
        for step, curves in steps.items()
        if VALIDATED.get(step) in curves and "val_loss" in curves
    }
    check(len(steps) > 0, "history must hold a finite value, found none")
    n_rows = max(map(len, steps.values()))
    figure = new_figure(1.5 * n_rows + 0.6, title, width=min(WIDTH, 3.5 * len(steps) + 0.5))
    grid = figure.subplots(n_rows, len(steps), squeeze=False)
    for column, (step, curves) in zip(grid.T, steps.items(), strict=True):
        for axes, (name, curve) in zip(column, curves.items(), strict=False):
            _draw_curve(axes, curve, held_out.get(step) if name == VALIDATED.get(step) else None)
            axes.set_title(f"{step}: {name}", fontsize=9)
            if step in (best_epochs or {}):
                _mark_kept(axes, (best_epochs or {})[step])
        column[len(curves) - 1].set_xlabel("epoch", fontsize=9)
        for axes in column[len(curves) :]:
            axes.set_visible(False)
    return figure


def _check_grid(rows: Iterable[Mapping[str, object]]) -> list[dict[str, float]]:
    """Return the finite numbers of each row; the rows in order of latent dimension, gamma and beta."""
    keys = ("latent_dim", "gamma", "beta")
    by_model: dict[tuple[float, ...], dict[str, float]] = {}
    for row in rows:
        numbers = {name: float(value) for name, value in row.items() if isinstance(value, Real)}
        finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
        check(set(keys) <= set(finite), f"rows must have {', '.join(keys)}, found {dict(row)}")
        check(finite["beta"] >= 0, f"beta must not be negative, found {row['beta']}")
        model = tuple(finite[key] for key in keys)
        check(model not in by_model, "rows must differ in latent_dim, gamma or beta, found one twice")
        by_model[model] = finite
    return [by_model[model] for model in sorted(by_model)]


def _log_beta(betas: Iterable[float], zero: float) -> np.ndarray:
    """Return log10 of the betas; 0 is drawn where ``zero`` would be."""
    return np.log10([beta or zero for beta in betas])


def _mark_regimes(axes: Axes, betas: Sequence[float], zero: float) -> None:
    low, high = _log_beta([betas[0], betas[-1]], zero) + np.array([-0.25, 0.25])
    for name, (start, end) in _REGIMES.items():
        if not any(start <= beta <= end for beta in betas):
            continue
        left = max(low, np.log10(start) - 0.08 if start else low)
        right = min(high, np.log10(end) + 0.08)
        axes.axvspan(left, right, color="#f0f0f0" if name != "clear" else "#e0e0e0", linewidth=0, zorder=0)
        text = axes.text((left + right) / 2, 1.01, name, transform=axes.get_xaxis_transform(), fontsize=7)
        text.set(color="#555555", ha="center", va="bottom")
    axes.set_xlim(low, high)
    axes.set_xticks(_log_beta(betas, zero), [f"{beta:g}" for beta in betas], rotation=90)


def _draw_metric(axes: Axes, name: str, rows: Sequence[Mapping[str, float]], zero: float) -> None:
    dims = sorted({row["latent_dim"] for row in rows})
    gammas = sorted({row["gamma"] for row in rows})
    for (dim, gamma), group in groupby(rows, key=itemgetter("latent_dim", "gamma")):
        line = [row for row in group if name in row]
        color = _COLORS[dims.index(dim) % len(_COLORS)]
        axes.plot(
            _log_beta([row["beta"] for row in line], zero),
            [row[name] for row in line],
            label=f"K = {dim:g}, γ = {gamma:g}",
            color=color,
            linestyle=_DASHES[gammas.index(gamma) % len(_DASHES)],
            linewidth=1.3,
            marker="o",
            markersize=3.5,
            markerfacecolor=color if gamma == gammas[0] else "white",
        )
    axes.set_title(_METRICS[name], fontsize=10, pad=16)
    style_axes(axes)
    axes.set_xlabel("β", fontsize=9, labelpad=1)


def regime_curves(rows: Sequence[Mapping[str, object]], *, title: str = "") -> Figure:
    """Draw the metrics of a grid of models against beta, with the paper's three regimes as pale bands.

    rows: mappings with latent_dim, gamma, beta and any of agreement, frechet, sharpness, ssim and perceptual,
    one panel each; a metric that no row holds gets none. Colours show the latent dimension, line styles
    gamma; beta is on a log scale with 0 at its left end. Raises ValueError when no row holds a metric, a key
    is missing, or two rows have the same latent_dim, gamma and beta.
    """
    models = _check_grid(rows)
    names = [name for name in _METRICS if any(name in row for row in models)]
    check(len(names) > 0, f"rows must hold a finite value of {', '.join(_METRICS)}, found none")
    betas = sorted({row["beta"] for row in models})
    zero = min([beta for beta in betas if beta > 0], default=1.0) / 4
    n_cols = min(3, len(names))
    n_rows = math.ceil(len(names) / n_cols)
    figure = new_figure(2.6 * n_rows + 0.6, title, width=3.3 * n_cols)
    grid = figure.subplots(n_rows, n_cols, squeeze=False)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for axes, name in zip(grid.flat, names, strict=False):
        _mark_regimes(axes, betas, zero)
        _draw_metric(axes, name, models, zero)
    lines = grid[0, 0].lines
    figure.legend(
        handles=lines, loc="outside lower center", ncols=2 * n_cols, fontsize=9, frameon=False, handlelength=3
    )
    return figure
