"""Hugging Face data sets -> rows and labels, read as they are needed."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssavae._checks import check, nearest
from ssavae.preprocessing.adapters import (
    _column,
    _columns,
    hugging_face_labels,
    label_column,
    lazy_hugging_face,
)
from ssavae.preprocessing.lazy import LazyArray


class Saved(NamedTuple):
    """What ``save_to_disk`` wrote, unread but for the labels."""

    x_train: LazyArray
    y_train: np.ndarray | None  # (n,), names of classes with None where there is no label
    x_test: LazyArray | None
    y_test: np.ndarray | None
    groups: np.ndarray | None  # (n,), text
    groups_test: np.ndarray | None


def is_saved(folder: Path) -> bool:
    """Say whether a folder was written by ``save_to_disk``."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def read_saved(folder: Path, label: str | None, group: str | None, drop: Sequence[str] = ()) -> Saved:
    """Open a folder that ``save_to_disk`` wrote; of several parts those called train and test.

    Raises
    ------
    ValueError
        It is damaged, a column is missing, or no column holds rows of numbers or images.
    ImportError
        Without the extra ``stream``.
    """
    if importlib.util.find_spec("datasets") is None:
        raise ImportError(f'reading {folder} needs datasets: pip install "ssavae[stream]"')
    import datasets

    try:
        saved: Any = datasets.load_from_disk(str(folder))
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"{folder} is not a readable data set of Hugging Face: {error}") from error
    parts = saved if isinstance(saved, dict) else {"train": saved}
    check("train" in parts, f"{folder} has the parts {', '.join(parts)}, none of them is called train")
    found = [_part(parts[name], label, group, drop) for name in ("train", "test") if name in parts]
    x, y, groups = found[0]
    x_test, y_test, groups_test = found[1] if len(found) > 1 else (None, None, None)
    return Saved(x, y, x_test, y_test, groups, groups_test)


def _part(dataset: Any, label: str | None, group: str | None, drop: Sequence[str]) -> tuple[Any, Any, Any]:
    for name in (label, group, *drop):
        has = name is None or name in dataset.column_names
        check(has, f"no column {name!r}{nearest(str(name), dataset.column_names)}; {_columns(dataset)}")
    label = label_column(dataset) if label is None else label
    aside = [name for name in (label, group, *drop) if name is not None]
    groups = None if group is None else np.array([str(value) for value in _column(dataset, group)])
    return lazy_hugging_face(dataset, aside), hugging_face_labels(dataset, label), groups
