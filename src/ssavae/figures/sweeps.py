"""Curves of a sweep: each metric against each swept parameter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from numbers import Real

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssavae._checks import check
from ssavae.figures.style import PALETTE, WIDTH, new_figure, style_axes

_LOG_RANGE = 50.0  # an axis whose ends differ by this factor is logarithmic
_MAX_VALUES = 8  # more values are not written on the axis, and more lines not coloured


def sweep_curves(
    rows: Sequence[Mapping[str, object]], swept: Sequence[str], metrics: Sequence[str], *, title: str = ""
) -> Figure:
    """Draw a grid of panels: a row for each metric, a column for each swept parameter.

    rows: one mapping for each cell, with the swept parameters and the metrics; a metric that it does not hold
    leaves a gap. Cells that differ in the column's parameter alone are joined by a line, whose colour shows
    the one of the other parameters that has the fewest values. Raises ValueError if there is no row,
    parameter or metric.
    """
    check(len(rows) > 0, "rows must hold a cell, found none")
    check(len(swept) > 0 and len(metrics) > 0, "swept and metrics must name something, found nothing")
    cells = [{name: tuple(v) if isinstance(v, list) else v for name, v in row.items()} for row in rows]
    figure = new_figure(2.3 * len(metrics) + 0.9, title, width=max(WIDTH, 3.2 * len(swept)))
    grid = figure.subplots(len(metrics), len(swept), squeeze=False, sharex="col", sharey="row")
    for column, name in zip(grid.T, swept, strict=True):
        for axes, metric in zip(column, metrics, strict=True):
            style_axes(axes)
            _draw_panel(axes, cells, name, [other for other in swept if other != name], metric)
        column[-1].set_xlabel(name, fontsize=9)
        if column[0].get_legend_handles_labels()[0]:
            column[0].legend(fontsize=6.5, frameon=False)
    for axes, metric in zip(grid[:, 0], metrics, strict=True):
        axes.set_ylabel(metric.replace("_", " "), fontsize=9)
    return figure


def _draw_panel(
    axes: Axes, cells: Sequence[Mapping[str, object]], name: str, others: Sequence[str], metric: str
) -> None:
    positions = _positions(axes, _sorted_values(cell[name] for cell in cells))
    values = {other: _sorted_values(cell[other] for cell in cells) for other in others}
    hue = min(others, key=lambda other: len(values[other]), default="")
    colors = dict(zip(values.get(hue, []), cycle(PALETTE), strict=False))
    if len(colors) > _MAX_VALUES:
        colors = {}
    lines: dict[tuple[object, ...], list[tuple[float, float]]] = defaultdict(list)
    for cell in cells:
        points = lines[tuple(cell[other] for other in others)]
        value = cell.get(metric)
        if isinstance(value, Real):
            points.append((positions[cell[name]], float(value)))
    for group, points in lines.items():
        color = colors.get(dict(zip(others, group, strict=True)).get(hue), PALETTE[0])
        x, y = np.reshape(sorted(points), (-1, 2)).T
        axes.plot(x, y, "-o" if len(x) > 1 else "o", color=color, markersize=4, linewidth=1.1, alpha=0.85)
    if len(colors) > 1:
        for value, color in colors.items():
            axes.plot([], [], "-o", color=color, markersize=4, label=f"{hue} = {value}")


def _positions(axes: Axes, values: Sequence[object]) -> dict[object, float]:
    """Return the position of each value on the x axis: many numbers to scale, others equally spaced."""
    numbers = [float(v) for v in values if isinstance(v, Real) and not isinstance(v, bool)]
    are_numbers = len(numbers) == len(values)
    if are_numbers and len(values) > _MAX_VALUES:
        if numbers[0] > 0 and numbers[-1] / numbers[0] >= _LOG_RANGE:
            axes.set_xscale("log")
        return dict(zip(values, numbers, strict=True))
    axes.set_xticks(np.arange(len(values)), [f"{v:g}" if are_numbers else str(v) for v in values])
    return {value: float(i) for i, value in enumerate(values)}


def _sorted_values(values: Iterable[object]) -> list[object]:
    """Return the distinct values: numbers in ascending order, then the others as text."""
    return sorted(set(values), key=lambda v: (0, float(v), "") if isinstance(v, Real) else (1, 0.0, str(v)))
