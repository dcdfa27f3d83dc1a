"""What is done with a run: trained, measured, drawn, written to tables. Every function says what it wrote."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from ssavae import evaluate, faults
from ssavae.audit import Finding, audit
from ssavae.checkpoint import HISTORY_FILE, MODEL_FILE, WEIGHTS_FILE, has_state
from ssavae.checks import UsageError
from ssavae.datasets import LabelledData, Reading
from ssavae.estimator import SSAVAE, load
from ssavae.judge import Judge, judge_features, judge_logits, load_judge, save_judge, train_judge
from ssavae.labels import encode_labels
from ssavae.monitoring import measure_faults, normal_class
from ssavae.named_sets import CAUTIONS, HIDDEN
from ssavae.parts import (
    LABELS_FILE,
    SPLIT_FILE,
    Part,
    divide,
    draw_split,
    grant_labels,
    read,
    read_like,
    read_split,
    rows_sha256,
    write_labels,
    write_split,
)
from ssavae.pictures import draw_pictures, label_indices, shown
from ssavae.processes import is_first
from ssavae.runs import (
    JUDGE_FILE,
    RUN_FILE,
    SECONDS,
    Run,
    begin,
    described,
    machine,
    read_metrics,
    write_metrics,
)
from ssavae.sources import Source

JUDGE_UPDATES = 500  # at least: where rows are few, the judge sees them more often
JUDGED_PER_CLASS = 200
PORTION = 5000  # rows decoded at once
SAMPLE_SEED = 0
SET_ALPHA, NOVEL_ALPHA = 0.1, 0.05
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


def is_labelled(part: Part) -> bool:
    """Say whether any row has a label."""
    return part.y is not None and bool((encode_labels(part.y)[0] >= 0).any())


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


# --------------------------------------------------------------------------------------- measures


def audit_data(
    data: str, reading: Reading, kind: str | None, test_fraction: float, seed: int
) -> tuple[list[Finding], str]:
    """Audit the split of a data set: its own, else the one that ``train_run`` would draw.

    Returns
    -------
    findings : list of Finding
    caution : str
        What else to know of the split, empty where nothing is known.

    Raises
    ------
    UsageError
        There is no test part to audit.
    """
    loaded = read(data, reading, kind)
    train, test = divide(loaded, draw_split(loaded, test_fraction, seed))
    if test is None:
        raise UsageError(f"{data} has no test part and --test-fraction is 0: there is no split to audit")
    groups_test = loaded.groups_test if loaded.x_test is not None else test.groups
    found = audit(
        np.asarray(train.x), np.asarray(test.x), train.groups, groups_test, signals=loaded.kind == "signal"
    )
    return found, CAUTIONS.get(data, "")


def measure(model: SSAVAE, test: Part) -> dict[str, Any]:
    """Return accuracy and confidence where there are labels, and the error of reconstructions.

    ``reconstruction_error`` is the mean squared error of network inputs: pixels in [0, 1], or standard
    deviations of a column.  ``set_coverage`` and ``set_size`` are of ``predict_set`` at alpha = 0.1,
    ``novel_share`` is the share of rows called novel at alpha = 0.05.
    """
    y = label_indices(model, test.y, len(test.x))
    found: dict[str, Any] = {"rows": len(test.x)}
    if len(model.classes_) and (y >= 0).any():
        probs = model.predict_proba(test.x)
        found["accuracy"] = evaluate.accuracy(y, probs.argmax(axis=1))
        found["expected_calibration_error"] = evaluate.expected_calibration_error(probs, y)
        found["temperature"] = model.calibration_.temperature
        found["macro_f1"] = faults.macro_f1(y, probs.argmax(axis=1), len(model.classes_))
        if len(model.calibration_.class_scores):
            sets = model.calibration_.sets(probs, SET_ALPHA)
            found["set_coverage"] = evaluate.coverage(sets, y)
            found["set_size"] = float(sets.sum(axis=1).mean())
    found["novel_share"] = float(model.is_novel(test.x, alpha=NOVEL_ALPHA).mean())
    found["reconstruction_error"] = _reconstruction_error(model, test.x)
    return found


def _reconstruction_error(model: SSAVAE, x: Any) -> float:
    """Mean squared error over all rows; many of them are decoded portion by portion."""
    slices = [slice(start, start + PORTION) for start in range(0, len(x), PORTION)]
    portions = map(x.take, slices) if isinstance(x, Source) else [x]
    found = [
        (evaluate.pixel_error(shown(model, rows), shown(model, model.reconstruct(rows))), len(rows))
        for rows in portions
    ]
    return sum(error * n for error, n in found) / len(x)


def measure_map(model: SSAVAE, train: Part | None, test: Part) -> dict[str, float]:
    """Return how well the codes keep classes apart and neighbours together, as far as the rows allow."""
    z, y = model.transform(test.x), label_indices(model, test.y, len(test.x))
    found, some = {}, test.some()
    if train is not None:
        y_train = label_indices(model, train.y, len(train.x))
        n_labelled = int((y_train >= 0).sum())
        if n_labelled and (y >= 0).any():
            codes = model.transform(train.x)
            found["knn_accuracy"] = evaluate.knn_accuracy(codes, y_train, z, y, min(15, n_labelled))
    try:
        return found | evaluate.map_quality(shown(model, test.x[some]), z[some], y[some])
    except ValueError:  # too few rows or classes for these two
        return found


def evaluate_run(
    model: SSAVAE, folder: Path, loaded: LabelledData, *, judged: bool, judges: Path | None = None
) -> tuple[dict[str, Any], Path]:
    """Measure a model on a data set's test part, and merge the result into metrics.json as "evaluate".

    The test part is the data's own, else the rows that the run held out of it, else every row. Models of the
    same rows share one judge where a folder ``judges`` is given.

    Raises
    ------
    UsageError
        A judge is asked for where there are no images, classes or training rows.
    """
    train, test = evaluation_parts(folder, loaded)
    found: dict[str, Any] = {"data": loaded.name, "data_sha256": loaded.sha256, **measure(model, test)}
    unknown = 0 if test.y is None else int((encode_labels(test.y)[0] >= 0).sum())
    unknown -= int((label_indices(model, test.y, len(test.x)) >= 0).sum())
    if unknown:
        found["rows_of_unknown_classes"] = unknown
    found |= measure_map(model, train, test)
    normal = normal_class(model)
    if normal is not None and is_labelled(test):
        found["faults"] = measure_faults(model, test, normal, HIDDEN.get(loaded.name, ()))
    earlier = read_metrics(folder).get("evaluate", {})
    if judged:
        found["judge"] = _judge_run(model, folder, judges, train, test)
    elif "judge" in earlier and earlier.get("data_sha256") == found["data_sha256"]:
        found["judge"] = earlier["judge"]  # of the same model and data; measuring it takes minutes
    return found, write_metrics(folder, {"evaluate": found | machine()})


def evaluation_parts(folder: Path, loaded: LabelledData) -> tuple[Part | None, Part]:
    """Return training rows, where they are known, and the rows to look at: see ``evaluate_run``."""
    train, test = divide(loaded, read_split(folder, loaded))
    return (None, train) if test is None else (train, test)


def _judge_run(
    model: SSAVAE, folder: Path, judges: Path | None, train: Part | None, test: Part
) -> dict[str, Any]:
    if model.preprocess_.kind != "image" or len(model.classes_) < 2:
        raise UsageError("--judge needs images and a model with classes")
    if train is None or not is_labelled(train) or not is_labelled(test):
        raise UsageError("--judge needs DATA with a training and a test part, both labelled")
    train, test = train.take(train.some()), test.take(test.some())
    judge = _judge(model, folder, train) if judges is None else _shared_judge(model, judges, train)
    real, y = shown(model, test.x), label_indices(model, test.y, len(test.x))
    wanted = np.repeat(np.arange(len(model.classes_)), JUDGED_PER_CLASS)
    by_class = model.sample(len(wanted), y=model.classes_[wanted], random_state=SAMPLE_SEED)
    by_prior = model.sample(len(wanted), sampler="prior", random_state=SAMPLE_SEED)
    sets = {
        "reconstructions": model.reconstruct(test.x),
        "class_samples": by_class,
        "prior_samples": by_prior,
    }
    made = {name: shown(model, x) for name, x in sets.items()}
    logits = {name: judge_logits(judge, x) for name, x in made.items()}
    features = {name: judge_features(judge, x) for name, x in made.items()}
    features_real = judge_features(judge, real)
    probs = torch.from_numpy(logits["prior_samples"]).softmax(dim=1).numpy()
    shares = np.bincount(probs.argmax(axis=1), minlength=len(model.classes_)) / len(probs)
    varieties = evaluate.variety(features["class_samples"], wanted), evaluate.variety(features_real, y)
    return {
        "rows_sha256": rows_sha256(np.asarray(train.x)),
        "test_accuracy": evaluate.agreement(judge_logits(judge, real), y),
        "agreement_reconstructions": evaluate.agreement(logits["reconstructions"], y),
        "agreement_class_samples": evaluate.agreement(logits["class_samples"], wanted),
        "variety_ratio": varieties[0] / varieties[1] if varieties[1] else None,
        **{f"frechet_{k}": evaluate.frechet_distance(v, features_real) for k, v in features.items()},
        "sharpness_reconstructions": evaluate.sharpness(made["reconstructions"], real),
        "prior_confidence": float(probs.max(axis=1).mean()),
        "prior_classes": dict(zip(map(str, model.classes_), shares.tolist(), strict=True)),
    }


def _judge(model: SSAVAE, folder: Path, train: Part) -> Judge:
    """Read the judge of these rows from the run folder, or train it and put it there."""
    last = read_metrics(folder).get("evaluate", {}).get("judge", {})
    if (folder / JUDGE_FILE).is_file() and last.get("rows_sha256") == rows_sha256(np.asarray(train.x)):
        return load_judge(folder / JUDGE_FILE)
    return judge_of(model, train, folder / JUDGE_FILE)


def _shared_judge(model: SSAVAE, judges: Path, train: Part) -> Judge:
    """Read the judge of these rows from a folder, or train it and put it there; others wait meanwhile."""
    from filelock import FileLock

    path = judges / f"judge_{rows_sha256(np.asarray(train.x))[:12]}.safetensors"
    with FileLock(path.with_suffix(".lock")):
        return load_judge(path) if path.is_file() else judge_of(model, train, path)


def judge_of(model: SSAVAE, train: Part, path: Path) -> Judge:
    """Train a judge on these rows, seen as the model's images and classes, and put it into a file."""
    y = label_indices(model, train.y, len(train.x))
    n_epochs = max(6, -(-JUDGE_UPDATES // max(1, int((y >= 0).sum()) // 128)))
    judge = train_judge(shown(model, train.x), y, n_epochs=n_epochs)
    save_judge(judge, path)
    return judge
