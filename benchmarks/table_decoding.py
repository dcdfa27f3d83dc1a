"""What dropout of step 1 costs step 2: decoded columns and novelty of scikit-learn's small tables.

    python benchmarks/table_decoding.py --out benchmarks/results/table_decoding.json [--rates 0.3 0.5]

30 % of every class held out by the seed of the split, both steps, defaults but for ``dropout``. ``r2`` is
that of decoded test rows, mean over columns; ``auroc`` is of the novelty of test rows against the same rows
with the first half of their columns shuffled, each alone.
"""

from __future__ import annotations

import warnings
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from report import parser, run_missing
from sklearn import datasets
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import train_test_split

from ssavae import SSAVAE
from ssavae._serialize import JSONObject

TABLES = ("iris", "wine", "breast_cancer")


def measure(table: str, dropout: float, seed: int) -> JSONObject:
    """Fit one split of a table, and measure what step 2 makes of the held-out rows."""
    x, y = getattr(datasets, f"load_{table}")(return_X_y=True)
    x, x_test, y, _ = train_test_split(x, y, test_size=0.3, stratify=y, random_state=seed)
    odd = x_test.copy()
    rng = np.random.default_rng(seed)
    for column in range(x.shape[1] // 2):
        odd[:, column] = rng.permutation(x_test[:, column])
    model = SSAVAE(dropout=dropout, random_state=seed).fit(x, y)
    is_odd = np.repeat([False, True], len(x_test))
    return {
        "r2": float(r2_score(x_test, model.reconstruct(x_test))),
        "auroc": float(roc_auc_score(is_odd, model.novelty(np.concatenate([x_test, odd])))),
    }


def summarize(results: list[JSONObject]) -> JSONObject:
    """Return the means over the splits."""
    means = pd.DataFrame(results).groupby(["table", "dropout"], sort=False)[["r2", "auroc"]].mean()
    return {"means": means.reset_index().to_dict("records")}


def main() -> None:
    """Measure what the file lacks."""
    options = parser(__doc__)
    options.add_argument("--splits", type=int, default=3)
    options.add_argument("--rates", type=float, nargs="+", default=[0.3, 0.5])
    options.add_argument("--out", type=Path, required=True)
    parsed = options.parse_args()
    warnings.filterwarnings("ignore")
    cells = product(TABLES, parsed.rates, range(parsed.splits))
    tasks = (({"table": t, "dropout": d, "seed": s}, partial(measure, t, d, s)) for t, d, s in cells)
    run_missing(parsed.out, tasks, summarize)


if __name__ == "__main__":
    main()
