"""Label budgets: the training rows that keep their label, drawn by seed or named in a file.

Rows are numbered as they stand in the data, so that a file of one run fits every other run on it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ssavae._checks import UsageError, check
from ssavae.data.files.delimited import open_text, sniff
from ssavae.data.labelled import DEFAULT_READING, LabelledData
from ssavae.preprocessing.labels import as_texts, encode_labels, is_unlabelled, named_labels, parse_labels

if TYPE_CHECKING:
    from jaxtyping import Int


@dataclass(frozen=True)
class LabelBudget:
    """Number of labels to learn from; at most one of the three is given.

    Parameters
    ----------
    per_class : int or None
        Rows of each class.
    fraction : float or None
        Fraction of each class, at least one row.
    source : str or None
        A file: labels.json of another run, or .csv with the columns row and label.
    """

    per_class: int | None = None
    fraction: float | None = None
    source: str | None = None

    def given(self) -> list[str]:
        """Name the options that were given, as they are typed."""
        options = {
            "--labels-per-class": self.per_class,
            "--label-fraction": self.fraction,
            "--labels-from": self.source,
        }
        return [name for name, value in options.items() if value is not None]

    def check_given(self) -> list[str]:
        """Return the options that were given; raise UsageError for more than one."""
        given = self.given()
        if len(given) > 1:
            raise UsageError(f"give one of {' and '.join(given)}, not both")
        return given


def draw_labelled(
    y: Int[np.ndarray, "n"], seed: int, *, per_class: int | None = None, fraction: float | None = None
) -> Int[np.ndarray, "m"]:
    """Draw the rows that keep their label, sorted: a number of rows of each class, or a fraction of each.

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
    drawn = [np.empty(0, dtype=np.int64)]
    for c in np.unique(y[y >= 0]):
        rows = rng.permutation(np.flatnonzero(y == c))
        n = per_class if per_class is not None else max(1, round((fraction or 0) * len(rows)))
        if n > len(rows):
            raise ValueError(f"--labels-per-class {n}: class {c} has only {len(rows)} labelled rows")
        drawn.append(rows[:n])
    return np.sort(np.concatenate(drawn))


def read_labels(path: Path, rows_sha256: str) -> dict[int, str | None]:
    """Read row numbers from a run's labels.json, with their labels where the file is a .csv.

    Returns
    -------
    dict
        Row number -> label; None where the data's own label is meant. Rows of a .csv without a label are
        left out.

    Raises
    ------
    ValueError
        If the file is neither, is damaged, names a row twice, or belongs to other rows.
    """
    try:
        pairs = _read_csv(path) if path.suffix.lower() == ".csv" else _read_json(path, rows_sha256)
        labels = {int(row): label for row, label in pairs}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"--labels-from {path}: {error}") from error
    check(len(labels) == len(pairs), f"--labels-from {path} names a row twice")
    return labels


def _read_json(path: Path, rows_sha256: str) -> list[tuple[int, None]]:
    content = json.loads(path.read_text("utf-8"))
    check(content["rows_sha256"] == rows_sha256, "its rows are of other data than that to train on")
    return [(row, None) for row in content["labelled"]]


def _read_csv(path: Path) -> list[tuple[str, str]]:
    dialect = sniff(path, DEFAULT_READING)
    with open_text(path, dialect.encoding) as stream:
        reader = csv.DictReader(stream, delimiter=dialect.sep)
        missing = {"row", "label"} - set(reader.fieldnames or ())
        check(not missing, f"it has no column {' and no '.join(sorted(missing))}")
        return [(line["row"], line["label"]) for line in reader if not is_unlabelled(line["label"] or "")]


def grant_labels(loaded: LabelledData, budget: LabelBudget, held_out: np.ndarray, seed: int) -> LabelledData:
    """Keep only the labels that a budget grants; rows held out keep theirs for the test.

    Raises
    ------
    UsageError
        There are no labels, more than one option is given, or a file names rows that are not trained on.
    """
    given = budget.check_given()
    if not given:
        return loaded
    if loaded.y_train is None and budget.source is None:
        raise UsageError(f"{given[0]} needs data with labels")
    y_test = named_labels(loaded.y_test, loaded.class_names)  # as granted labels are names, too
    return loaded.relabelled(_grant(loaded, budget, held_out, seed), y_test)


def _grant(loaded: LabelledData, budget: LabelBudget, held_out: np.ndarray, seed: int) -> np.ndarray:
    """Return the labels of all rows as objects: those held out keep theirs, others as the budget grants."""
    n = len(loaded.x_train)
    own = named_labels(loaded.y_train, loaded.class_names)
    own = np.full(n, None) if own is None else own.astype(object)
    indices = encode_labels(own)[0]
    own[indices < 0] = None
    granted = np.full(n, None)
    if budget.source is None:
        indices[held_out] = -1
        rows = draw_labelled(indices, seed, per_class=budget.per_class, fraction=budget.fraction)
        granted[rows] = own[rows]
    else:
        labels = read_labels(Path(budget.source), loaded.rows_sha256)
        _check_trained_on(labels, n, held_out, budget.source)
        rows = list(labels)
        given, own = _of_one_type(list(labels.values()), own)
        granted[rows] = own[rows] if given is None else given
    granted[held_out] = own[held_out]
    return granted


def _of_one_type(labels: list[str | None], own: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the labels of a csv and the data's own: both integers where they can be, else both text."""
    texts = [label for label in labels if label is not None]
    if not texts:
        return None, own
    given = parse_labels(texts)
    known = {type(label) for label in own.tolist() if label is not None}
    if known == {int} and given.dtype.kind == "i":
        return given, own
    own_texts = np.array(as_texts(own.tolist()), dtype=object)
    return np.array(texts, dtype=object), own_texts


def _check_trained_on(rows: Iterable[int], n: int, held_out: np.ndarray, source: str) -> None:
    for row in rows:
        if not 0 <= row < n:
            raise UsageError(f"--labels-from {source}: there is no row {row} among {n} training rows")
        if row in held_out:
            raise UsageError(f"--labels-from {source}: row {row} is held out for the test")
