"""Whether a split into training and test part can be believed: what stands on both sides of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

CHUNK = 16  # consecutive samples that two windows share only if they were cut from the same stretch
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, from the golden ratio: spreads bits over the hash


@dataclass(frozen=True)
class Finding:
    """One kind of leak.

    Parameters
    ----------
    what : str
    n_test : int
        Test rows that it touches.
    example : str
        One of them, where there is one.
    """

    what: str
    n_test: int
    example: str = ""


def audit(
    x_train: np.ndarray,
    x_test: np.ndarray,
    groups_train: np.ndarray | None = None,
    groups_test: np.ndarray | None = None,
    *,
    signals: bool = False,
) -> list[Finding]:
    """Count what stands on both sides of a split.

    Parameters
    ----------
    x_train, x_test : (n, ...), (m, ...)
        Rows as they are read.
    groups_train, groups_test : (n,), (m,) or None
        What each row belongs to.
    signals : bool
        Look for windows that share samples too.

    Returns
    -------
    list of Finding
        Exact duplicates, overlapping windows and groups, each with its number, which may be 0.
    """
    twin = duplicated(x_train, x_test)
    found = [_finding("exact copies of training rows", twin)]
    if signals:
        shared = overlapping(x_train, x_test) & ~twin
        found.append(_finding("windows that share samples with training windows", shared))
    if groups_train is not None and groups_test is not None:
        both = np.isin(groups_test, groups_train)
        named = f"group {groups_test[both][0]}" if both.any() else ""
        what = f"rows of {len(np.unique(groups_test[both]))} groups that are in the training part too"
        found.append(Finding(what, int(both.sum()), named))
    return found


def _finding(what: str, mask: np.ndarray) -> Finding:
    return Finding(what, int(mask.sum()), f"test row {int(mask.argmax())}" if mask.any() else "")


def duplicated(x_train: np.ndarray, x_test: np.ndarray) -> Bool[np.ndarray, "m"]:
    """Say which test rows are equal to a training row in every value.

    Examples
    --------
    >>> duplicated(np.array([[1.0, 2.0]]), np.array([[1.0, 2.0], [1.0, 3.0]]))
    array([ True, False])
    """
    known = set(_keys(x_train))
    return np.array([key in known for key in _keys(x_test)], dtype=bool)


def _keys(x: np.ndarray) -> list[bytes]:
    """Return rows as bytes, equal where all values are: -0 is 0, every NaN the same, objects as text."""
    if x.dtype.kind == "O":
        return [repr(list(map(str, row))).encode() for row in x.tolist()]
    flat: Any = np.ascontiguousarray(x).reshape(len(x), -1)
    plain = np.where(np.isnan(flat), np.nan, flat + 0.0) if flat.dtype.kind == "f" else flat
    return [row.tobytes() for row in plain]


def overlapping(x_train: np.ndarray, x_test: np.ndarray) -> Bool[np.ndarray, "m"]:
    """Say which windows (m, T[, C]) begin or end with samples that a training window holds somewhere.

    Windows cut from one record overlap in a stretch of samples; it is found at any offset if it is at least
    16 samples long. Flat stretches, which any two windows may share, do not count.

    Examples
    --------
    >>> record = np.random.default_rng(0).normal(size=100)
    >>> overlapping(record[None, :50], np.stack([record[30:80], record[50:]]))
    array([ True, False])
    """
    train, test = _channels(x_train), _channels(x_test)
    known = np.unique(np.concatenate([_hashes(window[None])[0] for window in train]))
    met = np.zeros(len(test), dtype=bool)
    for end in (test[:, :CHUNK], test[:, -CHUNK:]):
        hashes = _hashes(end)[:, 0]
        place = np.searchsorted(known, hashes).clip(max=len(known) - 1)
        met |= (known[place] == hashes) & (np.ptp(end, axis=1) > 0)
    return met


def _channels(x: np.ndarray) -> np.ndarray:
    """Return windows with their first channel alone: samples of all channels are cut together."""
    return x[..., 0] if x.ndim == 3 else x


def _hashes(windows: np.ndarray) -> np.ndarray:
    """Hash every stretch of ``CHUNK`` samples, (n, T - CHUNK + 1)."""
    bits = np.ascontiguousarray(windows, dtype=np.float64).view(np.uint64)
    views = np.lib.stride_tricks.sliding_window_view(bits, min(CHUNK, bits.shape[1]), axis=1)
    total = np.zeros(views.shape[:2], dtype=np.uint64)
    with np.errstate(over="ignore"):
        for i in range(views.shape[2]):
            total = (total ^ (views[..., i] * _MIX)) * _MIX
            total ^= total >> np.uint64(29)
    return total
