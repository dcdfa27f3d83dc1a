"""Monitoring over time: metrics of fault detection, and rows in time order with class, novelty and alarm."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from ssavae._checks import check
from ssavae.data.files.delimited import separator_of
from ssavae.data.labelled import Part, Reading, RowsLike
from ssavae.data.windows import log_spectrum, summarize
from ssavae.estimator import SSAVAE
from ssavae.inference.calibration import conformal_limit
from ssavae.metrics import classification, detection
from ssavae.preprocessing.columns import Cell, Column
from ssavae.preprocessing.labels import encode_labels

if TYPE_CHECKING:
    import pandas as pd

NORMAL = "normal"  # name of the class without a fault, in upper or lower case
ALPHA = 0.05  # false-alarm rate of single rows
RUN_LENGTH = 3  # rows in a row over their limit that raise an alarm


def normal_class(model: SSAVAE, name: str | None = None) -> int | None:
    """Return the index of the class without a fault: the one of this name, or the one called "normal".

    Raises
    ------
    ValueError
        If the model has no class of the name that is given.
    """
    names = [str(c) for c in model.classes_]
    if name is None:
        lower = [each.lower() for each in names]
        return lower.index(NORMAL) if NORMAL in lower else None
    check(name in names, f"the model has no class {name!r}: choose of {', '.join(names)}")
    return names.index(name)


def measure_faults(model: SSAVAE, test: Part, normal: int, hidden: Sequence[str] = ()) -> dict[str, object]:
    """Return metrics of fault detection and diagnosis on labelled rows in time order.

    The score of a row is minus the log probability of the normal class. Its limit is exceeded by a fraction
    ``ALPHA`` of the normal rows, and ``RUN_LENGTH`` consecutive rows over it raise an alarm. Delays are in
    rows from the onset of a fault. The result is empty where there are no normal or no faulty rows.

    Parameters
    ----------
    model : SSAVAE
    test : Part
        Labelled rows.
    normal : int
        Index of the class without a fault.
    hidden : sequence of str
        Faults to leave out of ``macro_f1_without_hidden``.
    """
    assert test.y is not None
    y = encode_labels(test.y, model.classes_)[0]
    is_normal = y == normal
    is_faulty = (y >= 0) & ~is_normal
    if not is_faulty.any() or not is_normal.any():
        return {}
    names = [str(c) for c in model.classes_]
    probs = model.predict_proba(test.x)
    predicted = probs.argmax(axis=1)
    score = -np.log(probs[:, normal].clip(1e-38))  # 1 - p would be 1 for most
    over = score > detection.alarm_limit(score, is_normal, ALPHA)
    excluded = [names.index(name) for name in hidden if name in names]
    return {
        "macro_f1_without_hidden": classification.macro_f1(y, predicted, len(names), excluded),
        "correct_diagnosis_rate": float((predicted == y)[is_faulty].mean()),
        "detection_rate": float(over[is_faulty].mean()),
        "false_alarm_rate": ALPHA,
        "by_class": _measure_each_fault(y, predicted, over, is_faulty, test.groups, names),
    }


def _measure_each_fault(
    y: np.ndarray,
    predicted: np.ndarray,
    over: np.ndarray,
    is_faulty: np.ndarray,
    groups: np.ndarray | None,
    names: Sequence[str],
) -> dict[str, dict[str, float | None]]:
    """Return the metrics of each fault by name; its delay is the mean over the groups with an alarm."""
    per_class = classification.per_class(y, predicted, len(names))
    delays = {} if groups is None else detection.detection_delays(over, is_faulty, groups, RUN_LENGTH)
    metrics: dict[str, dict[str, float | None]] = {}
    for c in np.unique(y[is_faulty]):
        own_groups = [] if groups is None else np.unique(groups[y == c].astype(str)).tolist()
        own_delays = [delay for group in own_groups if (delay := delays[group]) is not None]
        metrics[names[int(c)]] = {
            **{metric: float(values[c]) for metric, values in per_class.items()},
            "detection_rate": float(over[y == c].mean()),
            "mean_delay": float(np.mean(own_delays)) if own_delays else None,
        }
    return metrics


@dataclass(frozen=True)
class Track:
    """Inference for rows in time order."""

    z: np.ndarray  # (n, K), codes
    predicted: np.ndarray  # (n,), index of the predicted class; -1 where the model has no classes
    probability: np.ndarray  # (n,), of the predicted class; 1 where the model has no classes
    novelty: np.ndarray  # (n,)
    over: np.ndarray  # (n,) of bool, novel at a false-alarm rate of ALPHA, or predicted as not normal


def novelty_limit(model: SSAVAE) -> float:
    """Return the novelty that a fraction ``ALPHA`` of known rows exceeds."""
    return float(conformal_limit(model.calibration_.novelty_scores, ALPHA))


def follow(model: SSAVAE, x: RowsLike, normal: int | None) -> Track:
    """Return class, novelty and code of rows in time order; no row depends on those after it."""
    novelty = model.novelty(x)
    over = novelty > novelty_limit(model)
    predicted = np.full(len(novelty), -1)
    probability = np.ones(len(novelty))
    if len(model.classes_):
        probs = model.predict_proba(x)
        predicted = probs.argmax(axis=1)
        probability = probs.max(axis=1)
        if normal is not None:
            over |= predicted != normal
    return Track(model.transform(x), predicted, probability, novelty, over)


def table_of(model: SSAVAE, track: Track, alarm: np.ndarray, first: int = 0) -> dict[str, np.ndarray]:
    """Return a track as columns: row, class and its probability, novelty, its limit, alarm and code."""
    columns = {"row": np.arange(first, first + len(alarm))}
    if len(model.classes_):
        columns["class"] = model.classes_[track.predicted]
        columns["probability"] = track.probability
    return {
        **columns,
        "novelty": track.novelty,
        "limit": np.full(len(alarm), novelty_limit(model)),
        "alarm": alarm,
        "z": track.z,
    }


# ------------------------------------------------------------------------------------------ stream


def follow_stream(
    model: SSAVAE, reading: Reading, lines: Iterable[str], normal: int | None, run_length: int = RUN_LENGTH
) -> Iterator[dict[str, np.ndarray]]:
    """Yield one row of :func:`table_of` for each row or window of csv lines, a header first, as they come.

    Raises
    ------
    ValueError
        If a line has another number of cells than the header.
    """
    lines = iter(lines)
    first = next(lines, "").removeprefix("\ufeff")
    sep = reading.sep or separator_of([first])
    reader = csv.reader(chain([first], lines), delimiter=sep)
    header = [name.strip() for name in next(reader, [])]
    has_commas = reading.decimal == "," or (reading.decimal is None and sep != ",")
    columns = dict(zip(model.preprocess_.names, model.preprocess_.columns, strict=True))
    no_inputs = {*reading.columns, *({""} - columns.keys())}  # an index has no name
    inputs = [i for i, name in enumerate(header) if name not in no_inputs]
    names = [header[i] for i in inputs]
    window = deque[list[Cell]](maxlen=reading.window or 1)
    n_windows = 0
    n_over = 0  # in a row
    for number, cells in enumerate(reader, start=1):
        check(
            len(cells) == len(header), f"line {number + 1} has {len(cells)} cells, the header {len(header)}"
        )
        window.append(
            [_parse(columns.get(header[i], Column("number")), cells[i], has_commas) for i in inputs]
        )
        if len(window) < (reading.window or 1) or (number - len(window)) % reading.step:
            continue
        track = follow(model, _as_trained(model, reading, window, names), normal)
        n_over = n_over + 1 if track.over[0] else 0
        yield table_of(model, track, np.array([n_over >= run_length]), n_windows)
        n_windows += 1


def _parse(column: Column, text: str, has_commas: bool) -> Cell:
    """Read a cell; in a number a decimal comma, where there may be one, is a point."""
    return column.parse(text.replace(",", ".") if has_commas and column.kind != "category" else text)


def _as_trained(
    model: SSAVAE, reading: Reading, window: Iterable[list[Cell]], names: Sequence[str]
) -> np.ndarray | pd.DataFrame:
    """Return the last rows as the model was trained: a row, a window, or its spectrum or summary."""
    rows = np.array(list(window), dtype=object)
    if reading.window is not None:
        x = rows.astype(np.float64)[None]
        if reading.spectrum:
            return log_spectrum(x)
        return summarize(x) if reading.summary else x
    if hasattr(model, "feature_names_in_"):
        import pandas as pd

        return pd.DataFrame(rows, columns=list(names)).infer_objects()
    return rows.astype(np.float64)
