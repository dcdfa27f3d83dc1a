"""Which rows are held out of training: whole groups where there are any, the same share of every class."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from ssavae._checks import check


def hold_out(y: np.ndarray, fraction: float, seed: int, groups: Any = None) -> np.ndarray:
    """Choose rows to hold out of training: the same share of every class and of the unlabelled.

    Parameters
    ----------
    y : (n,)
        Class index, -1 unlabelled.
    fraction : float
    seed : int
    groups : (n,) or None
        Rows of one group go together; a group counts as of the class that most of its rows have, and of
        each class one group at least is left to train on.

    Raises
    ------
    ValueError
        If the fraction is not in [0, 1), or groups and rows differ in number.
    """
    if not 0.0 <= fraction < 1.0:
        raise ValueError(f"validation_fraction={fraction} must be at least 0 and under 1")
    if len(y) - round(fraction * len(y)) < 2:
        raise ValueError(f"validation_fraction={fraction} leaves under 2 of {len(y)} rows to train on")
    rng = np.random.default_rng([seed, 2])
    if groups is not None:
        return _hold_out_groups(y, fraction, rng, np.asarray(groups))
    by_class = [rng.permutation(np.flatnonzero(y == c)) for c in np.unique(y)]
    return np.sort(np.concatenate([rows[: round(fraction * len(rows))] for rows in by_class]))


def _hold_out_groups(
    y: np.ndarray, fraction: float, rng: np.random.Generator, groups: np.ndarray
) -> np.ndarray:
    if groups.shape != y.shape:
        raise ValueError(f"groups has shape {groups.shape}: give one group for each of {len(y)} rows")
    _, group_of, sizes = np.unique(groups.astype(str), return_inverse=True, return_counts=True)
    counts = np.zeros((len(sizes), y.max() + 2), dtype=np.int64)
    np.add.at(counts, (group_of, y + 1), 1)
    class_of, held = counts.argmax(axis=1), np.zeros(len(sizes), dtype=bool)
    for c in np.unique(class_of):
        drawn = rng.permutation(np.flatnonzero(class_of == c))[1:]  # one stays in training
        wanted = fraction * sizes[class_of == c].sum()
        before = np.cumsum(sizes[drawn]) - sizes[drawn]
        held[drawn[before + 0.5 * sizes[drawn] <= wanted]] = True  # as near to the share as groups allow
    return np.flatnonzero(held[group_of])


def label_folds(
    y: Int[np.ndarray, "n"], n_folds: int, seed: int, groups: np.ndarray | None = None
) -> list[Int[np.ndarray, "m"]]:
    """Divide the labelled rows into so many parts with the same share of every class; 0 makes none.

    Parameters
    ----------
    y : (n,)
        Class index, -1 where unlabelled.
    n_folds, seed : int
    groups : (n,) or None
        Labelled rows of one group come into one part, and the shares are as even as that allows.

    Raises
    ------
    ValueError
        If a class has fewer labelled rows than there are to be parts, or all of them in one part.

    Examples
    --------
    >>> [fold.tolist() for fold in label_folds(np.array([0, 1, -1, 0, 1]), 2, seed=0)]
    [[1, 3], [0, 4]]
    """
    if n_folds == 0:
        return []
    rows = np.flatnonzero(y >= 0)
    fewest = np.bincount(y[rows]).min() if len(rows) else 0
    enough = f"calibration_folds={n_folds} wants so many labelled rows of every class: one has {fewest}"
    check(fewest >= n_folds, enough)
    if groups is None:
        parts = StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(rows, y[rows])
        return [rows[part] for _, part in parts]
    return _folds_of_groups(y, rows, groups[rows], n_folds, seed)


def _folds_of_groups(
    y: np.ndarray, rows: np.ndarray, groups: np.ndarray, n_folds: int, seed: int
) -> list[np.ndarray]:
    n_groups = len(np.unique(groups))
    wanted = f"calibration_folds={n_folds} wants as many groups with labels"
    check(n_groups >= n_folds, f"{wanted}: there {'is one' if n_groups == 1 else f'are {n_groups}'}")
    parts = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed).split(rows, y[rows], groups)
    folds = [rows[part] for _, part in parts]
    for hidden in folds:
        alone = set(y[rows].tolist()) - set(y[np.setdiff1d(rows, hidden)].tolist())
        told = f"calibration_folds={n_folds} would hide every label of class index {min(alone, default=-1)}"
        check(not alone, f"{told}: its labels lie in too few groups")
    return folds
