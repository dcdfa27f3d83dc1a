"""Diagnosis of rows: suggested for labelling, monitored over time, explained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ssavae._checks import UsageError, nearest
from ssavae._serialize import JSONObject
from ssavae.analysis import explain, monitoring
from ssavae.analysis.monitoring import normal_class
from ssavae.app.runs.folder import RunFolder
from ssavae.app.runs.output import to_frame, write_rows
from ssavae.app.runs.pictures import axis_labels, class_index, draw_track, label_indices
from ssavae.app.runs.walks import draw_explanation, title_of
from ssavae.data.labelled import DEFAULT_READING, LabelledData, Reading
from ssavae.data.partition import Part, divide, with_options
from ssavae.estimator import SSAVAE
from ssavae.figures import Figure
from ssavae.metrics import detection


def suggestions(model: SSAVAE, folder: RunFolder, loaded: LabelledData, n: int) -> dict[str, np.ndarray]:
    """Return the training rows to label next: row, empty label, predicted class and its probability.

    Rows without a label are suggested, and not those that the run learned from (labels.json) or tests on.
    """
    train, _ = divide(loaded, np.empty(0, dtype=np.int64))
    excluded = folder.read_labelled(loaded)
    if excluded is None:
        excluded = label_indices(model, train.y, len(train.x)) >= 0
    excluded[folder.read_split(loaded)] = True
    if excluded.all():
        raise UsageError("every row has a label or is held out: there is nothing to suggest")
    rows = model.suggest(train.x, n, y=np.where(excluded, model.classes_[0], None))
    probs = model.predict_proba(train.take(rows).x)
    return {
        "row": rows,
        "label": np.full(len(rows), "", dtype=object),
        "class": model.classes_[probs.argmax(axis=1)],
        "probability": probs.max(axis=1),
    }


# -------------------------------------------------------------------------------------- over time


def monitor_run(
    folder: RunFolder,
    data: str,
    where: str | None,
    normal: str | None,
    run_length: int,
    path: Path,
    reading: Reading = DEFAULT_READING,
) -> tuple[JSONObject, Figure]:
    """Monitor one group of rows, by default of those that ``evaluate_run`` would measure; all without groups.

    Parameters
    ----------
    where : str or None
        The column and value of the group, ``COLUMN=VALUE``, also of training rows; None takes the first.
    normal : str or None
        The class without a fault.
    run_length : int
        Consecutive rows over their limit that raise an alarm.
    path : Path
        The table to write.
    reading : Reading
        Options of reading that are given.

    Returns
    -------
    summary : dict
    figure : Figure
    """
    model, loaded = folder.load_model_and_data(data, reading)
    train, test = folder.evaluation_parts(loaded)
    column = folder.reading.group or "record"
    group, part, rows = select_group([test] if train is None else [test, train], column, where)
    track = monitoring.follow(model, part.take(rows).x, normal_class(model, normal))
    alarm = detection.alarms(track.over, run_length)
    write_rows(model, path, monitoring.table_of(model, track, alarm))
    summary: JSONObject = {
        "group": group,
        "rows": len(rows),
        "trained_on": "yes" if part is train else None,
        "rows_over": int(track.over.sum()),
        "first_alarm": f"row {int(alarm.argmax())}" if alarm.any() else "none",
    }
    return summary, draw_track(model, track, alarm)


def select_group(parts: Sequence[Part], column: str, where: str | None) -> tuple[str, Part, np.ndarray]:
    """Return the group that ``COLUMN=VALUE`` names, else the first, its part and rows; all without groups."""
    grouped = [(part, part.groups) for part in parts if part.groups is not None]
    if not grouped and where is None:
        return "all rows", parts[0], np.arange(len(parts[0].x))
    if not grouped:
        raise UsageError(
            f"--where {where}: the data has no groups, since the run was trained without --group"
        )
    names = list(dict.fromkeys(name for _, groups in grouped for name in groups.tolist()))
    name, sign, value = (where or f"{column}={names[0]}").partition("=")
    if not sign:
        raise UsageError(f"--where takes COLUMN=VALUE, for example {column}={names[0]}, found {where!r}")
    if name != column:
        raise UsageError(
            f"--where {where}: the run was trained with the group column {column!r}, not {name!r}"
        )
    if value not in names:
        raise UsageError(
            f"--where: no group {value!r}{nearest(value, names)}; there are {', '.join(names[:30])}"
        )
    part, groups = next((part, groups) for part, groups in grouped if value in groups)
    return value, part, np.flatnonzero(groups == value)


def monitor_stream(
    folder: RunFolder,
    lines: Iterable[str],
    normal: str | None,
    run_length: int,
    reading: Reading = DEFAULT_READING,
) -> Iterator[str]:
    """Yield csv lines, a header first, for csv lines as they come."""
    model = folder.load_model()
    reading = with_options(folder.reading, reading)
    results = monitoring.follow_stream(model, reading, lines, normal_class(model, normal), run_length)
    for i, row in enumerate(results):
        text = to_frame(model, row).to_csv(index=False, header=i == 0)
        yield from text.strip().splitlines()


# ------------------------------------------------------------------------------------ explanations


def explain_row(
    folder: RunFolder, data: str, row: int, to: str | None, path: Path, reading: Reading = DEFAULT_READING
) -> tuple[JSONObject, dict[str, np.ndarray], Figure]:
    """Write what distinguishes a row from its counterpart in another class, the largest fraction first.

    Parameters
    ----------
    row : int
        Index among the rows to evaluate on.
    to : str or None
        The other class; None takes the normal one, or else the second most probable one.
    path : Path
        The table to write: part, share, change, and of tables the decoded values in their own units.

    Returns
    -------
    summary, columns : dict
    figure : Figure
    """
    model, part = folder.load_model_and_rows(data, reading)
    if not 0 <= row < len(part.x):
        raise UsageError(f"--row {row}: there are rows 0 to {len(part.x) - 1}")
    x = part.take(np.array([row])).x
    along = "cycles a window" if folder.reading.spectrum else "samples"
    why = explain.why(model, x, _class_to_compare(model, x, to), along)
    columns = _explanation_columns(model, why)
    write_rows(model, path, columns)
    summary: JSONObject = {
        "row": row,
        "read_as": str(why.predicted),
        "compared_with": str(why.other),
        "on_the_way": " ".join(f"{p:.2f}" for p in why.probability),
    }
    figure = draw_explanation(model, x, why, axis_labels(folder.reading), title_of(row, why))
    return summary, columns, figure


def _class_to_compare(model: SSAVAE, x: ArrayLike, to: str | None) -> object:
    """Return the class of the given name, else the normal one where the row is read as another, else None."""
    if to is not None:
        return model.classes_[class_index(model, to, "--to: ")]
    normal = normal_class(model)
    if normal is not None and model.predict(x)[0] != model.classes_[normal]:
        return model.classes_[normal]
    return None


def _explanation_columns(model: SSAVAE, why: explain.Explanation) -> dict[str, np.ndarray]:
    """Return the columns of an explanation, the largest share first.

    Of a table whose columns make one network input each, with the decoded values of row and counterpart.
    """
    columns = {"part": np.array(why.names), "share": why.share, "change": why.change}
    names = model.preprocess_.names
    if model.preprocess_.kind == "table" and list(names) == why.names:
        decoded = np.asarray(why.decoded)
        columns["now"] = decoded[0]
        columns["then"] = decoded[-1]
    order = np.abs(why.share).argsort()[::-1]
    return {name: values[order] for name, values in columns.items()}
