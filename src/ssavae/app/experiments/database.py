"""One database of the paper in a folder: its rows, its judge, and one trained VEC per latent size.

Expensive results are stored in the folder, so a stopped ``ssavae reproduce`` resumes where it was.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ssavae._checks import UsageError
from ssavae._serialize import JSONObject, plain
from ssavae.app.experiments.photograph_judge import adopt_judge, judge_protocol, train_on_photographs
from ssavae.app.experiments.results import begin_or_resume, write_json
from ssavae.app.runs.environment import machine
from ssavae.app.runs.evaluate import judge_of, measure_map
from ssavae.app.runs.folder import JUDGE_FILE, RunFolder
from ssavae.app.runs.pictures import label_indices, shown
from ssavae.app.runs.settings import PRESETS, plan_parameters
from ssavae.data.partition import Part, divide, read
from ssavae.estimator import SSAVAE
from ssavae.metrics import judge as judges
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
    """Amounts of training and evaluation, and the grid of figure 9."""

    updates: int  # batches of step 2 in each cell of the grid
    batch_size: int = 64  # of step 2: in the same time, more and smaller batches help (docs/decisions.md)
    n_train: int | None = None  # training rows; None takes all
    n_epochs: int | None = None  # of step 1; None takes the preset's
    n_test: int = 3000  # test rows that cells are evaluated on, and samples drawn
    latent_dims: tuple[int, ...] = (2, 100)
    gammas: tuple[float, ...] = (0.0, 0.1)
    betas: tuple[float, ...] = (0.0, 0.001, 0.003, 0.005, 0.01, 0.05, 0.1)
    judge_epochs: int | None = None  # of a judge of photographs; None takes the small judge, of few epochs


FULL = Budget(updates=2000)
FAST = Budget(updates=30, n_train=6000, n_epochs=4, n_test=1000, betas=(0.0, 0.01, 0.1))


class Study:
    """A database, and the folder of its models and results.

    Raises
    ------
    UsageError
        The folder holds a study of the same database with other rows, epochs, seed or data.
    ValueError
        The file ``judge``, which is taken instead of training one, holds no judge.
    """

    def __init__(
        self, data: str, root: Path, budget: Budget, *, seed: int, device: str, judge: Path | None = None
    ) -> None:
        self.data = data
        self.folder = root / data
        self.budget = budget
        self.seed = seed
        self.device = device
        self.title = TITLES.get(data, data)
        loaded = read(data)
        train, test = divide(loaded, np.empty(0, dtype=np.int64))
        if loaded.kind not in ("image", None) or test is None or train.y is None or test.y is None:
            raise UsageError(f"{data} must hold labelled training and test images to be reproduced")
        settings = {
            "n_train": budget.n_train,
            "n_epochs": budget.n_epochs,
            "n_test": budget.n_test,
            "seed": seed,
            "data_sha256": loaded.sha256,
        }
        begin_or_resume(self.folder / STUDY_FILE, settings, "results of other rows, epochs, seed or data")
        self.all_train = train
        self.train = train.take(random_subset(len(train.x), budget.n_train or len(train.x)))
        self.test = test
        if judge is not None:
            adopt_judge(judge, test, self.folder)

    @cached_property
    def eval_part(self) -> Part:
        """Test rows that cells are evaluated on: the first ``n_test``."""
        return self.test.take(np.arange(min(self.budget.n_test, len(self.test.x))))

    @cached_property
    def real(self) -> np.ndarray:
        """Images of ``eval_part`` in [0, 1], (n, H, W, C)."""
        return shown(self._first_model, self.eval_part.x)

    @cached_property
    def labels(self) -> np.ndarray:
        """Class indices of ``eval_part``."""
        return label_indices(self._first_model, self.eval_part.y, len(self.eval_part.x))

    @cached_property
    def real_features(self) -> np.ndarray:
        """Features of ``real`` in the judge's last hidden layer."""
        return judges.judge_features(self.judge, self.real)

    @cached_property
    def real_logits(self) -> np.ndarray:
        """The judge's logits of ``real``."""
        return judges.judge_logits(self.judge, self.real)

    @cached_property
    def _first_model(self) -> SSAVAE:
        return self.vec(self.budget.latent_dims[0])

    @cached_property
    def judge(self) -> judges.Judge:
        """A classifier of the real images, from the folder if it is there.

        A judge of photographs is trained on all training rows of the database, the small one on the study's.
        """
        path = self.folder / JUDGE_FILE
        if not path.is_file():
            if self.budget.judge_epochs is None:
                judges.save_judge(judge_of(self._first_model, self.train), path)
            else:
                n_epochs = self.budget.judge_epochs
                train_on_photographs(self.all_train, self.test, n_epochs, self.folder, self.device)
        return judges.load_judge(path).to(self._first_model.predictor_.device)

    def judge_protocol(self) -> JSONObject:
        """Return how the judge was trained and what it reads; empty of a small judge."""
        return judge_protocol(self.folder)

    def vec(self, latent_dim: int) -> SSAVAE:
        """Return the model of a latent size, with a trained VEC and an untrained decoder."""
        folder = RunFolder(self.folder / f"k{latent_dim}")
        parameters = self._parameters(latent_dim)
        with folder.locked(wait=True):
            if folder.has_state or not folder.has_model:
                model = SSAVAE(checkpoint_folder=folder.path, verbose=True).set_params(**parameters)
                model.fit(self.train.x, self.train.y, resume=folder.has_state).save(folder.path)
        return folder.load_model().set_params(**parameters)  # today's parameters, for step 2

    def _parameters(self, latent_dim: int) -> JSONObject:
        preset = self.data if (PRESETS / f"{self.data}.toml").is_file() else None
        options = {
            "latent_dim": latent_dim,
            "kind": "image",
            "random_state": self.seed,
            "device": self.device,
        }
        # the paper trains on all training rows, and nothing here is calibrated
        parameters = plan_parameters(preset, options, ["n_epochs_decoder=0", "validation_fraction=0.0"])
        return parameters | ({} if self.budget.n_epochs is None else {"n_epochs": self.budget.n_epochs})

    def measure_vec(self, latent_dim: int) -> JSONObject:
        """Return test accuracy and map quality of a VEC, from the folder if it was measured before."""
        path = self.folder / f"vec_k{latent_dim}.json"
        if not path.is_file():
            start = time.perf_counter()
            metrics = self._vec_metrics(latent_dim)
            write_json(path, {**metrics, "minutes": (time.perf_counter() - start) / 60, **machine()})
        return json.loads(path.read_text("utf-8"))

    def _vec_metrics(self, latent_dim: int) -> JSONObject:
        model = self.vec(latent_dim)
        assert self.test.y is not None
        last = next(row for row in reversed(model.history_) if row["step"] == "vec")
        return {
            "latent_dim": latent_dim,
            "accuracy": float(model.score(self.test.x, self.test.y)),
            **measure_map(model, self.train, self.test),
            "loss_kl": last["loss_kl"],
            "n_epochs": last["epoch"],
            "minutes_vec": float(last["seconds"]) / 60,
            "parameters": {name: plain(value) for name, value in self._parameters(latent_dim).items()},
        }

    @cached_property
    def shown_rows(self) -> np.ndarray:
        """Rows of ``eval_part`` to show: the first that the judge classifies right, of up to ten classes."""
        correct = self.real_logits.argmax(axis=1) == self.labels
        classes = np.unique(self.labels[correct])
        spread = np.linspace(0, len(classes) - 1, min(N_SHOWN, len(classes))).round().astype(int)
        return np.array([np.flatnonzero(correct & (self.labels == c))[0] for c in classes[spread]])
