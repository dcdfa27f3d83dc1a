"""A run over time: its way over the map, what it is read as, how strange it is, when an alarm is raised."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssavae._checks import check
from ssavae.data.labelled import Reading
from ssavae.data.partition import Part
from ssavae.data.windows import log_spectrum, summarize
from ssavae.estimator import SSAVAE
from ssavae.inference.calibration import conformal_limit
from ssavae.metrics import classification, detection
from ssavae.preprocessing.labels import encode_labels

NORMAL = "normal"  # what the class without a fault is called, whatever its case
ALPHA, RUN_LENGTH = 0.05, 3


def normal_class(model: SSAVAE, name: str | None = None) -> int | None:
    """Return the index of the class without a fault: the one of this name, or the one called "normal".

    Raises
    ------
    ValueError
        If the model has no class of the name that is given.
    """
    names = [str(c) for c in model.classes_]
    if name is not None and name not in names:
        raise ValueError(f"the model has no class {name!r}: choose of {', '.join(names)}")
    known = [each.lower() for each in names]
    return names.index(name) if name is not None else known.index(NORMAL) if NORMAL in known else None


def measure_faults(model: SSAVAE, test: Part, normal: int, hidden: Sequence[str] = ()) -> dict[str, Any]:
    """Return how well faults are found and told apart on labelled rows in time order.

    The score of a row is minus the log probability of the normal class; its limit is such that
    ``ALPHA`` of the normal rows are above, and an alarm takes ``RUN_LENGTH`` rows over it. Delays are in
    rows, from the first row of a fault on; ``hidden`` names faults that the mean is without. Nothing is
    returned where there are no normal rows, or no others.
    """
    assert test.y is not None
    y, probs = encode_labels(test.y, model.classes_)[0], model.predict_proba(test.x)
    faulty, names = (y >= 0) & (y != normal), [str(c) for c in model.classes_]
    if not faulty.any() or not (y == normal).any():
        return {}
    read_as, score = probs.argmax(axis=1), -np.log(probs[:, normal].clip(1e-38))  # 1 - p would be 1 for most
    over = score > detection.alarm_limit(score, y == normal, ALPHA)
    left_out = [names.index(name) for name in hidden if name in names]
    return {
        "macro_f1_without_hidden": classification.macro_f1(y, read_as, len(names), left_out),
        "correct_diagnosis_rate": float((read_as == y)[faulty].mean()),
        "detection_rate": float(over[faulty].mean()),
        "false_alarm_rate": ALPHA,
        "by_class": _by_fault(y, read_as, over, faulty, test.groups, names),
    }


def _by_fault(
    y: np.ndarray,
    read_as: np.ndarray,
    over: np.ndarray,
    faulty: np.ndarray,
    groups: np.ndarray | None,
    names: Sequence[str],
) -> dict[str, dict[str, float | None]]:
    """Return the measures of each fault; the delay is the mean of its runs in which it was found."""
    each, found = classification.per_class(y, read_as, len(names)), {}
    delays = {} if groups is None else detection.detection_delays(over, faulty, groups, RUN_LENGTH)
    for c in np.unique(y[faulty]):
        runs = [] if groups is None else np.unique(groups[y == c].astype(str)).tolist()
        its = [delay for run in runs if (delay := delays[run]) is not None]
        found[names[c]] = {
            **{what: float(values[c]) for what, values in each.items()},
            "detection_rate": float(over[y == c].mean()),
            "mean_delay": float(np.mean(its)) if its else None,
        }
    return found


@dataclass(frozen=True)
class Track:
    """What is known of rows in time order.

    Parameters
    ----------
    z : (n, K)
    read_as : (n,)
        Index of the class read; -1 where the model has no classes.
    probability : (n,)
        Of the class read; 1 where the model has no classes.
    novelty : (n,)
    over : (n,) of bool
        Novel at a false-alarm rate of ``ALPHA``, or read as another class than the normal one.
    """

    z: np.ndarray
    read_as: np.ndarray
    probability: np.ndarray
    novelty: np.ndarray
    over: np.ndarray


def novelty_limit(model: SSAVAE) -> float:
    """Return what novelty a share ``ALPHA`` of known rows is above."""
    return float(conformal_limit(model.calibration_.novelty_scores, ALPHA))


def follow(model: SSAVAE, x: Any, normal: int | None) -> Track:
    """Read rows in time order; each row is read by itself, so that they may come one by one."""
    novelty = model.novelty(x)
    over, read_as, probability = (
        novelty > novelty_limit(model),
        np.full(len(novelty), -1),
        np.ones(len(novelty)),
    )
    if len(model.classes_):
        probs = model.predict_proba(x)
        read_as, probability = probs.argmax(axis=1), probs.max(axis=1)
        over |= False if normal is None else read_as != normal
    return Track(model.transform(x), read_as, probability, novelty, over)


def table_of(model: SSAVAE, track: Track, alarm: np.ndarray, first: int = 0) -> dict[str, np.ndarray]:
    """Return a track as columns: row, class and its probability, novelty, its limit, alarm and code."""
    columns: dict[str, np.ndarray] = {"row": np.arange(first, first + len(alarm))}
    if len(model.classes_):
        columns |= {"class": model.classes_[track.read_as], "probability": track.probability}
    limit = np.full(len(alarm), novelty_limit(model))
    return columns | {"novelty": track.novelty, "limit": limit, "alarm": alarm, "z": track.z}


def follow_stream(
    model: SSAVAE, reading: Reading, lines: Iterable[str], normal: int | None, run_length: int = RUN_LENGTH
) -> Iterator[dict[str, np.ndarray]]:
    """Follow csv lines, a header first, as they come: one row of :func:`table_of` for each row or window.

    Raises
    ------
    ValueError
        If a line has other cells than the header.
    """
    cells = csv.reader(lines)
    header = next(cells, [])
    kept = [i for i, name in enumerate(header) if name not in (reading.label, reading.group, *reading.drop)]
    window, in_a_row, n_read = deque[list[Any]](maxlen=reading.window or 1), 0, 0
    for number, row in enumerate(cells, start=1):
        check(len(row) == len(header), f"line {number + 1} has {len(row)} cells, the header {len(header)}")
        window.append([_cell(row[i]) for i in kept])
        ready = len(window) == window.maxlen and (number - len(window)) % _hop(reading) == 0
        if not ready:
            continue
        x = _as_trained(model, reading, window, [header[i] for i in kept])
        track = follow(model, x, normal)
        in_a_row = in_a_row + 1 if track.over[0] else 0
        yield table_of(model, track, np.array([in_a_row >= run_length]), n_read)
        n_read += 1


def _hop(reading: Reading) -> int:
    return 1 if reading.window is None else reading.hop or max(1, reading.window // 4)


def _cell(text: str) -> Any:
    """Return a cell as a number or truth value where it is one, None where it is empty."""
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError:
        return {"True": True, "False": False}.get(text.strip(), text.strip())


def _as_trained(model: SSAVAE, reading: Reading, window: Iterable[list[Any]], names: Sequence[str]) -> Any:
    """Make of the last rows what the model was trained on: a row, or a window, its spectrum or summary."""
    rows = np.array(list(window), dtype=object)
    if reading.window is not None:
        x = rows.astype(np.float64)[None]
        x = log_spectrum(x) if reading.spectrum else x
        return summarize(x) if reading.summary else x
    if hasattr(model, "feature_names_in_"):
        import pandas as pd

        return pd.DataFrame(rows, columns=list(names)).infer_objects()
    return rows.astype(np.float64)
