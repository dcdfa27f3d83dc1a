"""The range of the training rows: new rows outside it show another unit, or a division by 255."""

from __future__ import annotations

import math

import numpy as np

from ssavae.preprocessing.scaling import standardize
from ssavae.preprocessing.table import NumberColumns

COMPARED_ROWS = 256  # of new rows, and of training images
COMPARED_VALUES = 2**22
FAR = 3.0  # scales beyond the range of training, in its tails factors of e, that are another unit
FEWEST_ROWS = 20  # whose numbers may be called too small: one alone may be small by chance
CORNER = 0.1  # of the least that is usual in training: below it, another unit is likelier
REMEDY = "give them in the unit, and divided as, the training rows were"
FEW_COLUMNS = 0.02  # fraction of columns that may lie outside by chance


def n_compared(shape: tuple[int, ...]) -> int:
    """Return how many of rows of a shape (n, ...) are compared: fewer, where they are large.

    >>> n_compared((1000, 28, 28)), n_compared((1000, 2048, 2048)), n_compared((3, 5))
    (256, 1, 3)
    """
    return min(shape[0], COMPARED_ROWS, max(1, COMPARED_VALUES // max(1, math.prod(shape[1:]))))


def evenly_spaced(shape: tuple[int, ...]) -> np.ndarray:
    """Return the indices of at most :func:`n_compared` rows.

    >>> evenly_spaced((3, 5)), len(evenly_spaced((10**6, 5)))
    (array([0, 1, 2]), 256)
    """
    return np.arange(shape[0])[:: math.ceil(shape[0] / n_compared(shape))]


def least_spread(x: np.ndarray, n_channels: int) -> tuple[float, ...]:
    """Return how far apart the values of a row lie at least, per channel, leaving out constant rows.

    It is the 1 % quantile over the rows (n, ...): a few may be as good as constant.
    """
    low, high = _row_range(x, n_channels)
    spreads = (high - low).T
    return tuple(float(np.quantile(each[each > 0], 0.01)) if each.any() else 0.0 for each in spreads)


def _row_range(x: np.ndarray, n_channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return lowest and highest value of each row and channel, (n, C) both."""
    values = x.reshape(len(x), -1, n_channels)
    return values.min(axis=1).astype(np.float64), values.max(axis=1).astype(np.float64)


def row_range_problem(x: np.ndarray, lowest: np.ndarray, highest: np.ndarray, spread: np.ndarray) -> str:
    """Return what is wrong with the range of images or signals (n, ...), "" where nothing is.

    Parameters
    ----------
    x : (n, ...)
    lowest, highest : (C,)
        Range of training; empty where it is not known.
    spread : (C,)
        Of training: see :func:`least_spread`; empty where it is not known.
    """
    if len(lowest) == 0:
        return ""
    row_low, row_high = _row_range(x, len(lowest))
    low = np.median(row_low, axis=0)
    high = np.median(row_high, axis=0)
    margin = (highest - lowest) / 2
    outside = np.flatnonzero((high > highest + margin) | (low < lowest - margin))
    if len(outside):
        i = outside[0]
        reach = f"rows reach from {low[i]:.3g} to {high[i]:.3g}{_channel(i, len(lowest))}"
        usual = f"in training from {lowest[i]:.3g} to {highest[i]:.3g}"
        return f"X lies outside the range of training: {reach}, {usual}: {REMEDY}"
    for i, least in enumerate(spread):
        spreads = row_high[:, i] - row_low[:, i]
        typical = np.median(spreads[spreads > 0]) if spreads.any() else least
        if typical < CORNER * least:
            span = f"rows span {typical:.3g}{_channel(i, len(lowest))}, in training {least:.3g} and more"
            return f"X lies in a corner of the range of training: {span}: {REMEDY}"
    return ""


def _channel(i: int, n_channels: int) -> str:
    return f" in channel {i}" if n_channels > 1 else ""


def table_range_problem(numbers: np.ndarray, columns: NumberColumns) -> str:
    """Return what is wrong with the range of the numbers (n, m) of a table, "" where nothing is."""
    numbers = np.where(np.isnan(numbers), columns.low, numbers)  # a gap counts as the median of training
    median = np.median(numbers, axis=0)
    low, value, high = (
        standardize(each, columns.low, columns.scale) for each in (columns.lowest, median, columns.highest)
    )
    margin = columns.highest - columns.lowest
    margin[margin == 0] = np.inf  # a constant says nothing of a range
    above = (value > high + FAR) & (median > columns.highest + margin)
    below = (value < low - FAR) & (median < columns.lowest - margin)
    outside = np.flatnonzero(above | below)
    if len(outside) > FEW_COLUMNS * len(columns.names):
        i = outside[0]
        usual = f"{columns.lowest[i]:.3g} to {columns.highest[i]:.3g}"
        return _column_problem(columns.names, outside, f"is about {median[i]:.3g}, in training {usual}")
    size = np.median(np.abs(numbers), axis=0)
    small = np.flatnonzero((size > 0) & (size < CORNER * columns.magnitude))
    if len(numbers) >= FEWEST_ROWS and len(small) > FEW_COLUMNS * len(columns.names):
        i = small[0]
        usual = f"mostly {columns.magnitude[i]:.3g} and more"
        return _column_problem(columns.names, small, f"is about {size[i]:.3g} in size, in training {usual}")
    return ""


def _column_problem(names: tuple[str, ...], positions: np.ndarray, problem: str) -> str:
    others = f" ({len(positions) - 1} more columns differ)" if len(positions) > 1 else ""
    first = f"column {names[positions[0]]!r} of X {problem}{others}"
    return f"{first}: give it in the unit of the training rows"
