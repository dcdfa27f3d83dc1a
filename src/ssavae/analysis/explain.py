"""Explanations of single rows: what would have to change for a row to be predicted as another class."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ssavae._checks import check, require_package
from ssavae.algorithms import frozen
from ssavae.data.labelled import RowsLike
from ssavae.estimator import SSAVAE
from ssavae.inference.codes import complete
from ssavae.inference.predictor import Predictor
from ssavae.preprocessing.labels import class_indices

if TYPE_CHECKING:
    import pandas as pd

STEPS = 9  # points on the path, both ends included
BANDS = 16  # parts of a signal's time
PATCHES = 7  # parts of each side of an image


@dataclass(frozen=True)
class Explanation:
    """A row beside its counterfactual in another class."""

    predicted: object  # class name of the row
    other: object  # class name of the counterfactual
    names: list[str]  # of the parts: columns of a table, stretches of a signal, patches of an image
    share: np.ndarray  # (parts,), contribution to the logit of ``predicted`` over that of ``other``
    change: np.ndarray  # (parts,), mean step of network inputs from the decoded row to its counterfactual
    attribution: np.ndarray  # (d,), (C, T) or (C, H, W), contribution of each network input: share's summands
    path: np.ndarray  # (STEPS, K), codes from the row to its counterfactual
    probability: np.ndarray  # (STEPS,), of ``other`` at these codes
    decoded: np.ndarray | pd.DataFrame  # (STEPS, ...), rows on the path in the user's units


def why(model: SSAVAE, x: RowsLike, other: object = None, along: str = "samples") -> Explanation:
    """Explain one row by the path from its code to the nearest centre of another class.

    The centre is that of the class's mixture component whose mean is nearest. ``share`` are the integrated
    gradients (Sundararajan 2017) of the difference of two logits, from the decoded counterfactual to the row;
    they add up to the whole difference.

    Parameters
    ----------
    model : SSAVAE
    x : (1, ...)
        A row, as in ``fit``.
    other : class name or None
        None takes the second most probable class.
    along : str
        Name of a signal's samples.

    Raises
    ------
    ImportError
        Without captum.
    ValueError
        If there is not one row, or ``other`` is no class of the model, or the predicted one.
    """
    require_package("captum", "explain", "explaining rows")
    check(len(x) == 1, f"one row is explained at a time, found {len(x)}")
    ranking = model.predict_proba(x)[0].argsort()[::-1]
    predicted = int(ranking[0])
    target = int(ranking[1] if other is None else class_indices(other, model.classes_, 1)[0])
    check(target != predicted, f"the row is read as {other!r} already: name another class to compare it with")
    path = _path(model, model.transform(x, detail=True)[0], target)
    codes = torch.from_numpy(path)
    predictor = model.predictor_
    decoded = predictor.decode(codes)
    attribution = _integrated_gradients(predictor, model.network_inputs(x), decoded[-1:], predicted, target)
    names = part_names(model, along)
    return Explanation(
        model.classes_[predicted],
        model.classes_[target],
        names,
        by_part(attribution, names, np.sum),
        by_part((decoded[-1] - decoded[0]).numpy(), names, np.mean),
        attribution,
        path,
        predictor.classify(codes).softmax(dim=1)[:, target].numpy(),
        model.inverse_transform(path),
    )


def _path(model: SSAVAE, z: np.ndarray, target: int) -> np.ndarray:
    """Return codes from z to a centre; of a code in two parts the row keeps its own detail."""
    n_map = model.spec_.n_map
    means = model.samplers_[f"class_{target}"].means[:, :n_map]
    nearest = np.square(means - z[:n_map]).sum(axis=1).argmin()
    goal = complete(means[[nearest]], z[None], n_map)[0]
    t = np.linspace(0.0, 1.0, STEPS)[:, None]
    return (z + t * (goal - z)).astype(np.float32)


def _integrated_gradients(
    predictor: Predictor, x: Tensor, baseline: Tensor, predicted: int, target: int
) -> np.ndarray:
    from captum.attr import IntegratedGradients

    def difference(inputs: Tensor) -> Tensor:
        logits = predictor.vec(inputs)[1]
        return logits[:, predicted] - logits[:, target]

    with frozen(predictor.vec):
        ends = (x.to(predictor.device), baseline.to(predictor.device))
        attribution: Tensor = IntegratedGradients(difference).attribute(*ends, n_steps=64)
    return attribution.detach().cpu().numpy()[0]


def part_names(model: SSAVAE, along: str) -> list[str]:
    """Name the parts of a row: columns, stretches or patches."""
    preprocess = model.preprocess_
    if preprocess.kind == "table":
        return preprocess.input_names
    if preprocess.kind == "signal":
        length = preprocess.input_shape[1]
        ends = [0, *_cuts(length, min(BANDS, length)), length]
        return [f"{along} {start} to {end - 1}" for start, end in itertools.pairwise(ends)]
    return [f"patch {i}, {j}" for i in range(PATCHES) for j in range(PATCHES)]


def by_part(
    values: np.ndarray, names: Sequence[str], aggregate: Callable[[np.ndarray], np.floating]
) -> np.ndarray:
    """Aggregate values of network inputs, (d,), (C, T) or (C, H, W), by part.

    Examples
    --------
    >>> by_part(np.arange(4.0)[None], ["samples 0 to 1", "samples 2 to 3"], np.sum)
    array([1., 5.])
    """
    if values.ndim == 1:
        return values
    if values.ndim == 2:
        parts = np.split(values, _cuts(values.shape[1], len(names)), axis=1)
    else:
        rows = np.array_split(values, PATCHES, axis=1)
        parts = [patch for row in rows for patch in np.array_split(row, PATCHES, axis=2)]
    return np.array([aggregate(part) for part in parts])


def _cuts(length: int, n: int) -> list[int]:
    """Return the indices at which a length is cut into n parts."""
    return np.linspace(0, length, n + 1)[1:-1].round().astype(int).tolist()
