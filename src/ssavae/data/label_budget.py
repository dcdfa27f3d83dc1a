"""Which training rows keep their label: drawn by seed, or named in a file that others can use again.

Rows are numbered as they stand in the data, so that a file of one run fits every other run on it.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from ssavae._checks import UsageError
from ssavae._serialize import write_atomically
from ssavae.data.labelled import LabelledData
from ssavae.preprocessing.labels import encode_labels, named_labels
from ssavae.preprocessing.lazy import rows_sha256


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


SPLIT_FILE, LABELS_FILE = "split.json", "labels.json"


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
