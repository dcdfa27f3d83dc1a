"""Reliability of a model's confidence: calibration, prediction sets, false alarms, novel rows.

    python benchmarks/confidence.py --latent-dim 10 --out benchmarks/results/confidence_k10.json

On MNIST and Fashion-MNIST: expected calibration error on the test part with and without the temperature,
coverage and size of `predict_set` at alpha = 0.1, fraction of test rows that are `is_novel` at alpha 0.05.
Of a model trained on the digits 0 to 8 alone: AUROC of `novelty` and fraction detected, for nines and for
Fashion-MNIST. `fit` holds rows out by its default.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
from report import command, parser, plain_options, read_json, write_json
from sklearn.metrics import roc_auc_score
from split import Split

from ssavae import SSAVAE
from ssavae._serialize import JSONObject
from ssavae.app.runs.environment import machine
from ssavae.inference.calibration import Calibration
from ssavae.metrics.classification import accuracy, coverage, expected_calibration_error


def measure_confidence(model: SSAVAE, x: np.ndarray, y: np.ndarray) -> JSONObject:
    """Measure confidence on test rows of known classes."""
    probs = model.predict_proba(x)
    sets = model.predict_set(x, alpha=0.1)
    measures = {
        "accuracy": accuracy(y, probs.argmax(axis=1)),
        "temperature": model.calibration_.temperature,
        "calibration_error": expected_calibration_error(probs, y),
        "set_coverage": coverage(sets, y),
        "set_size": float(sets.sum(axis=1).mean()),
        "false_alarms": float(model.is_novel(x, alpha=0.05).mean()),
    }
    calibration = model.calibration_
    model.calibration_ = Calibration()
    measures["calibration_error_at_temperature_1"] = expected_calibration_error(model.predict_proba(x), y)
    model.calibration_ = calibration
    return measures


def measure_novelty(model: SSAVAE, known: np.ndarray, novel: np.ndarray) -> JSONObject:
    """Measure how well `novelty` separates rows of unknown classes from test rows of known ones."""
    scores = np.concatenate([model.novelty(known), model.novelty(novel)])
    is_novel = np.repeat([0, 1], [len(known), len(novel)])
    return {
        "auroc": float(roc_auc_score(is_novel, scores)),
        "found_at_0.05": float(model.is_novel(novel, alpha=0.05).mean()),
    }


def write_section(options: argparse.Namespace, begin: float, name: str, measures: JSONObject) -> None:
    """Add the measures of one model and test part to the result file."""
    minutes = (time.perf_counter() - begin) / 60
    document = {**read_json(options.out), name: measures, "minutes": minutes, **machine()}
    write_json(options.out, document)
    print(name, measures, flush=True)


def main() -> None:
    """Train three models, measure, write the result."""
    options = parser(__doc__)
    options.add_argument("--latent-dim", type=int, default=10)
    options.add_argument("--epochs", type=int, default=6)
    options.add_argument("--epochs-decoder", type=int, default=2)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path, required=True)
    parsed = options.parse_args()
    write_json(parsed.out, {"command": command(), **plain_options(parsed)})
    write = partial(write_section, parsed, time.perf_counter())

    def train(x: np.ndarray, y: np.ndarray) -> SSAVAE:
        model = SSAVAE(
            parsed.latent_dim,
            n_epochs=parsed.epochs,
            n_epochs_decoder=parsed.epochs_decoder,
            random_state=parsed.seed,
        )
        return model.fit(x, y)

    mnist = Split.load("mnist")
    fashion = Split.load("fashion_mnist")
    is_known = mnist.y < 9
    is_known_test = mnist.y_test < 9
    known = mnist.x_test[is_known_test]
    model = train(mnist.x[is_known], mnist.y[is_known])
    write("digits 0 to 8", measure_confidence(model, known, mnist.y_test[is_known_test]))
    write("nines", measure_novelty(model, known, mnist.x_test[~is_known_test]))
    write("garments", measure_novelty(model, known, fashion.x_test))
    for name, split in (("mnist", mnist), ("fashion_mnist", fashion)):
        write(name, measure_confidence(train(split.x, split.y), split.x_test, split.y_test))


if __name__ == "__main__":
    main()
