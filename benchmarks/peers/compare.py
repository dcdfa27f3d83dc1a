"""SSAVAE beside the ordinary VAE and pythae's VAE, VAEGAN and AAE, with the same networks, rows and seconds.

    python benchmarks/peers/compare.py mnist --latent-dim 2 --seconds 150 --seeds 0 1 2 \
        --out benchmarks/results/peers_mnist_k2.json
    python benchmarks/peers/compare.py --table --out benchmarks/results/peers_mnist_k2.json

Every result is written at once; what the file has already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measures import N_SAMPLES, N_TEST, N_TRAIN, Yardstick
from ours import Trained, train_ordinary, train_ssavae
from shared import BATCH, Images

from ssavae import SSAVAE
from ssavae.app.runs.environment import machine

METHODS = ("ssavae", "vae", "pythae_vae", "pythae_vaegan", "pythae_vaegan_mended", "pythae_aae")
NO_MEASURES = ("method", "seed", "losses", "date", "git_commit")


def options() -> argparse.Namespace:
    """Read the command line."""
    as_it_is = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_it_is)
    parser.add_argument("data", nargs="?", help="a named set of images with a test part")
    parser.add_argument("--latent-dim", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=150.0, help="of training, for each method and seed")
    parser.add_argument("--share-vec", type=float, default=0.5, help="share of SSAVAE's step 1")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--table", action="store_true", help="only print the table of --out")
    chosen = parser.parse_args()
    if chosen.data is None and not chosen.table:
        parser.error("name a data set, or print what --out has with --table")
    return chosen


def train(method: str, images: Images, chosen: argparse.Namespace, seed: int) -> Trained:
    """Train one method with one seed."""
    if method == "ssavae":
        return train_ssavae(images, chosen.latent_dim, chosen.seconds, seed, chosen.share_vec)
    if method == "vae":
        return train_ordinary(images, chosen.latent_dim, chosen.seconds, seed)
    from peers import train_peer  # here, so that our two methods need no pythae

    return train_peer(method, images, chosen.latent_dim, chosen.seconds, seed)


def run_one(method: str, yardstick: Yardstick, chosen: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Train and measure one method with one seed."""
    begin = time.perf_counter()
    trained = train(method, yardstick.images, chosen, seed)
    middle = time.perf_counter()
    measured = yardstick.measure(trained, seed)
    return {
        "method": method,
        "seed": seed,
        "updates": trained.updates,
        "seconds": trained.seconds,
        **trained.steps,
        "seconds_around_training": middle - begin - trained.seconds,
        "seconds_measuring": time.perf_counter() - middle,
        **measured,
        "losses": trained.losses,
        **{name: value for name, value in machine().items() if name in NO_MEASURES},
    }


def protocol(yardstick: Yardstick, chosen: argparse.Namespace) -> dict[str, Any]:
    """Say what every result of a file has in common."""
    images = yardstick.images
    return {
        "data": images.name,
        "latent_dim": chosen.latent_dim,
        "seconds": chosen.seconds,
        "share_vec": chosen.share_vec,
        "batch_size": f"{BATCH}; {SSAVAE().batch_size_decoder} in step 2 of ssavae",
        "threads": torch.get_num_threads(),
        "rows": {
            "training": len(images.x),
            "measured": f"first {min(N_TEST, len(images.x_test))} of {len(images.x_test)} test rows",
            "mixtures and neighbours": min(N_TRAIN, len(images.x)),
            "samples": N_SAMPLES,
        },
        "labels": "all in the training of ssavae, none in that of the others; all in the class mixtures",
        **yardstick.best(),
    }


def read(out: Path) -> dict[str, Any]:
    """Return what the file has; an empty comparison where there is none."""
    return json.loads(out.read_text()) if out.is_file() else {"results": []}


def check_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse to add results of one protocol to those of another."""
    common = found.get("protocol", wanted)
    differing = [name for name in wanted if common.get(name) != wanted[name]]
    if differing:
        sys.exit(f"the results in --out have another {', '.join(differing)}: write to another file")


def add(out: Path, common: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """Put one result into the file, read again: another process may have added its own."""
    results = [*read(out)["results"], result]
    whole = {
        "command": " ".join(["python", *sys.argv]),
        "protocol": common,
        "machine": machine(),
        "summary": summary(results),
        "results": results,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    partial_file = out.with_name(f".{out.name}.{os.getpid()}.partial")
    partial_file.write_text(json.dumps(whole, indent=1) + "\n")
    os.replace(partial_file, out)
    return whole


def summary(results: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean and standard deviation of every measure over the seeds, by method."""
    kept = {method: [r for r in results if r["method"] == method] for method in METHODS}
    return {method: over_seeds(of_method) for method, of_method in kept.items() if of_method}


def over_seeds(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation (n - 1; None of one seed alone) of every measure of a method."""
    names = [name for name in results[0] if name not in NO_MEASURES]
    columns = {name: np.array([result[name] for result in results]) for name in names}
    return {"seeds": len(results)} | {
        name: {"mean": float(values.mean()), "std": float(values.std(ddof=1)) if len(values) > 1 else None}
        for name, values in columns.items()
    }


def table(whole: dict[str, Any]) -> str:
    """Measures as rows, methods as columns: mean and standard deviation over the seeds."""
    found = whole["summary"]
    names = list(dict.fromkeys(name for kept in found.values() for name in kept if name != "seeds"))
    rows = [["", *found], ["seeds", *(str(kept["seeds"]) for kept in found.values())]]
    rows += [[name, *(cell(kept.get(name)) for kept in found.values())] for name in names]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def cell(value: dict[str, Any] | None) -> str:
    """Write one mean and its deviation."""
    if value is None:
        return "-"
    deviation = "" if value["std"] is None else f" ± {value['std']:.2g}"
    return f"{value['mean']:.4g}{deviation}"


def show(whole: dict[str, Any]) -> None:
    """Print protocol and table."""
    print("\n".join(f"{name}: {value}" for name, value in whole["protocol"].items()), end="\n\n")
    print(table(whole))


def main() -> None:
    """Train and measure what the file lacks, then print the table."""
    chosen = options()
    if chosen.table:
        return show(read(chosen.out))
    torch.set_num_threads(1)
    # A second is one of this process on its core, whatever else the machine does: every clock here and in
    # the engine reads it, and nothing of the training waits for anything.
    time.perf_counter = time.process_time
    yardstick = Yardstick.of(Images.load(chosen.data))
    common = protocol(yardstick, chosen)
    check_same(read(chosen.out), common)
    keep = partial(add, chosen.out, common)
    # Seed by seed, so that a comparison that was stopped has as many seeds of every method.
    for seed, method in ((seed, method) for seed in chosen.seeds for method in chosen.methods):
        if any((r["method"], r["seed"]) == (method, seed) for r in read(chosen.out)["results"]):
            continue
        print(f"{method}, seed {seed}", flush=True)
        keep(run_one(method, yardstick, chosen, seed))
    show(read(chosen.out))


if __name__ == "__main__":
    main()
