"""Accuracy with few labels: SSAVAE beside its plain method, supervised training alone, and scikit-learn.

    python benchmarks/few_labels.py mnist --labels 100 --out benchmarks/results/few_labels_mnist_100.json
    python benchmarks/few_labels.py fashion_mnist --labels 100 --augment flip --out fashion.json

All learn from the same labelled rows, drawn by seed in equal numbers a class as `ssavae train
--labels-per-class` draws them, and all but `supervised` see the other training rows without labels:

- ssavae: the default, `weight_consistency` 1;
- plain: `weight_consistency` 0, which is the paper's method;
- supervised: step 1 on the labelled rows alone, as many updates (`--augment` goes for it, too);
- label_spreading: scikit-learn's LabelSpreading (k-NN kernel, k = 7) on 20 principal components and 20,000 of
  the rows, which is what its time allows;
- self_training: scikit-learn's SelfTrainingClassifier around a histogram gradient boosting, on the same.

Step 1 is what classifies, so step 2 is not trained. Every result is written at once; what the file has
already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from ssavae import SSAVAE
from ssavae.app.runs.environment import machine
from ssavae.data.label_budget import draw_labelled
from ssavae.data.loading import load_dataset
from ssavae.metrics.classification import accuracy, expected_calibration_error
from ssavae.metrics.latent import knn_accuracy
from ssavae.persistence.model_folder import write_atomically
from ssavae.preprocessing.lazy import random_subset

N_PEER = 20000  # rows that scikit-learn's methods see
Data = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # x, y with -1, x_test, y_test


def train_ssavae(
    data: Data,
    seed: int,
    latent_dim: int,
    n_epochs: int,
    augment: tuple[str, ...],
    weight: float | None,
) -> dict[str, Any]:
    """Train step 1 on labelled and unlabelled rows."""
    x, y, x_test, y_test = data
    told: dict[str, Any] = {"augment": augment, "weight_consistency": weight, "random_state": seed}
    model = SSAVAE(latent_dim, n_epochs=n_epochs, n_epochs_decoder=0, **told).fit(x, y)
    probs, labelled = model.predict_proba(x_test), y >= 0
    codes, codes_test = model.transform(x[labelled]), model.transform(x_test)
    return {
        "accuracy": accuracy(y_test, probs.argmax(axis=1)),
        "calibration_error": expected_calibration_error(probs, y_test),
        "knn_accuracy_labelled": knn_accuracy(codes, y[labelled], codes_test, y_test, k=5),
        "losses": {k: v for k, v in model.history_[-1].items() if k.startswith("loss_")},
    }


def train_supervised(
    data: Data, seed: int, latent_dim: int, n_epochs: int, augment: tuple[str, ...]
) -> dict[str, Any]:
    """Train step 1 on the labelled rows alone, for as many updates."""
    x, y, x_test, y_test = data
    labelled = np.flatnonzero(y >= 0)
    n_updates = n_epochs * len(x) // 96  # batches of ssavae hold 96 unlabelled rows
    rows = np.resize(labelled, max(len(labelled), 128))
    longer = max(1, round(n_updates / (len(rows) // 128)))
    return train_ssavae((x[rows], y[rows], x_test, y_test), seed, latent_dim, longer, augment, 0.0)


def train_peer(data: Data, seed: int, build: Callable[[], Any]) -> dict[str, Any]:
    """Fit one of scikit-learn's on principal components of some of the rows, all labelled ones among them."""
    x, y, x_test, y_test = data
    rows = np.union1d(np.flatnonzero(y >= 0), random_subset(len(x), N_PEER))
    flat, flat_test = (part.reshape(len(part), -1) / 255.0 for part in (x[rows], x_test))
    pca = PCA(20, random_state=seed).fit(flat)
    peer = build().fit(pca.transform(flat), y[rows])
    return {"accuracy": float(np.mean(peer.predict(pca.transform(flat_test)) == y_test))}


def methods(
    latent_dim: int, n_epochs: int, augment: tuple[str, ...]
) -> dict[str, Callable[[Data, int], dict[str, Any]]]:
    """Return all methods by name."""
    told: dict[str, Any] = {"latent_dim": latent_dim, "n_epochs": n_epochs, "augment": augment}
    ours = partial(train_ssavae, **told)
    spreading = partial(LabelSpreading, kernel="knn", n_neighbors=7)
    boosting = partial(HistGradientBoostingClassifier, max_iter=50)
    return {
        "ssavae": partial(ours, weight=None),
        "plain": partial(ours, weight=0.0),
        "supervised": partial(train_supervised, **told),
        "label_spreading": partial(train_peer, build=spreading),
        "self_training": partial(train_peer, build=lambda: SelfTrainingClassifier(boosting())),
    }


def with_labels(name: str, n_labels: int, seed: int) -> Data:
    """Read a data set and leave so many labels."""
    loaded = load_dataset(name)
    assert loaded.y_train is not None and loaded.x_test is not None and loaded.y_test is not None
    n_classes = int(loaded.y_train.max()) + 1
    rows = draw_labelled(loaded.y_train, seed, per_class=n_labels // n_classes)
    y = np.full(len(loaded.y_train), -1)
    y[rows] = loaded.y_train[rows]
    return loaded.x_train, y, loaded.x_test, loaded.y_test


def summary(results: list[dict[str, Any]]) -> dict[str, str]:
    """Mean and standard deviation of the accuracy over the seeds, by method and labels."""
    kinds = sorted({(r["method"], r["labels"]) for r in results})
    found = {kind: [r["accuracy"] for r in results if (r["method"], r["labels"]) == kind] for kind in kinds}
    return {
        f"{method}, {labels} labels": f"{np.mean(values):.4f} ± {np.std(values, ddof=len(values) > 1):.4f} "
        f"({len(values)} draws)"
        for (method, labels), values in found.items()
    }


def main() -> None:
    """Train what the file lacks."""
    as_it_is = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_it_is)
    parser.add_argument("data")
    parser.add_argument("--labels", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--latent-dim", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--augment", nargs="*", default=[], help="changes of step 1 for all three of ours")
    parser.add_argument("--methods", nargs="+", default=list(methods(2, 1, ())))
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    results = json.loads(chosen.out.read_text())["results"] if chosen.out.is_file() else []
    known = methods(chosen.latent_dim, chosen.epochs, tuple(chosen.augment))
    wanted = [(s, n, m) for s in chosen.seeds for n in chosen.labels for m in chosen.methods]
    for seed, n_labels, method in wanted:
        about = {"method": method, "labels": n_labels, "seed": seed, "latent_dim": chosen.latent_dim}
        about |= {"epochs": chosen.epochs, "augment": chosen.augment}
        if any(about.items() <= result.items() for result in results):
            continue
        begin = time.perf_counter()
        found = known[method](with_labels(chosen.data, n_labels, seed), seed)
        results.append({**about, **found, "minutes": (time.perf_counter() - begin) / 60, **machine()})
        command = " ".join(["python", *sys.argv])
        whole = {"command": command, "data": chosen.data, "summary": summary(results), "results": results}
        write_atomically(chosen.out, json.dumps(whole, indent=1).encode())
        print(about, f"accuracy {found['accuracy']:.4f}", flush=True)


if __name__ == "__main__":
    main()
