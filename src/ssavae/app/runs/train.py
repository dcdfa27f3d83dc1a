"""What is done with a run: trained, measured, drawn, written to tables. Every function says what it wrote."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from sklearn.base import clone

from ssavae.app.runs.environment import machine
from ssavae.app.runs.evaluate import measure
from ssavae.app.runs.folder import (
    RUN_FILE,
    SECONDS,
    Run,
    begin,
    open_model,
    read_metrics,
    write_metrics,
)
from ssavae.app.runs.pictures import draw_pictures, label_indices
from ssavae.data.label_budget import LABELS_FILE, SPLIT_FILE, grant_labels, write_labels
from ssavae.data.partition import (
    Part,
    divide,
    draw_split,
    is_labelled,
    read,
    write_split,
)
from ssavae.estimator import SSAVAE
from ssavae.persistence.model_folder import HISTORY_FILE, MODEL_FILE, WEIGHTS_FILE
from ssavae.persistence.training_state import has_state
from ssavae.training.distributed.launcher import is_first

UNLABELLED = "loss_class, accuracy, predict and samples by class are off"


# ---------------------------------------------------------------------------------------- training


def train_run(
    folder: Path, run: Run, *, resume: bool, command: str, vec_folder: Path | None = None
) -> tuple[dict[str, Any], list[Path]]:
    """Train, save the model, measure it on the test part and draw its pictures.

    Runs with the same ``vec_folder`` share one step 1, which the first of them trains. Of several processes
    only the first writes, measures and draws; the others return nothing.

    Returns
    -------
    metrics : dict
        What metrics.json now holds.
    files : list of Path
        Every file written.
    """
    loaded = read(run.data, run.reading, run.parameters["kind"])
    seed = run.parameters["random_state"]
    held_out = draw_split(loaded, run.test_fraction, seed)
    granted = grant_labels(loaded, run.labels, held_out, seed)  # before an older run is cleared away
    if is_first():
        if not (resume and has_state(folder)):
            begin(folder, run)
        if len(held_out):
            write_split(folder, loaded, held_out)
        if run.labels.given():
            write_labels(folder, granted, held_out)
    train, test = divide(granted, held_out)
    parameters: dict[str, Any] = {**run.parameters, "kind": loaded.kind, "checkpoint_folder": folder}
    model = SSAVAE(**parameters, verbose=True)
    watched: Any = (test.x, test.y) if test is not None and is_labelled(test) else None
    labels = train.y if is_labelled(train) else None
    if labels is None:
        warnings.warn(f"no labels in {run.data}: {UNLABELLED}", stacklevel=2)
    resumed = resume and has_state(folder)
    rows: dict[str, Any] = {"X": train.x, "y": labels, "groups": train.groups, "eval_set": watched}
    vec = None if vec_folder is None else _shared_vec(vec_folder, model, rows)
    model.fit(**rows, vec=vec, resume=resumed)
    if not is_first():
        return {}, []
    model.save(folder)
    measured = measure(model, test) if test is not None else {}
    write_metrics(folder, measured | {"protocol": _protocol(model, run, train, test, command, loaded.sha256)})
    names = [MODEL_FILE, WEIGHTS_FILE, HISTORY_FILE, "metrics.json", RUN_FILE]
    names += [SPLIT_FILE] * bool(len(held_out)) + [LABELS_FILE] * bool(run.labels.given())
    written = [folder / name for name in names]
    return read_metrics(folder), written + draw_pictures(model, test or train, folder)


def _shared_vec(folder: Path, model: SSAVAE, rows: dict[str, Any]) -> SSAVAE:
    """Load the model in a folder that has done step 1 alone, or train it there; others wait meanwhile."""
    from filelock import FileLock  # comes with torch

    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "training.lock"):
        if not (folder / MODEL_FILE).is_file():
            step_1: Any = clone(model)
            step_1.set_params(checkpoint_folder=folder, n_epochs_decoder=0)
            step_1.fit(**rows, resume=has_state(folder)).save(folder)
    return open_model(folder)


def _protocol(
    model: SSAVAE, run: Run, train: Part, test: Part | None, command: str, sha256: str | None
) -> dict[str, Any]:
    seconds = {row["step"]: row["seconds"] for row in model.history_}
    return {
        "command": command,
        "data": run.data,
        "data_sha256": sha256,
        "kind": model.preprocess_.kind,
        "rows_train": len(train.x),
        "rows_labelled": int((label_indices(model, train.y, len(train.x)) >= 0).sum()),
        "rows_test": 0 if test is None else len(test.x),
        "classes": len(model.classes_),
        "parameters": {**run.parameters, "kind": model.preprocess_.kind},
        "preset": run.preset,
        "seed": model.seed_,
        **{name: seconds.get(step) for name, step in SECONDS.items()},
        "error_unit": "range of an image is [0, 1]" if model.preprocess_.bounded else "standard deviations",
        **machine(),
    }
