"""What a sweep found: each measure against each swept parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from numbers import Real
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssavae._checks import check
from ssavae.figures.style import TEN, WIDTH, new_figure, plain

_LOG_FROM = 50.0  # an axis whose ends differ by this factor is logarithmic
_MANY = 8  # lines beyond which points say more


def sweep_curves(
    rows: Sequence[Mapping[str, Any]], swept: Sequence[str], measures: Sequence[str], *, title: str = ""
) -> Figure:
    """Draw a row of panels a measure and a column a swept parameter.

    Cells that differ in that parameter alone are joined by a line; a column's lines are told apart by the one
    of the other parameters that has the fewest values.

    Parameters
    ----------
    rows : sequence of mappings
        One a cell: the swept parameters and what was measured.
    swept, measures : sequence of str
        Names; a measure that a row does not hold leaves a gap.
    title : str

    Raises
    ------
    ValueError
        If there is no row, parameter or measure.
    """
    check(len(rows) > 0, "rows must hold a cell, found none")
    check(len(swept) > 0 and len(measures) > 0, "swept and measures must name something, found nothing")
    width = max(WIDTH, 3.2 * len(swept))
    figure = new_figure(2.3 * len(measures) + 0.9, title, width=width)
    grid = figure.subplots(len(measures), len(swept), squeeze=False, sharex="col", sharey="row")
    for axes_row, measure in zip(grid, measures, strict=True):
        for axes, name in zip(axes_row, swept, strict=True):
            _draw_panel(axes, rows, name, [other for other in swept if other != name], measure)
        axes_row[0].set_ylabel(measure.replace("_", " "), fontsize=9)
    for first, last, name in zip(grid[0], grid[-1], swept, strict=True):
        last.set_xlabel(name, fontsize=9)
        if first.get_legend_handles_labels()[0]:
            first.legend(fontsize=6.5, frameon=False)
    return figure


def _draw_panel(
    axes: Axes, rows: Sequence[Mapping[str, Any]], name: str, others: Sequence[str], measure: str
) -> None:
    values = sorted({_key(row[name]) for row in rows}, key=_order)
    places = _places(axes, values)
    hue = min(others, key=lambda other: len({_key(row[other]) for row in rows}), default=None)
    hues = sorted({_key(row[hue]) for row in rows}, key=_order) if hue else [None]
    colors = dict(zip(hues, cycle(TEN), strict=False))
    told = len(hues) <= _MANY
    for group in {tuple(_key(row[other]) for other in others): None for row in rows}:
        own = [row for row in rows if tuple(_key(row[other]) for other in others) == group]
        own = sorted(
            (row for row in own if isinstance(row.get(measure), Real)), key=lambda r: _order(_key(r[name]))
        )
        color = colors[group[others.index(hue)]] if hue and told else TEN[0]
        x, y = [places[_key(row[name])] for row in own], [row[measure] for row in own]
        axes.plot(x, y, "-o" if len(own) > 1 else "o", color=color, markersize=4, linewidth=1.1, alpha=0.85)
    if hue and told and len(hues) > 1:
        for each in hues:
            axes.plot([], [], "-o", color=colors[each], markersize=4, label=f"{hue} = {each}")
    plain(axes)


def _places(axes: Axes, values: Sequence[Any]) -> dict[Any, float]:
    """Choose where values stand on the axis: many numbers to scale, others one after another."""
    numbers = all(isinstance(v, Real) and not isinstance(v, bool) for v in values)
    if numbers and len(values) > _MANY:
        if min(values) > 0 and max(values) / min(values) >= _LOG_FROM:
            axes.set_xscale("log")
        return {v: float(v) for v in values}
    axes.set_xticks(np.arange(len(values)), [f"{v:g}" if numbers else str(v) for v in values])
    return {v: float(i) for i, v in enumerate(values)}


def _key(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _order(value: Any) -> tuple[bool, Any]:
    return (False, value) if isinstance(value, Real) else (True, str(value))
