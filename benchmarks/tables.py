"""Small tables without tuning: SSAVAE beside boosting, forests, linear models and tabular networks.

    python benchmarks/tables.py --out benchmarks/results/tables.json [--splits 5] [--labels 10]
    python benchmarks/tables.py --out benchmarks/results/tables.json --table

Every table of shared/data/tables, a fifth of every class held out by the seed of the split. All methods
learn from the same rows with their defaults; texts are one-hot columns for forest, linear model, SelfTraining
and LabelSpreading, categories for the others. With ``--labels 10`` ten rows of each class have a label, drawn
by the seed; the methods of ``FEW`` see the other rows without theirs, the rest only the labelled ones.
``realmlp`` and ``tabm`` need pytabkit (benchmarks/peers/requirements.txt). Seconds are of the clock, one
process and one thread. The file is written after each result, and results that it has are not computed again.
"""

from __future__ import annotations

import argparse
import ast
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from report import Task, parser, read_json, run_missing
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from ssavae import SSAVAE
from ssavae._serialize import JSONObject
from ssavae.metrics.classification import expected_calibration_error

TABLES = Path(os.environ.get("SSAVAE_DATA", "../shared/data")) / "tables"
FEW = ("ssavae", "ssavae_k20", "self_training", "label_spreading")  # learn from rows without a label
ALL_LABELS = ("ssavae", "boosting", "random_forest", "logistic_regression")
FEW_LABELS = (
    "ssavae",
    "self_training",
    "label_spreading",
    "boosting",
    "random_forest",
    "logistic_regression",
)
ON_SOME_TABLES = ("realmlp", "tabm", "ssavae_balanced")  # slow peers, and weights for unbalanced classes
MEASURES = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "log_loss",
    "calibration_error",
    "auroc",
    "seconds",
)


def names() -> list[str]:
    """Return the names of the tables, by alphabet."""
    return sorted(path.stem for path in TABLES.glob("*.csv"))


def development() -> list[str]:
    """Return the half of the tables that defaults are chosen on: every second one by alphabet."""
    return names()[::2]


def read(name: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Return rows, texts as categories, and the indices of their classes."""
    frame = pd.read_csv(TABLES / f"{name}.csv", keep_default_na=False, na_values=[""])
    y = np.unique(frame.pop("y").astype(str), return_inverse=True)[1]
    texts = [column for column in frame if not pd.api.types.is_numeric_dtype(frame[column])]
    return frame.astype(dict.fromkeys(texts, "category")), y


def split(y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to learn from and those to measure on: a fifth of every class."""
    train, test = train_test_split(np.arange(len(y)), test_size=0.2, stratify=y, random_state=seed)
    return train, test


def few_labels(y: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return labels, -1 except for n rows of each class."""
    rng = np.random.default_rng(seed)
    labels = np.full(len(y), -1)
    for c in np.unique(y):
        labels[rng.permutation(np.flatnonzero(y == c))[:n]] = c
    return labels


def columns(model: BaseEstimator) -> BaseEstimator:
    """Return a pipeline of scaled numbers, one-hot texts and a model."""
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    texts = make_column_selector(dtype_include="category")
    numbers = make_column_selector(dtype_exclude="category")
    return make_pipeline(make_column_transformer((one_hot, texts), (StandardScaler(), numbers)), model)


def realmlp(seed: int) -> BaseEstimator:
    """Return RealMLP with its tuned defaults (Holzmueller 2024)."""
    from pytabkit import RealMLP_TD_Classifier

    return RealMLP_TD_Classifier(device="cpu", random_state=seed, n_threads=1, verbosity=0)


def tabm(seed: int) -> BaseEstimator:
    """Return TabM with its defaults (Gorishniy 2025)."""
    from pytabkit import TabM_D_Classifier

    return TabM_D_Classifier(device="cpu", random_state=seed, n_threads=1, verbosity=0)


def boosting(seed: int) -> HistGradientBoostingClassifier:
    """Return scikit-learn's gradient boosting."""
    return HistGradientBoostingClassifier(random_state=seed)


METHODS: dict[str, Callable[[int], Any]] = {
    "ssavae": lambda seed: SSAVAE(random_state=seed),
    "ssavae_k20": lambda seed: SSAVAE(20, random_state=seed),
    "ssavae_balanced": lambda seed: SSAVAE(class_weight="balanced", random_state=seed),
    "boosting": boosting,
    "random_forest": lambda seed: columns(RandomForestClassifier(random_state=seed)),
    "logistic_regression": lambda _: columns(LogisticRegression(max_iter=1000)),
    "self_training": lambda seed: columns(SelfTrainingClassifier(boosting(seed))),
    "label_spreading": lambda _: columns(LabelSpreading()),
    "realmlp": realmlp,
    "tabm": tabm,
}


def build(method: str, seed: int) -> Any:
    """Return the model of a method, or of a candidate for defaults: ``ssavae n_members=4 dropout=0.3``."""
    name, *pairs = method.split()
    params = {key: ast.literal_eval(value) for key, _, value in (pair.partition("=") for pair in pairs)}
    return METHODS[name](seed).set_params(**params)


def evaluate(name: str, seed: int, labels: int, method: str, step_1: bool) -> JSONObject:
    """Fit a method on one split of a table, and measure it on the held-out fifth."""
    x, y = read(name)
    train, test = split(y, seed)
    known = few_labels(y[train], labels, seed) if labels else y[train]
    sees_all = method.split()[0] in FEW
    seen = train if sees_all else train[known >= 0]
    model = build(method, seed)
    if step_1 and isinstance(model, SSAVAE):
        model.set_params(n_epochs_decoder=0)
    begin = time.perf_counter()
    model.fit(x.iloc[seen], known if sees_all else known[known >= 0])
    seconds = time.perf_counter() - begin
    probs = np.asarray(model.predict_proba(x.iloc[test]), dtype=np.float64)
    unlabelled = train[known < 0]
    result = measure(y[test], probs)
    if len(unlabelled):
        result["unlabelled"] = measure(y[unlabelled], model.predict_proba(x.iloc[unlabelled]))
    result |= {"seconds": seconds, "rows": len(train), "load": os.getloadavg()[0]}
    if isinstance(model, SSAVAE):
        result |= {"training_accuracy": float(model.score(x.iloc[train], y[train])), "step_1": step_1}
    return result


def measure(y: np.ndarray, probs: np.ndarray) -> JSONObject:
    """Return the measures of class probabilities (n, n_classes); a row of NaN counts as undecided."""
    probs = np.nan_to_num(probs, nan=1.0 / probs.shape[1])
    probs = probs / probs.sum(axis=1, keepdims=True)
    y_pred = probs.argmax(axis=1)
    scores = probs[:, 1] if probs.shape[1] == 2 else probs
    return {
        "accuracy": float(accuracy_score(y, y_pred)),
        "balanced_accuracy": float(balanced_accuracy_score(y, y_pred)),
        "macro_f1": float(f1_score(y, y_pred, average="macro")),
        "log_loss": float(log_loss(y, probs, labels=np.arange(probs.shape[1]))),
        "auroc": float(roc_auc_score(y, scores, multi_class="ovr")),
        "calibration_error": float(expected_calibration_error(probs, y)),
    }


def tasks(options: argparse.Namespace) -> Iterator[Task]:
    """Yield what to fit: all tables with one split, then with the next."""
    methods = options.methods or (FEW_LABELS if options.labels else ALL_LABELS)
    for seed, name, method in product(range(options.splits), options.tables or names(), methods):
        identity = {"table": name, "seed": seed, "labels": options.labels, "method": method}
        yield identity, partial(evaluate, name, seed, options.labels, method, options.step_1)


def comparison(results: Sequence[JSONObject], methods: Sequence[str], score: str) -> pd.DataFrame:
    """Return mean measures, mean rank, wins and largest gap by method, on the splits that all have.

    Rank, wins and gap compare the mean ``score`` over the splits of each table; equal methods share a rank,
    and each of them wins.
    """
    frame = pd.DataFrame(results)
    cells = frame[frame["method"].isin(methods)].set_index(["table", "seed", "method"])
    shared = cells[score].unstack("method").dropna().index
    wide = cells[list(MEASURES)].unstack("method").loc[shared]
    by_table = wide[score].groupby("table").mean().round(6)
    means = wide.mean().unstack(0).loc[list(methods), list(MEASURES)]
    means["mean rank"] = by_table.rank(axis=1, ascending=False).mean()
    means["wins"] = by_table.eq(by_table.max(axis=1), axis=0).sum()
    means["largest gap"] = by_table.rsub(by_table.max(axis=1), axis=0).max()
    means.attrs = {"tables": len(by_table), "splits": len(shared)}
    return means


def markdown(results: Sequence[JSONObject], methods: Sequence[str], score: str) -> str:
    """Return :func:`comparison` as a table of Markdown."""
    means = comparison(results, methods, score)
    lines = [["method", *means.columns], ["---"] * (1 + means.shape[1])]
    for method, row in means.iterrows():
        cells = [f"{value:.1f}" if name == "seconds" else f"{value:.3f}" for name, value in row.items()]
        cells[list(means.columns).index("wins")] = str(int(row["wins"]))
        lines.append([str(method), *cells])
    title = f"{means.attrs['tables']} tables, {means.attrs['splits']} splits in all\n\n"
    return title + "\n".join("| " + " | ".join(line) + " |" for line in lines)


def summarize(results: list[JSONObject]) -> JSONObject:
    """Return :func:`comparison` of the methods with most splits, then beside each of ON_SOME_TABLES."""
    summary: dict[str, JSONObject] = {}
    for labels, group in pd.DataFrame(results).groupby("labels", sort=False):
        counts = group["method"].value_counts(sort=False)
        widest = [str(method) for method in counts.index[counts == counts.max()]]
        rows = group.to_dict("records")
        name = f"{labels or 'all'} labels"
        score = score_of(int(labels))
        summary[name] = by_method(comparison(rows, widest, score))
        for other in counts.index.intersection(ON_SOME_TABLES).difference(widest):
            summary[f"{name}, as {other}"] = by_method(comparison(rows, [*widest, str(other)], score))
    return {"summary": summary}


def by_method(means: pd.DataFrame) -> JSONObject:
    """Return a comparison as plain values, with the number of tables and splits."""
    return means.attrs | {str(method): row.to_dict() for method, row in means.iterrows()}


def score_of(labels: int) -> str:
    """Return what methods are ranked by: with few labels, classes count alike."""
    return "balanced_accuracy" if labels else "accuracy"


def main() -> None:
    """Fit what the file lacks, or print its table."""
    options = parser(__doc__)
    options.add_argument("--splits", type=int, default=5)
    options.add_argument("--labels", type=int, default=0, help="of each class [default: all]")
    options.add_argument("--methods", nargs="+", metavar="NAME", help="e.g. ssavae, or 'ssavae n_members=1'")
    options.add_argument("--tables", nargs="+", metavar="NAME", help="[default: all]")
    options.add_argument("--step-1", action="store_true", help="SSAVAE without step 2, which decides nothing")
    options.add_argument("--table", action="store_true", help="print the table of the file")
    options.add_argument("--out", type=Path, required=True)
    parsed = options.parse_args()
    if parsed.table:
        results = [row for row in read_json(parsed.out)["results"] if row["labels"] == parsed.labels]
        methods = parsed.methods or list(dict.fromkeys(row["method"] for row in results))
        print(markdown(results, methods, score_of(parsed.labels)))
        return
    warnings.filterwarnings("ignore")
    run_missing(parsed.out, tasks(parsed), summarize)


if __name__ == "__main__":
    main()
