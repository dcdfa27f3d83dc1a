"""Novelty of known rows and of new ones: their distributions, and the ROC curve."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from sklearn.metrics import roc_auc_score, roc_curve

from ssavae._checks import check, check_array
from ssavae.figures.style import GREY, PALETTE, VERMILION, new_figure, shorten, style_axes

MOST_GROUPS = 6  # of new rows that get a curve each
N_BINS = 40


def novelty_roc(
    known: ArrayLike, new: Mapping[str, ArrayLike], limit: float | None = None, *, title: str = ""
) -> Figure:
    """Draw how well novelty tells new rows from known ones: both distributions, and the ROC curve.

    known (n,) and each of new (m,), by name, hold novelty, higher is newer; more than six groups of new rows
    are drawn as one. Above `limit` a row is called novel: a line in the left panel, a dot on each curve of
    the right one. Raises ValueError without new rows, and on NaN or wrong shapes.
    """
    scores_known = check_array("known", known, (1,))
    check(len(new) > 0, "new must hold a group of rows, found none")
    groups = {name: check_array(f"new[{name!r}]", values, (1,)) for name, values in new.items()}
    if len(groups) > MOST_GROUPS:
        groups = {f"{len(groups)} groups together": np.concatenate(list(groups.values()))}
    figure = new_figure(3.5, title)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _draw_scores(left, scores_known, groups, limit)
    right.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 2)))
    for (name, scores), color in zip(groups.items(), PALETTE, strict=False):
        _draw_roc(right, scores_known, scores, limit, color, name)
    right.legend(fontsize=7, frameon=False, loc="lower right", title="AUROC", title_fontsize=7)
    right.set_aspect("equal")
    style_axes(right, "known rows called novel", "new rows called novel")
    return figure


def _draw_scores(
    axes: Axes, known: np.ndarray, groups: Mapping[str, np.ndarray], limit: float | None
) -> None:
    every = np.concatenate([known, *groups.values()])
    low, high = np.quantile(every, [0.001, 0.99])
    edges = np.linspace(low, max(high, low + 1e-6), N_BINS + 1)
    drawn = {"known": known, **groups}
    for (name, scores), color in zip(drawn.items(), [GREY, *PALETTE], strict=False):
        clipped = scores.clip(edges[0], edges[-1])
        weights = np.full(len(scores), 1 / len(scores))
        style = "stepfilled" if color == GREY else "step"
        axes.hist(
            clipped,
            edges.tolist(),
            weights=weights,
            color=color,
            histtype=style,
            label=f"{shorten(name, 24)} ({len(scores):,})",
        )
    if limit is not None:
        axes.axvline(limit, color=VERMILION, linewidth=1, linestyle=(0, (3, 2)), label="limit")
    axes.legend(fontsize=7, frameon=False)
    style_axes(axes, "novelty; the last bin holds all above it", "share of rows")


def _draw_roc(
    axes: Axes, known: np.ndarray, new: np.ndarray, limit: float | None, color: str, name: str
) -> None:
    is_new = np.repeat([0, 1], [len(known), len(new)])
    scores = np.concatenate([known, new])
    false_alarms, detected, _ = roc_curve(is_new, scores)
    label = f"{shorten(name, 20)}: {roc_auc_score(is_new, scores):.3f}"
    axes.plot(false_alarms, detected, color=color, linewidth=1.4, label=label)
    if limit is not None:
        axes.plot([(known > limit).mean()], [(new > limit).mean()], "o", color=color, markersize=5)
