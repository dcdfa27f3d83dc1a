"""Points of the map: rows of a data set with code, predicted class, confidence and novelty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import softmax
from torch import Tensor

from ssavae.app.explorer.cache import cached
from ssavae.app.explorer.row_format import ArrayOrFrame
from ssavae.data.labelled import LabelledData, Part, RowsLike
from ssavae.data.partition import divide
from ssavae.estimator import SSAVAE
from ssavae.inference.samplers import log_density
from ssavae.preprocessing.labels import encode_labels, is_labelled, warn_of_unknown_classes
from ssavae.preprocessing.lazy import LazyArray

MOST_POINTS = 1_000_000
READ = ("z", "predicted", "confidence", "novelty")  # computed by the model for each row
CHUNK = 1000  # rows between two calls of ``progress``
LARGEST = float(np.finfo(np.float32).max)
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SelectedRows:
    """Rows to show on the map.

    Parameters
    ----------
    part : Part
    row : (n,)
        Row number in the training data, as ``ssavae train --labels-from`` counts; -1 for test rows.
    number : (n,)
        Row number in the data as a whole, as ``ssavae predict`` counts: its own test part follows the rest.
    columns : dict
        Further columns by name, (n,) each.
    n_all : int
        Number of rows of the data, shown or not.
    """

    part: Part
    row: np.ndarray
    number: np.ndarray
    columns: dict[str, np.ndarray]
    n_all: int


def rows_to_show(loaded: LabelledData, held_out: np.ndarray, which: str = "all") -> SelectedRows:
    """Select the rows of a data set to show, evenly spaced where there are more than ``MOST_POINTS``.

    Parameters
    ----------
    loaded : LabelledData
    held_out : (m,)
        Indices of the training rows that the run used as its test part.
    which : {"all", "train", "test"}

    Raises
    ------
    ValueError
        If there is no test part.
    """
    train, test = divide(loaded, held_out)
    parts = {"train": train} if test is None else {"train": train, "test": test}
    if which != "all":
        if which not in parts:
            raise ValueError(f"{loaded.name} has no test part, and the run held out no rows of it")
        parts = {which: parts[which]}
    part = _concatenate(list(parts.values()))
    part_names = np.repeat(list(parts), [len(each.x) for each in parts.values()])
    n_train = len(loaded.x_train)
    train_rows = np.setdiff1d(np.arange(n_train), held_out)
    test_rows = held_out if loaded.x_test is None else n_train + np.arange(len(loaded.x_test))
    number = np.concatenate([train_rows if name == "train" else test_rows for name in parts])
    row = np.where(part_names == "train", number, -1)
    columns = {} if part.groups is None else {"group": part.groups}
    if len(parts) > 1:
        columns["part"] = part_names
    return _thin(SelectedRows(part, row, number, columns, len(row)))


def with_learned_labels(selected: SelectedRows, learned: np.ndarray | None) -> SelectedRows:
    """Add the labels (n_train,) that the run learned from as a column, where they are not the data's own."""
    if learned is None:
        return selected
    labels = [learned[row] if row >= 0 else None for row in selected.row]
    texts = np.array(["" if label is None else str(label) for label in labels])
    return replace(selected, columns={"learned label": texts, **selected.columns})


def _concatenate(parts: list[Part]) -> Part:
    """Concatenate parts; labels or groups that only some of them have are None in the others."""
    if len(parts) == 1:
        return parts[0]
    import pandas as pd

    frames = [part.x for part in parts if isinstance(part.x, pd.DataFrame)]
    x = pd.concat(frames, ignore_index=True) if frames else np.concatenate([part.x for part in parts])
    sizes = [len(part.x) for part in parts]
    y = _concatenate_optional([part.y for part in parts], sizes)
    return Part(x, y, _concatenate_optional([part.groups for part in parts], sizes))


def _concatenate_optional(arrays: list[np.ndarray | None], sizes: list[int]) -> np.ndarray | None:
    if all(array is None for array in arrays):
        return None
    pairs = zip(arrays, sizes, strict=True)
    return np.concatenate([np.full(n, None) if array is None else array.astype(object) for array, n in pairs])


def _thin(selected: SelectedRows) -> SelectedRows:
    n = len(selected.row)
    if n <= MOST_POINTS:
        return selected
    indices = np.linspace(0, n - 1, MOST_POINTS).round().astype(np.int64)
    columns = {name: values[indices] for name, values in selected.columns.items()}
    row = selected.row[indices]
    return SelectedRows(selected.part.take(indices), row, selected.number[indices], columns, n)


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
        Probability of the predicted class; NaN where the model has no classes.
    novelty : (n,)
    row, number, columns, n_all :
        See :class:`SelectedRows`.
    umap : (n, 2) or None
        Positions on a map of their own.
    """

    rows: RowsLike
    z: np.ndarray
    label: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    novelty: np.ndarray
    row: np.ndarray
    number: np.ndarray
    n_all: int
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    umap: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        model: SSAVAE,
        selected: SelectedRows,
        progress: Progress = lambda done, total: None,
        folder: Path | None = None,
    ) -> Points:
        """Compute the points of rows, and cache them in the model's folder where that is given.

        ``progress`` is called with the number of rows done and of all rows.
        """
        x = selected.part.x
        y = selected.part.y
        compute = partial(_read, model, x, progress)
        arrays = compute() if folder is None else cached(folder, x, READ, compute)
        z, predicted, confidence, novelty = arrays
        label = np.full(len(x), -1) if y is None else encode_labels(y, model.classes_)[0]
        columns = dict(selected.columns)
        if y is not None and is_labelled(y).sum() > (label >= 0).sum():
            warn_of_unknown_classes(y, model.classes_)
            columns["label"] = np.array(["" if name in (None, -1) else str(name) for name in y.tolist()])
        return cls(
            rows=x,
            z=z,
            label=label.astype(np.int32),
            predicted=predicted.astype(np.int32),
            confidence=confidence,
            novelty=novelty,
            row=selected.row.astype(np.int32),
            number=selected.number.astype(np.int32),
            n_all=selected.n_all,
            columns=columns,
        )

    def __len__(self) -> int:
        return len(self.z)


def rows_at(x: RowsLike, indices: slice | np.ndarray) -> ArrayOrFrame:
    """Return some of the rows of an array or DataFrame."""
    return x[indices] if isinstance(x, np.ndarray | LazyArray) else x.iloc[indices]


def _read(model: SSAVAE, x: RowsLike, progress: Progress) -> tuple[np.ndarray, ...]:
    """Return the ``READ`` of rows, chunk by chunk."""
    n = len(x)
    chunks = []
    for start in range(0, n, CHUNK):
        chunks.append(_read_chunk(model, rows_at(x, slice(start, start + CHUNK))))
        progress(min(start + CHUNK, n), n)
    return tuple(np.concatenate(arrays) for arrays in zip(*chunks, strict=True))


def _read_chunk(model: SSAVAE, x: ArrayOrFrame) -> tuple[np.ndarray, ...]:
    z, probs, novelty = score_all(model, model.network_inputs(x))
    predicted = np.full(len(z), -1)
    confidence = np.full(len(z), np.nan)
    if len(model.classes_):
        predicted = probs.argmax(axis=1)
        confidence = probs.max(axis=1)
    return z, predicted, confidence.astype(np.float32), novelty.astype(np.float32)


def score_all(model: SSAVAE, inputs: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return codes (n, K), class probabilities (n, C) and novelty (n,), all of one pass.

    Novelty is clipped to the range of float32: JSON has no infinity.
    """
    density = partial(log_density, model.samplers_, model.class_shares_)
    z, logits, novelty_components = model.predictor_.score_all(inputs, density)
    novelty = np.nan_to_num(model.calibration_.novelty(novelty_components), nan=np.inf)
    return z, softmax(logits / model.calibration_.temperature, axis=1), novelty.clip(-LARGEST, LARGEST)


@dataclass(frozen=True, eq=False)  # compared by identity, to be a key of caches
class Plane:
    """A plane of the latent space: z = origin + x * x_axis + y * y_axis.

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
        """Return the plane of two axes of the latent space, through the mean of codes (n, K).

        >>> Plane.along(np.array([[1.0, 2.0, 3.0]]), 0, 1).origin
        array([0., 0., 3.])
        """
        axes = np.eye(z.shape[1])
        origin = z.mean(axis=0, dtype=np.float64)
        origin[[i, j]] = 0.0
        return cls(origin, axes[i], axes[j])

    @classmethod
    def pca(cls, z: np.ndarray, n_map: int | None = None) -> Plane:
        """Return the plane of the first two principal components of the map of codes (n, K)."""
        from sklearn.decomposition import PCA

        n_dims = z.shape[1] if n_map is None else n_map
        pca = PCA(min(2, n_dims), random_state=0).fit(z[:, :n_dims].astype(np.float64))
        axes = np.zeros((2, z.shape[1]))
        axes[: pca.n_components_, :n_dims] = pca.components_
        return cls(z.astype(np.float64).mean(axis=0), *axes)

    def project(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y of codes (n, K), (n,) each; for K = 1 y is random, to spread the points."""
        centred = z - self.origin
        x = centred @ self.x_axis
        y = centred @ self.y_axis
        if not self.y_axis.any():
            y = 0.2 * (np.ptp(x) or 1.0) * (np.random.default_rng(0).random(len(x)) - 0.5)
        return x.astype(np.float32), y.astype(np.float32)

    def lift(self, xy: np.ndarray) -> np.ndarray:
        """Return the codes (n, K) of points (n, 2)."""
        return self.origin + xy[:, :1] * self.x_axis + xy[:, 1:] * self.y_axis

    def grid(self, z: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return x (side,), y (side,) and codes (side**2, K) of a grid that covers codes (n, K)."""
        x, y = (_grid_line(values, side) for values in self.project(z))
        return x, y, self.lift(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2))

    def to_lists(self) -> dict[str, list[float]]:
        """Return origin and axes by name, as JSON holds them."""
        return {name: axis.tolist() for name, axis in vars(self).items()}


def _grid_line(values: np.ndarray, side: int) -> np.ndarray:
    margin = 0.04 * (float(np.ptp(values)) or 1.0)
    return np.linspace(values.min() - margin, values.max() + margin, side)
