"""Stratified splits: rows for validation and folds, with whole groups where there are any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ssavae._checks import check

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def hold_out(y: np.ndarray, fraction: float, seed: int, groups: ArrayLike | None = None) -> np.ndarray:
    """Draw rows to hold out of training: the same fraction of every class and of the unlabelled rows.

    Parameters
    ----------
    y : (n,)
        Class index, -1 unlabelled.
    fraction : float
    seed : int
    groups : (n,) or None
        Rows of one group stay together. A group counts as one of the class that most of its rows have, and
        at least one group of each class is left to train on.

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
    class_of = counts.argmax(axis=1)
    is_held_out = np.zeros(len(sizes), dtype=bool)
    for c in np.unique(class_of):
        drawn = rng.permutation(np.flatnonzero(class_of == c))[1:]  # one stays in training
        wanted = fraction * sizes[class_of == c].sum()
        before = np.cumsum(sizes[drawn]) - sizes[drawn]
        is_held_out[drawn[before + 0.5 * sizes[drawn] <= wanted]] = True  # as near as whole groups allow
    return np.flatnonzero(is_held_out[group_of])


def label_folds(
    y: Int[np.ndarray, "n"], n_folds: int, seed: int, groups: ArrayLike | None = None
) -> list[Int[np.ndarray, "m"]]:
    """Divide the labelled rows into ``n_folds`` folds with the same fraction of every class; none for 0.

    Parameters
    ----------
    y : (n,)
        Class index, -1 where unlabelled.
    n_folds, seed : int
    groups : (n,) or None
        Labelled rows of one group come into one fold, and the fractions are as even as that allows.

    Raises
    ------
    ValueError
        If a class has fewer labelled rows than there are folds, or all of them in one fold.

    Examples
    --------
    >>> [fold.tolist() for fold in label_folds(np.array([0, 1, -1, 0, 1]), 2, seed=0)]
    [[1, 3], [0, 4]]
    """
    if n_folds == 0:
        return []
    rows = np.flatnonzero(y >= 0)
    fewest = np.bincount(y[rows]).min() if len(rows) else 0
    message = f"calibration_folds={n_folds} wants so many labelled rows of every class: one has {fewest}"
    check(fewest >= n_folds, message)
    if groups is None:
        from sklearn.model_selection import StratifiedKFold

        splits = StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(rows, y[rows])
        return [rows[fold] for _, fold in splits]
    return _folds_of_groups(y, rows, np.asarray(groups)[rows], n_folds, seed)


def member_folds(
    y: Int[np.ndarray, "n"], n_members: int, seed: int, groups: ArrayLike | None = None
) -> list[Int[np.ndarray, "m"]]:
    """Return the labelled rows whose labels each member of an ensemble does not see; none for one member.

    As :func:`label_folds`; none where classes have too few labels, or labels lie in too few groups.

    Examples
    --------
    >>> [fold.tolist() for fold in member_folds(np.array([0, 1, -1, 0, 1]), 2, seed=0)]
    [[1, 3], [0, 4]]
    >>> member_folds(np.array([0, 1, 1]), 2, seed=0)
    []
    """
    if n_members == 1:
        return []
    try:
        return label_folds(y, n_members, seed, groups)
    except ValueError:
        return []


def member_weights(
    n: int, folds: list[Int[np.ndarray, "m"]], weights: Float[np.ndarray, "n"] | None
) -> Float[np.ndarray, "n k"]:
    """Return the weights of rows in ``loss_class`` for each member: 0 for the rows of its own fold.

    The others are larger by as much, so that all together weigh what they weighed.

    Examples
    --------
    >>> member_weights(3, [np.array([0]), np.array([2])], None)
    array([[0., 2.],
           [2., 2.],
           [2., 0.]], dtype=float32)
    """
    k = len(folds)
    of_rows = np.ones(n) if weights is None else weights.astype(float)
    by_member = np.repeat(of_rows[:, None], k, axis=1) * k / (k - 1)
    for member, fold in enumerate(folds):
        by_member[fold, member] = 0.0
    return by_member.astype(np.float32)


def _folds_of_groups(
    y: np.ndarray, rows: np.ndarray, groups: np.ndarray, n_folds: int, seed: int
) -> list[np.ndarray]:
    n_groups = len(np.unique(groups))
    there_are = "is one" if n_groups == 1 else f"are {n_groups}"
    check(
        n_groups >= n_folds,
        f"calibration_folds={n_folds} wants as many groups with labels: there {there_are}",
    )
    from sklearn.model_selection import StratifiedGroupKFold

    splits = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed).split(rows, y[rows], groups)
    folds = [rows[fold] for _, fold in splits]
    for fold in folds:
        hidden = set(y[rows].tolist()) - set(y[np.setdiff1d(rows, fold)].tolist())
        problem = (
            f"calibration_folds={n_folds} would hide every label of class index {min(hidden, default=-1)}"
        )
        check(not hidden, f"{problem}: its labels lie in too few groups")
    return folds
