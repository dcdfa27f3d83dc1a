"""How many components the mixtures of class-wise samples have, and which draws are kept.

    python benchmarks/mixtures.py runs/mnist_two_part mnist --out benchmarks/results/mixtures_mnist.json

"components" are one; as many as BIC chooses; or as many as help rows that are held out, as `fit_mixture`
does. A draw is kept where the VEC gives its class more than the probability "kept_above" in what the draw is
decoded to. "log_density_test" is the mean over draws z ~ q(z|x) of test rows, each under the mixture of its
class.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from measured import PER_CLASS, SEED, Images, JudgedImages, judge_for, measure_class_samples
from model_options import parse_model_options
from report import Task, run_missing
from sklearn.mixture import GaussianMixture
from split import Split

from ssavae import load
from ssavae._serialize import JSONObject
from ssavae.inference.predictor import Predictor
from ssavae.inference.samplers import MAX_COMPONENTS, MAX_ROWS, Mixture, draw_accepted, fit_mixture
from ssavae.metrics.judge import Judge

ALL = -1.0  # below any probability
KEPT_ABOVE = {"one": (0.5,), "bic": (0.5,), "held out": (ALL, 0.5, 0.9)}


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


def draw_samples(
    predictor: Predictor, mixtures: list[Mixture], indices: list[int], judge: Judge, kept_above: float
) -> JudgedImages:
    """Decode draws from each mixture; ``indices`` are those that the model gives to their classes."""
    rng = np.random.default_rng(SEED)
    codes = [
        draw_accepted(mixture, PER_CLASS, partial(predictor.decodes_to, index), rng, kept_above)
        for mixture, index in zip(mixtures, indices, strict=True)
    ]
    decoded = predictor.decode_draws(torch.from_numpy(np.concatenate(codes)).float())
    return JudgedImages(judge, decoded, np.repeat(np.arange(len(mixtures)), PER_CLASS))


def measure(fitted: JSONObject, draw: Callable[[], JudgedImages], real: JudgedImages) -> JSONObject:
    """Return what is known of the mixtures, and measures of samples that are drawn from them."""
    return {**fitted, **measure_class_samples(draw(), real)}


def tasks(options: argparse.Namespace) -> Iterator[Task]:
    """Yield the ways to fit and to draw."""
    model, images = load(options.model), Images.load(options.data)
    predictor, judge = model.predictor_, judge_for(images)
    real = JudgedImages(judge, images.x_test, images.y_test)
    names = Split.load(options.data, kind="image").classes
    indices = [int(np.flatnonzero(model.classes_ == name)[0]) for name in names]
    z, y = predictor.draws(images.x, images.y, SEED)
    z_test, y_test = predictor.draws(images.x_test, images.y_test, SEED)
    of_model = {"data": options.data, "latent_dim": model.spec_.latent_dim, "seed": SEED}
    for components, thresholds in KEPT_ABOVE.items():
        mixtures = [fit(z[y == c], components) for c in range(images.n_classes)]
        densities = [mixture.log_density(z_test[y_test == c]) for c, mixture in enumerate(mixtures)]
        fitted = {
            "n_components": [len(mixture.weights) for mixture in mixtures],
            "log_density_test": float(np.concatenate(densities).mean()),
        }
        for kept_above in thresholds:
            identity = {**of_model, "components": components, "kept_above": kept_above}
            draw = partial(draw_samples, predictor, mixtures, indices, judge, kept_above)
            yield identity, partial(measure, fitted, draw, real)


def main() -> None:
    """Measure what the file lacks."""
    options = parse_model_options(__doc__)
    run_missing(options.out, tasks(options), lambda _: {})


if __name__ == "__main__":
    main()
