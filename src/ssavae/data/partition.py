"""Partition of a data set into training and test part, as a run or a trained model needs it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ssavae._checks import UsageError
from ssavae.data.catalog import SETS, unknown_name
from ssavae.data.labelled import DEFAULT_READING, LabelledData, Part, Reading, RowsLike
from ssavae.data.loading import load_dataset
from ssavae.data.tables import check_columns, is_table, table_columns
from ssavae.preprocessing.inputs import check_finite, open_rows
from ssavae.preprocessing.labels import encode_labels
from ssavae.preprocessing.lazy import LazyArray, concatenate, wrap_array
from ssavae.preprocessing.splits import hold_out

FILE_OPTIONS = ("resize", "sep", "decimal", "encoding", "no_header")


def read(data: str, reading: Reading = DEFAULT_READING, kind: str | None = None) -> LabelledData:
    """Read a data set; refuse infinity, and NaN except in tables, with an error that names the position.

    Raises
    ------
    UsageError
        There is no such name or path.
    ValueError
        The content is damaged or does not fit.
    """
    check_names(data)
    loaded = load_dataset(data, reading, kind=kind)
    check_finite(loaded.train_rows, missing_allowed=loaded.is_table)
    if loaded.x_test is not None:
        check_finite(open_rows(loaded.x_test), missing_allowed=loaded.is_table)
    return loaded


def check_names(data: str, reading: Reading = DEFAULT_READING) -> None:
    """Check the name of a data set, and those of the columns that are given: what costs no reading of rows.

    Raises
    ------
    UsageError
        There is no such name or path.
    ValueError
        The table has no such column.
    """
    path = Path(data).expanduser()
    if data not in SETS and not path.exists():
        is_path = path.suffix or len(path.parts) > 1
        raise UsageError(f"no such file or folder: {data}" if is_path else unknown_name(data))
    if reading.columns and data not in SETS and is_table(path):
        check_columns(path, table_columns(path, reading), reading.columns)


def read_like(data: str, reading: Reading, kind: str, options: Reading = DEFAULT_READING) -> LabelledData:
    """Read data for a model as for training, label, group and drop only where it has them.

    Options that are given come before those of the training.
    """
    reading = with_options(reading, options)
    path = Path(data).expanduser()
    if data not in SETS and is_table(path):
        columns = table_columns(path, reading)
        reading = replace(
            reading,
            label=reading.label if reading.label in columns else None,
            group=reading.group if reading.group in columns else None,
            drop=tuple(name for name in reading.drop if name in columns),
        )
    return read(
        data, replace(reading, label=options.label or reading.label), None if reading.window else kind
    )


def with_options(reading: Reading, options: Reading) -> Reading:
    """Return how to read a file that is written otherwise than that of the training, where options say so.

    >>> with_options(Reading(label="y", sep=","), Reading(sep=";")).sep
    ';'
    """
    return replace(
        reading, **{name: getattr(options, name) or getattr(reading, name) for name in FILE_OPTIONS}
    )


def whole(loaded: LabelledData) -> Part:
    """Return every row of a data set, the test part after the training part."""
    train = loaded.train
    test = loaded.test
    if test is None:
        return train
    labels = [np.full(len(p.x), None) if p.y is None else p.y.astype(object) for p in (train, test)]
    return Part(_concatenate_rows(train.x, test.x), np.concatenate(labels))


def _concatenate_rows(first: RowsLike, second: RowsLike) -> RowsLike:
    if isinstance(first, LazyArray) or isinstance(second, LazyArray):
        return concatenate([x if isinstance(x, LazyArray) else wrap_array(x) for x in (first, second)])
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return np.concatenate([np.asarray(first), np.asarray(second)])
    import pandas as pd

    return pd.concat([first, second], ignore_index=True)


def divide(loaded: LabelledData, held_out: np.ndarray) -> tuple[Part, Part | None]:
    """Return training and test part: the data's own, else the rows held out, else no test part."""
    train = loaded.train
    if loaded.test is not None:
        return train, loaded.test
    if len(held_out) == 0:
        return train, None
    return train.take(np.setdiff1d(np.arange(len(train.x)), held_out)), train.take(held_out)


def draw_split(loaded: LabelledData, fraction: float, seed: int) -> np.ndarray:
    """Draw the rows to hold out, the same fraction of every class; none where the data has a test part.

    The rows of a group are held out together or not at all.
    """
    if loaded.x_test is not None or fraction == 0:
        return np.empty(0, dtype=np.int64)
    y = loaded.y_train
    labels = np.full(len(loaded.x_train), -1) if y is None else encode_labels(y)[0]
    return hold_out(labels, fraction, seed, loaded.groups)


def is_labelled(part: Part) -> bool:
    """Say whether any row has a label."""
    return part.y is not None and bool((encode_labels(part.y)[0] >= 0).any())
