"""Tables with no tuning: SSAVAE as `ssavae train FILE.csv --label y` makes it, beside gradient boosting.

    python benchmarks/tables.py --out benchmarks/results/tables.json

scikit-learn's wine, breast_cancer, iris and digits, and make_classification with 5,000 rows (20 columns, 10
of them informative, four classes). Each split holds out a fifth of every class, drawn by seed, as the command
does; both models learn from the same rows with the defaults that they have. Step 2 has no say in what is
predicted, so it is not trained.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingClassifier

from ssavae import SSAVAE
from ssavae._serialize import write_atomically
from ssavae.app.runs.environment import machine
from ssavae.preprocessing.splits import hold_out

LOADED = ("wine", "breast_cancer", "iris", "digits")


def table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and classes."""
    if name == "make_classification":
        made: Any = datasets.make_classification(
            5000, n_informative=10, n_classes=4, n_clusters_per_class=2, random_state=0
        )
        return made
    return getattr(datasets, f"load_{name}")(return_X_y=True)


def compared(name: str, seed: int, latent_dim: int | None) -> dict[str, Any]:
    """Train both on one split and return their test accuracy."""
    x, y = table(name)
    test = hold_out(y, 0.2, seed)
    train = np.setdiff1d(np.arange(len(y)), test)
    chosen = {} if latent_dim is None else {"latent_dim": latent_dim}
    models = {
        "ssavae": SSAVAE(**chosen, n_epochs_decoder=0, random_state=seed),
        "boosting": HistGradientBoostingClassifier(random_state=seed),
    }
    found = {}
    for which, model in models.items():
        begin = time.process_time()
        model.fit(x[train], y[train])
        found[f"seconds_{which}"] = time.process_time() - begin
        found[which] = float(model.score(x[test], y[test]))
    return found


def main() -> None:
    """Compare on every table and split, and write what was found."""
    as_it_is = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_it_is)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--latent-dim", type=int, help="[default: that of the command, 2]")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore", message="(constant|duplicate) column")
    results = []
    for name in (*LOADED, "make_classification"):
        for seed in chosen.seeds:
            results.append({"table": name, "seed": seed, **compared(name, seed, chosen.latent_dim)})
            print(results[-1], flush=True)
    means = {which: float(np.mean([r[which] for r in results])) for which in ("ssavae", "boosting")}
    told = {"command": " ".join(["python", *sys.argv]), "mean_accuracy": means, "results": results}
    write_atomically(chosen.out, json.dumps({**told, **machine()}, indent=1).encode())
    print(means)


if __name__ == "__main__":
    main()
