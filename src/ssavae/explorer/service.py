"""A model at work for many: one thread, small pieces, so that no one waits for another's thousand rows."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

from ssavae.calibration import conformal_limit
from ssavae.estimator import SSAVAE
from ssavae.explorer.limits import ROWS
from ssavae.explorer.points import Plane, Points, bounded, plane_of, rows_at
from ssavae.explorer.problems import Problem
from ssavae.explorer.values import RowFormat, checked, nested

T = TypeVar("T")
ALPHA = 0.05
CELLS = 50_000  # numbers of rows that are worked on in one piece
REPLY_BYTES = 30_000_000
FARTHEST = 1e6  # from the origin: beyond, float32 leaves a decoder nothing to work with
TRUST_SIDE = 64
SPREAD_ROWS = 1000


class Service:
    """A model and its points.

    Parameters
    ----------
    model : SSAVAE
    points : Points
    """

    def __init__(self, model: SSAVAE, points: Points) -> None:
        self.model, self.points = model, points
        shape = model.preprocess_.row_shape
        n_most = int(np.clip(REPLY_BYTES // (8 * int(np.prod(shape))), 1, ROWS))
        self.format = RowFormat(model.preprocess_, hasattr(model, "feature_names_in_"), n_most)
        self.codes = nested((model.spec_.latent_dim,), n_most)
        self.piece = int(np.clip(CELLS // int(np.prod(shape)), 1, ROWS))
        self.classes = [str(c) for c in model.classes_]
        self.worker = ThreadPoolExecutor(1, "ssavae")
        self.plane = lru_cache(16)(self._plane)

    @property
    def latent_dim(self) -> int:
        """K."""
        return self.model.spec_.latent_dim

    def limit(self, alpha: float = ALPHA) -> float:
        """Return the novelty that a share alpha of known rows is above."""
        return float(conformal_limit(self.model.calibration_.novelty_scores, alpha))

    async def run(self, job: Callable[..., T], *args: Any) -> T:
        """Wait for a piece of work, which waits for those before it."""
        return await asyncio.wrap_future(self.worker.submit(job, *args))

    async def each(self, job: Callable[[Any], tuple[np.ndarray, ...]], rows: Any) -> tuple[Any, ...]:
        """Do a job on all rows, piece by piece; return its arrays, joined."""
        pieces = [rows_at(rows, slice(i, i + self.piece)) for i in range(0, len(rows), self.piece)]
        made = [await self.run(job, piece) for piece in pieces]
        return tuple(np.concatenate(arrays) for arrays in zip(*made, strict=True))

    async def noted(self, job: Callable[[Any], tuple[np.ndarray, ...]], rows: Any) -> tuple[Any, list[str]]:
        """Do a job on all rows; return its arrays, and what was warned about."""
        found: list[str] = []

        def listening(piece: Any) -> tuple[np.ndarray, ...]:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                made = job(piece)
            found.extend(str(each.message) for each in caught if each.category is UserWarning)
            return made

        return await self.each(listening, rows), found

    # -------------------------------------------------------------------------------- pieces of work

    def encode(self, rows: Any) -> tuple[np.ndarray]:
        """Return codes.

        Raises
        ------
        Problem
            If a row is so far from the known ones that its code is no number.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            z = self.model.transform(rows)
        lost = ~np.isfinite(z).all(axis=1)
        if lost.any():
            raise Problem(422, "x: the values of a row are too large: its code is no finite number")
        return (z,)

    def predict(self, rows: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return codes and probabilities, (n, 0) of a model without classes."""
        (z,) = self.encode(rows)
        return z, self.model.predict_proba(rows) if self.classes else np.empty((len(z), 0))

    def judge(self, rows: Any) -> tuple[np.ndarray]:
        """Return novelty."""
        self.encode(rows)
        return (bounded(self.model.novelty(rows)),)

    def reconstruct(self, rows: Any) -> tuple[np.ndarray]:
        """Return reconstructions."""
        return (np.asarray(self.model.reconstruct(rows)),)

    def decode(self, z: np.ndarray) -> tuple[np.ndarray]:
        """Return rows that codes are decoded to."""
        return (np.asarray(self.model.inverse_transform(z)),)

    # --------------------------------------------------------------------------------- what is asked

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

    async def sample(
        self, n: int, y: str | None, sampler: str, seed: int | None
    ) -> tuple[Any, list[str] | None]:
        """Return rows drawn, and their classes where they are drawn by class."""
        if n > self.format.n_most:
            raise Problem(422, f"n: at most {self.format.n_most} rows")
        rng = np.random.default_rng(seed)
        names = self._classes_drawn(n, y, sampler, rng)
        made = []
        for i in range(0, n, self.piece):
            wanted = None if names is None else self.model.classes_[names[i : i + self.piece]]
            size = min(self.piece, n - i)
            made.append(await self.run(self.model.sample, size, wanted, sampler, int(rng.integers(2**31))))
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

    def _plane(self, x_axis: int, y_axis: int, pca: bool) -> Plane:
        return plane_of(self.points.z, x_axis, y_axis, pca)

    def read_plane(self, x_axis: int, y_axis: int, axes: str | None) -> Plane:
        """Return the plane that is asked for."""
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
        (trusted,) = await self.each(lambda z: (self.model.is_trusted(z),), codes)
        return across[0], across[1], trusted.reshape(TRUST_SIDE, TRUST_SIDE)
