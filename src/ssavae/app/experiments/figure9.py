"""Figure 9 of the paper: the same test images, reconstructed over beta, for each gamma and latent size."""

from __future__ import annotations

import io
import itertools
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ssavae import figures
from ssavae._serialize import JSONObject, write_atomically
from ssavae.app.experiments.database import Study
from ssavae.app.experiments.results import write_results
from ssavae.app.runs.environment import machine
from ssavae.app.runs.pictures import shown
from ssavae.estimator import SSAVAE
from ssavae.metrics import classification, generation
from ssavae.metrics import judge as judges
from ssavae.preprocessing.lazy import random_subset

SIMILARITY_ROWS = 1000  # SSIM of these takes as long as all other metrics of five times as many
SAMPLE_SEED = 0
NOTE_HEADS = ("judge\nagrees", "Fréchet\ndistance")


@dataclass(frozen=True)
class GridCell:
    """One decoder of the grid, with its metrics and the reconstructions shown in the figure."""

    latent_dim: int
    gamma: float
    beta: float
    metrics: JSONObject
    images: np.ndarray  # (n, H, W, C) in [0, 1]
    predicted: np.ndarray  # (n,), the judge's class of each image


def figure9(study: Study, root: Path, command: str, suffix: str = ".png") -> list[Path]:
    """Train and measure every cell, and draw the sheet and the curves of one database."""
    cells = list(train_cells(study))
    rows = study.shown_rows
    lines = [_line(cell, study.labels[rows]) for cell in cells]
    sheet = figures.beta_sheet(study.real[rows], lines, title=study.title, note_heads=NOTE_HEADS)
    curves = figures.regime_curves([cell.metrics for cell in cells], title=study.title)
    results = {
        "vec": {f"k{k}": study.measure_vec(k) for k in study.budget.latent_dims},
        "judge_accuracy": classification.agreement(study.real_logits, study.labels),
        "judge": study.judge_protocol(),
        "cells": [cell.metrics for cell in cells],
    }
    return [
        figures.save(sheet, root / f"figure9_{study.data}{suffix}"),
        figures.save(curves, root / f"regimes_{study.data}{suffix}"),
        write_results(root / f"figure9_{study.data}.json", command, results),
    ]


def _line(cell: GridCell, y: np.ndarray) -> figures.BetaLine:
    notes = [f"{cell.metrics['agreement']:.2f}", f"{cell.metrics['frechet']:.0f}"]
    wrong = cell.predicted != y
    return figures.BetaLine(cell.latent_dim, cell.gamma, cell.beta, cell.images, wrong, notes)


def train_cells(study: Study) -> Iterator[GridCell]:
    """Yield each cell of the grid, trained if it is not in the folder; one latent size shares one VEC."""
    budget = study.budget
    folder = study.folder / f"cells_{budget.updates}"
    for latent_dim in budget.latent_dims:
        trainer = _CellTrainer(study, latent_dim)
        for gamma, beta in itertools.product(budget.gammas, budget.betas):
            path = folder / f"k{latent_dim}_gamma{gamma:g}_beta{beta:g}.npz"
            if not path.is_file():
                write_atomically(path, trainer.train(gamma, beta))
            yield _read_cell(path)


def _read_cell(path: Path) -> GridCell:
    with np.load(path, allow_pickle=False) as arrays:
        metrics = json.loads(str(arrays["found"]))
        images = arrays["images"].astype(np.float32) / 255
        predicted = arrays["read_as"]
    return GridCell(metrics["latent_dim"], metrics["gamma"], metrics["beta"], metrics, images, predicted)


@dataclass
class _CellTrainer:
    """Step 2 of all cells of one latent size, which share the VEC and the codes."""

    study: Study
    latent_dim: int

    @cached_property
    def model(self) -> SSAVAE:
        return self.study.vec(self.latent_dim)

    @cached_property
    def codes(self) -> np.ndarray:
        return self.model.transform(self.study.eval_part.x)

    def train(self, gamma: float, beta: float) -> bytes:
        """Train step 2 with these weights; return the cell as an .npz file."""
        budget = self.study.budget
        model = self.model
        start = time.perf_counter()
        n_rows = len(self.study.train.x)
        n_batches = min(budget.updates, n_rows // budget.batch_size)
        n_epochs = math.ceil(budget.updates / n_batches)
        rows = self.study.train.x[random_subset(n_rows, n_batches * budget.batch_size)]
        model.set_params(n_epochs_decoder=n_epochs, batch_size_decoder=budget.batch_size)
        model.fit_decoder(rows, beta=beta, gamma=gamma)
        metrics, images, predicted = self._measure()
        metrics = {
            "latent_dim": self.latent_dim,
            "gamma": gamma,
            "beta": beta,
            "updates": n_epochs * n_batches,
            "batch_size": budget.batch_size,
            **metrics,
            **{name: v for name, v in model.history_[-1].items() if name.startswith("loss_")},
            "minutes": (time.perf_counter() - start) / 60,
            **machine(),
        }
        content = io.BytesIO()
        np.savez_compressed(content, found=json.dumps(metrics), images=images, read_as=predicted)
        return content.getvalue()

    def _measure(self) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
        """Return the decoder's metrics, the images shown as uint8, and the judge's class of each."""
        study = self.study
        real = study.real
        x_rec = shown(self.model, self.model.inverse_transform(self.codes))
        samples = shown(self.model, self.model.sample(len(x_rec), random_state=SAMPLE_SEED))
        logits = judges.judge_logits(study.judge, x_rec)
        few = slice(SIMILARITY_ROWS)
        metrics = {
            "agreement": classification.agreement(logits, study.labels),
            "frechet": self._frechet_distance(x_rec),
            "frechet_samples": self._frechet_distance(samples),
            "sharpness": generation.sharpness(x_rec[few], real[few]),
            "ssim": generation.ssim(real[few], x_rec[few]),
            "perceptual": judges.perceptual_distance(study.judge, real[few], x_rec[few]),
            "pixel_error": generation.pixel_error(real, x_rec),
        }
        rows = study.shown_rows
        return metrics, (x_rec[rows] * 255).round().astype(np.uint8), logits.argmax(axis=1)[rows]

    def _frechet_distance(self, x: np.ndarray) -> float:
        features = judges.judge_features(self.study.judge, x)
        return generation.frechet_distance(self.study.real_features, features)
