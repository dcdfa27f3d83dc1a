"""Tables without tuning: SSAVAE as `ssavae train FILE.csv --label y` trains it, and gradient boosting.

    python benchmarks/tables.py --out benchmarks/results/tables.json

scikit-learn's wine, breast_cancer, iris and digits, and make_classification with 5,000 rows (20 columns, 10
of them informative, four classes). Each split holds out a fifth of every class, drawn by seed, as the command
does; both models learn from the same rows with their defaults. Step 2 does not change predictions, so it is
not trained.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np
from report import command, parser, write_json
from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingClassifier

from ssavae import SSAVAE
from ssavae._serialize import JSONObject
from ssavae.app.runs.environment import machine
from ssavae.preprocessing.splits import hold_out

EMBEDDED = ("wine", "breast_cancer", "iris", "digits")


def table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and classes."""
    if name == "make_classification":
        x, y = datasets.make_classification(
            5000, n_informative=10, n_classes=4, n_clusters_per_class=2, random_state=0
        )[:2]
        return np.asarray(x), np.asarray(y)
    return getattr(datasets, f"load_{name}")(return_X_y=True)


def compare(name: str, seed: int, latent_dim: int) -> JSONObject:
    """Train both models on one split and return their test accuracy."""
    x, y = table(name)
    test = hold_out(y, 0.2, seed)
    train = np.setdiff1d(np.arange(len(y)), test)
    models = {
        "ssavae": SSAVAE(latent_dim, n_epochs_decoder=0, random_state=seed),
        "boosting": HistGradientBoostingClassifier(random_state=seed),
    }
    result: JSONObject = {}
    for model_name, model in models.items():
        begin = time.process_time()
        model.fit(x[train], y[train])
        result[f"seconds_{model_name}"] = time.process_time() - begin
        result[model_name] = float(model.score(x[test], y[test]))
    return result


def main() -> None:
    """Compare on every table and split, and write the results."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--latent-dim", type=int, default=2)
    options.add_argument("--out", type=Path, required=True)
    parsed = options.parse_args()
    warnings.filterwarnings("ignore", message="(constant|duplicate) column")
    results = []
    for name in (*EMBEDDED, "make_classification"):
        for seed in parsed.seeds:
            results.append({"table": name, "seed": seed, **compare(name, seed, parsed.latent_dim)})
            print(results[-1], flush=True)
    means = {model: float(np.mean([result[model] for result in results])) for model in ("ssavae", "boosting")}
    document = {"command": command(), "mean_accuracy": means, "results": results, **machine()}
    write_json(parsed.out, document)
    print(means)


if __name__ == "__main__":
    main()
