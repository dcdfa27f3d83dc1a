"""For how many epochs step 2 pays: the reconstructions of one VEC after trainings of several lengths.

    python benchmarks/step2_length.py runs/mnist2 mnist --epochs 1 2 4 8

The learning rate follows one cycle, so each number of epochs is a training of its own. The run's judge reads
the reconstructions of the test rows (``ssavae evaluate RUN DATA --judge`` trains it).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from report import Task, parser, run_missing
from split import Split

from ssavae import SSAVAE, load
from ssavae._serialize import JSONObject
from ssavae.metrics import classification, generation
from ssavae.metrics.judge import Judge, judge_features, judge_logits, load_judge

RESULT = Path(__file__).parent / "results" / "step2_length.json"


def measure(model: SSAVAE, judge: Judge, split: Split, n_epochs: int) -> JSONObject:
    """Train step 2 for so many epochs, and compare the reconstructions of test rows with the rows."""
    model.set_params(n_epochs_decoder=n_epochs).fit_decoder(split.x)
    x, decoded = (np.asarray(each) / 255.0 for each in (split.x_test, model.reconstruct(split.x_test)))
    return {
        "agreement": classification.agreement(judge_logits(judge, decoded), split.y_test),
        "frechet": generation.frechet_distance(judge_features(judge, x), judge_features(judge, decoded)),
        "sharpness": generation.sharpness(decoded, x),
        "pixel_error": generation.pixel_error(x, decoded),
    }


def main() -> None:
    """Measure each number of epochs, and write the file after each."""
    options = parser(__doc__)
    options.add_argument("run", type=Path)
    options.add_argument("data")
    options.add_argument("--epochs", type=int, nargs="+", default=[1, 2, 4, 8])
    options.add_argument("--out", type=Path, default=RESULT)
    given = options.parse_args()
    model = load(given.run)
    judge = load_judge(given.run / "judge.safetensors")
    split = Split.load(given.data, kind="image")
    tasks: list[Task] = [
        ({"data": given.data, "seed": model.seed_, "epochs": n}, partial(measure, model, judge, split, n))
        for n in given.epochs
    ]
    run_missing(given.out, tasks, lambda results: {})


if __name__ == "__main__":
    main()
