"""A map of two dimensions with few labels: SSAVAE beside umap-learn's semi-supervised one, in one run.

    pip install -r benchmarks/peers/requirements.txt
    python benchmarks/peers/umap_map.py mnist --student-widths 96 64 --out benchmarks/results/umap_mnist.json

Both see all training rows and the same labels, the others as -1. k-NN accuracy of test rows in the map, once
with all training rows and their true classes (how well the map keeps classes apart, k = 15), once with the
labelled rows alone (k = 5). With a student, SSAVAE's map is measured as the student draws it and as the
encoder does. `transform` of 10,000 test rows is timed five times in turn after a first call, in which umap
compiles; the ratio of the medians is what counts. Both are seeded, so that both make the same map again:
umap-learn then uses one thread; `umap, not seeded` is timed besides, with all threads.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ssavae import SSAVAE
from ssavae._serialize import write_atomically
from ssavae.app.runs.environment import machine
from ssavae.data.label_budget import draw_labelled
from ssavae.data.loading import load_dataset
from ssavae.metrics.latent import knn_accuracy


def quality(z: np.ndarray, truth: np.ndarray, y: np.ndarray, z_test: np.ndarray, y_test: np.ndarray) -> dict:
    """Measure a map by its neighbours."""
    known = y >= 0
    return {
        "knn_accuracy": knn_accuracy(z, truth, z_test, y_test, k=15),
        "knn_accuracy_labelled": knn_accuracy(z[known], y[known], z_test, y_test, k=5),
    }


def seconds_of(function: Any, x: np.ndarray) -> float:
    """Return the seconds of one call."""
    begin = time.perf_counter()
    function(x)
    return time.perf_counter() - begin


def seconds_by_step(model: SSAVAE) -> dict[str, float]:
    """Return what each part of the training took: the history counts from its beginning."""
    return {row["step"]: row["seconds"] for row in model.history_}


def by_encoder(model: SSAVAE) -> SSAVAE:
    """Return a copy that maps rows by the encoder itself."""
    other = copy.deepcopy(model)
    other.vec_.student = None
    return other


def main() -> None:
    """Fit both, measure both, write the result."""
    import umap  # pyright: ignore[reportMissingImports]

    as_it_is = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_it_is)
    parser.add_argument("data")
    parser.add_argument("--per-class", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--student-widths", type=int, nargs="+")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore")  # umap tells of its single thread, which a seed asks for
    loaded = load_dataset(chosen.data)
    truth, x_test, y_test = loaded.y_train, loaded.x_test, loaded.y_test
    assert truth is not None and x_test is not None and y_test is not None
    y = np.full(len(truth), -1)
    rows = draw_labelled(truth, chosen.seed, per_class=chosen.per_class)
    y[rows] = truth[rows]
    found: dict[str, Any] = {}
    steps: dict[str, Any] = {"n_epochs": chosen.epochs, "n_epochs_decoder": 0}
    model = SSAVAE(2, **steps, student_widths=chosen.student_widths, random_state=chosen.seed)
    seconds = seconds_of(lambda x: model.fit(x, y), loaded.x_train)
    models = {"ssavae": model} | ({"ssavae's encoder": by_encoder(model)} if chosen.student_widths else {})
    for name, each in models.items():
        found[name] = quality(each.transform(loaded.x_train), truth, y, each.transform(x_test), y_test)
        found[name]["accuracy"] = float(each.score(x_test, y_test))
    found["ssavae"] |= {"seconds_fit": seconds, "seconds_of": seconds_by_step(model)}
    print(json.dumps(found, indent=1), flush=True)

    flat, flat_test = (x.reshape(len(x), -1) / np.float32(255) for x in (loaded.x_train, x_test))
    peers = {"umap": umap.UMAP(random_state=chosen.seed), "umap, not seeded": umap.UMAP()}
    for name, peer in peers.items():
        seconds = seconds_of(lambda x, peer=peer: peer.fit(x, y), flat)
        found[name] = quality(peer.embedding_, truth, y, peer.transform(flat_test), y_test)
        found[name]["seconds_fit"] = seconds
    calls = {name: (each.transform, x_test) for name, each in models.items()}
    calls |= {name: (each.transform, flat_test) for name, each in peers.items()}
    times = [{name: seconds_of(*call) for name, call in calls.items()} for _ in range(5)]
    for name in calls:
        found[name]["seconds_transform"] = statistics.median(each[name] for each in times)
    found["transform_ratio"] = {
        peer: {name: found[peer]["seconds_transform"] / found[name]["seconds_transform"] for name in models}
        for peer in peers
    }
    told = {"command": " ".join(["python", *sys.argv]), **vars(chosen), "out": str(chosen.out)}
    told |= {"umap_version": umap.__version__, "maps": found, **machine()}
    write_atomically(chosen.out, json.dumps(told, indent=1).encode())
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
