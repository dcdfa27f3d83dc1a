"""The rows of a run: read, divided into training and test part, with the labels that it may learn from."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ssavae.budgets import LabelBudget, draw_labelled, read_labels
from ssavae.checks import UsageError
from ssavae.datasets import AS_IT_IS, LabelledData, Reading, load_dataset
from ssavae.files import write_atomically
from ssavae.labels import encode_labels
from ssavae.named_sets import SETS, unknown_name
from ssavae.preprocess import check_finite
from ssavae.sources import RESIDENT, Source, held, joined, pieces, spread
from ssavae.splits import hold_out
from ssavae.tables import parquet_columns

SPLIT_FILE, LABELS_FILE = "split.json", "labels.json"


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
        if not isinstance(self.x, Source):
            return slice(None)
        return spread(len(self.x), max(2, RESIDENT // (4 * math.prod(self.x.shape[1:]))))


def _taken(x: Any, indices: np.ndarray | slice) -> Any:
    return x.take(indices) if isinstance(x, Source) else x[indices]


def read(data: str, reading: Reading = AS_IT_IS, kind: str | None = None) -> LabelledData:
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


def named_labels(y: np.ndarray | None, class_names: Sequence[str] | None) -> np.ndarray | None:
    """Return class names, None where unlabelled, for class numbers whose names are known.

    >>> named_labels(np.array([1, -1]), ("cat", "dog"))
    array(['dog', None], dtype=object)
    """
    if y is None or class_names is None or y.dtype.kind not in "iu":
        return y
    return np.array([*class_names, None], dtype=object)[np.where(y < 0, len(class_names), y)]


def whole(loaded: LabelledData) -> Part:
    """Return every row of a data set, the test part after the training part."""
    parts = [_part(loaded, loaded.x_train, loaded.y_train)]
    if loaded.x_test is not None:
        parts.append(_part(loaded, loaded.x_test, loaded.y_test))
    if len(parts) == 1:
        return parts[0]
    labels = [np.full(len(p.x), None, dtype=object) if p.y is None else p.y.astype(object) for p in parts]
    if any(isinstance(p.x, Source) for p in parts):
        return Part(
            joined([p.x if isinstance(p.x, Source) else held(p.x) for p in parts]), np.concatenate(labels)
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
    if isinstance(x, Source):
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


def grant_labels(loaded: LabelledData, budget: LabelBudget, held_out: np.ndarray, seed: int) -> LabelledData:
    """Leave only the labels that a budget grants; rows held out keep theirs for the test.

    Raises
    ------
    UsageError
        There are no labels, more than one option is given, or a file names rows that are not trained on.
    """
    given = budget.given()
    if not given:
        return loaded
    if len(given) > 1:
        raise UsageError(f"give one of {' and '.join(given)}, not both")
    if loaded.y_train is None and budget.source is None:
        raise UsageError(f"{given[0]} needs data with labels")
    y_test = named_labels(loaded.y_test, loaded.class_names)  # granted ones are names, too
    return replace(loaded, y_train=_granted(loaded, budget, held_out, seed), y_test=y_test, class_names=None)


def write_labels(folder: Path, granted: LabelledData, held_out: np.ndarray) -> None:
    """Write which rows are learned from with their label, and a checksum by which the data is known again."""
    labelled = np.array([label is not None for label in granted.y_train])  # type: ignore[union-attr]
    labelled[held_out] = False
    content = {
        "labelled": np.flatnonzero(labelled).tolist(),
        "rows_sha256": rows_sha256(granted.x_train),
    }
    write_atomically(folder / LABELS_FILE, json.dumps(content).encode())


def known_rows(folder: Path, loaded: LabelledData) -> np.ndarray | None:
    """Return a mask of the training rows whose label a run was granted; None where it was granted all."""
    if not (folder / LABELS_FILE).is_file():
        return None
    rows = read_labels(folder / LABELS_FILE, rows_sha256(loaded.x_train))
    mask = np.zeros(len(loaded.x_train), dtype=bool)
    mask[list(rows)] = True
    return mask


def _granted(loaded: LabelledData, budget: LabelBudget, held_out: np.ndarray, seed: int) -> np.ndarray:
    """Return the labels of all rows as objects: those held out keep theirs, others as the budget grants."""
    n = len(loaded.x_train)
    own = named_labels(loaded.y_train, loaded.class_names)
    own = np.full(n, None) if own is None else own.astype(object)
    numbers = encode_labels(own)[0]
    own[numbers < 0] = None
    granted = np.full(n, None)
    if budget.source is None:
        numbers[held_out] = -1
        rows = draw_labelled(numbers, seed, per_class=budget.per_class, fraction=budget.fraction)
        granted[rows] = own[rows]
    else:
        named = read_labels(Path(budget.source), rows_sha256(loaded.x_train))
        for row, label in _as_own(named, own).items():
            _check_trained_on(row, n, held_out, budget.source)
            granted[row] = own[row] if label is None else label
    granted[held_out] = own[held_out]
    return granted


def _as_own(named: dict[int, Any], own: np.ndarray) -> dict[int, Any]:
    """Return labels of a csv, which are text, as whole numbers where the data's own are such."""
    texts, known = ([label for label in some if label is not None] for some in (named.values(), own.tolist()))
    whole = texts and known and all(isinstance(label, int) for label in known)
    if not whole or not all(re.fullmatch(r"-?\d+", text) for text in texts):
        return named
    return {row: int(label) for row, label in named.items()}


def _check_trained_on(row: int, n: int, held_out: np.ndarray, source: str) -> None:
    if not 0 <= row < n:
        raise UsageError(f"--labels-from {source}: there is no row {row} among {n} training rows")
    if row in held_out:
        raise UsageError(f"--labels-from {source}: row {row} is held out for the test")


def rows_sha256(x: np.ndarray | Source) -> str:
    """Return a checksum of an array's shape and content; of a Source that is dear to read of a sample."""
    digest = hashlib.sha256(repr((x.shape, x.dtype.str)).encode())
    for piece in pieces(x):
        digest.update(
            repr(piece.tolist()).encode() if x.dtype.kind == "O" else np.ascontiguousarray(piece).data
        )
    return digest.hexdigest()
