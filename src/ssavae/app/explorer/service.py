"""A model and its points, asked for codes, classes, novelty, decoded rows, samples and planes."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssavae.app.explorer.batching import Worker
from ssavae.app.explorer.errors import Problem
from ssavae.app.explorer.points import Plane, Points, plane_of, survey
from ssavae.app.explorer.row_format import RowFormat, checked, nested
from ssavae.app.explorer.security import ROWS
from ssavae.estimator import SSAVAE
from ssavae.inference.calibration import conformal_limit
from ssavae.inference.predictor import Predictor

ALPHA = 0.05
CELLS = 50_000  # numbers of rows that are worked on in one piece
REPLY_BYTES = 30_000_000
FARTHEST = 1e6  # from the origin of codes, or of scaled rows: beyond, float32 comes to its end
TRUST_SIDE = 64


class Service:
    """A model and its points.

    Parameters
    ----------
    model : SSAVAE
    points : Points
    """

    def __init__(self, model: SSAVAE, points: Points) -> None:
        self.model, self.points = model, points
        size = int(np.prod(model.preprocess_.row_shape))
        n_most = int(np.clip(REPLY_BYTES // (8 * size), 1, ROWS))
        self.format = RowFormat(model.preprocess_, hasattr(model, "feature_names_in_"), n_most)
        self.codes = nested((self.latent_dim,), n_most)
        self.classes = [str(c) for c in model.classes_]
        self.predictor = Predictor(model.vec_, model.decoder_, model.feature_weights_)
        self.worker = Worker(int(np.clip(CELLS // size, 1, ROWS)))
        self.plane = lru_cache(16)(self._plane)

    @property
    def latent_dim(self) -> int:
        """K."""
        return self.model.spec_.latent_dim

    def limit(self, alpha: float = ALPHA) -> float:
        """Return the novelty that a share alpha of known rows is above."""
        return float(conformal_limit(self.model.calibration_.novelty_scores, alpha))

    # ----------------------------------------------------------------------------- rows and codes

    def inputs(self, rows: Any) -> tuple[Tensor, list[str]]:
        """Return rows as the networks take them, and what was warned about.

        Raises
        ------
        Problem
            If a value is out of all proportion.
        """
        with warnings.catch_warnings(record=True) as caught, np.errstate(over="ignore"):
            warnings.simplefilter("always")
            inputs = self.model.network_inputs(rows)
        far = ~(inputs.abs().flatten(1).amax(dim=1) <= FARTHEST)
        if far.any():
            row = int(far.int().argmax())
            raise Problem(422, f"x[{row}]: a value is {FARTHEST:g} times farther off than training knew them")
        return inputs, [str(each.message) for each in caught if each.category is UserWarning]

    def read_codes(self, z: Any) -> np.ndarray:
        """Return codes (n, K) as they were sent.

        Raises
        ------
        Problem
            If they are none, or too far away.
        """
        codes = np.asarray(checked(self.codes, z, "z"), dtype=np.float64)
        if np.abs(codes).max() > FARTHEST:
            raise Problem(422, f"z: a code is farther than {FARTHEST:g} from the middle of the map")
        return codes

    async def encode(self, inputs: Tensor) -> np.ndarray:
        """Return codes (n, K)."""
        return (await self.worker.each(self.predictor.encode, inputs)).numpy()

    def probabilities(self, z: np.ndarray) -> np.ndarray:
        """Return class probabilities (n, C) of codes; the classifier is small, no thread is wanted."""
        with torch.inference_mode():
            logits = self.model.vec_.classifier(torch.from_numpy(z)) / self.model.calibration_.temperature
        return logits.softmax(dim=1).numpy()[:, : len(self.classes)]

    async def survey(self, inputs: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return codes (n, K) and novelty (n,)."""
        found = (await self.worker.each(self._survey, inputs)).numpy()
        return found[:, 1:].astype(np.float32), found[:, 0]

    def _survey(self, inputs: Tensor) -> Tensor:
        z, _, novelty = survey(self.model, inputs)
        return torch.from_numpy(np.column_stack([novelty, z]))

    async def decode(self, z: np.ndarray) -> np.ndarray:
        """Return rows that codes are decoded to."""
        codes = torch.from_numpy(np.asarray(z, dtype=np.float32))
        return self.model.preprocess_.inverse((await self.worker.each(self.predictor.decode, codes)).numpy())

    # ------------------------------------------------------------------------------------ samples

    async def sample(
        self, n: int, y: str | None, sampler: str, seed: int | None
    ) -> tuple[Any, list[str] | None]:
        """Return rows drawn, and their classes where they are drawn by class."""
        if n > self.format.n_most:
            raise Problem(422, f"n: at most {self.format.n_most} rows")
        rng = np.random.default_rng(seed)
        names, piece = self._classes_drawn(n, y, sampler, rng), self.worker.most
        made = []
        for i in range(0, n, piece):
            wanted = None if names is None else self.model.classes_[names[i : i + piece]]
            size, its_seed = min(piece, n - i), int(rng.integers(2**31))
            made.append(await self.worker.run(self.model.sample, size, wanted, sampler, its_seed))
        rows = np.concatenate([np.asarray(each) for each in made])
        return rows, None if names is None else [self.classes[c] for c in names]

    def _classes_drawn(
        self, n: int, y: str | None, sampler: str, rng: np.random.Generator
    ) -> np.ndarray | None:
        if y is not None and (sampler != "class" or y not in self.classes):
            known = ", ".join(self.classes[:20]) or "none"
            raise Problem(422, f"y: choose of the classes {known}; and the sampler class")
        if sampler != "class" or not self.classes:
            return None
        if y is None:
            return rng.choice(len(self.classes), n, p=self.model.class_shares_)
        return np.full(n, self.classes.index(y))

    # ------------------------------------------------------------------------------------- planes

    def _plane(self, x_axis: int, y_axis: int, pca: bool) -> Plane:
        return plane_of(self.points.z, x_axis, y_axis, pca)

    def read_plane(self, x_axis: int, y_axis: int, axes: str | None) -> Plane:
        """Return the plane that is asked for.

        Raises
        ------
        Problem
            If there are no such axes.
        """
        pca = axes == "pca" and self.latent_dim > 1
        if not pca and self.latent_dim > 1 and (x_axis == y_axis or max(x_axis, y_axis) >= self.latent_dim):
            raise Problem(422, f"x_axis, y_axis: choose two different ones of 0 to {self.latent_dim - 1}")
        return self.plane(0, 0, True) if pca else self.plane(x_axis, y_axis, False)

    async def trust(self, plane: Plane) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return a grid over the points, x (m,), y (m,), and where it may be read, (m, m)."""
        across = []
        for values in plane.project(self.points.z):
            margin = 0.04 * (float(np.ptp(values)) or 1.0)
            across.append(np.linspace(values.min() - margin, values.max() + margin, TRUST_SIDE))
        codes = plane.lift(np.stack(np.meshgrid(*across), axis=-1).reshape(-1, 2))
        trusted = await self.worker.each(self._trusted, torch.from_numpy(codes))
        return across[0], across[1], trusted.numpy().reshape(TRUST_SIDE, TRUST_SIDE)

    def _trusted(self, z: Tensor) -> Tensor:
        return torch.from_numpy(self.model.is_trusted(z.numpy(), ALPHA))
