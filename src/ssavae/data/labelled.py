"""Names and paths -> arrays, or Sources of many rows that stay in their files.

The named sets and their downloads are in `named_sets`.
Nothing read here can run code: no pickles, and archives are read in memory, never unpacked to disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

KINDS = ("image", "table", "signal")


@dataclass(frozen=True)
class LabelledData:
    """Rows and their labels, as found: unscaled, missing values untouched."""

    name: str  # "mnist" or the path's stem
    x_train: Any  # (n, d) table, (n, H, W[, C]) image, (n, T[, C]) signal; mixed tables hold objects;
    # an array, or a Source of many rows that stay where they are
    y_train: np.ndarray | None = None  # int64 with -1 unlabelled, or str objects with None; None: no labels
    x_test: Any = None
    y_test: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None  # for int labels: name of class i
    feature_names: tuple[str, ...] | None = None  # table columns, where known
    kind: str | None = None  # one of KINDS where known
    groups: np.ndarray | None = None  # what each training row belongs to, as text
    groups_test: np.ndarray | None = None  # the same of each test row, where it is known
    source: str = ""  # path, or "embedded in scikit-learn"
    sha256: str | None = None  # of the file; None for folders, embedded sets and files above HASH_LIMIT


@dataclass(frozen=True)
class Reading:
    """How a data set is to be read, where it does not say so itself.

    Parameters
    ----------
    label : str or None
        The column with the classes, for .csv and .parquet; without it such a table has no labels.
    group : str or None
        The column (.csv, .parquet) or array (.npz) that says what rows belong together.
    drop : tuple of str
        Columns (.csv, .parquet) that are no input of the model.
    window : int or None
        Cut records into signals of so many samples: rows of a table in time, or signals that are longer. A
        window has the label of its last sample, and all windows of a record are one group.
    hop : int or None
        Samples from one window to the next; None takes a quarter of the window.
    spectrum : bool
        Take the logarithm of each signal's power spectrum in its place.
    summary : bool
        Take mean, log deviation and log roughness of each channel of each window in its place: a table.
    """

    label: str | None = None
    group: str | None = None
    drop: tuple[str, ...] = ()
    window: int | None = None
    hop: int | None = None
    spectrum: bool = False
    summary: bool = False


DEFAULT_READING = Reading()
