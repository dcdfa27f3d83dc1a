"""Checks of the parameters of :class:`ssavae.SSAVAE`, and the seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ssavae._checks import UsageError, check
from ssavae._serialize import JSONObject, plain

Params = Mapping[str, Any]  # parameters of SSAVAE by name

MINIMUM = {
    "latent_dim": 1,
    "batch_size": 2,
    "batch_size_decoder": 2,
    "n_epochs": 1,
    "n_epochs_decoder": 0,
    "n_epochs_student": 1,
    "patience": 1,
    "devices": 1,
    "nodes": 1,
}
WEIGHTS = ("beta", "gamma", "weight_kl", "weight_detail", "weight_consistency")
# Parameters that say where and how a model is trained, but do not change the model.
RUNTIME = (
    "encoder",
    "decoder",
    "checkpoint_folder",
    "checkpoint_every",
    "verbose",
    "n_workers",
    "device",
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
    >>> check_params({"batch_size": 1})
    Traceback (most recent call last):
    ValueError: batch_size=1 must be at least 2
    """
    for name, least in MINIMUM.items():
        value = params.get(name)
        check(value is None or value >= least, f"{name}={value} must be at least {least}")
    for name in ("widths", "student_widths"):
        value = params.get(name)
        valid = value is None or all(width >= 1 for width in value)
        check(valid, f"{name}={plain(value)} must be widths of at least 1")
    for name in WEIGHTS:
        value = params.get(name)
        check(value is None or 0 <= value < math.inf, f"{name}={value} must be a weight of at least 0")
    _check_batch_sizes(params)
    _check_augment(params)
    if params.get("patience") is not None and not params.get("validation_fraction"):
        patience = params["patience"]
        raise ValueError(f"patience={patience} needs held-out rows: set validation_fraction, say to 0.1")


def _check_batch_sizes(params: Params) -> None:
    n_processes = params.get("devices", 1) * params.get("nodes", 1)
    for name in ("batch_size", "batch_size_decoder"):
        value = params.get(name, n_processes)
        if value % n_processes:
            raise UsageError(
                f"{name}={value} cannot be divided among {n_processes} processes: "
                f"take a multiple of {n_processes}"
            )


def _check_augment(params: Params) -> None:
    from ssavae.training.augmentations import (
        AUGMENTATIONS,
    )  # imports torch, which reading parameters need not

    names = params.get("augment", ())
    unknown = ", ".join(sorted(set(names) - AUGMENTATIONS.keys()))
    check(not unknown, f"augment={names!r} may name {', '.join(AUGMENTATIONS)}, not {unknown}")


def model_params(params: Params, seed: int) -> JSONObject:
    """Return the parameters that define a model, as plain values; ``RUNTIME`` ones are left out."""
    defining = {name: plain(value) for name, value in params.items() if name not in RUNTIME}
    if not isinstance(params["random_state"], int | None):
        defining["random_state"] = seed
    return defining


def seed_of(random_state: Any) -> int:
    """Return an integer for what scikit-learn takes as random_state; a new one for None.

    Raises
    ------
    ValueError
        If an integer is not from 0 to 2**32 - 1.
    """
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if not isinstance(random_state, int | np.integer):
        return int(random_state.randint(2**31))  # a RandomState
    if not 0 <= random_state < 2**32:
        raise ValueError(f"random_state={random_state} must be from 0 to 2**32 - 1")
    return int(random_state)
