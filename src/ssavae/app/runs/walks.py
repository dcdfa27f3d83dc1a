"""Pictures of walks through the codes: between rows, along dimensions, from a row to another class."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ssavae import figures
from ssavae.analysis.explain import Explanation
from ssavae.app.runs.pictures import (
    AS_MEASURED,
    AxisLabels,
    drawn,
    kind_of,
    label_indices,
    labels_for,
    pick,
)
from ssavae.data.labelled import RowsLike
from ssavae.data.partition import Part
from ssavae.estimator import SSAVAE

STEPS = 7
MOST_LINES = 10
REACH = 2.0  # standard deviations of the codes, to either side of their mean


def draw_interpolation(
    model: SSAVAE, part: Part, n: int = 5, labels: AxisLabels = AS_MEASURED
) -> figures.Figure:
    """Draw n walks between two rows each, of different classes where there are labels, with both ends."""
    y = label_indices(model, part.y, len(part.x))
    ends = pick(y, n + 1) if (y >= 0).any() else np.arange(min(n + 1, len(y)))
    lines, names = [], []
    for a, b in pairwise(ends):
        start, end = part.take(slice(a, a + 1)).x, part.take(slice(b, b + 1)).x
        decoded = drawn(model, model.interpolate(start, end, STEPS))
        lines.append(np.concatenate([drawn(model, start), decoded, drawn(model, end)]))
        names.append(f"{_name_of(part, a)} to {_name_of(part, b)}")
    steps = ["row", *(f"{t:.0%}" for t in np.linspace(0, 1, STEPS)), "row"]
    return _strips(model, lines, names, steps, labels, "decoded on the way from one row to another")


def _name_of(part: Part, row: np.int64) -> str:
    label = None if part.y is None else part.y[row]
    return f"row {row}" if label in (None, -1) else str(label)


def draw_traversal(
    model: SSAVAE, part: Part, row: int = 0, labels: AxisLabels = AS_MEASURED
) -> figures.Figure:
    """Draw walks from the code of one row along dimensions of the code, ten at most.

    They are those that change the decoded row most, the others stay as they are. A walk goes from two
    standard deviations of the codes below their mean to two above.
    """
    codes = model.transform(part.take(part.some()).x, detail=True)
    start = model.transform(part.take(slice(row, row + 1)).x, detail=True)
    values = codes.mean(axis=0) + np.linspace(-REACH, REACH, STEPS)[:, None] * codes.std(axis=0)
    n_dims = start.shape[1]
    dims = _strongest(model, start, values)
    walks = np.repeat(start, len(dims) * STEPS, axis=0)
    walks[np.arange(len(walks)), np.repeat(dims, STEPS)] = values[:, dims].T.ravel()
    decoded = drawn(model, model.inverse_transform(walks))
    lines = decoded.reshape(len(dims), STEPS, *decoded.shape[1:])
    names = [_dimension(int(k), model.spec_.n_map, n_dims) for k in dims]
    steps = [f"{t:+.1f} sd" for t in np.linspace(-REACH, REACH, STEPS)]
    which = "" if len(dims) == n_dims else f", the {len(dims)} of {n_dims} that change most"
    return _strips(model, lines, names, steps, labels, f"row {row} decoded along single dimensions{which}")


def _strongest(model: SSAVAE, start: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the dimensions, (k,) in order, whose two ends decode to the most different rows."""
    n = start.shape[1]
    ends = np.repeat(start, 2 * n, axis=0)
    ends[np.arange(2 * n), np.repeat(np.arange(n), 2)] = values[[0, -1]].T.ravel()
    low, high = drawn(model, model.inverse_transform(ends)).reshape(n, 2, -1).swapaxes(0, 1)
    change = np.square(high - low).mean(axis=1)
    return np.sort(np.argsort(-change, kind="stable")[:MOST_LINES])


def _dimension(k: int, n_map: int, n_dims: int) -> str:
    """Return the name of a dimension; of a code in two parts that of its part too.

    >>> _dimension(0, 2, 2), _dimension(1, 2, 10), _dimension(2, 2, 10)
    ('z0', 'map z1', 'detail z2')
    """
    if n_map == n_dims:
        return f"z{k}"
    return f"{'map' if k < n_map else 'detail'} z{k}"


def title_of(row: int, why: Explanation) -> str:
    """Return the title of the picture that explains a row."""
    return f"row {row}: why {why.predicted}, and not {why.other}"


def draw_explanation(
    model: SSAVAE, x: RowsLike, why: Explanation, labels: AxisLabels = AS_MEASURED, title: str = ""
) -> figures.Figure:
    """Draw what speaks for the class of a row, value by value, and the way to its counterpart."""
    kind = kind_of(model)
    shares = why.attribution
    channel = 0
    if kind == "signal":
        channel = int(np.abs(shares).sum(axis=1).argmax())
        shares = shares[channel]
        if len(why.attribution) > 1:
            title = f"{title}, channel {channel} of {len(why.attribution)}"
    elif kind == "image":
        shares = shares.sum(axis=0)
    xlabel, ylabel = labels_for(kind, labels)
    return figures.saliency(
        drawn(model, x, channel)[0],
        shares,
        drawn(model, why.decoded, channel),
        why.probability,
        [str(why.predicted), str(why.other)],
        kind=kind,
        columns=model.preprocess_.input_names,
        xlabel=xlabel,
        ylabel=ylabel,
        title=title,
    )


def _strips(
    model: SSAVAE,
    lines: Sequence[np.ndarray] | np.ndarray,
    names: Sequence[str],
    steps: Sequence[str],
    labels: AxisLabels,
    title: str,
) -> figures.Figure:
    kind = kind_of(model)
    xlabel, ylabel = labels_for(kind, labels)
    return figures.strips(
        np.stack(list(lines)),
        names,
        steps,
        kind=kind,
        columns=model.preprocess_.input_names,
        xlabel=xlabel,
        ylabel=ylabel,
        title=title,
    )
