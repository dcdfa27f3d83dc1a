"""How far a model's confidence can be believed: calibration, prediction sets, false alarms, novel rows.

    python benchmarks/confidence.py --latent-dim 10 --out benchmarks/results/confidence_k10.json

On MNIST and Fashion-MNIST: expected calibration error on the test part with and without the temperature,
coverage and size of `predict_set` at alpha = 0.1, share of test rows that `is_novel` calls so at alpha 0.05.
Of a model that has seen the digits 0 to 8 alone: AUROC of `novelty` and share found, for nines and for
Fashion-MNIST. Rows are held out as `fit` does it without being asked.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from ssavae import SSAVAE
from ssavae._serialize import write_atomically
from ssavae.app.runs.environment import machine
from ssavae.data.loading import load_dataset
from ssavae.inference.calibration import Calibration
from ssavae.metrics.classification import accuracy, coverage, expected_calibration_error


def rows_of(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Read training and test part."""
    loaded = load_dataset(name)
    assert loaded.y_train is not None and loaded.x_test is not None and loaded.y_test is not None
    return loaded.x_train, loaded.y_train, loaded.x_test, loaded.y_test


def believed(model: SSAVAE, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Measure confidence on test rows of known classes."""
    probs, sets = model.predict_proba(x), model.predict_set(x, alpha=0.1)
    found = {
        "accuracy": accuracy(y, probs.argmax(axis=1)),
        "temperature": model.calibration_.temperature,
        "calibration_error": expected_calibration_error(probs, y),
        "set_coverage": coverage(sets, y),
        "set_size": float(sets.sum(axis=1).mean()),
        "false_alarms": float(model.is_novel(x, alpha=0.05).mean()),
    }
    kept, model.calibration_ = model.calibration_, Calibration()
    found["calibration_error_at_temperature_1"] = expected_calibration_error(model.predict_proba(x), y)
    model.calibration_ = kept
    return found


def novel(model: SSAVAE, known: np.ndarray, strange: np.ndarray) -> dict[str, float]:
    """Measure how well strange rows are told from known test rows."""
    scores = [model.novelty(part) for part in (known, strange)]
    truth = np.repeat([0, 1], [len(part) for part in scores])
    return {
        "auroc": float(roc_auc_score(truth, np.concatenate(scores))),
        "found_at_0.05": float(model.is_novel(strange, alpha=0.05).mean()),
    }


def main() -> None:
    """Train three models, measure, write the result."""
    as_it_is = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_it_is)
    parser.add_argument("--latent-dim", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--epochs-decoder", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    lengths = {"n_epochs": chosen.epochs, "n_epochs_decoder": chosen.epochs_decoder}
    begin, found = time.perf_counter(), {}

    def trained(x: np.ndarray, y: np.ndarray) -> SSAVAE:
        return SSAVAE(chosen.latent_dim, **lengths, random_state=chosen.seed).fit(x, y)

    def keep(name: str, result: dict[str, Any]) -> None:
        found[name] = result
        told = {k: str(v) if isinstance(v, Path) else v for k, v in vars(chosen).items()}
        minutes = (time.perf_counter() - begin) / 60
        whole = {"command": " ".join(["python", *sys.argv]), **told, **found, "minutes": minutes, **machine()}
        write_atomically(chosen.out, json.dumps(whole, indent=1).encode())
        print(name, result, flush=True)

    x, y, x_test, y_test = rows_of("mnist")
    garments = rows_of("fashion_mnist")
    model = trained(x[y < 9], y[y < 9])
    keep("digits 0 to 8", believed(model, x_test[y_test < 9], y_test[y_test < 9]))
    keep("nines", novel(model, x_test[y_test < 9], x_test[y_test == 9]))
    keep("garments", novel(model, x_test[y_test < 9], garments[2]))
    keep("mnist", believed(trained(x, y), x_test, y_test))
    keep("fashion_mnist", believed(trained(*garments[:2]), *garments[2:]))


if __name__ == "__main__":
    main()
