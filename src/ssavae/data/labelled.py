"""Labelled data sets as they are read: rows, labels, groups, and the options of reading."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ssavae.preprocessing.inputs import Rows, open_rows
from ssavae.preprocessing.labels import named_labels
from ssavae.preprocessing.lazy import RESIDENT_BYTES, LazyArray, random_subset

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("image", "table", "signal")
RowsLike: TypeAlias = "np.ndarray | LazyArray | pd.DataFrame"


@dataclass(frozen=True)
class Part:
    """Rows of a training or test part, with their labels and groups where they have any."""

    x: RowsLike  # (n, ...), as the model takes them
    y: np.ndarray | None  # (n,), class names; None or -1 where unlabelled
    groups: np.ndarray | None = None  # (n,), the group that each row belongs to, as text

    def take(self, indices: np.ndarray | slice) -> Part:
        """Return some of the rows."""
        y = None if self.y is None else self.y[indices]
        groups = None if self.groups is None else self.groups[indices]
        return Part(_take_rows(self.x, indices), y, groups)

    def some(self) -> np.ndarray | slice:
        """Return indices of rows that fit in memory: of a LazyArray a random subset, else every row."""
        if not isinstance(self.x, LazyArray):
            return slice(None)
        return random_subset(len(self.x), max(2, RESIDENT_BYTES // (4 * math.prod(self.x.shape[1:]))))


def _take_rows(x: RowsLike, indices: np.ndarray | slice) -> RowsLike:
    if isinstance(x, LazyArray):
        return x.take(indices)
    return x[indices] if isinstance(x, np.ndarray) else x.iloc[indices]


@dataclass(frozen=True)
class LabelledData:
    """A data set as it is read: unscaled, missing values left as they are.

    Rows are a DataFrame where columns have names, else an array: (n, d) a table, (n, H, W[, C]) images,
    (n, T[, C]) signals. They are a LazyArray where they stay in their file.
    """

    name: str  # of a named set, or the path's stem
    x_train: RowsLike
    y_train: np.ndarray | None = None  # (n,), integers with -1 for unlabelled, or strings with None
    x_test: RowsLike | None = None
    y_test: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None  # of integer labels: the name of class i
    feature_names: tuple[str, ...] | None = None  # columns of a table, channels of signals
    kind: str | None = None  # one of KINDS, where known
    groups: np.ndarray | None = None  # (n,), the group that each training row belongs to, as text
    groups_test: np.ndarray | None = None
    source: str = ""  # path, or "embedded in scikit-learn"
    sha256: str | None = None  # of the file; None for folders, embedded sets and large files

    def __post_init__(self) -> None:
        object.__setattr__(self, "x_train", _with_names(self.x_train, self.feature_names))
        if self.x_test is not None:
            object.__setattr__(self, "x_test", _with_names(self.x_test, self.feature_names))

    @property
    def train(self) -> Part:
        """Training part, labelled by class names."""
        return Part(self.x_train, named_labels(self.y_train, self.class_names), self.groups)

    @property
    def test(self) -> Part | None:
        """Test part, labelled by class names; None where the data has none."""
        if self.x_test is None:
            return None
        return Part(self.x_test, named_labels(self.y_test, self.class_names), self.groups_test)

    @property
    def is_table(self) -> bool:
        """Whether the rows are those of a table, where the data does not say so judged by their shape."""
        return self.kind == "table" or (self.kind is None and self.x_train.ndim == 2)

    @cached_property
    def train_rows(self) -> Rows:
        """Training rows as ``SSAVAE.fit`` takes them: opened, scanned and hashed once."""
        return open_rows(self.x_train)

    def rows_without(self, held_out: np.ndarray) -> Rows:
        """Return the training rows but those held out; they need no second scan."""
        if len(held_out) == 0:
            return self.train_rows
        return self.train_rows.subset(np.setdiff1d(np.arange(len(self.x_train)), held_out))

    def relabelled(self, y_train: np.ndarray, y_test: np.ndarray | None) -> LabelledData:
        """Return the same rows with other labels, which are class names."""
        other = replace(self, y_train=y_train, y_test=y_test, class_names=None)
        vars(other)["train_rows"] = self.train_rows  # scanned already
        return other

    @property
    def rows_sha256(self) -> str:
        """Checksum of the training rows, by which a run recognises its data."""
        return self.train_rows.scan.sha256


def _with_names(x: RowsLike, names: tuple[str, ...] | None) -> RowsLike:
    """Return the rows of a table with the names of their columns, all others as they are."""
    if isinstance(x, LazyArray):
        return replace(x, names=names)
    if not isinstance(x, np.ndarray) or names is None:
        return x
    if x.shape[1:] != (len(names),) or x.dtype.kind not in "biufO":
        return x
    import pandas as pd

    return pd.DataFrame(x, columns=list(names), dtype=x.dtype, copy=False)


@dataclass(frozen=True)
class Reading:
    """Options of reading a data set, where the data does not say them itself.

    Parameters
    ----------
    label : str or None
        Column with the classes (.csv, .parquet); without it such a table has no labels.
    group : str or None
        Column (.csv, .parquet) or array (.npz) with the group of each row: rows of a group stay together.
    drop : tuple of str
        Columns (.csv, .parquet) that are no input of the model.
    window : int or None
        Cut records into signals of this many samples: rows of a table in time, or signals that are longer. A
        window has the label of its last sample, and all windows of a record are one group.
    hop : int or None
        Samples from the start of one window to the next; None takes a quarter of the window.
    spectrum : bool
        Replace each signal by the logarithm of its power spectrum.
    summary : bool
        Replace each window by mean, log standard deviation and log roughness of its channels: a table.
    resize : (H, W) or None
        Size to resize images of a folder to; None takes them as they are, and they must all have one size.
    """

    label: str | None = None
    group: str | None = None
    drop: tuple[str, ...] = ()
    window: int | None = None
    hop: int | None = None
    spectrum: bool = False
    summary: bool = False
    resize: tuple[int, int] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a table that are no input of the model."""
        named = (name for name in (self.label, self.group) if name is not None)
        return (*named, *self.drop)

    @property
    def step(self) -> int:
        """Samples from the start of one window to the next; 1 without windows."""
        if self.window is None:
            return 1
        return max(1, self.window // 4) if self.hop is None else self.hop


DEFAULT_READING = Reading()
