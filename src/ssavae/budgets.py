"""Which training rows keep their label: drawn by seed, or named in a file that others can use again.

Rows are numbered as they stand in the data, so that a file of one run fits every other run on it.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int


@dataclass(frozen=True)
class LabelBudget:
    """How many labels there are to learn from; at most one of the three is given.

    Parameters
    ----------
    per_class : int or None
        Rows of each class.
    fraction : float or None
        Share of each class, at least one row.
    source : str or None
        A file: labels.json of another run, or .csv with the columns row and label.
    """

    per_class: int | None = None
    fraction: float | None = None
    source: str | None = None

    def given(self) -> list[str]:
        """Name the options that were given, as they are typed."""
        options = {"--labels-per-class": self.per_class, "--label-fraction": self.fraction}
        options["--labels-from"] = self.source
        return [name for name, value in options.items() if value is not None]


def draw_labelled(
    y: Int[np.ndarray, "n"], seed: int, *, per_class: int | None = None, fraction: float | None = None
) -> Int[np.ndarray, "m"]:
    """Draw the rows that keep their label, so many of each class or the same share of each, sorted.

    Parameters
    ----------
    y : (n,)
        Class index, -1 where unlabelled: such rows are never drawn.

    Raises
    ------
    ValueError
        If a class has fewer rows than asked for.

    Examples
    --------
    >>> draw_labelled(np.array([0, 0, 1, 1, -1]), seed=0, per_class=1).size
    2
    """
    rng = np.random.default_rng([seed, 3])
    drawn = []
    for c in np.unique(y[y >= 0]):
        rows = rng.permutation(np.flatnonzero(y == c))
        wanted = per_class if per_class is not None else max(1, round((fraction or 0) * len(rows)))
        if wanted > len(rows):
            raise ValueError(f"--labels-per-class {wanted}: class {c} has only {len(rows)} labelled rows")
        drawn.append(rows[:wanted])
    return np.sort(np.concatenate(drawn)) if drawn else np.empty(0, dtype=np.int64)


def read_labels(path: Path, rows_sha256: str) -> dict[int, Any]:
    """Read row numbers from a run's labels.json, with their labels where the file is a .csv.

    Returns
    -------
    dict
        Row number -> label; None where the data's own label is meant.

    Raises
    ------
    ValueError
        If the file is neither, is damaged, names a row twice, or was made for other rows.
    """
    try:
        found = _read_csv(path) if path.suffix.lower() == ".csv" else _read_json(path, rows_sha256)
        labels = {int(row): label for row, label in found}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"--labels-from {path}: {error}") from error
    if len(labels) != len(found):
        raise ValueError(f"--labels-from {path} names a row twice")
    return labels


def _read_json(path: Path, rows_sha256: str) -> list[tuple[Any, Any]]:
    told = json.loads(path.read_text("utf-8"))
    if told["rows_sha256"] != rows_sha256:
        raise ValueError("its rows are of other data than that to train on")
    return [(row, None) for row in told["labelled"]]


def _read_csv(path: Path) -> list[tuple[Any, Any]]:
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        missing = {"row", "label"} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"it has no column {' and no '.join(sorted(missing))}")
        return [(line["row"], line["label"]) for line in reader]
