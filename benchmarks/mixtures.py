"""How many components the mixtures of class-wise samples have, and which draws are kept.

    python benchmarks/mixtures.py runs/mnist_two_part mnist --out benchmarks/results/mixtures_mnist.json

"components" are one; as many as BIC chooses; or as many as help rows that are held out, as `fit_mixture`
does. A draw is kept where the VEC gives its class more than the probability "kept_above" in what the draw is
decoded to. "log_density_test" is the mean over draws z ~ q(z|x) of test rows, each under the mixture of its
class.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measured import PER_CLASS, SEED, Images, JudgedImages, judge_for, measure_class_samples
from report import Task, parser, run_missing
from sklearn.mixture import GaussianMixture
from split import Split

from ssavae import load
from ssavae._serialize import JSONObject
from ssavae.inference.predictor import Predictor
from ssavae.inference.samplers import MAX_COMPONENTS, MAX_ROWS, Mixture, draw_accepted, fit_mixture
from ssavae.metrics.judge import Judge

ALL = -1.0  # below any probability
WAYS = (
    ("one", 0.5),
    ("bic", 0.5),
    ("held out", ALL),
    ("held out", 0.5),
    ("held out", 0.9),
)


def fit(z: np.ndarray, components: str) -> Mixture:
    """Fit a mixture to the codes of a class."""
    if components == "held out":
        return fit_mixture(z, SEED)
    some = np.random.default_rng(SEED).permutation(z)[:MAX_ROWS]
    if components == "one":
        return fit_mixture(some, SEED, max_components=1)
    fits = [GaussianMixture(n, random_state=SEED).fit(some) for n in range(1, 1 + MAX_COMPONENTS)]
    best = min(fits, key=lambda mixture: mixture.bic(some))
    parts = (best.weights_, best.means_, np.linalg.cholesky(np.asarray(best.covariances_)))
    return Mixture(*map(np.asarray, parts))


def measure(
    predictor: Predictor, images: Images, judge: Judge, indices: list[int], components: str, kept_above: float
) -> JSONObject:
    """Return measures of the mixtures, and of samples that are drawn from them.

    ``indices`` are those that the model gives to the classes of the images.
    """
    z, y = predictor.draws(images.x, images.y, SEED)
    z_test, y_test = predictor.draws(images.x_test, images.y_test, SEED)
    mixtures = [fit(z[y == c], components) for c in range(images.n_classes)]
    densities = [mixture.log_density(z_test[y_test == c]) for c, mixture in enumerate(mixtures)]
    rng = np.random.default_rng(SEED)
    codes = [
        draw_accepted(mixture, PER_CLASS, partial(predictor.decodes_to, index), rng, kept_above)
        for mixture, index in zip(mixtures, indices, strict=True)
    ]
    decoded = predictor.decode_draws(torch.from_numpy(np.concatenate(codes)).float())
    samples = JudgedImages(judge, decoded, np.repeat(np.arange(images.n_classes), PER_CLASS))
    return {
        "n_components": [len(mixture.weights) for mixture in mixtures],
        "log_density_test": float(np.concatenate(densities).mean()),
        **measure_class_samples(samples, JudgedImages(judge, images.x_test, images.y_test)),
    }


def tasks(options: argparse.Namespace) -> Iterator[Task]:
    """Yield the ways to fit and to draw."""
    model, images = load(options.model), Images.load(options.data)
    judge = judge_for(images)
    names = Split.load(options.data, kind="image").classes
    indices = [int(np.flatnonzero(model.classes_ == name)[0]) for name in names]
    for components, kept_above in WAYS:
        identity = {
            "data": options.data,
            "latent_dim": model.spec_.latent_dim,
            "seed": SEED,
            "components": components,
            "kept_above": kept_above,
        }
        yield identity, partial(measure, model.predictor_, images, judge, indices, components, kept_above)


def main() -> None:
    """Measure what the file lacks."""
    options = parser(__doc__)
    options.add_argument("model", type=Path, help="a model folder")
    options.add_argument("data", help="the images that it was trained on")
    options.add_argument("--out", type=Path, required=True)
    parsed = options.parse_args()
    run_missing(parsed.out, tasks(parsed), lambda _: {})


if __name__ == "__main__":
    main()
