"""What the two comparisons share: data, epochs, the judge, what is measured of a decoder, the result file."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssavae.algorithms import Batches, Losses
from ssavae.app.runs.environment import machine
from ssavae.data.loading import load_dataset
from ssavae.inference.predictor import Predictor
from ssavae.inference.samplers import fit_mixture
from ssavae.metrics import classification, generation
from ssavae.metrics.judge import Judge, judge_features, judge_logits, load_judge, save_judge, train_judge
from ssavae.networks import Spec, reparameterize
from ssavae.preprocessing.preprocessor import Preprocessor
from ssavae.training.batches import TensorRows, epoch_order

SEED = 0
BATCH = 128
SCALE_ROWS = 2000  # rows that the weights of loss_rec are measured on
PER_CLASS = 300  # class-wise samples
CACHE = Path(__file__).resolve().parent / "cache"


@dataclass(frozen=True)
class Images:
    """Training and test images as network inputs, with their classes."""

    name: str
    x: Tensor
    y: np.ndarray
    x_test: Tensor
    y_test: np.ndarray
    bounded: bool

    @classmethod
    def load(cls, data: str) -> Images:
        """Read a data set with a test part; every row has its class, as a number."""
        loaded = load_dataset(data, kind="image")
        x_test, y, y_test = loaded.x_test, loaded.y_train, loaded.y_test
        assert x_test is not None and y is not None and y_test is not None
        assert y.dtype.kind == "i" and min(y.min(), y_test.min()) >= 0
        preprocess = Preprocessor.fit(loaded.x_train, "image")
        inputs = [torch.from_numpy(preprocess.forward(part)) for part in (loaded.x_train, x_test)]
        return cls(loaded.name, inputs[0], y, inputs[1], y_test, preprocess.bounded)

    @property
    def n_classes(self) -> int:
        """Classes are numbered from 0."""
        return int(self.y.max()) + 1

    def spec(self, latent_dim: int) -> Spec:
        """Describe networks for these images."""
        return Spec(tuple(self.x.shape[1:]), latent_dim, self.n_classes, self.bounded)

    def rows(self, n: int | None = None) -> TensorRows:
        """Return the first n training rows, or all."""
        return TensorRows(self.x[:n], self.y[:n], torch.device("cpu"))


def orders(y: np.ndarray, n_epochs: int, n_rows: int | None = None) -> list[np.ndarray]:
    """Order the rows of each epoch; with ``n_rows`` an epoch is only so many of them, others every time."""
    n_batches = None if n_rows is None else max(1, n_rows // BATCH)
    return [epoch_order(y, BATCH, (SEED, epoch))[:n_batches] for epoch in range(n_epochs)]


def train(
    algorithm: Callable[[Batches], Iterator[Losses]],
    advance: Iterable[Callable[[], None]],
    rows: TensorRows,
    epochs: Sequence[np.ndarray],
) -> dict[str, float]:
    """Train over the epochs' orders; return seconds and the last epoch's mean losses.

    ``advance`` moves the learning rates on, after every batch.
    """
    begin, means = time.perf_counter(), {}
    for epoch, order in enumerate(epochs, start=1):
        sums: dict[str, float] = {}
        for losses in algorithm(rows.batches(order)):
            for move in advance:
                move()
            sums = {name: sums.get(name, 0.0) + float(loss) for name, loss in losses.items()}
        means = {name: total / len(order) for name, total in sums.items()}
        seconds = time.perf_counter() - begin
        shown = "  ".join(f"{name} {mean:.4g}" for name, mean in means.items())
        print(f"epoch {epoch}/{len(epochs)}  {seconds:.0f} s  {shown}", flush=True)
    return {"seconds": time.perf_counter() - begin, **means}


def judge_of(images: Images) -> Judge:
    """Read the judge of this data set from the cache, or train it on all training images and put it there."""
    path = CACHE / f"judge_{images.name}.safetensors"
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        save_judge(train_judge(_shown(images.x), images.y, random_state=SEED), path)
    return load_judge(path)


def _shown(x: Tensor) -> np.ndarray:
    """Return network inputs as the judge takes images: channels at the end."""
    return np.moveaxis(x.numpy(), 1, -1)


class Seen:
    """What the judge sees in images: its logits, and features to compare them by."""

    def __init__(self, judge: Judge, x: Tensor, y: np.ndarray | None = None) -> None:
        self.x, self.y = x, y
        self.logits = judge_logits(judge, _shown(x))
        self.features = judge_features(judge, _shown(x))

    def agreement(self, kept: slice | np.ndarray = slice(None)) -> float:
        """Share of the images in which the judge sees the class wanted; NaN where none is kept."""
        assert self.y is not None
        return (
            classification.agreement(self.logits[kept], self.y[kept]) if len(self.y[kept]) else float("nan")
        )

    def variety(self) -> float:
        """Mean distance within a class."""
        assert self.y is not None
        return generation.variety(self.features, self.y)

    def distance(self, real: Seen) -> float:
        """Fréchet distance to real images."""
        return generation.frechet_distance(real.features, self.features)

    def confidence(self) -> float:
        """Mean probability of the class that the judge sees."""
        return float(torch.from_numpy(self.logits).softmax(dim=1).amax(dim=1).mean())


def class_codes(mu: Tensor, logvar: Tensor, y: np.ndarray) -> tuple[Tensor, np.ndarray]:
    """Draw codes from one Gaussian a class, fitted to draws of the posterior of the class's rows."""
    rng, z = np.random.default_rng(SEED), reparameterize(mu, logvar).double().numpy()
    classes = np.unique(y)
    drawn = [fit_mixture(z[y == c], SEED, max_components=1).draw(PER_CLASS, rng) for c in classes]
    return torch.from_numpy(np.concatenate(drawn)).float(), np.repeat(classes, PER_CLASS)


def measure_reconstructions(predictor: Predictor, judge: Judge, real: Seen) -> dict[str, float]:
    """Compare G(mu(x)) with x."""
    made = Seen(judge, predictor.reconstruct(real.x), real.y)
    return {
        "pixel_error": generation.pixel_error(real.x.numpy(), made.x.numpy()),
        "agreement_reconstructions": made.agreement(),
        "frechet_reconstructions": made.distance(real),
    }


def measure_class_samples(made: Seen, real: Seen) -> dict[str, float]:
    """Compare class-wise samples with real images."""
    return {
        "agreement_class_samples": made.agreement(),
        "frechet_class_samples": made.distance(real),
        "variety_ratio": made.variety() / real.variety(),
    }


def write_result(out: Path, options: dict[str, Any], found: dict[str, Any]) -> None:
    """Write and print what was found, how, and on what machine."""
    options = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    command = " ".join(["python", *sys.argv])
    text = json.dumps({"command": command, **options, "seed": SEED, **found, **machine()}, indent=1)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text + "\n")
    print(text)
