"""Rows in tables: suggested, followed over time, explained. Every function says what it wrote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ssavae._checks import UsageError, nearest
from ssavae.analysis import explain, monitoring
from ssavae.analysis.monitoring import normal_class
from ssavae.app.runs.evaluate import evaluation_parts
from ssavae.app.runs.folder import described, open_model, open_run
from ssavae.app.runs.output import frame_of, write_rows
from ssavae.app.runs.pictures import draw_track, label_indices
from ssavae.data.label_budget import known_rows
from ssavae.data.labelled import LabelledData, Reading
from ssavae.data.partition import Part, divide, read_split
from ssavae.estimator import SSAVAE
from ssavae.figures import Figure
from ssavae.metrics import detection


def suggestions(model: SSAVAE, folder: Path, loaded: LabelledData, n: int) -> dict[str, np.ndarray]:
    """Return the training rows to label next: row, what the model reads, how sure it is, empty label.

    Rows without a label are suggested, and not those that the run learned from (labels.json) or held out.
    """
    train, _ = divide(loaded, np.empty(0, dtype=np.int64))
    taken = known_rows(folder, loaded)
    if taken is None:
        taken = label_indices(model, train.y, len(train.x)) >= 0
    taken[read_split(folder, loaded)] = True
    if taken.all():
        raise UsageError("every row has a label or is held out: there is nothing to suggest")
    rows = model.suggest(train.x, n, y=np.where(taken, model.classes_[0], None))
    probs = model.predict_proba(train.take(rows).x)
    read_as = model.classes_[probs.argmax(axis=1)]
    label = np.full(len(rows), "", dtype=object)
    return {"row": rows, "label": label, "class": read_as, "probability": probs.max(axis=1)}


# -------------------------------------------------------------------------------------- over time


def monitor_run(
    folder: Path, data: str, one: str | None, normal: str | None, run_length: int, path: Path
) -> tuple[Path, Figure, dict[str, Any]]:
    """Follow one group of the rows that ``evaluate_run`` would measure; all rows where there are no groups.

    Returns
    -------
    path : Path
        The table written.
    figure : Figure
    told : dict
        What to print.

    Raises
    ------
    UsageError
        There is no such group, or no model, or no class of this name.
    """
    model, loaded = open_run(folder, data, None)
    _, part = evaluation_parts(folder, loaded)
    name, rows = _group_rows(part, one)
    track = monitoring.follow(model, part.take(rows).x, normal_class(model, normal))
    alarm, limit = detection.alarms(track.over, run_length), monitoring.novelty_limit(model)
    write_rows(model, path, monitoring.table_of(model, track, alarm))
    told: dict[str, Any] = {"run": name, "rows": len(rows), "rows_over": int(track.over.sum())}
    told["first_alarm"] = f"row {int(alarm.argmax())}" if alarm.any() else "none"
    drawn = draw_track(model, track.z, track.novelty, limit, alarm, track.read_as)
    return path, drawn, told


def _group_rows(part: Part, one: str | None) -> tuple[str, np.ndarray]:
    if part.groups is None:
        if one is not None:
            raise UsageError(
                f"--run {one}: the data has no groups, since the run was trained without --group"
            )
        return "all rows", np.arange(len(part.x))
    names = list(dict.fromkeys(part.groups.tolist()))
    if one is not None and one not in names:
        raise UsageError(f"--run: no group {one!r}{nearest(one, names)}; there are {', '.join(names[:30])}")
    name = names[0] if one is None else one
    return name, np.flatnonzero(part.groups == name)


def monitor_stream(folder: Path, lines: Iterable[str], normal: str | None, run_length: int) -> Iterator[str]:
    """Yield csv lines, a header first, for csv lines as they come."""
    model, told = open_model(folder), described(folder)
    reading = Reading() if told is None else told.reading
    each = monitoring.follow_stream(model, reading, lines, normal_class(model, normal), run_length)
    for i, row in enumerate(each):
        text = frame_of(model, row).to_csv(index=False, header=i == 0)
        yield from text.strip().splitlines()


def explain_row(
    folder: Path, data: str, row: int, instead: str | None, path: Path
) -> tuple[Path, dict[str, Any], list[list[Any]]]:
    """Write what tells a row from its counterpart in another class, the largest share first.

    Returns
    -------
    path : Path
        The table written: part, share, change, and of tables the decoded values in their own units.
    told : dict
    lines : list
        The head of the table and its first lines.
    """
    model, loaded = open_run(folder, data, None)
    _, part = evaluation_parts(folder, loaded)
    if not 0 <= row < len(part.x):
        raise UsageError(f"--row {row}: there are rows 0 to {len(part.x) - 1}")
    by_name = {str(c): c for c in model.classes_}
    if instead is not None and instead not in by_name:
        raise UsageError(
            f"--to: no class {instead!r}{nearest(instead, by_name)}; there are {', '.join(by_name)}"
        )
    normal = normal_class(model)
    one = part.take(np.array([row])).x
    wanted = None if instead is None else by_name[instead]
    if wanted is None and normal is not None and model.predict(one)[0] != model.classes_[normal]:
        wanted = model.classes_[normal]
    run = described(folder)
    along = "cycles a window" if run is not None and run.reading.spectrum else "samples"
    found = explain.why(model, one, wanted, along)
    order = np.abs(found.share).argsort()[::-1]
    columns = {"part": np.array(found.names), "share": found.share, "change": found.change}
    columns |= _decoded_columns(model, found)
    write_rows(model, path, {name: values[order] for name, values in columns.items()})
    told = {"row": row, "read_as": str(found.read_as), "compared_with": str(found.instead)}
    told["on_the_way"] = " ".join(f"{p:.2f}" for p in found.probability)
    lines = [
        list(line) for line in zip(*(values[order].tolist() for values in columns.values()), strict=True)
    ]
    return path, told, [list(columns), *lines[:12]]


def _decoded_columns(model: SSAVAE, found: explain.Why) -> dict[str, np.ndarray]:
    """Return decoded values of row and counterpart, of a table whose columns make one input each."""
    names = model.preprocess_.names
    if model.preprocess_.kind != "table" or list(names) != found.names:
        return {}
    decoded = np.asarray(found.decoded)
    return {"now": decoded[0], "then": decoded[-1]}
