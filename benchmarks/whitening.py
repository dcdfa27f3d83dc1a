r"""Ways to whiten the detail of a code in two parts: the same networks, other roots of the covariances.

    python benchmarks/whitening.py runs/mnist_two_part mnist \
        --out benchmarks/results/two_part/whitening_mnist.json

"symmetric" are the symmetric roots, "transport" those by optimal transport from the barycentre of all
classes (``transport_roots``). "pooled" is the share of the mean covariance in that of each class. The decoder
is that of the model, whose step 2 exchanged details by the way that the library takes. Swaps and samples are
measured as by swaps.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial

import numpy as np
from measured import Images, judge_for
from model_options import parse_model_options
from report import Task, run_missing
from split import Split
from swaps import measure_samples, measure_swaps

from ssavae import SSAVAE, load
from ssavae._serialize import JSONObject
from ssavae.inference.codes import Whitening, transport_roots
from ssavae.metrics.judge import Judge

WAYS = (
    ("symmetric", 0.0),
    ("symmetric", 0.3),
    ("transport", 0.0),
    ("transport", 0.1),
    ("transport", 0.2),
    ("transport", 0.3),
    ("transport", 0.4),
)


def whitening(model: SSAVAE, roots: str, pooled: float) -> Whitening:
    """Return the whitening of a model's detail by such roots."""
    transport = Whitening.of(model.samplers_, len(model.classes_), model.spec_.n_map, pooled)
    if roots == "transport":
        return transport
    covariances = transport.roots @ transport.roots.transpose(0, 2, 1)
    # of one class alone it is the symmetric root
    return Whitening(transport.means, np.concatenate([transport_roots(each[None]) for each in covariances]))


def measure(model: SSAVAE, judge: Judge, split: Split, roots: str, pooled: float) -> JSONObject:
    """Return swaps and samples of a model with another whitening."""
    model.whitening_ = whitening(model, roots, pooled)
    return {**measure_swaps(model, judge, split), **measure_samples(model, judge, split)}


def tasks(options: argparse.Namespace) -> Iterator[Task]:
    """Yield the ways to whiten."""
    model, split = load(options.model), Split.load(options.data, kind="image")
    judge = judge_for(Images.load(options.data))
    for roots, pooled in WAYS:
        identity = {"data": options.data, "seed": model.seed_, "roots": roots, "pooled": pooled}
        yield identity, partial(measure, model, judge, split, roots, pooled)


def main() -> None:
    """Measure what the file lacks."""
    options = parse_model_options(__doc__)
    run_missing(options.out, tasks(options), lambda _: {})


if __name__ == "__main__":
    main()
