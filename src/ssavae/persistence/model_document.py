"""Schema of a fitted model: what model.json may hold, and which arrays have to lie beside it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from ssavae._checks import check
from ssavae.inference.samplers import MIXTURE_ARRAYS
from ssavae.networks import CLASSIFIER_DIM, HIDDEN_DIM, N_FREQUENCIES, Spec, layer_sides
from ssavae.persistence.schema import Classes, check_preprocessor
from ssavae.preprocessing.preprocessor import Preprocessor

SCORES = ("class_scores", "novelty_scale", "novelty_scores")  # arrays of a Calibration
N_NOVELTY_COMPONENTS = 3  # of Predictor.novelty_components
TOLERANCE = 1e-8  # of a sum of fractions: numpy's own, where it draws by them

Shape = tuple[int, ...]
OwnNetwork = Literal["encoder", "decoder"]


@dataclass(frozen=True)
class ModelDocument:
    """What model.json holds of a fitted model.

    Parameters
    ----------
    params : dict
        Parameters that define the model, as plain values.
    custom : tuple of str
        Which of encoder and decoder are the user's own; their classes are not stored.
    spec : Spec
    preprocess : Preprocessor
    classes : Classes
    feature_names : tuple of str
        Names of a table's columns; empty without names.
    n_features_in : int
    seed : int
    data_sha256 : str
        Digest of the training rows and labels.
    feature_weights : tuple of float
        w_l of ``loss_rec``.
    class_shares : tuple of float
        Fraction of each class in the training rows.
    temperature : float
    novelty_held_out : bool
        Whether novelty is calibrated on rows that were not trained on.
    versions : dict
        Of the libraries that wrote the model.
    """

    params: dict[str, Any]
    custom: tuple[OwnNetwork, ...]
    spec: Spec
    preprocess: Preprocessor
    classes: Classes
    feature_names: tuple[str, ...]
    n_features_in: int
    seed: int
    data_sha256: str
    feature_weights: tuple[float, ...]
    class_shares: tuple[float, ...]
    temperature: float
    novelty_held_out: bool
    versions: dict[str, str] = field(default_factory=dict)


def check_document(document: ModelDocument) -> None:
    """Raise ValueError unless the parts of model.json fit one another."""
    spec = document.spec
    check_preprocessor(document.preprocess)
    n_classes = max(1, len(document.classes.array()))
    n_columns = document.preprocess.row_shape[0]
    n_names = len(document.feature_names)
    n_weights = len(document.feature_weights)
    n_features = n_weights if "encoder" in document.custom else spec.n_hidden_layers
    for valid, problem in (
        (spec.input_shape == document.preprocess.input_shape, "spec.input_shape is not that of preprocess"),
        (spec.bounded == document.preprocess.bounded, "spec.bounded is not that of preprocess"),
        (spec.n_classes == n_classes, f"spec.n_classes is {spec.n_classes}, but there are {n_classes}"),
        (document.n_features_in == n_columns, f"n_features_in must be {n_columns}, as in preprocess"),
        (n_names in (0, n_columns), f"feature_names must be {n_columns}, found {n_names}"),
        (len(document.class_shares) == n_classes, f"class_shares must be {n_classes}"),
        (_are_shares(np.array(document.class_shares)), "class_shares must add up to 1"),
        (n_weights == n_features, f"feature_weights must be {n_features}, found {n_weights}"),
        (document.temperature > 0, f"temperature must be above 0, found {document.temperature}"),
        (0 <= document.seed < 2**63, f"seed must be from 0 to 2**63 - 1, found {document.seed}"),
    ):
        check(valid, f"model.{problem}")


def check_arrays(document: ModelDocument, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError unless the arrays of calibration and samplers are those of such a model."""
    k = document.spec.latent_dim
    samplers = ["aggregate", *(f"class_{c}" for c in range(len(document.classes.names)))]
    n = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    expected: dict[str, Shape] = {name: (n.get(name, 0),) for name in SCORES}
    expected["novelty_scale"] = (2, N_NOVELTY_COMPONENTS)
    for name in samplers:
        m = n.get(f"samplers.{name}.weights", 0)
        shapes = ((m,), (m, k), (m, k, k))
        pairs = zip(MIXTURE_ARRAYS, shapes, strict=True)
        expected |= {f"samplers.{name}.{part}": shape for part, shape in pairs}
    compare_shapes({name: array.shape for name, array in arrays.items()}, expected)
    for name, array in arrays.items():
        check(array.dtype.kind == "f", f"{name} must hold floats, found {array.dtype}")
        check(np.isfinite(array).all(), f"{name} holds NaN or infinity")
    for name in samplers:
        check(_are_shares(arrays[f"samplers.{name}.weights"]), f"samplers.{name}.weights must add up to 1")
        diagonals = arrays[f"samplers.{name}.factors"].diagonal(axis1=1, axis2=2)
        check((diagonals > 0).all(), f"samplers.{name}.factors must have positive diagonals")
    check((arrays["novelty_scale"][1] > 0).all(), "novelty_scale must be above 0")


def check_size(document: ModelDocument, shapes: Mapping[str, Shape]) -> None:
    """Raise ValueError, before anything is built, where a spec is larger than weights of these shapes."""
    spec = document.spec
    n_layers = len(spec.widths) + len(spec.student_widths)
    check(n_layers <= len(shapes), f"model.spec has {n_layers} layers, the weights are {len(shapes)} tensors")
    at_least = count_weights(spec, document.custom)
    n_weights = sum(map(math.prod, shapes.values()))
    check(at_least <= n_weights, f"model.spec needs {at_least} weights or more, there are {n_weights}")


def count_weights(spec: Spec, custom: Collection[str] = ()) -> int:
    """Return how many weights the networks of a spec have at least: biases and norms are not counted.

    Parameters
    ----------
    spec : Spec
    custom : collection of {"encoder", "decoder"}
        Networks of the user's own, which are not counted.

    Examples
    --------
    >>> count_weights(Spec((4,), 2, 3, bounded=False, widths=(8,)))
    472
    """
    n_dims = len(spec.input_shape) - 1
    channels = (spec.input_shape[0], *spec.layer_widths)
    convolutions = 3**n_dims * sum(n_in * n_out for n_in, n_out in pairwise(channels))
    size = channels[-1] * math.prod(layer_sides(spec.input_shape, len(channels) - 1)[-1])
    last = HIDDEN_DIM if n_dims else size
    encoder = convolutions + (size * HIDDEN_DIM if n_dims else 0) + 2 * last * spec.latent_dim
    if spec.n_members > 1:
        member = (spec.input_shape[0], *spec.member_widths, 2 * spec.latent_dim)
        encoder = spec.n_members * sum(n_in * n_out for n_in, n_out in pairwise(member))
    encoder += spec.n_embedded * (N_FREQUENCIES + spec.n_members * spec.member_widths[0])
    decoder = spec.latent_dim * size + convolutions
    classifier = CLASSIFIER_DIM * (spec.n_map + spec.n_classes)
    student = (math.prod(spec.input_shape), *spec.student_widths, spec.latent_dim)
    total = classifier + convolutions + size  # of the discriminator
    total += sum(n_in * n_out for n_in, n_out in pairwise(student)) if spec.student_widths else 0
    return total + encoder * ("encoder" not in custom) + decoder * ("decoder" not in custom)


def compare_shapes(shapes: Mapping[str, Shape], expected: Mapping[str, Shape]) -> None:
    """Raise ValueError with the first name whose shape is not the expected one."""
    for name in sorted(shapes.keys() | expected.keys()):
        shape, wanted = shapes.get(name, "nothing"), expected.get(name, "nothing")
        check(shape == wanted, f"{name} is {shape}, wanted is {wanted}")


def _are_shares(values: np.ndarray) -> bool:
    return bool((values >= 0).all() and abs(values.sum() - 1) <= TOLERANCE)
