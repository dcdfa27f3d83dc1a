"""One database of the paper in a folder: its rows, its judge, and one trained VEC for each latent size.

Everything that took time is kept and found again, so a stopped ``ssavae reproduce`` goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ssavae._checks import UsageError
from ssavae._serialize import plain, write_atomically
from ssavae.app.runs.environment import machine
from ssavae.app.runs.evaluate import judge_of, measure_map
from ssavae.app.runs.folder import JUDGE_FILE, open_model
from ssavae.app.runs.pictures import label_indices, shown
from ssavae.app.runs.settings import PRESETS, plan_parameters
from ssavae.data.partition import Part, divide, read
from ssavae.estimator import SSAVAE
from ssavae.metrics import judge as judges
from ssavae.persistence.model_folder import MODEL_FILE
from ssavae.persistence.training_state import has_state
from ssavae.preprocessing.lazy import random_subset

STUDY_FILE = "study.json"
N_SHOWN = 10
TITLES = {
    "mnist": "MNIST",
    "omniglot": "Omniglot, 50 alphabets",
    "caltech101_silhouettes": "Caltech-101 Silhouettes",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "digits": "digits (8x8)",
}
DATABASES = ("mnist", "omniglot", "caltech101_silhouettes", "fashion_mnist")  # of figures 7 and 9


@dataclass(frozen=True)
class Budget:
    """How much is trained and measured.

    Parameters
    ----------
    updates : int
        Batches of step 2 in each cell of figure 9.
    batch_size : int
        Rows in each of these: in the same time, more and smaller batches bring the two players further
        (docs/decisions.md).
    n_train : int or None
        Training rows; None takes all.
    n_epochs : int or None
        Epochs of step 1; None takes the preset's.
    n_test : int
        Test rows that the cells of figure 9 are measured on, and samples drawn.
    latent_dims, gammas, betas : tuple
        The grid of figure 9.
    """

    updates: int
    batch_size: int = 64
    n_train: int | None = None
    n_epochs: int | None = None
    n_test: int = 3000
    latent_dims: tuple[int, ...] = (2, 100)
    gammas: tuple[float, ...] = (0.0, 0.1)
    betas: tuple[float, ...] = (0.0, 0.001, 0.003, 0.005, 0.01, 0.05, 0.1)


FULL = Budget(updates=2000)
FAST = Budget(updates=30, n_train=6000, n_epochs=4, n_test=1000, betas=(0.0, 0.01, 0.1))


class Study:
    """A database, what is known of it so far, and the folder that keeps it.

    Raises
    ------
    UsageError
        The folder holds a study of the same database with other rows, epochs, seed or data.
    """

    def __init__(self, data: str, root: Path, budget: Budget, *, seed: int, device: str) -> None:
        self.data, self.folder, self.budget = data, root / data, budget
        self.seed, self.device = seed, device
        self.title = TITLES.get(data, data)
        loaded = read(data)
        train, test = divide(loaded, np.empty(0, dtype=np.int64))
        if loaded.kind not in ("image", None) or test is None or train.y is None or test.y is None:
            raise UsageError(f"{data} must hold labelled training and test images to be reproduced")
        rows = {"n_train": budget.n_train, "n_epochs": budget.n_epochs, "n_test": budget.n_test}
        self._begin({**rows, "seed": seed, "data_sha256": loaded.sha256})
        kept = random_subset(len(train.x), budget.n_train or len(train.x))
        self.train, self.test = train.take(kept), test

    def _begin(self, told: dict[str, Any]) -> None:
        """Note what this study is made of, or make sure that the folder holds this very one."""
        path = self.folder / STUDY_FILE
        if path.is_file() and json.loads(path.read_text("utf-8")) != told:
            raise UsageError(
                f"{self.folder} holds results of other rows, epochs, seed or data: choose another --out"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(told, indent=1).encode())

    @cached_property
    def measured(self) -> Part:
        """Test rows that cells are measured on: the first ``n_test``."""
        return self.test.take(np.arange(min(self.budget.n_test, len(self.test.x))))

    @cached_property
    def real(self) -> np.ndarray:
        """The measured rows as images in [0, 1], (n, H, W, C)."""
        return shown(self._any_model, self.measured.x)

    @cached_property
    def labels(self) -> np.ndarray:
        """Class indices of the measured rows."""
        return label_indices(self._any_model, self.measured.y, len(self.measured.x))

    @cached_property
    def real_features(self) -> np.ndarray:
        """What the judge's last hidden layer makes of the measured rows."""
        return judges.judge_features(self.judge, self.real)

    @cached_property
    def _any_model(self) -> SSAVAE:
        return self.vec(self.budget.latent_dims[0])

    @cached_property
    def judge(self) -> judges.Judge:
        """A classifier of the real images, trained on all training rows of the study."""
        path = self.folder / JUDGE_FILE
        if path.is_file():
            return judges.load_judge(path)
        return judge_of(self._any_model, self.train, path)

    @cached_property
    def real_logits(self) -> np.ndarray:
        """What the judge says of the measured rows themselves."""
        return judges.judge_logits(self.judge, self.real)

    def vec(self, latent_dim: int) -> SSAVAE:
        """Return the model whose VEC all cells of this latent size share; its decoder is untrained."""
        folder, parameters = self.folder / f"k{latent_dim}", self._parameters(latent_dim)
        if not (folder / MODEL_FILE).is_file():
            model = SSAVAE(**parameters, checkpoint_folder=folder, verbose=True)
            model.fit(self.train.x, self.train.y, resume=has_state(folder)).save(folder)
        return open_model(folder).set_params(**parameters)  # step 2 goes by what holds today

    def _parameters(self, latent_dim: int) -> dict[str, Any]:
        preset = self.data if (PRESETS / f"{self.data}.toml").is_file() else None
        chosen = {"latent_dim": latent_dim, "kind": "image", "random_state": self.seed, "device": self.device}
        # the paper trains on all training rows, and nothing here is calibrated
        found = plan_parameters(preset, chosen, ["n_epochs_decoder=0", "validation_fraction=0.0"])
        n_epochs = self.budget.n_epochs
        return found if n_epochs is None else found | {"n_epochs": n_epochs}

    def measure_vec(self, latent_dim: int) -> dict[str, Any]:
        """Return test accuracy and map quality of a VEC, measured once and kept."""
        path = self.folder / f"vec_k{latent_dim}.json"
        if not path.is_file():
            begin = time.perf_counter()
            found = self._measured_vec(latent_dim)
            told = {**found, "minutes": (time.perf_counter() - begin) / 60, **machine()}
            write_atomically(path, json.dumps(told, indent=1).encode())
        return json.loads(path.read_text("utf-8"))

    def _measured_vec(self, latent_dim: int) -> dict[str, Any]:
        model = self.vec(latent_dim)
        last = next(row for row in reversed(model.history_) if row["step"] == "vec")
        return {
            "latent_dim": latent_dim,
            "accuracy": float(model.score(self.test.x, self.test.y)),
            **measure_map(model, self.train, self.test),
            "loss_kl": last["loss_kl"],
            "n_epochs": last["epoch"],
            "minutes_vec": last["seconds"] / 60,
            "parameters": {name: plain(value) for name, value in self._parameters(latent_dim).items()},
        }

    @cached_property
    def shown_rows(self) -> np.ndarray:
        """Measured rows to show: the first that the judge reads right, of ten classes spread over all."""
        right = self.real_logits.argmax(axis=1) == self.labels
        classes = np.unique(self.labels[right])
        wanted = classes[np.linspace(0, len(classes) - 1, min(N_SHOWN, len(classes))).round().astype(int)]
        return np.array([np.flatnonzero(right & (self.labels == c))[0] for c in wanted])


def write_result(path: Path, command: str, found: Mapping[str, Any]) -> Path:
    """Write numbers with the command that made them and the machine."""
    write_atomically(path, json.dumps({"command": command, **machine(), **found}, indent=1).encode())
    return path
