"""Accuracy with few labels: SSAVAE beside its plain method, supervised training alone, and scikit-learn.

    python benchmarks/few_labels.py mnist --labels 100 --out benchmarks/results/few_labels_mnist_100.json
    python benchmarks/few_labels.py fashion_mnist --labels 100 --augment flip --out fashion.json

All learn from the same labelled rows, drawn by seed in equal numbers per class as by `ssavae train
--labels-per-class`, and all but `supervised` see the other training rows without labels:

- ssavae: the default, `weight_consistency` 1;
- plain: `weight_consistency` and `weight_distill` 0, which is the paper's method;
- supervised: step 1 on the labelled rows alone, with as many updates (and the same `--augment`);
- label_spreading: scikit-learn's LabelSpreading (k-NN kernel, k = 7) on 20 principal components of 20,000 of
  the rows, to limit its time;
- self_training: scikit-learn's SelfTrainingClassifier around a histogram gradient boosting, on the same.

Step 1 alone classifies, so step 2 is not trained. The file is written after each result; results that it
has already are not computed again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from report import Task, parser, run_missing
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from split import Split, few_labels
from spread import mean_and_deviation

from ssavae import SSAVAE
from ssavae._serialize import JSONObject
from ssavae.metrics.classification import accuracy, expected_calibration_error
from ssavae.metrics.latent import knn_accuracy
from ssavae.preprocessing.lazy import random_subset

N_PEER_ROWS = 20000  # rows for scikit-learn's methods
Peer = LabelSpreading | SelfTrainingClassifier
Method = Callable[[Split, int], JSONObject]  # data with few labels, seed -> measures


def train_ssavae(
    data: Split,
    seed: int,
    *,
    latent_dim: int,
    n_epochs: int,
    augment: tuple[str, ...],
    weight: float | None,
) -> JSONObject:
    """Train step 1 on labelled and unlabelled rows."""
    model = SSAVAE(
        latent_dim,
        n_epochs=n_epochs,
        n_epochs_decoder=0,
        augment=augment,
        weight_consistency=weight,
        weight_distill=weight,
        random_state=seed,
    )
    model.fit(data.x, data.y)
    probs = model.predict_proba(data.x_test)
    is_labelled = data.y >= 0
    codes = model.transform(data.x[is_labelled])
    codes_test = model.transform(data.x_test)
    return {
        "accuracy": accuracy(data.y_test, probs.argmax(axis=1)),
        "calibration_error": expected_calibration_error(probs, data.y_test),
        "knn_accuracy_labelled": knn_accuracy(codes, data.y[is_labelled], codes_test, data.y_test, k=5),
        "losses": {name: value for name, value in model.history_[-1].items() if name.startswith("loss_")},
    }


def train_supervised(
    data: Split, seed: int, *, latent_dim: int, n_epochs: int, augment: tuple[str, ...]
) -> JSONObject:
    """Train step 1 on the labelled rows alone, for as many updates."""
    labelled = np.flatnonzero(data.y >= 0)
    n_updates = n_epochs * len(data.x) // 96  # batches of ssavae hold 96 unlabelled rows
    rows = np.resize(labelled, max(len(labelled), 128))
    return train_ssavae(
        replace(data, x=data.x[rows], y=data.y[rows]),
        seed,
        latent_dim=latent_dim,
        n_epochs=max(1, round(n_updates / (len(rows) // 128))),
        augment=augment,
        weight=0.0,
    )


def train_peer(data: Split, seed: int, build: Callable[[], Peer]) -> JSONObject:
    """Fit a method of scikit-learn on principal components of some of the rows and all labelled ones."""
    rows = np.union1d(np.flatnonzero(data.y >= 0), random_subset(len(data.x), N_PEER_ROWS))
    flat, flat_test = (part.reshape(len(part), -1) / 255.0 for part in (data.x[rows], data.x_test))
    pca = PCA(20, random_state=seed).fit(flat)
    peer = build().fit(pca.transform(flat), data.y[rows])
    return {"accuracy": float(np.mean(peer.predict(pca.transform(flat_test)) == data.y_test))}


def self_training() -> SelfTrainingClassifier:
    return SelfTrainingClassifier(HistGradientBoostingClassifier(max_iter=50))


def methods(latent_dim: int, n_epochs: int, augment: tuple[str, ...]) -> dict[str, Method]:
    """Return all methods by name."""
    params = {"latent_dim": latent_dim, "n_epochs": n_epochs, "augment": augment}
    spreading = partial(LabelSpreading, kernel="knn", n_neighbors=7)
    return {
        "ssavae": partial(train_ssavae, **params, weight=None),
        "plain": partial(train_ssavae, **params, weight=0.0),
        "supervised": partial(train_supervised, **params),
        "label_spreading": partial(train_peer, build=spreading),
        "self_training": partial(train_peer, build=self_training),
    }


def measure(method: Method, name: str, n_labels: int, seed: int) -> JSONObject:
    """Train with one method and draw of labels."""
    begin = time.perf_counter()
    split = Split.load(name)
    n_classes = int(split.y.max()) + 1
    y = few_labels(split.y, n_labels // n_classes, seed)
    measures = method(replace(split, y=y), seed)
    return {**measures, "minutes": (time.perf_counter() - begin) / 60}


def tasks(options: argparse.Namespace) -> Iterator[Task]:
    """Yield what to train, with the options that identify it."""
    by_name = methods(options.latent_dim, options.epochs, tuple(options.augment))
    for seed in options.seeds:
        for n_labels in options.labels:
            for method in options.methods:
                identity = {
                    "method": method,
                    "labels": n_labels,
                    "seed": seed,
                    "latent_dim": options.latent_dim,
                    "epochs": options.epochs,
                    "augment": options.augment,
                }
                yield identity, partial(measure, by_name[method], options.data, n_labels, seed)


def summarize(name: str, results: list[JSONObject]) -> JSONObject:
    """Return mean and standard deviation of the accuracy over the seeds, by method and labels."""
    groups = pd.DataFrame(results).groupby(["method", "labels"])["accuracy"]
    summary: dict[str, str] = {}
    for key, values in groups:
        method, n_labels = cast(tuple[str, int], key)
        summary[f"{method}, {n_labels} labels"] = mean_and_deviation(values.tolist(), 4, "draw")
    return {"data": name, "summary": summary}


def main() -> None:
    """Train what the file lacks."""
    options = parser(__doc__)
    options.add_argument("data")
    options.add_argument("--labels", type=int, nargs="+", default=[100, 1000])
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    options.add_argument("--latent-dim", type=int, default=10)
    options.add_argument("--epochs", type=int, default=5)
    options.add_argument("--augment", nargs="*", default=[], help="augmentations of step 1 of SSAVAE")
    options.add_argument("--methods", nargs="+", default=list(methods(2, 1, ())))
    options.add_argument("--out", type=Path, required=True)
    parsed = options.parse_args()
    run_missing(parsed.out, tasks(parsed), partial(summarize, parsed.data))


if __name__ == "__main__":
    main()
