"""How far batches can grow before accuracy and Fréchet distance suffer, on MNIST with K = 2.

    python benchmarks/batches.py                                    on the device that is there
    python benchmarks/batches.py --rows 6000 --epochs 8 --epochs-decoder 3 --sizes 128 256 \
        --sizes-decoder 32 64 128                                   in minutes of one core

Step 1 is trained with batches of 128 to 1,024 and as many epochs each, with the default learning rate and
with one that grows with the root of the batch; step 2 with batches of 32 to 256 on the same VEC. What is
measured does not depend on the device, to rounding; the seconds do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from report import parser, plain_options, read_json, write_json
from split import Split

from ssavae import SSAVAE
from ssavae._serialize import JSONObject
from ssavae.app.runs.environment import machine
from ssavae.metrics import classification, generation
from ssavae.metrics.judge import Judge, judge_features, judge_logits, train_judge

RESULT = Path(__file__).parent / "results" / "batches.json"
SIZES = (128, 256, 512, 1024)
SIZES_DECODER = (32, 64, 128, 256)
LEARNING_RATE = 2e-3  # the default
SEED = 0


def seconds_of(model: SSAVAE, step: str) -> float:
    return max(float(row["seconds"]) for row in model.history_ if row["step"] == step)  # from its start


def measure_vec(mnist: Split, n_epochs: int, size: int, scaled: bool) -> JSONObject:
    """Train step 1 with batches of a size; return the accuracy on test rows."""
    rate = LEARNING_RATE * (size / SIZES[0]) ** 0.5 if scaled else LEARNING_RATE
    model = SSAVAE(n_epochs=n_epochs, n_epochs_decoder=0, batch_size=size, random_state=SEED)
    model.set_params(learning_rate=rate, validation_fraction=0.0).fit(mnist.x, mnist.y)
    return {
        "batch_size": size,
        "learning_rate": rate,
        "accuracy": float(model.score(mnist.x_test, mnist.y_test)),
        "seconds": seconds_of(model, "vec"),
    }


def measure_decoder(model: SSAVAE, judge: Judge, mnist: Split, size: int, scaled: bool) -> JSONObject:
    """Train step 2 with batches of a size; compare reconstructions of test rows with them."""
    rate = LEARNING_RATE * (size / SIZES_DECODER[0]) ** 0.5 if scaled else LEARNING_RATE
    model.set_params(batch_size_decoder=size, learning_rate_decoder=rate, learning_rate_disc=rate)
    model.fit_decoder(mnist.x)
    real, decoded = (images(each) for each in (mnist.x_test, model.reconstruct(mnist.x_test)))
    return {
        "batch_size_decoder": size,
        "learning_rate": rate,
        "agreement": classification.agreement(judge_logits(judge, decoded), mnist.y_test),
        "frechet": generation.frechet_distance(judge_features(judge, real), judge_features(judge, decoded)),
        "seconds": seconds_of(model, "decoder"),
    }


def images(x: object) -> np.ndarray:
    """Return images in [0, 1], as the judge takes them."""
    return np.asarray(x, dtype=np.float32)[..., None] / 255


def combinations(sizes: Sequence[int]) -> Iterator[tuple[int, bool]]:
    """Yield each size with the default learning rate, and larger ones than the default with a scaled one."""
    for size in sizes:
        yield size, False
        if size not in (SIZES[0], SIZES_DECODER[0]):
            yield size, True


def main() -> None:
    """Measure each size in turn, and write the file after each."""
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=60000)
    options.add_argument("--epochs", type=int, default=10)
    options.add_argument("--epochs-decoder", type=int, default=10)
    options.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    options.add_argument("--sizes-decoder", type=int, nargs="*", default=SIZES_DECODER)
    options.add_argument("--out", type=Path, default=RESULT)
    parsed = options.parse_args()
    mnist = Split.load("mnist")
    mnist = replace(mnist, x=mnist.x[: parsed.rows], y=mnist.y[: parsed.rows])
    document: JSONObject = {**plain_options(parsed), "seed": SEED, **machine()}

    def write(part: str, result: JSONObject) -> None:
        document[part] = [*document.get(part, []), result]
        print(json.dumps(result), flush=True)
        write_json(parsed.out, {**read_json(parsed.out), **document})

    if parsed.sizes_decoder:
        model = SSAVAE(n_epochs=parsed.epochs, n_epochs_decoder=0, random_state=SEED).fit(mnist.x, mnist.y)
        judge = train_judge(images(mnist.x), mnist.y, n_epochs=12, device=str(model.predictor_.device))
        model.set_params(n_epochs_decoder=parsed.epochs_decoder)
        for size, scaled in combinations(parsed.sizes_decoder):
            write("decoder", measure_decoder(model, judge, mnist, size, scaled))
    for size, scaled in combinations(parsed.sizes):
        write("vec", measure_vec(mnist, parsed.epochs, size, scaled))


if __name__ == "__main__":
    main()
