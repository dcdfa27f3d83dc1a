"""Data sets that ``save_to_disk`` of Hugging Face's datasets wrote, read as they are needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ssavae._checks import check, nearest, require_package
from ssavae.data.labelled import LabelledData, Reading
from ssavae.preprocessing.adapters import (
    column_values,
    columns_message,
    hugging_face_labels,
    label_column,
    lazy_hugging_face,
)
from ssavae.preprocessing.lazy import LazyArray, load_if_small

if TYPE_CHECKING:
    import datasets


def is_saved(folder: Path) -> bool:
    """Say whether a folder was written by ``save_to_disk``."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def read_saved(folder: Path, reading: Reading) -> LabelledData:
    """Open a folder that ``save_to_disk`` wrote; of several parts those called train and test.

    Raises
    ------
    ValueError
        It is damaged, a column is missing, or no column holds rows of numbers or images.
    ImportError
        Without the extra ``stream``.
    """
    require_package("datasets", "stream", f"reading {folder}")
    import datasets

    try:
        saved = datasets.load_from_disk(str(folder))
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"{folder} is not a readable data set of Hugging Face: {error}") from error
    parts = saved if isinstance(saved, dict) else {"train": saved}
    check(
        "train" in parts, f"{folder} has the parts {', '.join(map(str, parts))}, none of them is called train"
    )
    x, y, groups = _read_part(parts["train"], reading)
    x_test, y_test, groups_test = None, None, None
    if "test" in parts:
        x_test, y_test, groups_test = _read_part(parts["test"], reading)
    return LabelledData(
        folder.resolve().name,
        load_if_small(x),
        y,
        None if x_test is None else load_if_small(x_test),
        y_test,
        feature_names=x.names,
        kind=None if x.names is None else "table",
        groups=groups,
        groups_test=groups_test,
        source=str(folder),
    )


def _read_part(
    dataset: datasets.Dataset, reading: Reading
) -> tuple[LazyArray, np.ndarray | None, np.ndarray | None]:
    """Return rows, labels and groups of a datasets.Dataset."""
    names = dataset.column_names
    for name in reading.columns:
        check(name in names, f"no column {name!r}{nearest(name, names)}; {columns_message(dataset)}")
    label = reading.label or label_column(dataset)
    excluded = [name for name in (label, reading.group, *reading.drop) if name is not None]
    groups = None
    if reading.group is not None:
        groups = np.array([str(value) for value in column_values(dataset, reading.group)])
    return lazy_hugging_face(dataset, excluded, reading.resize), hugging_face_labels(dataset, label), groups
