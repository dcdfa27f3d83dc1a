"""The pictures of a run: rows and a model in, figures out."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ssavae import figures
from ssavae._checks import UsageError, nearest
from ssavae.data.partition import Part
from ssavae.estimator import SSAVAE
from ssavae.inference.predictor import Predictor
from ssavae.metrics import classification
from ssavae.preprocessing.labels import encode_labels

PICTURE_ROWS = 300  # more than these would not be seen on one sheet


def label_indices(model: SSAVAE, y: np.ndarray | None, n_rows: int) -> np.ndarray:
    """Return each label's place in the model's classes, (n_rows,); -1 where unlabelled or unknown to it."""
    return np.full(n_rows, -1) if y is None else encode_labels(y, model.classes_)[0]


def shown(model: SSAVAE, x: Any) -> np.ndarray:
    """Return rows as they are measured and drawn: images (n, H, W, C) in [0, 1], the rest standardised."""
    inputs = model.preprocess_.forward(np.asarray(x))
    if model.preprocess_.kind == "table":
        return inputs
    return np.moveaxis(inputs, 1, -1).clip(0, 1) if model.preprocess_.bounded else inputs[:, 0]


def draw_pictures(model: SSAVAE, part: Part, folder: Path, suffix: str = ".png") -> list[Path]:
    """Draw map, decoded grid (images, latent_dim 2), reconstructions, samples and loss curves."""
    x, y = sample_rows(model, None, 10, "class", 0)
    drawn = {
        "map": draw_map(model, part),
        "decoded_grid": draw_grid(model, part),
        "reconstructions": draw_reconstructions(model, part, 20),
        "samples": draw_samples(model, x, y, "samples, drawn class by class" if y is not None else "samples"),
        "reliability": draw_reliability(model, part),
        "curves": figures.loss_curves(model.history_, title="losses by epoch") if model.history_ else None,
    }
    folder.mkdir(parents=True, exist_ok=True)
    return [
        figures.save(made, folder / f"{name}{suffix}") for name, made in drawn.items() if made is not None
    ]


def draw_reliability(model: SSAVAE, part: Part) -> figures.Figure | None:
    """Draw how often a confidence is right; None without labels."""
    y = label_indices(model, part.y, len(part.x))
    if len(model.classes_) == 0 or (y < 0).all():
        return None
    probs = model.predict_proba(part.x)
    error = classification.expected_calibration_error(probs, y)
    title = f"confidence on {int((y >= 0).sum()):,} rows, expected calibration error {error:.3f}"
    return figures.reliability_diagram(*classification.reliability(probs, y), title=title)


def draw_map(model: SSAVAE, part: Part) -> figures.Figure:
    """Draw the codes of rows in the plane: as they are for latent_dim 2, else their PCA."""
    z, y = model.transform(part.x), label_indices(model, part.y, len(part.x))
    names, title = [str(c) for c in model.classes_], f"codes of {len(z):,} rows"
    if z.shape[1] == 1:
        height = np.random.default_rng(0).random(len(z))
        z, title = np.column_stack([z[:, 0], height]), f"{title}; the height is random"
    if z.shape[1] == 2:
        regions = _regions(model, z) if names else None
        untrusted = _untrusted(model, z)
        return figures.latent_map(z, y, names, regions=regions, untrusted=untrusted, title=title)
    from sklearn.decomposition import PCA

    pca = PCA(2).fit(z)
    explained = pca.explained_variance_ratio_.tolist()
    title = f"PCA of mu, {model.latent_dim} dimensions: {title}"
    return figures.latent_map(pca.transform(z), y, names, explained=explained, title=title)


def draw_track(
    model: SSAVAE, z: np.ndarray, novelty: np.ndarray, limit: float, alarm: np.ndarray, read_as: np.ndarray
) -> figures.Figure:
    """Draw a run over time; of more than two dimensions the plane of its own PCA."""
    names, regions = [str(c) for c in model.classes_], None
    title = f"a run of {len(z):,} rows"
    if z.shape[1] == 2:
        regions = _regions(model, z) if names else None
    elif z.shape[1] > 2 and len(z) > 2:
        from sklearn.decomposition import PCA

        z, title = PCA(2).fit_transform(z), f"{title}, PCA of mu"
    else:
        z = np.column_stack([z[:, 0], np.zeros(len(z))])
    return figures.track(z, novelty, limit, alarm, read_as, names, regions=regions, title=title)


def _grid(z: np.ndarray, n_side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a grid around the codes: x (n_side,), y (n_side,), and all its points (n_side**2, 2)."""
    margin = 0.04 * np.ptp(z, axis=0)
    low, high = z.min(axis=0) - margin, z.max(axis=0) + margin
    xs, ys = (np.linspace(low[i], high[i], n_side) for i in (0, 1))
    return xs, ys, np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)


def _untrusted(model: SSAVAE, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where the map should not be read; each point is decoded, so the grid is coarse."""
    xs, ys, grid = _grid(z, 80)
    return xs, ys, ~model.is_trusted(grid).reshape(len(ys), len(xs))


def _regions(model: SSAVAE, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the class decided at every point of a grid around the codes."""
    xs, ys, grid = _grid(z, 250)
    logits = Predictor(model.vec_, model.decoder_).classify(torch.from_numpy(grid).float())
    return xs, ys, logits.argmax(dim=1).numpy().reshape(len(ys), len(xs))


def draw_grid(model: SSAVAE, part: Part, n_side: int = 20) -> figures.Figure | None:
    """Draw what the decoder makes of a grid over the map; None but for images and latent_dim 2."""
    if model.preprocess_.kind != "image" or model.latent_dim != 2:
        return None
    low, high = np.quantile(model.transform(part.x), [0.005, 0.995], axis=0)
    xs, ys = (np.linspace(low[i], high[i], n_side) for i in (0, 1))
    codes = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    images = shown(model, model.inverse_transform(codes))
    # small pictures fill their frame: side by side they would run into each other
    edge = int(images.shape[1] < 16)
    images = np.pad(images, [(0, 0), (edge, edge), (edge, edge), (0, 0)])
    half = (high - low) / (2 * (n_side - 1))  # a picture's middle is its code
    extent = [low[0] - half[0], high[0] + half[0], low[1] - half[1], high[1] + half[1]]
    return figures.decoded_grid(
        images.reshape(n_side, n_side, *images.shape[1:]), extent, title="decoded over the map"
    )


def draw_reconstructions(model: SSAVAE, part: Part, n: int) -> figures.Figure:
    """Draw n rows, of every class in turn, beside what the model makes of them."""
    picked = pick(label_indices(model, part.y, len(part.x)), n)
    x = part.take(picked).x
    kind: Any = model.preprocess_.kind
    read_as = model.predict(x) if len(model.classes_) else []
    labels = (
        None if part.y is None else [_caption(*pair, kind) for pair in zip_longest(part.y[picked], read_as)]
    )
    units = "" if kind == "image" else " (standardised)"
    made = shown(model, model.reconstruct(x))
    title = f"inputs and reconstructions{units}"
    names = model.preprocess_.input_names
    return figures.reconstructions(shown(model, x), made, labels, kind=kind, columns=names, title=title)


def _caption(label: Any, read_as: Any, kind: str) -> str:
    """Return a row's class, and what the model reads where that is another."""
    known = "" if label in (None, -1) else str(label)
    if read_as is None or known == str(read_as):
        return known
    if kind == "image":  # pictures stand close together
        return f"{known[:11]}\n→ {read_as}"[: len(known[:11]) + 12]
    return f"{known or 'unlabelled'}, read {read_as}"


def pick(y: np.ndarray, n: int) -> np.ndarray:
    """Return n rows: the first of every class, then the second of every class, and so on; unlabelled last.

    >>> pick(np.array([1, 1, 0, 0, -1]), 3).tolist()
    [2, 0, 3]
    """
    rank = np.zeros(len(y), dtype=np.int64)
    for c in np.unique(y):
        rank[y == c] = np.arange((y == c).sum())
    return np.lexsort((y, rank, y < 0))[:n]


def draw_samples(model: SSAVAE, x: np.ndarray, y: np.ndarray | None, title: str) -> figures.Figure:
    """Draw sampled rows, ten of each class of y; without classes, the first rows in lines of ten."""
    kind: Any = model.preprocess_.kind
    title += "" if kind == "image" else " (standardised)"
    if y is not None and len(set(y.tolist())) > 1:
        names = [str(c) for c in model.classes_]
        return figures.class_samples(
            shown(model, x), label_indices(model, y, len(x)), names, kind=kind, title=title
        )
    rows = shown(model, x[:PICTURE_ROWS])
    lines = np.arange(len(rows)) // 10
    return figures.class_samples(rows, lines, [""] * (lines[-1] + 1), kind=kind, title=title)


def sample_rows(
    model: SSAVAE, name: str | None, n: int, sampler: str, seed: int | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Draw n rows of one class, n of each class (sampler "class"), or n rows; and their classes.

    Raises
    ------
    UsageError
        The model has no class of this name, or the sampler does not draw by class.
    """
    if name is None and (sampler != "class" or len(model.classes_) == 0):
        return model.sample(n, sampler=sampler, random_state=seed), None
    by_name = {str(c): c for c in model.classes_}
    if name is not None and (name not in by_name or sampler != "class"):
        why = f"no class {name!r}{nearest(name, by_name)}; there are {', '.join(by_name) or 'none'}"
        raise UsageError(why if sampler == "class" else f"--class needs --sampler class, found {sampler}")
    wanted = model.classes_ if name is None else np.array([by_name[name]], dtype=model.classes_.dtype)
    y = np.repeat(wanted, n)
    return model.sample(len(y), y=y, random_state=seed), y
