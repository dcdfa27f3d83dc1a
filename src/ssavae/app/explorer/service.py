"""Inference for the explorer: codes, classes, novelty, decoded rows, samples and planes of one model."""

from __future__ import annotations

import asyncio
import math
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from ssavae.app.explorer.batching import Worker
from ssavae.app.explorer.errors import Problem
from ssavae.app.explorer.latent.neighbours import nearest
from ssavae.app.explorer.latent.variation import class_places, ranges
from ssavae.app.explorer.limits import LARGE_BODY, REPLY_BYTES, ROWS
from ssavae.app.explorer.points import Plane, Points, rows_at, score_all
from ssavae.app.explorer.row_format import ArrayOrFrame, RowFormat, nested_lists, validate
from ssavae.app.explorer.schema import Dimension, TrustGrid
from ssavae.estimator import SSAVAE
from ssavae.inference.calibration import conformal_limit

ALPHA = 0.05
BATCH_NUMBERS = 50_000  # numbers in the rows of one batch
SAMPLING_COST = 8  # a sample takes about as long as so many decoded rows: others are drawn and rejected
FARTHEST = 1e6  # largest value of codes and of scaled rows: float32 overflows not far beyond
TRUST_SIDE = 64
CACHED_PLANES = 16
CANDIDATES = 1000  # nearest in the code, of which those nearest in the features are found
PROBED_ITEMS = 8  # at which the effect of a dimension is measured
PROBED_DIMENSIONS = 100  # those that spread most
T = TypeVar("T")


class Service:
    """A model and its points.

    Parameters
    ----------
    model : SSAVAE
    points : Points
    """

    def __init__(self, model: SSAVAE, points: Points) -> None:
        self.model = model
        self.points = points
        size = int(np.prod(model.preprocess_.row_shape))
        n_most = int(np.clip(REPLY_BYTES // (8 * size), 1, ROWS))
        self.format = RowFormat(model.preprocess_, hasattr(model, "feature_names_in_"), n_most)
        self.codes = nested_lists((self.latent_dim,), n_most)
        self.classes = [str(c) for c in model.classes_]
        self.predictor = model.predictor_
        self.worker = Worker(int(np.clip(BATCH_NUMBERS // size, 1, ROWS)))
        # one thread: large bodies and files are read one at a time, beside inference
        self.reader = ThreadPoolExecutor(1, "ssavae-reader")
        self.plane = lru_cache(CACHED_PLANES)(self._plane)
        self.trust_grids: WeakKeyDictionary[Plane, TrustGrid] = WeakKeyDictionary()
        self.trust_locks: WeakKeyDictionary[Plane, asyncio.Lock] = WeakKeyDictionary()
        self.known_dimensions: list[Dimension] | None = None
        self.dimensions_lock = asyncio.Lock()

    @property
    def latent_dim(self) -> int:
        """Number of dimensions of the latent space, K."""
        return self.model.spec_.latent_dim

    @property
    def n_map(self) -> int:
        """Number of dimensions of the map: all K but of a code in two parts."""
        return self.model.spec_.n_map

    def limit(self, alpha: float = ALPHA) -> float:
        """Return the novelty that a fraction alpha of known rows exceeds."""
        return float(conformal_limit(self.model.calibration_.novelty_scores, alpha))

    # ----------------------------------------------------------------------------- rows and codes

    async def read(self, function: Callable[..., T], *args: object) -> T:
        """Call a function that reads a file or a large body, on the thread for these."""
        return await asyncio.get_running_loop().run_in_executor(self.reader, function, *args)

    async def read_rows(self, x: object) -> ArrayOrFrame:
        """Return rows from JSON; many of them are read on a thread."""
        size = len(x) * int(np.prod(self.model.preprocess_.row_shape)) if isinstance(x, list) else 0
        return await self.read(self.format.read, x) if size > LARGE_BODY else self.format.read(x)

    def inputs(self, rows: ArrayOrFrame) -> tuple[Tensor, list[str]]:
        """Return network inputs, and the warnings about values that the model does not know.

        Raises
        ------
        Problem
            If the model does not take them, or a value is too large.
        """
        with warnings.catch_warnings(record=True) as caught, np.errstate(over="ignore"):
            warnings.simplefilter("always")
            try:
                inputs = self.model.network_inputs(rows)
            except ValueError as error:  # the model's own reading of rows is stricter than their format
                raise Problem(422, f"x: {error}") from None
        too_large = ~(inputs.abs().flatten(1).amax(dim=1) <= FARTHEST)  # NaN is too large as well
        if too_large.any():
            row = int(too_large.int().argmax())
            raise Problem(422, f"x[{row}]: a value is {FARTHEST:g} times farther off than in training")
        return inputs, [str(each.message) for each in caught if each.category is UserWarning]

    def read_codes(self, z: object) -> np.ndarray:
        """Return codes (n, K) from JSON.

        Raises
        ------
        Problem
            If they are invalid, or too far away.
        """
        codes = np.asarray(validate(self.codes, z, "z"), dtype=np.float64)
        if np.abs(codes).max() > FARTHEST:
            raise Problem(422, f"z: a code is farther than {FARTHEST:g} from the origin")
        return codes

    async def encode(self, inputs: Tensor) -> np.ndarray:
        """Return codes (n, K)."""
        return (await self.worker.map_rows(self.predictor.encode, inputs)).numpy()

    def probabilities(self, z: np.ndarray) -> np.ndarray:
        """Return class probabilities (n, C) of codes; the classifier is too small to need the thread."""
        logits = self.predictor.classify(torch.from_numpy(z)) / self.model.calibration_.temperature
        return logits.softmax(dim=1).numpy()[:, : len(self.classes)]

    async def score_all(self, inputs: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return codes (n, K) and novelty (n,)."""
        scores = (await self.worker.map_rows(self._scores, inputs)).numpy()
        return scores[:, 1:].astype(np.float32), scores[:, 0]

    def _scores(self, inputs: Tensor) -> Tensor:
        """Return novelty and codes, (n, 1 + K)."""
        z, _, novelty = score_all(self.model, inputs)
        return torch.from_numpy(np.column_stack([novelty, z]))

    async def decode(self, z: np.ndarray) -> np.ndarray:
        """Return decoded rows."""
        codes = torch.from_numpy(np.asarray(z, dtype=np.float32))
        decoded = await self.worker.map_rows(self.predictor.decode, codes)
        return self.model.preprocess_.inverse(decoded.numpy())

    # --------------------------------------------------------------------- neighbours, variations

    async def neighbours(self, item: int, n: int, by: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the n items nearest to one, and their distances, in the code or in the hidden features."""
        n_candidates = min(CANDIDATES, self.format.n_most) if by == "features" else n
        items, distances = await self.read(nearest, self.points.z, item, n_candidates)
        if by == "code":
            return items, distances
        rows = await self.read(rows_at, self.points.rows, np.concatenate([[item], items]))
        inputs = await self.read(self.model.network_inputs, rows)
        features = await self.worker.map_rows(self.predictor.hidden, inputs)
        order, distances = nearest(features.numpy(), 0, n)
        return items[order - 1], distances

    async def dimensions(self) -> list[Dimension]:
        """Return the dimensions of the detail, or of a code in one part, by their effect on rows."""
        async with self.dimensions_lock:  # the first request computes them for all
            if self.known_dimensions is None:
                self.known_dimensions = await self._dimensions()
        return self.known_dimensions

    async def _dimensions(self) -> list[Dimension]:
        z = self.points.z
        spread, low, high = ranges(z)
        first = self.n_map if self.n_map < self.latent_dim else 0
        widest = first + np.argsort(-spread[first:], kind="stable")[:PROBED_DIMENSIONS]
        probes = z[np.linspace(0, len(z) - 1, min(len(z), PROBED_ITEMS)).round().astype(np.int64)]
        effects = [await self._effect(probes, k, float(spread[k])) for k in widest]
        order = np.argsort(-np.array(effects), kind="stable")
        return [
            Dimension(index=int(k), low=float(low[k]), high=float(high[k]), effect=float(effects[i]))
            for i, k in zip(order, widest[order], strict=True)
        ]

    async def _effect(self, z: np.ndarray, k: int, step: float) -> float:
        """Return how far two steps of a dimension change what codes (n, K) decode to, in network inputs."""
        shift = np.zeros(z.shape[1], dtype=np.float32)
        shift[k] = step
        codes = torch.from_numpy(np.concatenate([z - shift, z + shift]))
        decoded = await self.worker.map_rows(self.predictor.decode, codes)
        return float((decoded[: len(z)] - decoded[len(z) :]).abs().mean())

    def through_classes(self, item: int) -> dict[int, np.ndarray]:
        """Return the code of an item with its detail at the place of each class that has one."""
        n_map = self.n_map
        points = self.points
        places = class_places(points.z[:, :n_map], points.label, points.predicted, len(self.classes))
        detail = points.z[item, n_map:]
        return {c: np.concatenate([place, detail]) for c, place in places.items()}

    # ------------------------------------------------------------------------------------ samples

    async def sample(
        self, n: int, y: str | None, sampler: str, seed: int | None
    ) -> tuple[np.ndarray, list[str] | None]:
        """Return n generated rows, and their classes if they are drawn by class."""
        if n > self.format.n_most:
            raise Problem(422, f"n: at most {self.format.n_most} rows")
        rng = np.random.default_rng(seed)
        drawn = self._draw_classes(n, y, sampler, rng)
        batch_size = math.ceil(self.worker.batch_size / SAMPLING_COST)
        batches = []
        async with self.worker.slot(n * SAMPLING_COST):
            for start in range(0, n, batch_size):
                classes = None if drawn is None else self.model.classes_[drawn[start : start + batch_size]]
                arguments = (min(batch_size, n - start), classes, sampler, int(rng.integers(2**31)))
                batches.append(
                    await self.worker.run((n - start) * SAMPLING_COST, self.model.sample, *arguments)
                )
        rows = np.concatenate([np.asarray(batch) for batch in batches])
        return rows, None if drawn is None else [self.classes[c] for c in drawn]

    def _draw_classes(
        self, n: int, y: str | None, sampler: str, rng: np.random.Generator
    ) -> np.ndarray | None:
        if y is not None and (sampler != "class" or y not in self.classes):
            known = ", ".join(self.classes[:20]) or "none"
            raise Problem(422, f"y: choose one of the classes {known}, with the sampler class")
        if sampler != "class" or not self.classes:
            return None
        if y is None:
            return rng.choice(len(self.classes), n, p=self.model.class_shares_)
        return np.full(n, self.classes.index(y))

    # ------------------------------------------------------------------------------------- planes

    def _plane(self, x_axis: int, y_axis: int, pca: bool) -> Plane:
        z = self.points.z
        if self.latent_dim == 1:
            return Plane(np.zeros(1), np.ones(1), np.zeros(1))
        if pca and self.n_map == 2:  # nothing to project: the map is a plane
            return Plane.along(z, 0, 1)
        return Plane.pca(z, self.n_map) if pca and len(z) > 2 else Plane.along(z, x_axis, y_axis)

    def read_plane(self, x_axis: int, y_axis: int, axes: str | None) -> Plane:
        """Return the plane that a request names.

        Raises
        ------
        Problem
            If there are no such axes.
        """
        pca = axes == "pca" and self.latent_dim > 1
        if not pca and self.latent_dim > 1 and (x_axis == y_axis or max(x_axis, y_axis) >= self.latent_dim):
            raise Problem(422, f"x_axis, y_axis: choose two different axes from 0 to {self.latent_dim - 1}")
        return self.plane(0, 0, True) if pca else self.plane(x_axis, y_axis, False)

    async def trust(self, plane: Plane) -> TrustGrid:
        """Return where a plane is trustworthy, on a grid over the points."""
        async with self.trust_locks.setdefault(
            plane, asyncio.Lock()
        ):  # the first request computes it for all
            if plane not in self.trust_grids:
                x, y, codes = plane.grid(self.points.z, TRUST_SIDE)
                trusted = await self.worker.map_rows(self._is_trusted, torch.from_numpy(codes))
                grid = trusted.reshape(TRUST_SIDE, TRUST_SIDE)
                self.trust_grids[plane] = TrustGrid(x=x.tolist(), y=y.tolist(), trusted=grid.tolist())
        return self.trust_grids[plane]

    def _is_trusted(self, z: Tensor) -> Tensor:
        return torch.from_numpy(self.model.is_trusted(z.numpy(), ALPHA))
