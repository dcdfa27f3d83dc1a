"""Leakage audit of a split: copies, overlapping windows and groups in both training and test part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool

CHUNK = 16  # consecutive samples that only windows of the same stretch have in common
HASH_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, from the golden ratio (Fibonacci hashing)


@dataclass(frozen=True)
class Finding:
    """One kind of leak."""

    what: str
    n_test: int  # test rows that are affected
    example: str = ""  # one of them; empty where there is none


def audit(
    x_train: np.ndarray,
    x_test: np.ndarray,
    groups_train: np.ndarray | None = None,
    groups_test: np.ndarray | None = None,
    *,
    signals: bool = False,
) -> list[Finding]:
    """Count the test rows that a model knows from training.

    Parameters
    ----------
    x_train, x_test : (n, ...), (m, ...)
        Rows as they are read.
    groups_train, groups_test : (n,), (m,) or None
        The group of each row.
    signals : bool
        Look for windows that share samples, too.

    Returns
    -------
    list of Finding
        Exact duplicates, overlapping windows and shared groups, each with its count, which may be 0.
    """
    is_copy = duplicated(x_train, x_test)
    findings = [_finding("exact copies of training rows", is_copy)]
    if signals:
        is_overlapping = overlapping(x_train, x_test) & ~is_copy
        findings.append(_finding("windows that share samples with training windows", is_overlapping))
    if groups_train is not None and groups_test is not None:
        shared = groups_test[np.isin(groups_test, groups_train)]
        what = f"rows of {len(np.unique(shared))} groups that are in the training part too"
        findings.append(Finding(what, len(shared), f"group {shared[0]}" if len(shared) else ""))
    return findings


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
    flat = x.reshape(len(x), -1)
    if flat.dtype.kind == "f":
        flat = np.where(np.isnan(flat), np.nan, flat + 0.0)
    return [row.tobytes() for row in flat]


def overlapping(x_train: np.ndarray, x_test: np.ndarray) -> Bool[np.ndarray, "m"]:
    """Say which windows (m, T[, C]) begin or end with samples that also occur in a training window.

    Windows cut from one record overlap in a stretch of samples. It is detected at any offset if it is at
    least ``CHUNK`` samples long. Constant stretches, which any two windows may share, do not count.

    Examples
    --------
    >>> record = np.random.default_rng(0).normal(size=100)
    >>> overlapping(record[None, :50], np.stack([record[30:80], record[50:]]))
    array([ True, False])
    """
    test = _first_channel(x_test)
    known = np.concatenate([_hashes(window[None])[0] for window in _first_channel(x_train)])
    is_overlapping = np.zeros(len(test), dtype=bool)
    for end in (test[:, :CHUNK], test[:, -CHUNK:]):
        is_overlapping |= np.isin(_hashes(end)[:, 0], known) & (np.ptp(end, axis=1) > 0)
    return is_overlapping


def _first_channel(x: np.ndarray) -> np.ndarray:
    """Return the first channel of windows, which is enough: all channels are cut at the same samples."""
    return x[..., 0] if x.ndim == 3 else x


def _hashes(windows: np.ndarray) -> np.ndarray:
    """Hash every stretch of ``CHUNK`` samples, (n, T - CHUNK + 1)."""
    bits = np.ascontiguousarray(windows, dtype=np.float64).view(np.uint64)
    views = np.lib.stride_tricks.sliding_window_view(bits, min(CHUNK, bits.shape[1]), axis=1)
    total = np.zeros(views.shape[:2], dtype=np.uint64)
    with np.errstate(over="ignore"):
        for i in range(views.shape[2]):
            total = (total ^ (views[..., i] * HASH_MULTIPLIER)) * HASH_MULTIPLIER
            total ^= total >> np.uint64(29)
    return total
