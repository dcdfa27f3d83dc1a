"""Centre and scale of training numbers, in whatever unit they are; the logarithm of those far outside.

Numbers are constant if they differ by no more than the rounding of their own type: a spread of 1e-13 is as
good as one of 1.
"""

from __future__ import annotations

import numpy as np

from ssavae._checks import check

NORMAL_IQR = 1.349  # interquartile range of N(0, 1): the scale of a normal column is its standard deviation
TAIL = 10.0  # scales beyond which a number counts by its logarithm, so that one error code does not dominate
LARGEST = 80.0  # of a decoded logarithm: its exponential stays finite
LEAST_IQR = 1e-20  # of the range: beyond as many scales, a logarithm in float32 is off by more than 2e-6
ROUNDING = 4  # units in the last place by which equal numbers may differ
SAFE_EXPONENT = 400  # of 2: squares of numbers beyond it, or of as small ones, leave the range of float64


def is_constant(low: np.ndarray, high: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return where numbers of a dtype, from low to high, differ by rounding alone.

    Examples
    --------
    >>> is_constant(np.array([0.0, 1.0]), np.array([1e-200, 1.0 + 1e-16]), np.dtype(float))
    array([False,  True])
    """
    epsilon = np.finfo(np.float64).eps  # integers and numbers of more bits become float64
    if dtype.kind == "f":
        epsilon = max(epsilon, np.finfo(dtype).eps)
    return high - low <= ROUNDING * epsilon * np.maximum(np.abs(low), np.abs(high))


def constant_scale(low: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
    """Return the scale of numbers that are constant: 1, or what makes nothing of their rounding."""
    return np.maximum(1.0, 1e6 * (high - low))


def check_span(low: float, high: float, dtype: np.dtype, name: str) -> None:
    """Raise ValueError if the difference of two numbers is too large for their dtype."""
    span = f"{name} reaches from {low:.3g} to {high:.3g}, too far to be scaled"
    check(not high / 2 - low / 2 > np.finfo(dtype).max / 2, f"{span}: look for extreme rows in X")


def mean_and_std(
    x: np.ndarray, low: np.ndarray, high: np.ndarray, axis: tuple[int, ...] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of numbers of any size, which lie from low to high.

    Examples
    --------
    >>> mean, std = mean_and_std(np.array([1e300, 3e300]), np.array(1e300), np.array(3e300))
    >>> float(mean), float(std)
    (2e+300, 1e+300)
    """
    exponent = np.frexp(np.maximum(np.abs(low), np.abs(high)))[1]
    shift = np.where(np.abs(exponent) > SAFE_EXPONENT, exponent, 0)
    if shift.any():
        x = np.ldexp(x, -shift)
    mean = x.mean(axis=axis, dtype=np.float64)
    std = x.std(axis=axis, dtype=np.float64)
    return np.ldexp(mean, shift), np.ldexp(std, shift)


def standard_scale(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each channel of signals (n, T[, C]), if it is not constant."""
    axis = (0, 1) if x.ndim == 3 else None
    low = x.min(axis=axis).astype(np.float64)
    high = x.max(axis=axis).astype(np.float64)
    mean, std = mean_and_std(x, low, high, axis)
    constant = is_constant(low, high, x.dtype)
    mean = np.where(constant, low, mean)
    return np.atleast_1d(mean), np.atleast_1d(np.where(constant, constant_scale(low, high), std))


def image_scale(low: float, high: float, dtype: np.dtype) -> tuple[float, float]:
    """Return offset and scale that map images to [0, 1], whose pixels lie from low to high.

    Where they fill half of what such pixels can hold, [0, 1] or that of bytes, it is mapped; else their own
    range.

    Examples
    --------
    >>> image_scale(0.0, 200.0, np.dtype("uint8")), image_scale(0.0, 16.0, np.dtype("uint8"))
    ((0.0, 255.0), (0.0, 16.0))
    """
    top = 1.0 if high <= 1.0 else 255.0 if dtype == np.uint8 else 0.0
    constant = bool(is_constant(np.float64(low), np.float64(high), dtype))
    if low >= 0.0 and top and (constant or high - low >= top / 2):
        return 0.0, top
    return low, float(constant_scale(low, high)) if constant else high - low


def robust_scale(columns: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return centre and scale of each column of numbers (m, n): median, and interquartile range.

    The interquartile range is divided by ``NORMAL_IQR``; where it is 0, mean and standard deviation are
    taken, and :func:`constant_scale` where all numbers are equal.

    Examples
    --------
    >>> centre, scale = robust_scale(np.array([[1.0, 2.0, 3.0, 1e9], [7.0, 7.0, 7.0, 7.0]]), np.dtype(float))
    >>> centre, float(scale[1])
    (array([2.5, 7. ]), 1.0)
    """
    low = columns.min(axis=1)
    high = columns.max(axis=1)
    quarter, centre, three_quarters = np.quantile(columns, [0.25, 0.5, 0.75], axis=1)
    iqr = three_quarters - quarter
    scale = iqr / NORMAL_IQR
    is_zero = is_constant(quarter, three_quarters, dtype) | (iqr <= LEAST_IQR * (high - low))
    for i in np.flatnonzero(is_zero):
        if is_constant(low[i], high[i], dtype):
            scale[i] = constant_scale(low[i], high[i])
        else:
            centre[i], scale[i] = mean_and_std(columns[i], low[i], high[i])
    return centre, scale


def standardize(x: np.ndarray, low: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return numbers in scales from their centre, as logarithms far outside: see :func:`squash`."""
    with np.errstate(over="ignore"):
        return squash((x - low) / scale)


def squash(value: np.ndarray) -> np.ndarray:
    r"""Leave values up to ``TAIL`` as they are, and take the logarithm of what is beyond.

    .. math:: \mathrm{sign}(v) \, (t + \log(1 + |v| - t)) \quad \text{for} \; |v| > t

    Examples
    --------
    >>> squash(np.array([-2.0, 10.0, 1e6])).round(2)
    array([-2.  , 10.  , 23.82])
    """
    beyond = np.clip(np.abs(value) - TAIL, 0.0, np.finfo(np.float64).max)
    return np.clip(value, -TAIL, TAIL) + np.sign(value) * np.log1p(beyond)


def unsquash(value: np.ndarray) -> np.ndarray:
    """Undo :func:`squash`.

    Examples
    --------
    >>> unsquash(squash(np.array([-2.0, 1e6]))).round(3)
    array([-2.e+00,  1.e+06])
    """
    beyond = np.maximum(np.abs(value) - TAIL, 0.0)
    return np.clip(value, -TAIL, TAIL) + np.sign(value) * np.expm1(beyond.clip(max=LARGEST))
