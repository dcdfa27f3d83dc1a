"""Accuracy against the number of labels: rows that `suggest` asks for beside rows drawn at random.

    python benchmarks/suggest_curve.py mnist --rows 20000 --epochs 4 --weight-consistency 0 --out plain.json

Both begin with the same few labels of each class. In each round the model is trained anew, and so many labels
are added: those that it suggests, or others at random. `labels_needed` is how many labels suggesting needs to
reach the accuracy that random choice has at its end, by interpolation along the mean curve.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ssavae import SSAVAE
from ssavae.app.runs.environment import machine
from ssavae.data.label_budget import draw_labelled
from ssavae.data.loading import load_dataset
from ssavae.persistence.model_folder import write_atomically
from ssavae.preprocessing.lazy import random_subset

CHOICES = ("suggested", "random")


def curve(data: str, choice: str, seed: int, chosen: argparse.Namespace) -> list[dict[str, float]]:
    """Return labels and test accuracy, round by round."""
    loaded = load_dataset(data)
    assert loaded.y_train is not None and loaded.x_test is not None
    some = random_subset(len(loaded.x_train), chosen.rows)
    truth, x = loaded.y_train[some], loaded.x_train[some]
    y, rng, points = np.full(len(x), -1), np.random.default_rng(seed), []
    known = draw_labelled(truth, seed, per_class=chosen.per_class)
    y[known] = truth[known]
    for _ in range(chosen.rounds + 1):
        told: dict[str, Any] = {"weight_consistency": chosen.weight_consistency, "random_state": seed}
        model = SSAVAE(chosen.latent_dim, n_epochs=chosen.epochs, n_epochs_decoder=0, **told).fit(x, y)
        points.append({"labels": int((y >= 0).sum()), "accuracy": model.score(loaded.x_test, loaded.y_test)})
        print(choice, seed, points[-1], flush=True)
        free = np.flatnonzero(y < 0)
        rows = model.suggest(x, chosen.n, y=y) if choice == "suggested" else rng.choice(free, chosen.n, False)
        y[rows] = truth[rows]
    return points


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean curves, and how many labels suggesting needs to be as good as random choice at its end."""
    kept = {c: [r["points"] for r in results if r["choice"] == c] for c in CHOICES}
    if not all(kept.values()):
        return {}
    labels = [point["labels"] for point in kept["random"][0]]
    means = {
        c: np.mean([[point["accuracy"] for point in points] for points in of_choice], axis=0)
        for c, of_choice in kept.items()
    }
    reached = np.maximum.accumulate(means["suggested"])
    enough = (
        float(np.interp(means["random"][-1], reached, labels)) if reached[-1] >= means["random"][-1] else None
    )
    told = {f"mean accuracy, {c}": values.tolist() for c, values in means.items()}
    return {"labels": labels, **told, "labels_needed": enough, "labels_random": labels[-1]}


def draw(found: dict[str, Any]) -> Figure:
    """Draw both curves."""
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for choice, style in zip(CHOICES, ("-o", "--s"), strict=True):
        axes.plot(found["labels"], found[f"mean accuracy, {choice}"], style, markersize=4, label=choice)
    axes.set_xlabel("labels")
    axes.set_ylabel("test accuracy")
    axes.legend(frameon=False)
    return figure


def main() -> None:
    """Train what the file lacks; write results, summary and picture."""
    as_it_is = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_it_is)
    parser.add_argument("data")
    parser.add_argument("--per-class", type=int, default=2, help="labels to begin with")
    parser.add_argument("--rows", type=int, default=60000, help="training rows, evenly spread")
    parser.add_argument("-n", type=int, default=20, help="labels added in a round")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--latent-dim", type=int, default=10)
    parser.add_argument("--weight-consistency", type=float, help="0: the paper's plain method")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    results = json.loads(chosen.out.read_text())["results"] if chosen.out.is_file() else []
    for seed, choice in ((s, c) for s in chosen.seeds for c in CHOICES):
        about = {"choice": choice, "seed": seed}
        if any(about.items() <= result.items() for result in results):
            continue
        begin = time.perf_counter()
        points = curve(chosen.data, choice, seed, chosen)
        minutes = (time.perf_counter() - begin) / 60
        results.append({**about, "points": points, "minutes": minutes, **machine()})
        found, told = summary(results), {k: v for k, v in vars(chosen).items() if k != "out"}
        whole = {"command": " ".join(["python", *sys.argv]), **told, **found, "results": results}
        write_atomically(chosen.out, json.dumps(whole, indent=1).encode())
        if found:
            draw(found).savefig(chosen.out.with_suffix(".png"), dpi=150)


if __name__ == "__main__":
    main()
