"""Windows of equal length cut from long records, and their spectra and summaries."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ssavae._checks import check

if TYPE_CHECKING:
    from jaxtyping import Float, Int

FLOOR = 1e-6  # of a standard deviation, or of a spectrum's mean power: a smaller one is rounding error


class Windows(NamedTuple):
    """Windows of records, in order."""

    x: np.ndarray  # (n, window[, C])
    last: np.ndarray  # (n,), the row of a table, or the record, that each window ends in
    groups: np.ndarray  # (n,), the record of each window, as text


def window_starts(length: int, window: int, hop: int) -> Int[np.ndarray, "n"]:
    """Return where windows begin in a record; none where it is shorter than a window.

    Examples
    --------
    >>> window_starts(10, 4, 3), window_starts(3, 4, 1)
    (array([0, 3, 6]), array([], dtype=int64))
    """
    return np.arange(0, length - window + 1, hop, dtype=np.int64)


def windows_of_rows(x: np.ndarray, groups: np.ndarray | None, window: int, hop: int) -> Windows:
    """Cut a table of measurements (n, d), row after row in time, into windows (m, window, d).

    Consecutive rows of one group are one record, and no window reaches over the end of a record.

    Raises
    ------
    ValueError
        If no record is as long as a window, or the rows of a group are not consecutive: they could not be
        distinguished from rows in time order.

    Examples
    --------
    >>> x = np.arange(6.0)[:, None]
    >>> cut = windows_of_rows(x, np.array(["a", "a", "a", "b", "b", "b"]), window=2, hop=1)
    >>> cut.x[..., 0].tolist(), cut.last.tolist()
    ([[0.0, 1.0], [1.0, 2.0], [3.0, 4.0], [4.0, 5.0]], [1, 2, 4, 5])
    """
    _check(window, hop)
    groups = np.full(len(x), "0") if groups is None else groups
    ends = np.flatnonzero(np.append(groups[1:] != groups[:-1], True)) + 1
    begins = np.append(0, ends[:-1])
    names = groups[begins]
    check(
        len(set(names.tolist())) == len(names),
        "the rows of a group are not consecutive: sort the table by group and time before it is cut",
    )
    pairs = zip(begins, ends, strict=True)
    starts = np.concatenate([begin + window_starts(end - begin, window, hop) for begin, end in pairs])
    longest = int((ends - begins).max())
    check(len(starts) > 0, f"window={window}: no record is as long, the longest has {longest} rows")
    rows = starts[:, None] + np.arange(window)
    return Windows(x[rows], rows[:, -1], groups[rows[:, -1]])


def windows_of_records(x: np.ndarray, groups: np.ndarray | None, window: int, hop: int) -> Windows:
    """Cut records (n, T[, C]) into windows (m, window[, C]); without groups each record is one.

    Raises
    ------
    ValueError
        If records are shorter than a window.
    """
    _check(window, hop)
    starts = window_starts(x.shape[1], window, hop)
    check(len(starts) > 0, f"window={window}: records have {x.shape[1]} samples")
    views = np.lib.stride_tricks.sliding_window_view(x, window, axis=1)[:, starts]
    views = np.moveaxis(views, -1, 2)  # (n, windows, window[, C])
    record = np.repeat(np.arange(len(x)), len(starts))
    windows = np.ascontiguousarray(views.reshape(-1, window, *x.shape[2:]))
    return Windows(windows, record, record.astype(str) if groups is None else groups[record])


def _check(window: int, hop: int) -> None:
    check(window >= 1, f"window={window} must be at least 1")
    check(hop >= 1, f"hop={hop} must be at least 1")


SUMMARIES = ("mean", "log deviation", "log roughness")


def summarize(x: Float[np.ndarray, "n t *c"]) -> Float[np.ndarray, "n d"]:
    """Return mean, log standard deviation and log roughness of each channel, (n, 3 C): a table.

    Roughness is the standard deviation of the differences between consecutive samples. None of the three
    depends on when in the window something happens; on a logarithmic scale a factor is the same step
    everywhere.

    Examples
    --------
    >>> summarize(np.array([[[0.0], [2.0], [0.0], [2.0]]])).round(2)
    array([[1.  , 0.  , 0.63]])
    """
    x = x if x.ndim == 3 else x[..., None]
    log_std = np.log(x.std(axis=1) + FLOOR)
    log_roughness = np.log(np.diff(x, axis=1).std(axis=1) + FLOOR)
    return np.concatenate([x.mean(axis=1), log_std, log_roughness], axis=1, dtype=np.float64)


def log_spectrum(x: Float[np.ndarray, "n t *c"]) -> Float[np.ndarray, "n f *c"]:
    r"""Return the logarithm of each window's power spectrum, (n, T / 2 + 1[, C]).

    .. math:: \tfrac12 \log (|X(f)|^2 + \epsilon \, \overline{|X|^2})

    X is the Fourier transform of the window, its mean subtracted, times a Hann window. The mean power is over
    all frequencies of one window, so that a row's spectrum depends on that row alone.

    Examples
    --------
    >>> tone = np.sin(2 * np.pi * 8 * np.arange(64) / 64)
    >>> log_spectrum(tone[None]).argmax(axis=1)
    array([8])
    """
    from scipy.signal.windows import hann

    taper = hann(x.shape[1], sym=False)
    if x.ndim == 3:
        taper = taper[:, None]
    centred = x - np.mean(x, axis=1, keepdims=True)
    power = np.square(np.abs(np.fft.rfft(centred * taper, axis=1)))
    floor = FLOOR * power.mean(axis=1, keepdims=True) + np.finfo(np.float32).tiny
    return (0.5 * np.log(power + floor)).astype(np.float32)
