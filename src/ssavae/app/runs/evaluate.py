"""What is done with a run: trained, measured, drawn, written to tables. Every function says what it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ssavae._checks import UsageError
from ssavae.analysis.monitoring import measure_faults, normal_class
from ssavae.app.runs.environment import machine
from ssavae.app.runs.folder import (
    JUDGE_FILE,
    read_metrics,
    write_metrics,
)
from ssavae.app.runs.pictures import label_indices, shown
from ssavae.data.catalog import CAUTIONS, UNDETECTABLE
from ssavae.data.labelled import LabelledData, Reading
from ssavae.data.leakage import Finding, audit
from ssavae.data.partition import (
    Part,
    divide,
    draw_split,
    is_labelled,
    read,
    read_split,
)
from ssavae.estimator import SSAVAE
from ssavae.metrics import classification, generation, latent
from ssavae.metrics.judge import Judge, judge_features, judge_logits, load_judge, save_judge, train_judge
from ssavae.preprocessing.labels import encode_labels
from ssavae.preprocessing.lazy import LazyArray, rows_sha256

JUDGE_UPDATES = 500  # at least: where rows are few, the judge sees them more often
JUDGED_PER_CLASS = 200
PORTION = 5000  # rows decoded at once
SAMPLE_SEED = 0
SET_ALPHA, NOVEL_ALPHA = 0.1, 0.05


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
        found["accuracy"] = classification.accuracy(y, probs.argmax(axis=1))
        found["expected_calibration_error"] = classification.expected_calibration_error(probs, y)
        found["temperature"] = model.calibration_.temperature
        found["macro_f1"] = classification.macro_f1(y, probs.argmax(axis=1), len(model.classes_))
        if len(model.calibration_.class_scores):
            sets = model.calibration_.sets(probs, SET_ALPHA)
            found["set_coverage"] = classification.coverage(sets, y)
            found["set_size"] = float(sets.sum(axis=1).mean())
    found["novel_share"] = float(model.is_novel(test.x, alpha=NOVEL_ALPHA).mean())
    found["reconstruction_error"] = _reconstruction_error(model, test.x)
    return found


def _reconstruction_error(model: SSAVAE, x: Any) -> float:
    """Mean squared error over all rows; many of them are decoded portion by portion."""
    slices = [slice(start, start + PORTION) for start in range(0, len(x), PORTION)]
    portions = map(x.take, slices) if isinstance(x, LazyArray) else [x]
    found = [
        (generation.pixel_error(shown(model, rows), shown(model, model.reconstruct(rows))), len(rows))
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
            found["knn_accuracy"] = latent.knn_accuracy(codes, y_train, z, y, min(15, n_labelled))
    try:
        return found | latent.map_quality(shown(model, test.x[some]), z[some], y[some])
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
        found["faults"] = measure_faults(model, test, normal, UNDETECTABLE.get(loaded.name, ()))
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
    varieties = generation.variety(features["class_samples"], wanted), generation.variety(features_real, y)
    return {
        "rows_sha256": rows_sha256(np.asarray(train.x)),
        "test_accuracy": classification.agreement(judge_logits(judge, real), y),
        "agreement_reconstructions": classification.agreement(logits["reconstructions"], y),
        "agreement_class_samples": classification.agreement(logits["class_samples"], wanted),
        "variety_ratio": varieties[0] / varieties[1] if varieties[1] else None,
        **{f"frechet_{k}": generation.frechet_distance(v, features_real) for k, v in features.items()},
        "sharpness_reconstructions": generation.sharpness(made["reconstructions"], real),
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
