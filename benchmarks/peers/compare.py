"""SSAVAE beside the ordinary VAE and pythae's VAE, VAEGAN and AAE, with the same networks, rows and seconds.

    python benchmarks/peers/compare.py mnist --latent-dim 2 --seconds 150 --seeds 0 1 2 \
        --out benchmarks/results/peers_mnist_k2.json
    python benchmarks/peers/compare.py --table --out benchmarks/results/peers_mnist_k2.json

The file is written after each result; methods that it has already are not trained again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from measures import N_SAMPLES, N_TEST, N_TRAIN, Reference
from ours import Trained, train_ordinary, train_ssavae
from shared import BATCH, Images, command, parser, read_json, write_json

from ssavae import SSAVAE
from ssavae._serialize import JSONObject
from ssavae.app.runs.environment import machine

METHODS = ("ssavae", "vae", "pythae_vae", "pythae_vaegan", "pythae_vaegan_mended", "pythae_aae")
NO_MEASURES = ("method", "seed", "losses", "date", "git_commit")


def parse_options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("data", nargs="?", help="a named set of images with a test part")
    options.add_argument("--latent-dim", type=int, default=2)
    options.add_argument("--seconds", type=float, default=150.0, help="of training, for each method and seed")
    options.add_argument("--share-vec", type=float, default=0.5, help="fraction of SSAVAE's step 1")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--table", action="store_true", help="only print the table of --out")
    parsed = options.parse_args()
    if parsed.data is None and not parsed.table:
        options.error("name a data set, or print the results of --out with --table")
    return parsed


def train(method: str, images: Images, options: argparse.Namespace, seed: int) -> Trained:
    """Train one method with one seed."""
    if method == "ssavae":
        return train_ssavae(images, options.latent_dim, options.seconds, seed, options.share_vec)
    if method == "vae":
        return train_ordinary(images, options.latent_dim, options.seconds, seed)
    from peers import train_peer  # here, so that our two methods need no pythae

    return train_peer(method, images, options.latent_dim, options.seconds, seed)


def measure(method: str, reference: Reference, options: argparse.Namespace, seed: int) -> JSONObject:
    """Train and measure one method with one seed."""
    begin = time.perf_counter()
    trained = train(method, reference.images, options, seed)
    middle = time.perf_counter()
    measures = reference.measure(trained, seed)
    return {
        "method": method,
        "seed": seed,
        "updates": trained.updates,
        "seconds": trained.seconds,
        **trained.steps,
        "seconds_around_training": middle - begin - trained.seconds,
        "seconds_measuring": time.perf_counter() - middle,
        **measures,
        "losses": trained.losses,
        **{name: value for name, value in machine().items() if name in NO_MEASURES},
    }


def protocol(reference: Reference, options: argparse.Namespace) -> JSONObject:
    """Return what all results of a file have in common."""
    images = reference.images
    return {
        "data": images.name,
        "latent_dim": options.latent_dim,
        "seconds": options.seconds,
        "share_vec": options.share_vec,
        "batch_size": f"{BATCH}; {SSAVAE().batch_size_decoder} in step 2 of ssavae",
        "threads": torch.get_num_threads(),
        "rows": {
            "training": len(images.x),
            "measured": f"first {min(N_TEST, len(images.x_test))} of {len(images.x_test)} test rows",
            "mixtures and neighbours": min(N_TRAIN, len(images.x)),
            "samples": N_SAMPLES,
        },
        "labels": "all in the training of ssavae, none in that of the others; all in the class mixtures",
        **reference.best(),
    }


def check_same(document: JSONObject, common: JSONObject) -> None:
    """Refuse to add results of one protocol to those of another."""
    earlier = document.get("protocol", common)
    different = [name for name in common if earlier.get(name) != common[name]]
    if different:
        sys.exit(f"the results in --out have another {', '.join(different)}: write to another file")


def results_of(path: Path) -> list[JSONObject]:
    """Return the results of a file; none where there is no file."""
    return read_json(path).get("results", [])


def add_result(path: Path, common: JSONObject, result: JSONObject) -> None:
    """Add one result to the file, which another process may have changed meanwhile."""
    results = [*results_of(path), result]
    document = {
        "command": command(),
        "protocol": common,
        "machine": machine(),
        "summary": summarize(results),
        "results": results,
    }
    write_json(path, document)


def summarize(results: Sequence[JSONObject]) -> JSONObject:
    """Return mean and standard deviation of every measure over the seeds, by method."""
    by_method = {method: [r for r in results if r["method"] == method] for method in METHODS}
    return {method: over_seeds(of_method) for method, of_method in by_method.items() if of_method}


def over_seeds(results: Sequence[JSONObject]) -> JSONObject:
    """Return mean and standard deviation (n - 1; None for a single seed) of every measure of a method."""
    summary: JSONObject = {"seeds": len(results)}
    for name in results[0]:
        if name not in NO_MEASURES:
            values = np.array([result[name] for result in results])
            std = float(values.std(ddof=1)) if len(values) > 1 else None
            summary[name] = {"mean": float(values.mean()), "std": std}
    return summary


def table(summary: JSONObject) -> str:
    """Return measures as rows, methods as columns: mean and standard deviation over the seeds."""
    columns = {
        method: {name: cell(value) for name, value in measures.items()}
        for method, measures in summary.items()
    }
    return pd.DataFrame(columns).fillna("-").to_string()


def cell(value: int | dict[str, float | None]) -> str:
    """Return a number, or a mean and its standard deviation, as text."""
    if isinstance(value, int):
        return str(value)
    std = "" if value["std"] is None else f" ± {value['std']:.2g}"
    return f"{value['mean']:.4g}{std}"


def show(document: JSONObject) -> None:
    """Print protocol and table."""
    for name, value in document["protocol"].items():
        print(f"{name}: {value}")
    print()
    print(table(document["summary"]))


def main() -> None:
    """Train and measure what the file lacks, then print the table."""
    options = parse_options()
    if options.table:
        show(read_json(options.out))
        return
    torch.set_num_threads(1)
    # Seconds are CPU seconds of this process, whatever else the machine does: every clock here and in
    # the engine reads them, and nothing in the training waits.
    time.perf_counter = time.process_time
    reference = Reference.of(Images.load(options.data))
    common = protocol(reference, options)
    check_same(read_json(options.out), common)
    # Seed by seed, so that an interrupted comparison has as many seeds of every method.
    for seed in options.seeds:
        for method in options.methods:
            if any((r["method"], r["seed"]) == (method, seed) for r in results_of(options.out)):
                continue
            print(f"{method}, seed {seed}", flush=True)
            add_result(options.out, common, measure(method, reference, options, seed))
    show(read_json(options.out))


if __name__ == "__main__":
    main()
