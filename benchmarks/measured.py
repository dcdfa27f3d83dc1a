"""Data, training, judge and measures that the comparisons share."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from report import command, plain_options, write_json
from split import Split
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from ssavae._serialize import JSONObject
from ssavae.algorithms import Losses
from ssavae.app.runs.environment import machine
from ssavae.inference.predictor import Predictor
from ssavae.inference.samplers import fit_mixture
from ssavae.metrics import classification, generation
from ssavae.metrics.judge import Judge, judge_features, judge_logits, load_judge, save_judge, train_judge
from ssavae.networks import Spec, reparameterize
from ssavae.preprocessing.preprocessor import Preprocessor
from ssavae.training.batches import TensorRows, epoch_order

SEED = 0
BATCH = 128
SCALE_ROWS = 2000  # rows from which the weights of loss_rec are computed
PER_CLASS = 300  # class-wise samples
CACHE = Path(__file__).resolve().parent / "cache"


@dataclass(frozen=True)
class Images:
    """Training and test images as network inputs, with their class indices."""

    name: str
    x: Tensor
    y: np.ndarray
    x_test: Tensor
    y_test: np.ndarray
    bounded: bool

    @classmethod
    def load(cls, name: str) -> Images:
        """Read a named set of images with a test part."""
        split = Split.load(name, kind="image")
        assert split.y.dtype.kind == "i" and min(split.y.min(), split.y_test.min()) >= 0
        preprocessor = Preprocessor.fit(split.x, "image")
        x, x_test = (torch.from_numpy(preprocessor.forward(rows)) for rows in (split.x, split.x_test))
        return cls(name, x, split.y, x_test, split.y_test, preprocessor.bounded)

    @property
    def n_classes(self) -> int:
        return int(self.y.max()) + 1

    def spec(self, latent_dim: int) -> Spec:
        """Return the sizes of networks for these images."""
        return Spec(tuple(self.x.shape[1:]), latent_dim, self.n_classes, self.bounded)

    def rows(self, n: int | None = None) -> TensorRows:
        """Return the first n training rows, or all."""
        return TensorRows(self.x[:n], self.y[:n], torch.device("cpu"))


def epoch_orders(y: np.ndarray, n_epochs: int, n_rows: int | None = None) -> list[np.ndarray]:
    """Return the order of the rows in each epoch; ``n_rows`` limits an epoch to so many random rows."""
    n_batches = None if n_rows is None else max(1, n_rows // BATCH)
    return [epoch_order(y, BATCH, (SEED, epoch))[:n_batches] for epoch in range(n_epochs)]


def train(
    step: Callable[[Tensor, Tensor], Losses],
    schedulers: Sequence[LRScheduler],
    rows: TensorRows,
    orders: Sequence[np.ndarray],
) -> dict[str, float]:
    """Run a step on each batch of each epoch; return the seconds and the mean losses of the last epoch."""
    begin = time.perf_counter()
    means: dict[str, float] = {}
    for epoch, order in enumerate(orders, start=1):
        sums: dict[str, float] = {}
        for x, y in rows.batches(order):
            losses = step(x, y)
            for scheduler in schedulers:
                scheduler.step()
            sums = {name: sums.get(name, 0.0) + float(loss) for name, loss in losses.items()}
        means = {name: total / len(order) for name, total in sums.items()}
        seconds = time.perf_counter() - begin
        text = "  ".join(f"{name} {mean:.4g}" for name, mean in means.items())
        print(f"epoch {epoch}/{len(orders)}  {seconds:.0f} s  {text}", flush=True)
    return {"seconds": time.perf_counter() - begin, **means}


def judge_for(images: Images) -> Judge:
    """Read the judge of a data set from the cache, or train it on all training images and save it there."""
    path = CACHE / f"judge_{images.name}.safetensors"
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        save_judge(train_judge(_channels_at_the_end(images.x), images.y, random_state=SEED), path)
    return load_judge(path)


def _channels_at_the_end(x: Tensor) -> np.ndarray:
    """Return network inputs as the judge takes images."""
    return np.moveaxis(x.numpy(), 1, -1)


class JudgedImages:
    """Images with the judge's logits and features, and the classes y that they should show."""

    def __init__(self, judge: Judge, x: Tensor, y: np.ndarray | None = None) -> None:
        self.x = x
        self.y = y
        self.logits = judge_logits(judge, _channels_at_the_end(x))
        self.features = judge_features(judge, _channels_at_the_end(x))

    def agreement(self, rows: slice | np.ndarray = slice(None)) -> float:
        """Fraction of some of the images in which the judge sees class y; NaN without images."""
        assert self.y is not None
        y = self.y[rows]
        return classification.agreement(self.logits[rows], y) if len(y) else float("nan")

    def variety(self) -> float:
        """Mean distance within a class."""
        assert self.y is not None
        return generation.variety(self.features, self.y)

    def distance(self, real: JudgedImages) -> float:
        """Fréchet distance to real images."""
        return generation.frechet_distance(real.features, self.features)

    def confidence(self) -> float:
        """Mean probability of the class that the judge predicts."""
        return float(torch.from_numpy(self.logits).softmax(dim=1).amax(dim=1).mean())


def class_codes(mu: Tensor, logvar: Tensor, y: np.ndarray) -> tuple[Tensor, np.ndarray]:
    """Draw codes from one Gaussian per class, fitted to z ~ q(z|x) of its rows; return codes and classes."""
    rng = np.random.default_rng(SEED)
    z = reparameterize(mu, logvar, torch.randn_like(mu)).double().numpy()
    classes = np.unique(y)
    codes = [fit_mixture(z[y == c], SEED, max_components=1).draw(PER_CLASS, rng) for c in classes]
    return torch.from_numpy(np.concatenate(codes)).float(), np.repeat(classes, PER_CLASS)


def measure_reconstructions(predictor: Predictor, judge: Judge, real: JudgedImages) -> dict[str, float]:
    """Compare G(mu(x)) with x."""
    reconstructed = JudgedImages(judge, predictor.reconstruct(real.x), real.y)
    return {
        "pixel_error": generation.pixel_error(real.x.numpy(), reconstructed.x.numpy()),
        "agreement_reconstructions": reconstructed.agreement(),
        "frechet_reconstructions": reconstructed.distance(real),
    }


def measure_class_samples(samples: JudgedImages, real: JudgedImages) -> dict[str, float]:
    """Compare class-wise samples with real images."""
    return {
        "agreement_class_samples": samples.agreement(),
        "frechet_class_samples": samples.distance(real),
        "variety_ratio": samples.variety() / real.variety(),
    }


def write_result(out: Path, options: argparse.Namespace, result: JSONObject) -> None:
    """Print a result and write it with its command, options and machine."""
    head = {"command": command(), **plain_options(options), "seed": SEED}
    document = {**head, **result, **machine()}
    write_json(out, document)
    print(json.dumps(document, indent=1))
