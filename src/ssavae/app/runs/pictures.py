"""Pictures of a run: a model and rows in, figures out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest
from textwrap import wrap
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import ArrayLike

from ssavae import figures
from ssavae._checks import UsageError, nearest
from ssavae.analysis.monitoring import Track, novelty_limit
from ssavae.data.labelled import Reading, RowsLike
from ssavae.data.partition import Part
from ssavae.estimator import SSAVAE
from ssavae.metrics import classification
from ssavae.preprocessing.labels import encode_labels, is_labelled

if TYPE_CHECKING:
    import pandas as pd

PICTURE_ROWS = 300  # at most on one sheet
CAPTION = 13  # characters in a line above a picture
Grid = tuple[np.ndarray, np.ndarray, np.ndarray]
AxisLabels = tuple[str, str]  # of the axes of a signal
AS_MEASURED: AxisLabels = ("sample", "value, in the data's unit")


def label_indices(model: SSAVAE, y: np.ndarray | None, n_rows: int) -> np.ndarray:
    """Return the class index of each label, (n_rows,); -1 where unlabelled or unknown to the model."""
    return np.full(n_rows, -1) if y is None else encode_labels(y, model.classes_)[0]


def shown(model: SSAVAE, x: ArrayLike) -> np.ndarray:
    """Return rows as they are measured and drawn: images (n, H, W, C) in [0, 1], the rest standardised."""
    inputs = model.preprocess_.forward(np.asarray(x))
    if model.preprocess_.kind == "table":
        return inputs
    return np.moveaxis(inputs, 1, -1).clip(0, 1) if model.preprocess_.bounded else inputs[:, 0]


def drawn(model: SSAVAE, x: ArrayLike, channel: int = 0) -> np.ndarray:
    """Return rows as pictures show them: as `shown`, but a channel of signals (n, T), in the data's unit."""
    if model.preprocess_.kind != "signal":
        return shown(model, x)
    rows = np.asarray(x)
    return rows if rows.ndim == 2 else rows[..., channel]


def axis_labels(reading: Reading) -> AxisLabels:
    """Return the labels of the axes of a signal.

    >>> axis_labels(Reading(spectrum=True))
    ('cycles a window', 'log amplitude')
    """
    return ("cycles a window", "log amplitude") if reading.spectrum else AS_MEASURED


def draw_history(model: SSAVAE) -> figures.Figure | None:
    """Draw the losses by epoch, with the epoch that early stopping kept; None where nothing was trained."""
    if not model.history_:
        return None
    best_epochs = {}
    for step in ("vec", "decoder") if model.patience is not None else ():
        rows = [row for row in model.history_ if row["step"] == step and "val_loss" in row]
        if rows:
            best_epochs[step] = int(min(rows, key=lambda row: row["val_loss"])["epoch"])
    return figures.loss_curves(model.history_, best_epochs=best_epochs, title="losses by epoch")


def draw_new_rows(
    model: SSAVAE, part: Part | None, seed: int | None = 0, labels: AxisLabels = AS_MEASURED
) -> figures.Figure:
    """Draw samples: of a table the distributions of its columns beside rows, else ten of each class."""
    if part is not None and kind_of(model) == "table":
        return draw_distributions(model, part)
    x, y = sample_rows(model, None, 10, "class", seed)
    title = "samples, drawn class by class" if y is not None else "samples"
    return draw_samples(model, x, y, title, labels)


def draw_distributions(model: SSAVAE, part: Part, n: int = 2000) -> figures.Figure:
    """Draw the columns of rows beside those of n samples, in the columns' units."""
    real = _as_frame(part.take(slice(0, 20 * n)).x)
    sampled = _as_frame(model.sample(n, random_state=0))
    columns = [
        (str(name), _column(real.iloc[:, i]), _column(sampled.iloc[:, i])) for i, name in enumerate(real)
    ]
    title = f"columns of {len(real):,} rows and of {n:,} samples"
    return figures.column_distributions(columns, title=title)


def _as_frame(x: RowsLike) -> pd.DataFrame:
    import pandas as pd

    if isinstance(x, pd.DataFrame):
        return x
    rows = np.asarray(x)
    return pd.DataFrame(rows, columns=[f"column {i}" for i in range(rows.shape[1])])


def _column(cells: pd.Series) -> np.ndarray:
    """Return the cells of a column: numbers where they are, else objects."""
    import pandas as pd

    numbers = pd.Series(pd.to_numeric(cells, errors="coerce"))
    is_text = bool((numbers.isna() & cells.notna()).any()) or cells.map(type).eq(bool).any()
    return np.asarray(cells, dtype=object) if is_text else np.asarray(numbers, dtype=float)


def draw_confusion(model: SSAVAE, part: Part) -> figures.Figure | None:
    """Draw which class is predicted as which; None without labels or with one class."""
    y = label_indices(model, part.y, len(part.x))
    n_classes = len(model.classes_)
    if n_classes < 2 or (y < 0).all():
        return None
    predicted = model.predict_proba(part.x).argmax(axis=1)
    counts = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(counts, (y[y >= 0], predicted[y >= 0]), 1)
    names = class_names(model)
    order = natural_order(names)
    title = f"classes of {counts.sum():,} rows, {np.trace(counts) / counts.sum():.1%} right"
    return figures.confusion_matrix(counts[np.ix_(order, order)], [names[i] for i in order], title=title)


def natural_order(names: Sequence[str]) -> list[int]:
    """Return the order of names in which numbers in them count as such.

    >>> natural_order(["IDV(10)", "IDV(2)", "normal"])
    [1, 0, 2]
    """
    parts = [re.split(r"(\d+)", name) for name in names]
    keys = [[(not p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in each] for each in parts]
    return sorted(range(len(names)), key=keys.__getitem__)


def draw_reliability(model: SSAVAE, part: Part) -> figures.Figure | None:
    """Draw how often a confidence is right; None without labels."""
    y = label_indices(model, part.y, len(part.x))
    if len(model.classes_) == 0 or (y < 0).all():
        return None
    probs = model.predict_proba(part.x)
    error = classification.expected_calibration_error(probs, y)
    title = f"confidence on {int((y >= 0).sum()):,} rows, expected calibration error {error:.3f}"
    return figures.reliability_diagram(*classification.reliability(probs, y), title=title)


def draw_novelty(model: SSAVAE, known: Part, new: Part | None = None) -> figures.Figure | None:
    """Draw how well novelty tells new rows from known ones.

    New are those of another part, or else the rows of a class that the model does not know, by class; None
    where there are none.
    """
    groups = {} if new is None else {"new": model.novelty(new.x)}
    rows = np.arange(len(known.x))
    if new is None:
        of_class = unknown_classes(model, known)
        groups = {name: model.novelty(known.take(of).x) for name, of in of_class.items()}
        rows = np.flatnonzero(label_indices(model, known.y, len(known.x)) >= 0)
    if not groups or len(rows) == 0:
        return None
    scores = model.novelty(known.take(rows).x)
    n_new = sum(map(len, groups.values()))
    title = f"novelty of {len(scores):,} known and {n_new:,} new rows"
    return figures.novelty_roc(scores, groups, novelty_limit(model), title=title)


def unknown_classes(model: SSAVAE, part: Part) -> dict[str, np.ndarray]:
    """Return the rows of each class that the model does not know, by its name."""
    if part.y is None:
        return {}
    is_unknown = is_labelled(part.y) & (label_indices(model, part.y, len(part.x)) < 0)
    names = np.array([str(label) for label in part.y])
    return {name: np.flatnonzero(is_unknown & (names == name)) for name in np.unique(names[is_unknown])}


def draw_map(model: SSAVAE, part: Part) -> figures.Figure:
    """Draw the codes of rows in the plane: as they are for a map of two dimensions, else their PCA."""
    z = model.transform(part.x)
    y = label_indices(model, part.y, len(part.x))
    names = class_names(model)
    title = f"codes of {len(z):,} rows"
    if z.shape[1] == 2:
        regions = _regions(model, z) if names else None
        return figures.latent_map(z, y, names, regions=regions, untrusted=_untrusted(model, z), title=title)
    if z.shape[1] == 1:
        height = np.random.default_rng(0).random(len(z))
        z = np.column_stack([z[:, 0], height])
        return figures.latent_map(z, y, names, title=f"{title}; the height is random")
    from sklearn.decomposition import PCA

    pca = PCA(2).fit(z)
    explained = pca.explained_variance_ratio_.tolist()
    title = f"PCA of mu, {z.shape[1]} dimensions: {title}"
    return figures.latent_map(pca.transform(z), y, names, explained=explained, title=title)


def draw_track(model: SSAVAE, track: Track, alarm: np.ndarray) -> figures.Figure:
    """Draw rows in time order; of more than two dimensions the plane of their own PCA."""
    z = track.z
    names = class_names(model)
    title = f"a run of {len(z):,} rows"
    regions = _regions(model, z) if names and z.shape[1] == 2 else None
    if z.shape[1] > 2 and len(z) > 2:
        from sklearn.decomposition import PCA

        z = PCA(2).fit_transform(z)
        title = f"{title}, PCA of mu"
    elif z.shape[1] != 2:
        z = np.column_stack([z[:, 0], np.zeros(len(z))])
    limit = novelty_limit(model)
    return figures.track(z, track.novelty, limit, alarm, track.predicted, names, regions=regions, title=title)


def class_names(model: SSAVAE) -> list[str]:
    """Return the names of the classes of a model, as text."""
    return [str(c) for c in model.classes_]


def _grid(low: np.ndarray, high: np.ndarray, n_side: int) -> Grid:
    """Return a grid between two corners: x (n_side,), y (n_side,), and all its points (n_side**2, 2)."""
    xs, ys = (np.linspace(low[i], high[i], n_side) for i in (0, 1))
    return xs, ys, np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)


def _grid_around(z: np.ndarray, n_side: int) -> Grid:
    margin = 0.04 * np.ptp(z, axis=0)
    return _grid(z.min(axis=0) - margin, z.max(axis=0) + margin, n_side)


def _untrusted(model: SSAVAE, z: np.ndarray) -> Grid:
    """Return x, y and a mask of the codes not to be trusted; each point is decoded, so the grid is coarse."""
    xs, ys, grid = _grid_around(z, 80)
    return xs, ys, ~model.is_trusted(grid).reshape(len(ys), len(xs))


def _regions(model: SSAVAE, z: np.ndarray) -> Grid:
    """Return x, y and the predicted class at every point of a grid around the codes."""
    xs, ys, grid = _grid_around(z, 250)
    logits = model.predictor_.classify(torch.from_numpy(grid).float())
    return xs, ys, logits.argmax(dim=1).numpy().reshape(len(ys), len(xs))


def draw_grid(model: SSAVAE, part: Part, n_side: int = 20) -> figures.Figure | None:
    """Draw the decoded rows of a grid over the map; None but for images and maps of two dimensions."""
    if model.preprocess_.kind != "image" or model.spec_.n_map != 2:
        return None
    low, high = np.quantile(model.transform(part.x), [0.005, 0.995], axis=0)
    codes = _grid(low, high, n_side)[2]
    images = shown(model, model.inverse_transform(codes))
    # small pictures fill their frame: side by side they would run into each other
    edge = int(images.shape[1] < 16)
    images = np.pad(images, [(0, 0), (edge, edge), (edge, edge), (0, 0)])
    half = (high - low) / (2 * (n_side - 1))  # the middle of a picture is its code
    extent = [low[0] - half[0], high[0] + half[0], low[1] - half[1], high[1] + half[1]]
    tiles = images.reshape(n_side, n_side, *images.shape[1:])
    return figures.decoded_grid(tiles, extent, title="decoded over the map")


def draw_reconstructions(
    model: SSAVAE, part: Part, n: int, labels: AxisLabels = AS_MEASURED
) -> figures.Figure:
    """Draw n rows, of every class in turn, beside their reconstructions."""
    rows = pick(label_indices(model, part.y, len(part.x)), n)
    x = part.take(rows).x
    kind = kind_of(model)
    captions = None
    if part.y is not None:
        predicted = model.predict(x) if len(model.classes_) else []
        captions = [_caption(*pair, kind) for pair in zip_longest(part.y[rows], predicted)]
    xlabel, ylabel = labels_for(kind, labels)
    return figures.reconstructions(
        drawn(model, x),
        drawn(model, model.reconstruct(x)),
        captions,
        kind=kind,
        columns=model.preprocess_.input_names,
        xlabel=xlabel,
        ylabel=ylabel,
        title="inputs and reconstructions",
    )


def kind_of(model: SSAVAE) -> figures.Kind:
    """Return the kind of rows that a model was trained on."""
    return cast("figures.Kind", model.preprocess_.kind)


def labels_for(kind: figures.Kind, labels: AxisLabels) -> AxisLabels:
    """Return the labels of the axes on which rows are drawn: of a table standardised, of a signal its own."""
    return labels if kind == "signal" else ("", "standard deviations" if kind == "table" else "")


def _caption(label: object, predicted: object, kind: figures.Kind) -> str:
    """Return a row's class, and the predicted one where it is another."""
    known = "" if label in (None, -1) else str(label)
    is_right = predicted is None or known == str(predicted)
    if kind == "image":  # pictures stand close together
        lines = [known] if is_right else [known, f"→ {predicted}"]
        return "\n".join(part for line in lines for part in wrap(line, CAPTION))
    return known if is_right else f"{known or 'unlabelled'}, read {predicted}"


def pick(y: np.ndarray, n: int) -> np.ndarray:
    """Return n rows: the first of every class, then the second of every class, and so on; unlabelled last.

    >>> pick(np.array([1, 1, 0, 0, -1]), 3).tolist()
    [2, 0, 3]
    """
    rank = np.zeros(len(y), dtype=np.int64)
    for c in np.unique(y):
        rank[y == c] = np.arange((y == c).sum())
    return np.lexsort((y, rank, y < 0))[:n]


def draw_samples(
    model: SSAVAE, x: ArrayLike, y: np.ndarray | None, title: str, labels: AxisLabels = AS_MEASURED
) -> figures.Figure:
    """Draw sampled rows, ten of each class of y; without classes, the first rows in lines of ten."""
    kind = kind_of(model)
    rows = np.asarray(x)
    if y is not None and len(set(y.tolist())) > 1:
        lines = label_indices(model, y, len(rows))
        names = class_names(model)
    else:
        rows = rows[:PICTURE_ROWS]
        lines = np.arange(len(rows)) // 10
        names = [""] * (lines[-1] + 1)
    xlabel, ylabel = labels_for(kind, labels)
    return figures.class_samples(
        drawn(model, rows), lines, names, kind=kind, xlabel=xlabel, ylabel=ylabel, title=title
    )


def sample_rows(
    model: SSAVAE, name: str | None, n: int, sampler: str, seed: int | None
) -> tuple[np.ndarray | pd.DataFrame, np.ndarray | None]:
    """Draw n rows of one class, n of each class (sampler "class"), or n rows; and their classes.

    Raises
    ------
    UsageError
        The model has no class of this name, or the sampler does not draw by class.
    """
    if name is None and (sampler != "class" or len(model.classes_) == 0):
        return model.sample(n, sampler=sampler, random_state=seed), None
    if sampler != "class":
        raise UsageError(f"--class needs --sampler class, found {sampler}")
    chosen = slice(None) if name is None else [class_index(model, name)]
    y = np.repeat(model.classes_[chosen], n)
    return model.sample(len(y), y=y, random_state=seed), y


def class_index(model: SSAVAE, name: str, option: str = "") -> int:
    """Return the index of the class of this name.

    Raises
    ------
    UsageError
        There is none; the message begins with the option, where one is given.
    """
    names = class_names(model)
    if name not in names:
        raise UsageError(
            f"{option}no class {name!r}{nearest(name, names)}; there are {', '.join(names) or 'none'}"
        )
    return names.index(name)
