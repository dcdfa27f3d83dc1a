"""Why a row stands where it stands, and what would have to change for it to stand among another class."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssavae._checks import check, require_package
from ssavae.algorithms import frozen
from ssavae.estimator import SSAVAE
from ssavae.inference.predictor import Predictor
from ssavae.preprocessing.labels import class_indices

STEPS = 9  # points on the way, both ends among them
BANDS, PATCHES = 16, 7  # parts of a signal's time, and of each side of an image


@dataclass(frozen=True)
class Why:
    """A row beside its counterpart in another class.

    Parameters
    ----------
    read_as, instead : class names
    names : list of str
        Of the parts: columns of a table, stretches of a signal, patches of an image.
    share : (parts,)
        What each part adds to the logit of ``read_as`` over that of ``instead``, from counterpart to row.
    change : (parts,)
        Mean step from the decoded row to its counterpart, in network inputs: deviations of a column.
    way : (STEPS, K)
        Codes from the row to its counterpart.
    probability : (STEPS,)
        Of ``instead``, read at these codes.
    decoded : (STEPS, ...)
        Rows on the way, in the user's units.
    """

    read_as: Any
    instead: Any
    names: list[str]
    share: np.ndarray
    change: np.ndarray
    way: np.ndarray
    probability: np.ndarray
    decoded: Any


def why(model: SSAVAE, x: Any, instead: Any = None, along: str = "samples") -> Why:
    """Explain one row by the way from its code to the nearest middle of another class.

    The middle is that of the class's mixture component whose mean is nearest. ``share`` are the integrated
    gradients (Sundararajan 2017) of the difference of two logits, from the decoded counterpart to the row;
    they add up to the whole difference.

    Parameters
    ----------
    model : SSAVAE
    x : (1, ...)
        A row, as in ``fit``.
    instead : class name or None
        None takes the class that is the most probable one but for the one that is read.
    along : str
        What a signal's places are called.

    Raises
    ------
    ImportError
        Without captum.
    ValueError
        If there is not one row, or ``instead`` is no class of the model, or the one that is read.
    """
    require_package("captum", "explain", "explaining rows")
    check(len(x) == 1, f"one row is explained at a time, found {len(x)}")
    order = model.predict_proba(x)[0].argsort()[::-1]
    other = int(order[1] if instead is None else class_indices(instead, model.classes_, 1)[0])
    check(other != order[0], f"the row is read as {instead!r} already: name another class to compare it with")
    predictor = Predictor(model.vec_, model.decoder_)
    way = _way(model, model.transform(x)[0], other)
    inputs, decoded = model.network_inputs(x), predictor.decode(torch.from_numpy(way))
    share = _integrated_gradients(predictor, inputs, decoded[-1:], int(order[0]), other)
    change = (decoded[-1] - decoded[0]).numpy()
    names = part_names(model, along)
    return Why(
        model.classes_[order[0]],
        model.classes_[other],
        names,
        by_part(share, names, np.sum),
        by_part(change, names, np.mean),
        way,
        predictor.classify(torch.from_numpy(way)).softmax(dim=1)[:, other].numpy(),
        model.inverse_transform(way),
    )


def _way(model: SSAVAE, z: np.ndarray, other: int) -> np.ndarray:
    means = model.samplers_[f"class_{other}"].means
    goal = means[np.square(means - z).sum(axis=1).argmin()]
    t = np.linspace(0.0, 1.0, STEPS)[:, None]
    return (z + t * (goal - z)).astype(np.float32)


def _integrated_gradients(
    predictor: Predictor, x: Tensor, start: Tensor, read: int, other: int
) -> np.ndarray:
    from captum.attr import IntegratedGradients

    def difference(inputs: Tensor) -> Tensor:
        logits = predictor.vec(inputs)[1]
        return logits[:, read] - logits[:, other]

    with frozen(predictor.vec):
        found: Any = IntegratedGradients(difference).attribute(x, start, n_steps=64)
    return found.detach().numpy()[0]


def part_names(model: SSAVAE, along: str) -> list[str]:
    """Name the parts that a row is explained by."""
    preprocess = model.preprocess_
    if preprocess.kind == "table":
        return preprocess.input_names
    if preprocess.kind == "signal":
        length = preprocess.input_shape[1]
        bands = itertools.pairwise([0, *_cuts(length, min(BANDS, length)), length])
        return [f"{along} {a} to {b - 1}" for a, b in bands]
    return [f"patch {i}, {j}" for i in range(PATCHES) for j in range(PATCHES)]


def by_part(values: np.ndarray, names: list[str], gather: Any) -> np.ndarray:
    """Gather values of network inputs, (d,), (C, T) or (C, H, W), by part.

    Examples
    --------
    >>> by_part(np.arange(4.0)[None], ["samples 0 to 1", "samples 2 to 3"], np.sum)
    array([1., 5.])
    """
    if values.ndim == 1:
        return values
    if values.ndim == 2:
        cuts = _cuts(values.shape[1], len(names))
        return np.array([gather(part) for part in np.split(values, cuts, axis=1)])
    rows = np.array_split(values, PATCHES, axis=1)
    return np.array([gather(part) for row in rows for part in np.array_split(row, PATCHES, axis=2)])


def _cuts(length: int, n: int) -> list[int]:
    """Return where a length is cut into n parts."""
    return np.linspace(0, length, n + 1)[1:-1].round().astype(int).tolist()
