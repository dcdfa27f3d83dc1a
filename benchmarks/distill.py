"""What the auxiliary classifier (``weight_distill``) does where labels are few, beside the same without it.

    python benchmarks/distill.py --out benchmarks/results/distill.json

Digits: scikit-learn's, as columns of a table, 5 labels a class of 1,257 rows, accuracy on the others; with
and without ``loss_consistency``. Plant: `plant.py`, one labelled block of each run, macro F1. Tables: those
of the development half of the suite with five classes or more, 10 labels a class (`tables.py`), balanced
accuracy. Step 1 alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any, cast

import numpy as np
import pandas as pd
import plant
import tables
from report import Task, parser
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from spread import mean_and_deviation

from ssavae import SSAVAE
from ssavae._serialize import JSONObject
from ssavae.data.labelled import LabelledData
from ssavae.data.loading import load_dataset

WEIGHTS = (0.0, 1.0)
DIGITS: dict[str, Any] = {"widths": (128, 64), "n_epochs": 60, "n_epochs_decoder": 0, "random_state": 0}
TABLES = ("optdigits", "segment", "vowel")


def measure_digits(latent_dim: int, consistency: float | None, weight: float, seed: int) -> JSONObject:
    """Train on digits of which the seed draws the labels; return the accuracy on test rows."""
    x, y = cast(tuple[np.ndarray, np.ndarray], load_digits(return_X_y=True))
    train, test = train_test_split(np.arange(len(x)), test_size=0.3, random_state=seed, stratify=y)
    weights = {"weight_consistency": consistency, "weight_distill": weight}
    model = SSAVAE(latent_dim, **weights, **DIGITS).fit(x[train], tables.few_labels(y[train], 5, seed))
    return {"score": float(model.score(x[test], y[test]))}


def measure_plant(data: LabelledData, name: str, weight: float, seed: int) -> JSONObject:
    """Train on the plant, of which one block of each run has labels; return macro F1."""
    assert data.y_train is not None and data.groups is not None
    labels = plant.one_labelled_block(data.y_train, data.groups, seed)
    model = plant.Case(name, "summary", "few", seed).build().set_params(weight_distill=weight)
    scores = plant.evaluate(lambda: model, data, labels, only_labelled=False)
    return {"score": scores["macro_f1_without_hidden"]}


def measure_table(name: str, weight: float, seed: int) -> JSONObject:
    """Train on a table of the suite; return balanced accuracy."""
    scores = tables.evaluate(name, seed, 10, f"ssavae weight_distill={weight}", step_1=True)
    return {"score": scores["balanced_accuracy"]}


def tasks(options: argparse.Namespace) -> Iterator[Task]:
    """Yield what to train."""
    for seed, latent_dim, consistency, weight in product(options.seeds, (2, 10), (0.0, None), WEIGHTS):
        case = f"digits, K = {latent_dim}, {'no ' if consistency == 0 else ''}consistency"
        measure = partial(measure_digits, latent_dim, consistency, weight, seed)
        yield {"case": case, "weight_distill": weight, "seed": seed}, measure
    data = load_dataset(plant.NAME, plant.plan_reading(plant.NAME))
    for seed, name, weight in product(options.seeds, plant.MODELS, WEIGHTS):
        identity = {"case": f"plant, {name}", "weight_distill": weight, "seed": seed}
        yield identity, partial(measure_plant, data, name, weight, seed)
    for seed, name, weight in product(options.seeds, TABLES, WEIGHTS):
        identity = {"case": name, "weight_distill": weight, "seed": seed}
        yield identity, partial(measure_table, name, weight, seed)


def summarize(results: list[JSONObject]) -> JSONObject:
    """Return mean and standard deviation over the seeds of each case and weight."""
    groups = pd.DataFrame(results).groupby(["case", "weight_distill"], sort=False)["score"]
    summary: dict[str, dict[str, str]] = {}
    for key, scores in groups:
        case, weight = cast(tuple[str, float], key)
        summary.setdefault(case, {})["with" if weight else "without"] = mean_and_deviation(
            scores.tolist(), 3, "seed"
        )
    return {"summary": summary}


def main() -> None:
    """Train what the file lacks."""
    plant.train_missing(parser(__doc__), [0, 1, 2], tasks, summarize)


if __name__ == "__main__":
    main()
