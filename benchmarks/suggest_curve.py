"""Accuracy against the number of labels: rows chosen by `suggest` beside rows drawn at random.

    python benchmarks/suggest_curve.py mnist --rows 20000 --epochs 4 --weight-consistency 0 --out plain.json

Both begin with the same few labels of each class. In each round a new model is trained, and so many labels
are added: those that it suggests, or others at random. `labels_needed` is how many suggested labels reach
the accuracy that random labels have at their end, by interpolation along the mean curve.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from report import Task, parser, plain_options, read_json, run_missing
from split import Split, few_labels

from ssavae import SSAVAE
from ssavae._serialize import JSONObject
from ssavae.preprocessing.lazy import random_subset

CHOICES = ("suggested", "random")


def curve(choice: str, seed: int, options: argparse.Namespace) -> JSONObject:
    """Return labels and test accuracy, round by round."""
    begin = time.perf_counter()
    split = Split.load(options.data)
    subset = random_subset(len(split.x), options.rows)
    x = split.x[subset]
    y_true = split.y[subset]
    y = few_labels(y_true, options.per_class, seed)
    rng = np.random.default_rng(seed)
    points = []
    for _ in range(options.rounds + 1):
        model = SSAVAE(
            options.latent_dim,
            n_epochs=options.epochs,
            n_epochs_decoder=0,
            weight_consistency=options.weight_consistency,
            weight_distill=0.0 if options.weight_consistency == 0 else None,
            random_state=seed,
        )
        model.fit(x, y)
        accuracy = float(model.score(split.x_test, split.y_test))
        points.append({"labels": int((y >= 0).sum()), "accuracy": accuracy})
        print(choice, seed, points[-1], flush=True)
        if choice == "suggested":
            rows = model.suggest(x, options.n, y=y)
        else:
            rows = rng.choice(np.flatnonzero(y < 0), options.n, replace=False)
        y[rows] = y_true[rows]
    return {"points": points, "minutes": (time.perf_counter() - begin) / 60}


def tasks(options: argparse.Namespace) -> Iterator[Task]:
    """Yield the curves to measure."""
    for seed in options.seeds:
        for choice in CHOICES:
            yield {"choice": choice, "seed": seed}, partial(curve, choice, seed, options)


def summarize(options: argparse.Namespace, results: list[JSONObject]) -> JSONObject:
    """Return the options, mean curves, and how many suggested labels are as good as the last random ones."""
    summary = plain_options(options)
    del summary["out"]
    curves = {choice: [r["points"] for r in results if r["choice"] == choice] for choice in CHOICES}
    if not all(curves.values()):
        return summary
    labels = [point["labels"] for point in curves["random"][0]]
    means = {
        choice: np.mean([[point["accuracy"] for point in points] for points in of_choice], axis=0)
        for choice, of_choice in curves.items()
    }
    reached = np.maximum.accumulate(means["suggested"])
    target = means["random"][-1]
    return {
        **summary,
        "labels": labels,
        **{f"mean accuracy, {choice}": values.tolist() for choice, values in means.items()},
        "labels_needed": float(np.interp(target, reached, labels)) if reached[-1] >= target else None,
        "labels_random": labels[-1],
    }


def draw(document: JSONObject) -> Figure:
    """Draw both mean curves."""
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for choice, style in zip(CHOICES, ("-o", "--s"), strict=True):
        axes.plot(document["labels"], document[f"mean accuracy, {choice}"], style, markersize=4, label=choice)
    axes.set_xlabel("labels")
    axes.set_ylabel("test accuracy")
    axes.legend(frameon=False)
    return figure


def main() -> None:
    """Train what the file lacks; write results, summary and figure."""
    options = parser(__doc__)
    options.add_argument("data")
    options.add_argument("--per-class", type=int, default=2, help="labels to begin with")
    options.add_argument("--rows", type=int, default=60000, help="random training rows")
    options.add_argument("-n", type=int, default=20, help="labels added in a round")
    options.add_argument("--rounds", type=int, default=4)
    options.add_argument("--epochs", type=int, default=3)
    options.add_argument("--latent-dim", type=int, default=10)
    options.add_argument("--weight-consistency", type=float, help="0: the paper's plain method")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--out", type=Path, required=True)
    parsed = options.parse_args()
    run_missing(parsed.out, tasks(parsed), partial(summarize, parsed))
    draw(read_json(parsed.out)).savefig(parsed.out.with_suffix(".png"), dpi=150)


if __name__ == "__main__":
    main()
