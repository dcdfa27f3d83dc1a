"""Checks of the parameters of :class:`ssavae.SSAVAE`, and the seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ssavae._checks import UsageError, check
from ssavae._serialize import JSONObject, plain

Params = Mapping[str, Any]  # parameters of SSAVAE by name

MINIMUM = {
    "latent_dim": 1,
    "map_dim": 1,
    "batch_size": 2,
    "batch_size_decoder": 2,
    "n_epochs": 1,
    "n_epochs_decoder": 0,
    "n_epochs_student": 1,
    "patience": 1,
    "devices": 1,
    "nodes": 1,
    "calibration_folds": 0,
    "n_members": 1,
    "embedding_dim": 1,
    "n_workers": 0,
    "checkpoint_every": 0,
}
BATCH_SIZES = {
    "batch_size": 128,
    "batch_size_decoder": 32,
}  # where it is None, on any device (docs/decisions.md)
WEIGHTS = ("beta", "gamma", "weight_kl", "weight_detail", "weight_consistency", "weight_distill")
# Step 1 does not depend on these.
STEP_2 = (
    "beta",
    "gamma",
    "n_epochs_decoder",
    "batch_size_decoder",
    "learning_rate_decoder",
    "learning_rate_disc",
)
# Parameters that say where and how a model is trained, but do not change the model.
RUNTIME = (
    "encoder",
    "decoder",
    "checkpoint_folder",
    "checkpoint_every",
    "verbose",
    "warm_start",
    "n_workers",
    "device",
    "deterministic",
    "devices",
    "nodes",
)


def check_params(params: Params) -> None:
    """Refuse parameters that could only fail later, and less clearly.

    Raises
    ------
    ValueError
        Naming the parameter, its value and what it may be.

    Examples
    --------
    >>> check_params({"patience": 3})
    Traceback (most recent call last):
    ValueError: patience=3 needs held-out rows: set validation_fraction, say to 0.1
    """
    from sklearn.utils._param_validation import validate_parameter_constraints

    from ssavae.training.constraints import (  # imports torch, which reading parameters need not
        CONSTRAINTS,
        ITEMS,
        WEIGHT,
    )

    validate_parameter_constraints(CONSTRAINTS, params, "SSAVAE")
    for name, constraint in ITEMS.items():
        for item in plain(params.get(name)) or ():
            validate_parameter_constraints({name: constraint}, {name: item}, "SSAVAE")
    weights = params.get("class_weight")
    for label, weight in weights.items() if isinstance(weights, dict) else ():
        name = f"class_weight[{label!r}]"
        validate_parameter_constraints({name: [WEIGHT]}, {name: weight}, "SSAVAE")
    _check_batch_sizes(params)
    _check_map_dim(params)
    if params.get("patience") is not None and not params.get("validation_fraction"):
        patience = params["patience"]
        raise ValueError(f"patience={patience} needs held-out rows: set validation_fraction, say to 0.1")


def _check_map_dim(params: Params) -> None:
    map_dim = params.get("map_dim")
    latent_dim = params.get("latent_dim", map_dim)
    check(
        map_dim is None or map_dim <= latent_dim,
        f"map_dim={map_dim} must be at most latent_dim={latent_dim}: the map is a part of the code",
    )


def _check_batch_sizes(params: Params) -> None:
    n_processes = params.get("devices", 1) * params.get("nodes", 1)
    for name, default in BATCH_SIZES.items():
        value = default if params.get(name) is None else params[name]
        if value % n_processes:
            raise UsageError(
                f"{name}={value} cannot be divided among {n_processes} processes: "
                f"take a multiple of {n_processes}"
            )


def pairs_of(eval_set: object) -> list[tuple[Any, Any]]:
    """Return the pairs (X, y) of an ``eval_set``: one, several in a list, or none.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    pairs: list[Any] = [] if eval_set is None else eval_set if isinstance(eval_set, list) else [eval_set]
    for pair in pairs:
        valid = isinstance(pair, tuple) and len(pair) == 2
        check(valid, f"eval_set must be a tuple (X, y), or a list of them; found a {type(pair).__name__}")
    return pairs


def model_params(params: Params, seed: int) -> JSONObject:
    """Return the parameters that define a model, as plain values; ``RUNTIME`` ones are left out.

    A dict becomes a list of its pairs: the keys of a JSON object are text, classes need not be.
    """
    values = {name: list(v.items()) if isinstance(v, dict) else v for name, v in params.items()}
    defining = {name: plain(value) for name, value in values.items() if name not in RUNTIME}
    if not isinstance(params["random_state"], int | None):
        defining["random_state"] = seed
    return defining


def seed_of(random_state: int | np.random.RandomState | np.random.Generator | None) -> int:
    """Return an integer for what scikit-learn takes as random_state, or a generator; a new one for None."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    return int(random_state)
