"""What parameters may be, and their way into JSON and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ssavae._checks import UsageError
from ssavae._serialize import plain

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


def check_params(params: Mapping[str, Any]) -> None:
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
        if value is not None and value < least:
            raise ValueError(f"{name}={value} must be at least {least}")
    for name in ("widths", "student_widths"):
        value = params.get(name)
        if value is not None and not all(width >= 1 for width in value):
            raise ValueError(f"{name}={plain(value)} must be widths of at least 1")
    n = params.get("devices", 1) * params.get("nodes", 1)
    for name in ("batch_size", "batch_size_decoder"):
        value = params.get(name, n)
        if value % n:
            raise UsageError(
                f"{name}={value} cannot be shared out among {n} processes: take a multiple of {n}"
            )
    for name in WEIGHTS:
        value = params.get(name)
        if value is not None and not 0 <= value < math.inf:
            raise ValueError(f"{name}={value} must be a weight of at least 0")
    from ssavae.training.augmentations import AUGMENTATIONS

    unknown = set(params.get("augment", ())) - AUGMENTATIONS.keys()
    if unknown:
        known = ", ".join(AUGMENTATIONS)
        raise ValueError(f"augment={params['augment']!r} may name {known}, not {', '.join(sorted(unknown))}")
    if params.get("patience") is not None and not params.get("validation_fraction"):
        raise ValueError(
            f"patience={params['patience']} needs rows to watch: set validation_fraction, say to 0.1"
        )


def seed_of(random_state: Any) -> int:
    """Make one integer of what scikit-learn takes as random_state; a new one of None.

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
