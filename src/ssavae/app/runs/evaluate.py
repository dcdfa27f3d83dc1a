"""Evaluation of a run: metrics of its test part, a judge of its images, an audit of its split."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from ssavae._checks import UsageError
from ssavae._serialize import JSONObject
from ssavae.analysis.monitoring import measure_faults, normal_class
from ssavae.app.runs.environment import machine
from ssavae.app.runs.folder import RunFolder
from ssavae.app.runs.pictures import label_indices, shown, unknown_classes
from ssavae.data.catalog import CAUTIONS, UNDETECTABLE
from ssavae.data.labelled import LabelledData, Reading
from ssavae.data.leakage import Finding, audit
from ssavae.data.partition import Part, divide, draw_split, is_labelled, read
from ssavae.estimator import SSAVAE
from ssavae.metrics import classification, generation, latent
from ssavae.metrics.judge import Judge, judge_features, judge_logits, load_judge, save_judge, train_judge
from ssavae.preprocessing.labels import warn_of_unknown_classes
from ssavae.preprocessing.lazy import LazyArray, rows_sha256

JUDGE_UPDATES = 500  # at least: where rows are few, the judge sees them more often
JUDGED_PER_CLASS = 200
CHUNK_ROWS = 5000  # rows decoded at once
SAMPLE_SEED = 0
SET_ALPHA = 0.1
NOVEL_ALPHA = 0.05


def audit_data(
    data: str, reading: Reading, kind: str | None, test_fraction: float, seed: int
) -> tuple[list[Finding], str]:
    """Audit the split of a data set: its own, else the one that ``train_run`` would draw.

    Also return a caution about the split, which may be empty. Raises UsageError without a test part.
    """
    loaded = read(data, reading, kind)
    train, test = divide(loaded, draw_split(loaded, test_fraction, seed))
    if test is None:
        raise UsageError(f"{data} has no test part and --test-fraction is 0: there is no split to audit")
    groups_test = loaded.groups_test if loaded.x_test is not None else test.groups
    is_signal = loaded.kind == "signal"
    findings = audit(np.asarray(train.x), np.asarray(test.x), train.groups, groups_test, signals=is_signal)
    return findings, CAUTIONS.get(data, "")


def measure(model: SSAVAE, test: Part) -> dict[str, float]:
    """Return classification metrics where there are labels, and the error of reconstructions.

    ``reconstruction_error`` is the mean squared error of network inputs: pixels in [0, 1], or standard
    deviations of a column.  ``set_coverage`` and ``set_size`` are of ``predict_set`` at alpha = 0.1,
    ``novel_share`` is the fraction of rows called novel at alpha = 0.05, ``novelty_auroc`` how well novelty
    tells rows of classes that the model does not know from the others.
    """
    y = label_indices(model, test.y, len(test.x))
    n_unknown = 0 if test.y is None else warn_of_unknown_classes(test.y, model.classes_)
    is_classified = len(model.classes_) > 0 and bool((y >= 0).any())
    return {
        "rows": len(test.x),
        **({"rows_of_unknown_classes": n_unknown} if n_unknown else {}),
        **(_classification_metrics(model, model.predict_proba(test.x), y) if is_classified else {}),
        "novel_share": float(model.is_novel(test.x, alpha=NOVEL_ALPHA).mean()),
        **_novelty_of_unknown_classes(model, test, y),
        "reconstruction_error": _reconstruction_error(model, test),
    }


def _novelty_of_unknown_classes(model: SSAVAE, test: Part, y: np.ndarray) -> dict[str, float]:
    groups = unknown_classes(model, test)
    known = np.flatnonzero(y >= 0)
    if not groups or len(known) == 0:
        return {}
    unknown = np.concatenate(list(groups.values()))
    novelty = model.novelty(test.take(np.concatenate([known, unknown])).x)
    return {"novelty_auroc": float(roc_auc_score(np.repeat([0, 1], [len(known), len(unknown)]), novelty))}


def _classification_metrics(model: SSAVAE, probs: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return metrics of class probabilities (n, n_classes) for class indices y (n,), -1 unlabelled."""
    y_pred = probs.argmax(axis=1)
    metrics = {
        "accuracy": classification.accuracy(y, y_pred),
        "expected_calibration_error": classification.expected_calibration_error(probs, y),
        "temperature": model.calibration_.temperature,
        "macro_f1": classification.macro_f1(y, y_pred, len(model.classes_)),
    }
    if len(model.calibration_.class_scores):
        sets = model.calibration_.sets(probs, SET_ALPHA)
        metrics["set_coverage"] = classification.coverage(sets, y)
        metrics["set_size"] = float(sets.sum(axis=1).mean())
    return metrics


def _reconstruction_error(model: SSAVAE, part: Part) -> float:
    """Return the mean squared error over all rows; rows that stay in their file are decoded in chunks."""
    n = len(part.x)
    size = CHUNK_ROWS if isinstance(part.x, LazyArray) else n
    chunks = [part.take(slice(start, start + size)).x for start in range(0, n, size)]
    errors = [
        generation.pixel_error(shown(model, x), shown(model, model.reconstruct(x))) * len(x) for x in chunks
    ]
    return sum(errors) / n


def measure_map(model: SSAVAE, train: Part | None, test: Part) -> dict[str, float]:
    """Return how well the codes keep classes apart and neighbours together, as far as the rows allow."""
    z = model.transform(test.x)
    y = label_indices(model, test.y, len(test.x))
    metrics = {}
    if train is not None:
        y_train = label_indices(model, train.y, len(train.x))
        n_labelled = int((y_train >= 0).sum())
        if n_labelled and (y >= 0).any():
            z_train = model.transform(train.x)
            metrics["knn_accuracy"] = latent.knn_accuracy(z_train, y_train, z, y, min(15, n_labelled))
    some = test.some()
    try:
        return metrics | latent.map_quality(shown(model, test.take(some).x), z[some], y[some])
    except ValueError:  # too few rows or classes for these two
        return metrics


def evaluate_run(
    model: SSAVAE, folder: RunFolder, loaded: LabelledData, *, judged: bool, judges: Path | None = None
) -> tuple[JSONObject, Path]:
    """Measure a model on a data set's test part, and merge the result into metrics.json as "evaluate".

    The test part is as in :meth:`RunFolder.evaluation_parts`. Models of the same rows share one judge where a
    folder ``judges`` is given.

    Raises
    ------
    UsageError
        A judge is asked for where there are no images, classes or training rows.
    """
    train, test = folder.evaluation_parts(loaded)
    results: JSONObject = {"data": loaded.name, "data_sha256": loaded.sha256, **measure(model, test)}
    results |= measure_map(model, train, test)
    normal = normal_class(model)
    if normal is not None and is_labelled(test):
        results["faults"] = measure_faults(model, test, normal, UNDETECTABLE.get(loaded.name, ()))
    earlier = folder.read_metrics().get("evaluate", {})
    if judged:
        results["judge"] = _judge_run(model, folder, judges, train, test)
    elif "judge" in earlier and earlier.get("data_sha256") == loaded.sha256:
        results["judge"] = earlier["judge"]  # of the same model and data; measuring it takes minutes
    return results, folder.write_metrics({"evaluate": results | machine()})


# ------------------------------------------------------------------------------------------- judge


def _judge_run(
    model: SSAVAE, folder: RunFolder, judges: Path | None, train: Part | None, test: Part
) -> JSONObject:
    if model.preprocess_.kind != "image" or len(model.classes_) < 2:
        raise UsageError("--judge needs images and a model with classes")
    if train is None or not is_labelled(train) or not is_labelled(test):
        raise UsageError("--judge needs DATA with a training and a test part, both labelled")
    train = train.take(train.some())
    test = test.take(test.some())
    train_sha256 = rows_sha256(np.asarray(train.x))
    if judges is None:
        judge = _judge_in(folder, model, train, train_sha256)
    else:
        judge = _shared_judge(judges / f"judge_{train_sha256[:12]}.safetensors", model, train)
    return {"rows_sha256": train_sha256, **_measure_with_judge(model, judge, test)}


def _measure_with_judge(model: SSAVAE, judge: Judge, test: Part) -> JSONObject:
    """Return how a judge sees reconstructions of test rows, and samples by class and from the prior."""
    real = shown(model, test.x)
    y = label_indices(model, test.y, len(test.x))
    n_classes = len(model.classes_)
    y_sampled = np.repeat(np.arange(n_classes), JUDGED_PER_CLASS)
    n = len(y_sampled)
    rows = {
        "reconstructions": model.reconstruct(test.x),
        "class_samples": model.sample(n, y=model.classes_[y_sampled], random_state=SAMPLE_SEED),
        "prior_samples": model.sample(n, sampler="prior", random_state=SAMPLE_SEED),
    }
    images = {name: shown(model, x) for name, x in rows.items()}
    logits = {name: judge_logits(judge, x) for name, x in images.items()}
    features = {name: judge_features(judge, x) for name, x in images.items()}
    features_real = judge_features(judge, real)
    variety = generation.variety(features["class_samples"], y_sampled)
    variety_real = generation.variety(features_real, y)
    probs = torch.from_numpy(logits["prior_samples"]).softmax(dim=1).numpy()
    fractions = np.bincount(probs.argmax(axis=1), minlength=n_classes) / n
    return {
        "test_accuracy": classification.agreement(judge_logits(judge, real), y),
        "agreement_reconstructions": classification.agreement(logits["reconstructions"], y),
        "agreement_class_samples": classification.agreement(logits["class_samples"], y_sampled),
        "variety_ratio": variety / variety_real if variety_real else None,
        **{f"frechet_{k}": generation.frechet_distance(v, features_real) for k, v in features.items()},
        "sharpness_reconstructions": generation.sharpness(images["reconstructions"], real),
        "prior_confidence": float(probs.max(axis=1).mean()),
        "prior_classes": dict(zip(map(str, model.classes_), fractions.tolist(), strict=True)),
    }


def _judge_in(folder: RunFolder, model: SSAVAE, train: Part, train_sha256: str) -> Judge:
    """Read the judge of these rows from the run folder, or train it and write it there."""
    judge = folder.read_judge(train_sha256)
    if judge is None:
        judge = judge_of(model, train)
        folder.write_judge(judge)
    return judge.to(model.predictor_.device)


def _shared_judge(path: Path, model: SSAVAE, train: Part) -> Judge:
    """Read the judge from a file, or train and write it while other processes wait."""
    from filelock import FileLock

    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            save_judge(judge_of(model, train), path)
        return load_judge(path).to(model.predictor_.device)


def judge_of(model: SSAVAE, train: Part) -> Judge:
    """Train a judge on these rows, seen as the model's images and classes."""
    y = label_indices(model, train.y, len(train.x))
    n_batches = max(1, int((y >= 0).sum()) // 128)
    n_epochs = max(6, math.ceil(JUDGE_UPDATES / n_batches))
    return train_judge(shown(model, train.x), y, n_epochs=n_epochs, device=str(model.predictor_.device))
