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
from typing import Any

import numpy as np

from ssavae import figures
from ssavae._serialize import write_atomically
from ssavae.app.experiments.database import Study, write_result
from ssavae.app.runs.environment import machine
from ssavae.app.runs.pictures import shown
from ssavae.estimator import SSAVAE
from ssavae.metrics import classification, generation
from ssavae.metrics import judge as judges
from ssavae.preprocessing.lazy import random_subset

LIKENESS_ROWS = 1000  # SSIM takes as long for these as all other measures for five times as many
SAMPLE_SEED = 0


@dataclass(frozen=True)
class Cell:
    """One decoder of the grid: its place, what was measured of it, and the images shown."""

    latent_dim: int
    gamma: float
    beta: float
    found: dict[str, Any]
    images: np.ndarray  # (n, H, W, C) in [0, 1]
    read_as: np.ndarray  # (n,), the class that the judge sees in each


def figure9(study: Study, root: Path, command: str, suffix: str = ".png") -> list[Path]:
    """Train and measure every cell, and draw the sheet and the curves of one database."""
    cells = list(train_cells(study))
    rows = study.shown_rows
    lines = [_line(cell, study.labels[rows]) for cell in cells]
    sheet = figures.beta_sheet(study.real[rows], lines, title=study.title, note_head="judge agrees, Fréchet")
    curves = figures.regime_curves([cell.found for cell in cells], title=study.title)
    result = {
        "vec": {f"k{k}": study.measure_vec(k) for k in study.budget.latent_dims},
        "judge_accuracy": classification.agreement(study.real_logits, study.labels),
        "cells": [cell.found for cell in cells],
    }
    return [
        figures.save(sheet, root / f"figure9_{study.data}{suffix}"),
        figures.save(curves, root / f"regimes_{study.data}{suffix}"),
        write_result(root / f"figure9_{study.data}.json", command, result),
    ]


def _line(cell: Cell, y: np.ndarray) -> figures.BetaLine:
    note = f"{cell.found['agreement']:.2f} {cell.found['frechet']:.0f}"
    place = cell.latent_dim, cell.gamma, cell.beta
    return figures.BetaLine(*place, images=cell.images, wrong=cell.read_as != y, note=note)


def train_cells(study: Study) -> Iterator[Cell]:
    """Train each cell of the grid that the study's folder does not hold yet; all share one VEC a size."""
    budget = study.budget
    for latent_dim in budget.latent_dims:
        bench = _Bench(study, latent_dim)
        for gamma, beta in itertools.product(budget.gammas, budget.betas):
            name = f"k{latent_dim}_gamma{gamma:g}_beta{beta:g}.npz"
            path = study.folder / f"cells_{budget.updates}" / name
            if not path.is_file():
                path.parent.mkdir(exist_ok=True)
                write_atomically(path, bench.train_cell(gamma, beta))
            yield _read_cell(path)


def _read_cell(path: Path) -> Cell:
    with np.load(path, allow_pickle=False) as kept:
        found = json.loads(str(kept["found"]))
        place = found["latent_dim"], found["gamma"], found["beta"]
        return Cell(*place, found, kept["images"].astype(np.float32) / 255, kept["read_as"])


class _Bench:
    """What all cells of one database and latent size share: the VEC, the codes, the rows of step 2."""

    def __init__(self, study: Study, latent_dim: int) -> None:
        self.study, self.latent_dim = study, latent_dim

    @cached_property
    def model(self) -> SSAVAE:
        return self.study.vec(self.latent_dim)

    @cached_property
    def codes(self) -> np.ndarray:
        return self.model.transform(self.study.measured.x)

    def train_cell(self, gamma: float, beta: float) -> bytes:
        """Train step 2 with these weights; return the cell as an .npz file."""
        model, rows = self.model, self.study.train.x
        budget = self.study.budget
        n_batches = min(budget.updates, len(rows) // budget.batch_size)
        n_epochs = math.ceil(budget.updates / n_batches)
        begin = time.perf_counter()
        rows = rows[random_subset(len(rows), n_batches * budget.batch_size)]
        model.set_params(n_epochs_decoder=n_epochs, batch_size_decoder=budget.batch_size)
        model.fit_decoder(rows, beta=beta, gamma=gamma)
        losses = {name: v for name, v in model.history_[-1].items() if name.startswith("loss_")}
        place = {"latent_dim": self.latent_dim, "gamma": gamma, "beta": beta}
        place |= {"updates": n_epochs * n_batches, "batch_size": budget.batch_size}
        found, images, read_as = self._measure()
        found = {**place, **found, **losses, "minutes": (time.perf_counter() - begin) / 60, **machine()}
        content = io.BytesIO()
        np.savez_compressed(content, found=json.dumps(found), images=images, read_as=read_as)
        return content.getvalue()

    def _measure(self) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
        """Measure the decoder; return the numbers, the images shown as uint8, and what the judge sees."""
        study, model = self.study, self.model
        made, real = shown(model, model.inverse_transform(self.codes)), study.real
        logits = judges.judge_logits(study.judge, made)
        samples = shown(model, model.sample(len(made), random_state=SAMPLE_SEED))
        few = slice(LIKENESS_ROWS)
        found = {
            "agreement": classification.agreement(logits, study.labels),
            "frechet": self._distance(made),
            "frechet_samples": self._distance(samples),
            "sharpness": generation.sharpness(made[few], real[few]),
            "ssim": generation.ssim(real[few], made[few]),
            "perceptual": judges.perceptual_distance(study.judge, real[few], made[few]),
            "pixel_error": generation.pixel_error(real, made),
        }
        rows = study.shown_rows
        return found, (made[rows] * 255).round().astype(np.uint8), logits.argmax(axis=1)[rows]

    def _distance(self, x: np.ndarray) -> float:
        return generation.frechet_distance(
            self.study.real_features, judges.judge_features(self.study.judge, x)
        )
