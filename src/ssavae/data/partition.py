"""The rows of a run: read, divided into training and test part, with the labels that it may learn from."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ssavae._checks import UsageError
from ssavae._serialize import write_atomically
from ssavae.data.catalog import SETS, unknown_name
from ssavae.data.label_budget import (
    SPLIT_FILE,
)
from ssavae.data.labelled import DEFAULT_READING, LabelledData, Reading
from ssavae.data.loading import load_dataset
from ssavae.data.tables import parquet_columns
from ssavae.preprocessing.labels import encode_labels, named_labels
from ssavae.preprocessing.lazy import (
    RESIDENT_BYTES,
    LazyArray,
    concatenate,
    random_subset,
    rows_sha256,
    wrap_array,
)
from ssavae.preprocessing.preprocessor import check_finite
from ssavae.preprocessing.splits import hold_out


@dataclass(frozen=True)
class Part:
    """Rows as the model takes them, and their class names (None or -1 unlabelled) where there are any."""

    x: Any  # array, DataFrame where the columns have names, or Source of many rows
    y: np.ndarray | None
    groups: np.ndarray | None = None  # what each row belongs to

    def take(self, indices: np.ndarray | slice) -> Part:
        """Return some of the rows."""
        x = self.x.iloc[indices] if hasattr(self.x, "iloc") else _taken(self.x, indices)
        y, groups = (None if each is None else each[indices] for each in (self.y, self.groups))
        return Part(x, y, groups)

    def some(self) -> Any:
        """Choose rows to look at all at once: every one, or as many of a Source as memory has room for."""
        if not isinstance(self.x, LazyArray):
            return slice(None)
        return random_subset(len(self.x), max(2, RESIDENT_BYTES // (4 * math.prod(self.x.shape[1:]))))


def _taken(x: Any, indices: np.ndarray | slice) -> Any:
    return x.take(indices) if isinstance(x, LazyArray) else x[indices]


def read(data: str, reading: Reading = DEFAULT_READING, kind: str | None = None) -> LabelledData:
    """Read a data set and refuse infinity, and NaN but in tables, naming the place in the file.

    Raises
    ------
    UsageError
        There is no such name or path.
    ValueError
        The content is not what it should be.
    """
    path = Path(data).expanduser()
    if data not in SETS and not path.exists():
        is_path = path.suffix or len(path.parts) > 1
        raise UsageError(f"no such file or folder: {data}" if is_path else unknown_name(data))
    loaded = load_dataset(data, reading, kind=kind)
    is_table = loaded.kind == "table" or (loaded.kind is None and loaded.x_train.ndim == 2)
    for x in (loaded.x_train, loaded.x_test):
        if x is not None:
            check_finite(x, loaded.feature_names, missing_allowed=is_table)
    return loaded


def read_like(data: str, reading: Reading, kind: str, label: str | None = None) -> LabelledData:
    """Read data for a model, as for training; columns of label, group and drop only where there are such."""
    label_there, group_there = (
        name if name and _may_have(data, name) else None for name in (reading.label, reading.group)
    )
    drop = tuple(name for name in reading.drop if _may_have(data, name))
    same = replace(reading, label=label or label_there, group=group_there, drop=drop)
    return read(data, same, None if reading.window else kind)


def _may_have(data: str, name: str) -> bool:
    return has_column(data, name) or Path(data).suffix.lower() not in (".csv", ".parquet")


def has_column(data: str, name: str) -> bool:
    """Say whether a .csv or .parquet table has a column of this name; other data has none."""
    import pandas as pd

    path = Path(data).expanduser()
    if path.suffix.lower() == ".csv" and path.is_file() and path.stat().st_size:
        return name in pd.read_csv(path, nrows=0).columns
    return path.suffix.lower() == ".parquet" and path.is_file() and name in parquet_columns(path)


def whole(loaded: LabelledData) -> Part:
    """Return every row of a data set, the test part after the training part."""
    parts = [_part(loaded, loaded.x_train, loaded.y_train)]
    if loaded.x_test is not None:
        parts.append(_part(loaded, loaded.x_test, loaded.y_test))
    if len(parts) == 1:
        return parts[0]
    labels = [np.full(len(p.x), None, dtype=object) if p.y is None else p.y.astype(object) for p in parts]
    if any(isinstance(p.x, LazyArray) for p in parts):
        return Part(
            concatenate([p.x if isinstance(p.x, LazyArray) else wrap_array(p.x) for p in parts]),
            np.concatenate(labels),
        )
    return Part(np.concatenate([np.asarray(p.x) for p in parts]), np.concatenate(labels))


def divide(loaded: LabelledData, held_out: np.ndarray) -> tuple[Part, Part | None]:
    """Return training and test part: the data's own, else the rows held out, else no test part."""
    every = replace(_part(loaded, loaded.x_train, loaded.y_train), groups=loaded.groups)
    if loaded.x_test is not None:
        return every, replace(_part(loaded, loaded.x_test, loaded.y_test), groups=loaded.groups_test)
    if len(held_out) == 0:
        return every, None
    kept = np.setdiff1d(np.arange(len(loaded.x_train)), held_out)
    return every.take(kept), every.take(held_out)


def _part(loaded: LabelledData, x: Any, y: np.ndarray | None) -> Part:
    labels = named_labels(y, loaded.class_names)
    if isinstance(x, LazyArray):
        return Part(replace(x, names=loaded.feature_names), labels)
    if loaded.feature_names is None or x.ndim != 2 or len(loaded.feature_names) != x.shape[1]:
        return Part(x, labels)
    import pandas as pd

    return Part(pd.DataFrame(x, columns=list(loaded.feature_names)), labels)


def draw_split(loaded: LabelledData, fraction: float, seed: int) -> np.ndarray:
    """Return the rows to hold out, the same share of every class; none where the data has a test part.

    Of rows that belong together all are held out or none.
    """
    if loaded.x_test is not None or fraction == 0:
        return np.empty(0, dtype=np.int64)

    y = loaded.y_train
    labels = np.full(len(loaded.x_train), -1) if y is None else encode_labels(y)[0]
    return hold_out(labels, fraction, seed, loaded.groups)


def write_split(folder: Path, loaded: LabelledData, held_out: np.ndarray) -> None:
    """Write which rows were held out, and a checksum by which ``read_split`` knows the data again."""
    content = {"test": held_out.tolist(), "rows_sha256": rows_sha256(loaded.x_train)}
    write_atomically(folder / SPLIT_FILE, json.dumps(content).encode())


def read_split(folder: Path, loaded: LabelledData) -> np.ndarray:
    """Return the rows that the run held out of this data; none where it was trained on other data."""
    if loaded.x_test is None and (folder / SPLIT_FILE).is_file():
        split = json.loads((folder / SPLIT_FILE).read_text())
        if split["rows_sha256"] == rows_sha256(loaded.x_train):
            return np.array(split["test"], dtype=np.int64)
    return np.empty(0, dtype=np.int64)


def is_labelled(part: Part) -> bool:
    """Say whether any row has a label."""
    return part.y is not None and bool((encode_labels(part.y)[0] >= 0).any())
