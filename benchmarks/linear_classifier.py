"""Test accuracy of a linear classifier on the pixels, as a baseline for the VEC of figure 7.

    python benchmarks/linear_classifier.py omniglot --out benchmarks/results/linear_omniglot.json

The penalty is chosen on the test rows, in the baseline's favour.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from report import command, parser, write_json
from sklearn.linear_model import LogisticRegression
from split import Split

from ssavae.app.runs.environment import machine

PENALTIES = (0.01, 0.1, 1.0)  # scikit-learn's C; 1 is its default


def accuracies(name: str) -> dict[str, float]:
    """Return the test accuracy by penalty."""
    split = Split.load(name, kind="image")
    x, x_test = (rows.reshape(len(rows), -1) / 255.0 for rows in (split.x, split.x_test))
    warnings.simplefilter("ignore")  # 100 iterations do not converge, and more gain nothing on test
    accuracy: dict[str, float] = {}
    for c in PENALTIES:
        model = LogisticRegression(C=c).fit(x, split.y)
        accuracy[f"C={c:g}"] = float(np.mean(model.predict(x_test) == split.y_test))
        print(name, c, accuracy[f"C={c:g}"], flush=True)
    return accuracy


def main() -> None:
    """Fit, print and write."""
    options = parser(__doc__)
    options.add_argument("data", nargs="+")
    options.add_argument("--out", type=Path, required=True)
    parsed = options.parse_args()
    accuracy = {name: accuracies(name) for name in parsed.data}
    write_json(parsed.out, {"command": command(), "test_accuracy": accuracy, **machine()})


if __name__ == "__main__":
    main()
