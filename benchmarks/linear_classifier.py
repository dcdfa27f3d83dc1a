"""What a linear classifier on the pixels reaches, to hold the VEC of figure 7 against.

    python benchmarks/linear_classifier.py omniglot --out benchmarks/results/linear_omniglot.json

The penalty is chosen on the test rows, in the baseline's favour.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any

from sklearn.linear_model import LogisticRegression

from ssavae.app.runs.environment import machine
from ssavae.data.loading import load_dataset

PENALTIES = (0.01, 0.1, 1.0)  # scikit-learn's C; 1 is its default


def accuracies(data: str) -> dict[str, float]:
    """Test accuracy by penalty."""
    loaded = load_dataset(data, kind="image")
    assert loaded.x_test is not None
    x, x_test = (rows.reshape(len(rows), -1) / 255.0 for rows in (loaded.x_train, loaded.x_test))
    warnings.simplefilter("ignore")  # 100 iterations do not converge, and more gain nothing on test
    found = {}
    for c in PENALTIES:
        found[f"C={c:g}"] = LogisticRegression(C=c).fit(x, loaded.y_train).score(x_test, loaded.y_test)
        print(data, c, found[f"C={c:g}"], flush=True)
    return found


def main() -> None:
    """Fit, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    found: dict[str, Any] = {data: accuracies(data) for data in chosen.data}
    told = {"command": " ".join(["python", *sys.argv]), "test_accuracy": found, **machine()}
    chosen.out.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
