"""The points of a map: rows of a data set with code, class, confidence and novelty, reckoned once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax
from torch import Tensor

from ssavae.app.explorer.cache import kept_or_made
from ssavae.data.labelled import LabelledData
from ssavae.data.partition import Part, divide
from ssavae.estimator import SSAVAE
from ssavae.inference.predictor import Predictor
from ssavae.inference.samplers import log_density
from ssavae.preprocessing.labels import encode_labels

MOST_POINTS = 200_000
READ = ("z", "predicted", "confidence", "novelty")  # what a model is asked of each row
CHUNK = 1000  # rows between two signs of life
LARGEST = float(np.finfo(np.float32).max)
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Shown:
    """Rows to show.

    Parameters
    ----------
    part : Part
    row : (n,)
        Which row of the data it is, as ``ssavae train --labels-from`` counts; -1 of rows kept for the test.
    columns : dict
        Values of other columns by name, (n,) each.
    n_all : int
        How many rows there are, shown or not.
    """

    part: Part
    row: np.ndarray
    columns: dict[str, np.ndarray]
    n_all: int


def rows_to_show(loaded: LabelledData, held_out: np.ndarray, which: str = "all") -> Shown:
    """Choose the rows of a data set to show, evenly spread where they are too many.

    Parameters
    ----------
    loaded : LabelledData
    held_out : (m,)
        Rows kept for the test, where the data has no test part.
    which : {"all", "train", "test"}

    Raises
    ------
    ValueError
        If there is no test part.
    """
    train, test = divide(loaded, held_out)
    if which == "test" and test is None:
        raise ValueError(f"{loaded.name} has no test part, and the run held no rows of it out")
    row = np.setdiff1d(np.arange(len(loaded.x_train)), held_out)
    parts = {"train": (train, row)}
    if test is not None:
        parts["test"] = (test, np.full(len(test.x), -1))
    chosen = parts if which == "all" else {which: parts[which]}
    part = _joined([each for each, _ in chosen.values()])
    columns = {} if part.groups is None else {"group": part.groups}
    if len(chosen) > 1:
        columns["part"] = np.repeat(list(chosen), [len(rows) for _, rows in chosen.values()])
    return _thinned(Shown(part, np.concatenate([rows for _, rows in chosen.values()]), columns, len(part.x)))


def _joined(parts: list[Part]) -> Part:
    """Set parts one after the other; what only some of them have is missing in the others."""
    if len(parts) == 1:
        return parts[0]
    import pandas as pd

    frames = hasattr(parts[0].x, "iloc")
    x = pd.concat([p.x for p in parts], ignore_index=True) if frames else np.concatenate([p.x for p in parts])
    y, groups = (_column(parts, name) for name in ("y", "groups"))
    return Part(x, y, groups)


def _column(parts: list[Part], name: str) -> np.ndarray | None:
    if all(getattr(part, name) is None for part in parts):
        return None
    values = [(getattr(part, name), len(part.x)) for part in parts]
    return np.concatenate([np.full(n, None) if v is None else v.astype(object) for v, n in values])


def _thinned(shown: Shown) -> Shown:
    n = len(shown.row)
    if n <= MOST_POINTS:
        return shown
    kept = np.linspace(0, n - 1, MOST_POINTS).round().astype(np.int64)
    columns = {name: values[kept] for name, values in shown.columns.items()}
    return Shown(shown.part.take(kept), shown.row[kept], columns, n)


@dataclass(frozen=True)
class Points:
    """Rows on the map.

    Parameters
    ----------
    rows : (n, ...)
        As the model takes them.
    z : (n, K)
        Float32, as all that follows but the integers.
    label, predicted : (n,)
        Index of the class; -1 where there is none.
    confidence : (n,)
        Probability of the class predicted; NaN where the model has no classes.
    novelty : (n,)
    row : (n,)
        See :class:`Shown`.
    n_all : int
    columns : dict
        Other columns by name.
    """

    rows: Any
    z: np.ndarray
    label: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    novelty: np.ndarray
    row: np.ndarray
    n_all: int
    columns: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: SSAVAE,
        shown: Shown,
        progress: Progress = lambda done, total: None,
        folder: Path | None = None,
    ) -> Points:
        """Read rows with a model; ``progress`` is told how many are done of how many.

        With the model's folder, what was read is kept there for the next time.
        """
        n, x = len(shown.row), shown.part.x
        make = partial(_read, model, x, progress)
        z, predicted, confidence, novelty = make() if folder is None else kept_or_made(folder, x, READ, make)
        y = shown.part.y
        label = np.full(n, -1) if y is None else encode_labels(y, model.classes_)[0]
        columns = dict(shown.columns)
        if y is not None and (encode_labels(y)[0] >= 0).sum() > (label >= 0).sum():
            columns["label"] = np.array(["" if each in (None, -1) else str(each) for each in y.tolist()])
        whole = [each.astype(np.int32) for each in (label, predicted, shown.row)]
        return cls(x, z, whole[0], whole[1], confidence, novelty, whole[2], shown.n_all, columns)

    def __len__(self) -> int:
        return len(self.z)


def rows_at(x: Any, where: Any) -> Any:
    """Return some of the rows of an array or DataFrame."""
    return x.iloc[where] if hasattr(x, "iloc") else x[where]


def _read(model: SSAVAE, x: Any, progress: Progress) -> tuple[np.ndarray, ...]:
    """Return the ``READ`` of rows, chunk by chunk."""
    n, chunks = len(x), []
    for start in range(0, n, CHUNK):
        chunks.append(_read_some(model, rows_at(x, slice(start, start + CHUNK))))
        progress(min(start + CHUNK, n), n)
    return tuple(np.concatenate(each) for each in zip(*chunks, strict=True))


def _read_some(model: SSAVAE, x: Any) -> tuple[np.ndarray, ...]:
    z, probs, novelty = survey(model, model.network_inputs(x))
    predicted, confidence = np.full(len(z), -1), np.full(len(z), np.nan)
    if len(model.classes_):
        predicted, confidence = probs.argmax(axis=1), probs.max(axis=1)
    return z, predicted, confidence.astype(np.float32), novelty.astype(np.float32)


def survey(model: SSAVAE, inputs: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return codes (n, K), class probabilities (n, C) and novelty (n,), in a third of the time of one by one.

    Novelty stays in the range of float32: infinity is no number of JSON.
    """
    predictor = Predictor(model.vec_, model.decoder_, model.feature_weights_)
    density = partial(log_density, model.samplers_, model.class_shares_)
    z, logits, novelty_components = predictor.survey(inputs, density)
    novelty = np.nan_to_num(model.calibration_.novelty(novelty_components), nan=np.inf)
    return z, softmax(logits / model.calibration_.temperature, axis=1), novelty.clip(-LARGEST, LARGEST)


@dataclass(frozen=True)
class Plane:
    """The plane of the latent space that is shown: z = origin + x * x_axis + y * y_axis.

    Parameters
    ----------
    origin, x_axis, y_axis : (K,)
        Orthonormal axes; for K = 1 the second is 0.
    """

    origin: np.ndarray
    x_axis: np.ndarray
    y_axis: np.ndarray

    @classmethod
    def along(cls, z: np.ndarray, i: int, j: int) -> Plane:
        """Return the plane of two axes of the code, through the mean of codes (n, K).

        >>> Plane.along(np.array([[1.0, 2.0, 3.0]]), 0, 1).origin
        array([0., 0., 3.])
        """
        axes = np.eye(z.shape[1])
        origin = z.mean(axis=0, dtype=np.float64)
        origin[[i, j]] = 0.0
        return cls(origin, axes[i], axes[j])

    @classmethod
    def pca(cls, z: np.ndarray) -> Plane:
        """Return the plane of most variance of codes (n, K)."""
        from sklearn.decomposition import PCA

        found = PCA(2, random_state=0).fit(z.astype(np.float64))
        return cls(np.asarray(found.mean_), *np.asarray(found.components_))

    @classmethod
    def line(cls) -> Plane:
        """Return what stands for a plane where K = 1."""
        return cls(np.zeros(1), np.ones(1), np.zeros(1))

    def project(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y of codes (n, K), (n,) each; of a line y is random, that points be seen apart."""
        away = z - self.origin
        x, y = away @ self.x_axis, away @ self.y_axis
        if not self.y_axis.any():
            y = 0.2 * (np.ptp(x) or 1.0) * (np.random.default_rng(0).random(len(x)) - 0.5)
        return x.astype(np.float32), y.astype(np.float32)

    def lift(self, xy: np.ndarray) -> np.ndarray:
        """Return the codes (n, K) of points (n, 2)."""
        return self.origin + xy[:, :1] * self.x_axis + xy[:, 1:] * self.y_axis


def plane_of(z: np.ndarray, x_axis: int, y_axis: int, pca: bool) -> Plane:
    """Return the plane that is asked for."""
    if z.shape[1] == 1:
        return Plane.line()
    return Plane.pca(z) if pca and len(z) > 2 else Plane.along(z, x_axis, y_axis)
