"""Training of a run: data read and split, a model trained, measured and drawn into its folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

from ssavae._serialize import JSONObject
from ssavae.app.runs.album import draw_pictures
from ssavae.app.runs.environment import machine
from ssavae.app.runs.evaluate import measure
from ssavae.app.runs.folder import SECONDS, Run, RunFolder
from ssavae.app.runs.pictures import label_indices
from ssavae.data.label_budget import grant_labels
from ssavae.data.labelled import LabelledData, RowsLike
from ssavae.data.partition import Part, divide, draw_split, is_labelled, read
from ssavae.estimator import SSAVAE
from ssavae.preprocessing.inputs import Rows
from ssavae.preprocessing.labels import encode_labels
from ssavae.preprocessing.lazy import LazyArray
from ssavae.training.distributed.fabric import find_device
from ssavae.training.distributed.launcher import is_first
from ssavae.training.parameters import STEP_2

UNLABELLED = "loss_class, accuracy, predict and samples by class are off"


Say = Callable[[str], None]


def train_run(
    folder: RunFolder,
    run: Run,
    *,
    resume: bool,
    command: str,
    vec_folder: Path | None = None,
    pictures: bool = True,
    say: Say = lambda line: None,
) -> tuple[JSONObject, list[Path]]:
    """Train, save the model, measure it on the test part and draw its pictures.

    Runs with the same ``vec_folder`` share one step 1, which the first of them trains. Of several processes
    only the first writes, measures and draws; the others return nothing. The state of the training is removed
    last: until then ``resume`` finishes what is missing. Without ``pictures`` none are drawn. ``say`` is
    called with a line on what was read, and before each part that takes time.

    Returns
    -------
    metrics : dict
        The content of metrics.json.
    files : list of Path
        Every file written.
    """
    loaded = read(run.data, run.reading, run.kind)
    test_rows = draw_split(loaded, run.test_fraction, run.seed)
    granted = grant_labels(loaded, run.labels, test_rows, run.seed)  # before an older run is cleared away
    resumed = resume and folder.has_state
    if is_first() and not resumed:
        folder.begin(run)
    train, test = divide(granted, test_rows)
    say(description(run, train, test, loaded))
    model = SSAVAE().set_params(
        **run.parameters | {"kind": loaded.kind, "checkpoint_folder": folder.path, "verbose": True}
    )
    with saying_how_to_resume(folder):
        _fit(model, run, granted.rows_without(test_rows), train, test, resumed, vec_folder)
        if not is_first():
            return {}, []
        model.set_params(checkpoint_folder=None)  # saving the model would remove the state
        written = folder.write_settings(run, loaded, granted, test_rows) + folder.save_model(model)
        say(f"measuring on {len(test.x):,} test rows" if test is not None else "no test part to measure on")
        metrics: JSONObject = {**measure(model, test)} if test is not None else {}
        metrics["protocol"] = _protocol(model, run, train, test, command, loaded.sha256)
        written.append(folder.write_metrics(metrics))
        if pictures:
            say("drawing pictures")
            written += draw_pictures(model, test or train, folder.path, reading=run.reading)
        folder.complete()
    return folder.read_metrics(), written


def description(run: Run, train: Part, test: Part | None, loaded: LabelledData) -> str:
    """Return in one line what was read: rows, columns and their kinds, classes, unlabelled, split, device."""
    y, classes = encode_labels(np.full(len(train.x), None) if train.y is None else train.y)
    n_unlabelled = int((y < 0).sum())
    own = "its own test part" if loaded.x_test is not None else "drawn"
    split = "no test part" if test is None else f"{len(test.x):,} test rows ({own})"
    parts = [
        f"read {run.data}: {len(train.x):,} training rows, {split}",
        _shape_of(train.x, loaded.is_table),
        f"{len(classes)} classes" if len(classes) else "no labels",
        *([f"{n_unlabelled:,} unlabelled"] if n_unlabelled and len(classes) else []),
        f"device {find_device(run.parameters['device'])}",
    ]
    return "; ".join(parts)


def _shape_of(x: RowsLike, is_table: bool) -> str:
    """Return the columns of a table with their kinds, or the shape of images and signals.

    >>> _shape_of(np.zeros((2, 28, 28)), False)
    'rows of 28 x 28'
    """
    if not is_table:
        return f"rows of {' x '.join(map(str, x.shape[1:]))}"
    if isinstance(x, np.ndarray | LazyArray):
        return f"{x.shape[1]} columns"
    n_text = sum(dtype.kind == "O" for dtype in x.dtypes)
    text = f" ({x.shape[1] - n_text} of numbers, {n_text} of categories)" if n_text else " of numbers"
    return f"{x.shape[1]} columns{text}"


@contextmanager
def saying_how_to_resume(folder: RunFolder) -> Iterator[None]:
    """Add to the message of a stop outside the training loop that the run can be resumed."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if "--resume" in str(stop) or not folder.has_state:
            raise
        text = f"stopped; the state of the training is saved in {folder.path}: go on with --resume"
        raise KeyboardInterrupt(text) from None


def _fit(
    model: SSAVAE,
    run: Run,
    rows: Rows,
    train: Part,
    test: Part | None,
    resumed: bool,
    vec_folder: Path | None,
) -> None:
    labels = train.y if is_labelled(train) else None
    if labels is None:
        warnings.warn(f"no labels in {run.data}: {UNLABELLED}", stacklevel=3)
    eval_set = (test.x, test.y) if test is not None and is_labelled(test) else None
    data = {"X": rows, "y": labels, "groups": train.groups, "eval_set": eval_set}
    vec = None if vec_folder is None else _shared_vec(RunFolder(vec_folder), model, data)
    model.fit(**data, vec=vec, resume=resumed)


def _shared_vec(folder: RunFolder, model: SSAVAE, data: dict[str, Any]) -> SSAVAE:
    """Load the model that was trained in step 1 alone, or train it while other processes wait.

    Its parameters of step 2 are the defaults: a run with others may have begun it, and been killed.
    """
    with folder.locked(wait=True):
        if folder.has_state or not folder.has_model:
            defaults = SSAVAE().get_params()
            step_1: Any = clone(model)
            step_1.set_params(**{name: defaults[name] for name in STEP_2})
            step_1.set_params(checkpoint_folder=folder.path, n_epochs_decoder=0)
            folder.save_model(step_1.fit(**data, resume=folder.has_state))
    return folder.load_model()


def _protocol(
    model: SSAVAE, run: Run, train: Part, test: Part | None, command: str, sha256: str | None
) -> JSONObject:
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
