"""A run folder: what a run is made of (data, split, labels, parameters), and the notes it leaves."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ssavae._checks import UsageError
from ssavae._serialize import lists_to_tuples, write_atomically
from ssavae.data.label_budget import LABELS_FILE, SPLIT_FILE, LabelBudget
from ssavae.data.labelled import Reading
from ssavae.persistence.model_folder import MODEL_FILE
from ssavae.persistence.training_state import drop_state, has_state

if sys.version_info >= (3, 11):
    pass
else:
    pass


from ssavae.data.labelled import LabelledData
from ssavae.data.partition import read_like
from ssavae.estimator import SSAVAE, load

RUN_FILE, METRICS_FILE = "run.json", "metrics.json"
JUDGE_FILE = "judge.safetensors"
SECONDS = {f"seconds_{step}": step for step in ("vec", "student", "decoder")}  # in metrics.json's protocol


@dataclass(frozen=True)
class Run:
    """What a training run is made of; run.json holds it, so that ``--resume`` needs nothing else."""

    data: str
    reading: Reading
    test_fraction: float
    preset: str | None
    parameters: dict[str, Any]
    labels: LabelBudget = field(default_factory=LabelBudget)


# ----------------------------------------------------------------------------------------- folder


def check_free(folder: Path, overwrite: bool) -> None:
    """Refuse a folder with a model or an unfinished run in it, unless it may be overwritten.

    Raises
    ------
    UsageError
        The folder is taken.
    """
    if overwrite or not folder.exists():
        return
    if (folder / MODEL_FILE).exists():
        raise UsageError(f"{folder} holds a finished model: choose another --out, or give --overwrite")
    if has_state(folder):
        raise UsageError(f"{folder} holds an unfinished run: go on with --resume, or give --overwrite")


def begin(folder: Path, run: Run) -> None:
    """Write run.json into a folder cleared of what an earlier run left, which would pass for this one's."""
    for name in (MODEL_FILE, METRICS_FILE, SPLIT_FILE, LABELS_FILE, JUDGE_FILE):
        (folder / name).unlink(missing_ok=True)
    for events in folder.glob("events.out.tfevents.*"):
        events.unlink()
    drop_state(folder)
    write_atomically(folder / RUN_FILE, json.dumps(asdict(run), indent=1).encode())


def unfinished(folder: Path, data: str, told: Mapping[str, Any]) -> Run:
    """Read the run that a folder was begun with, to go on with exactly that.

    Parameters
    ----------
    folder : Path
    data : str
        What is to be trained on, which must be the same.
    told : mapping
        Options by name, which must all be None: they could only contradict the run.

    Raises
    ------
    UsageError
        There is no such run, it has ended, or it was another one.
    """
    run = described(folder)
    if run is None or ((folder / MODEL_FILE).exists() and not has_state(folder)):
        why = f"no {RUN_FILE} there" if run is None else "the run has ended"
        raise UsageError(f"nothing to resume in {folder}: {why}")
    extra = [f"--{name.replace('_', '-')}" for name, value in told.items() if value is not None]
    if extra:
        raise UsageError(f"--resume goes on with what {folder / RUN_FILE} says: leave out {', '.join(extra)}")
    if run.data != data:
        raise UsageError(f"--resume: {folder} was begun with {run.data}, not with {data}")
    return run


def described(folder: Path) -> Run | None:
    """Read run.json; None where there is none."""
    path = folder / RUN_FILE
    if not path.is_file():
        return None
    try:
        told = json.loads(path.read_text("utf-8"))
        reading = Reading(**lists_to_tuples(told["reading"]))
        run = Run(**told | {"reading": reading, "labels": LabelBudget(**told["labels"])})
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in run.parameters.items()}
    return replace(run, parameters=plain)


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read metrics.json; empty where there is none."""
    path = folder / METRICS_FILE
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def write_metrics(folder: Path, found: Mapping[str, Any]) -> Path:
    """Merge values into metrics.json, by top-level key."""
    content = json.dumps({**read_metrics(folder), **found}, indent=1)
    write_atomically(folder / METRICS_FILE, content.encode())
    return folder / METRICS_FILE


def open_run(folder: Path, data: str, label: str | None) -> tuple[SSAVAE, LabelledData]:
    """Load a model and data for it, read as for training; label, group and drop only where there are such."""
    model, told = open_model(folder), described(folder)
    reading = Reading() if told is None else told.reading
    return model, read_like(data, reading, model.preprocess_.kind, label)


def open_model(folder: Path) -> SSAVAE:
    """Load the model of a run folder.

    Raises
    ------
    UsageError
        There is no such folder.
    FileNotFoundError, ValueError
        It holds no model, or a damaged one.
    """
    if not folder.is_dir():
        raise UsageError(f"no model folder at {folder}")
    return load(folder)
