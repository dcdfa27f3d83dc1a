"""A map of two dimensions with few labels: SSAVAE beside umap-learn's semi-supervised one, in one run.

    pip install -r benchmarks/peers/requirements.txt
    python benchmarks/peers/umap_map.py mnist --student-widths 96 64 --out benchmarks/results/umap_mnist.json

Both see all training rows and the same labels, -1 elsewhere. k-NN accuracy of test rows in the map: with all
training rows and their true classes (how well the map separates classes, k = 15), and with the labelled rows
alone (k = 5). With a student, SSAVAE's map is measured from the student and from the encoder. `transform` of
10,000 test rows is timed five times in turn after a first call, in which umap compiles; the result is the
ratio of the medians. Both are seeded, so that both give the same map again: umap-learn then uses one thread;
`umap, not seeded` is timed too, with all threads.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from shared import Split, command, few_labels, parser, plain_options, write_json

from ssavae import SSAVAE
from ssavae._serialize import JSONObject
from ssavae.app.runs.environment import machine
from ssavae.metrics.latent import knn_accuracy


def seconds_of(function: Callable[[np.ndarray], object], x: np.ndarray) -> float:
    """Return the seconds of one call."""
    begin = time.perf_counter()
    function(x)
    return time.perf_counter() - begin


def knn_measures(split: Split, y: np.ndarray, z: np.ndarray, z_test: np.ndarray) -> JSONObject:
    """Measure a map by its neighbours; y are the labels that it was trained with."""
    is_labelled = y >= 0
    return {
        "knn_accuracy": knn_accuracy(z, split.y, z_test, split.y_test, k=15),
        "knn_accuracy_labelled": knn_accuracy(z[is_labelled], y[is_labelled], z_test, split.y_test, k=5),
    }


def seconds_by_step(model: SSAVAE) -> JSONObject:
    """Return the seconds of each step, which the history counts from its beginning."""
    return {str(row["step"]): row["seconds"] for row in model.history_}


def without_student(model: SSAVAE) -> SSAVAE:
    """Return a copy that maps rows by the encoder itself."""
    other = copy.deepcopy(model)
    other.vec_.student = None
    return other


def parse_options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("data")
    options.add_argument("--per-class", type=int, default=10)
    options.add_argument("--epochs", type=int, default=5)
    options.add_argument("--student-widths", type=int, nargs="+")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path, required=True)
    return options.parse_args()


def main() -> None:
    """Fit both, measure both, write the result."""
    options = parse_options()
    import umap  # pyright: ignore[reportMissingImports]  # here, so that --help needs no umap-learn

    warnings.filterwarnings("ignore")  # umap's, of its single thread with a seed
    split = Split.load(options.data)
    y = few_labels(split.y, options.per_class, options.seed)
    maps: JSONObject = {}
    model = SSAVAE(
        n_epochs=options.epochs,
        n_epochs_decoder=0,
        student_widths=options.student_widths,
        random_state=options.seed,
    )
    seconds = seconds_of(lambda x: model.fit(x, y), split.x)
    models = {"ssavae": model}
    if options.student_widths:
        models["ssavae's encoder"] = without_student(model)
    for name, each in models.items():
        maps[name] = knn_measures(split, y, each.transform(split.x), each.transform(split.x_test))
        maps[name]["accuracy"] = float(each.score(split.x_test, split.y_test))
    maps["ssavae"] |= {"seconds_fit": seconds, "seconds_of": seconds_by_step(model)}
    print(json.dumps(maps, indent=1), flush=True)

    flat, flat_test = split.flat()
    peers = {"umap": umap.UMAP(random_state=options.seed), "umap, not seeded": umap.UMAP()}
    for name, peer in peers.items():
        seconds = seconds_of(lambda x, peer=peer: peer.fit(x, y), flat)
        maps[name] = knn_measures(split, y, peer.embedding_, peer.transform(flat_test))
        maps[name]["seconds_fit"] = seconds
    transforms = {name: (each.transform, split.x_test) for name, each in models.items()}
    transforms |= {name: (each.transform, flat_test) for name, each in peers.items()}
    rounds = [{name: seconds_of(*call) for name, call in transforms.items()} for _ in range(5)]
    medians = {name: statistics.median(each[name] for each in rounds) for name in transforms}
    for name, value in medians.items():
        maps[name]["seconds_transform"] = value
    maps["transform_ratio"] = {
        peer: {name: medians[peer] / medians[name] for name in models} for peer in peers
    }
    document = {
        "command": command(),
        **plain_options(options),
        "umap_version": umap.__version__,
        "maps": maps,
        **machine(),
    }
    write_json(options.out, document)
    print(json.dumps(maps, indent=1))


if __name__ == "__main__":
    main()
