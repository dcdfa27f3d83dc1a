"""Values allowed for each parameter of :class:`ssavae.SSAVAE`, in the form that scikit-learn checks."""

from __future__ import annotations

from numbers import Integral, Real
from os import PathLike

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from ssavae.training.augmentations import AUGMENTATIONS
from ssavae.training.parameters import MINIMUM, WEIGHTS

NULLABLE = ("weight_kl", "weight_detail", "weight_consistency", "weight_distill")
NULLABLE += ("n_epochs", "n_epochs_decoder")
NULLABLE += ("n_epochs_student", "n_members", "embedding_dim", "patience", "map_dim")
NULLABLE += ("batch_size", "batch_size_decoder")


class Number(Interval):
    """A number in an interval; unlike that of scikit-learn, True is none."""

    def is_satisfied_by(self, val: object) -> bool:
        """Return whether a value is a number of the interval."""
        return not isinstance(val, bool | np.bool_) and super().is_satisfied_by(val)


def _at_least(least: int) -> Number:
    return Number(Integral, least, None, closed="left")


FRACTION = Number(Real, 0, 1, closed="left")
POSITIVE = Number(Real, 0, None, closed="neither")
WEIGHT = Number(Real, 0, None, closed="left")
SEQUENCE = (tuple, list, np.ndarray)

CONSTRAINTS: dict[str, list[object]] = {
    **{name: [_at_least(least)] for name, least in MINIMUM.items()},
    **{name: [WEIGHT] for name in WEIGHTS},
    "kind": [StrOptions({"table", "image", "signal"}), None],
    "augment": list(SEQUENCE),
    "class_weight": [StrOptions({"balanced"}), dict, None],
    "learning_rate": [POSITIVE],
    "learning_rate_decoder": [POSITIVE],
    "learning_rate_disc": [POSITIVE],
    "widths": [*SEQUENCE, None],
    "student_widths": [*SEQUENCE, None],
    "encoder": [nn.Module, None],
    "decoder": [nn.Module, None],
    "dropout": [FRACTION, None],
    "validation_fraction": [FRACTION, None],
    "device": [str],
    "precision": [str],
    "deterministic": ["boolean"],
    "checkpoint_folder": [str, PathLike, None],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "random_state": [
        Number(Integral, 0, 2**32 - 1, closed="both"),
        np.random.RandomState,
        np.random.Generator,
        None,
    ],
}
for _name in NULLABLE:
    CONSTRAINTS[_name].append(None)

# Of each item of a parameter that holds several.
ITEMS: dict[str, list[object]] = {
    "widths": [_at_least(1)],
    "student_widths": [_at_least(1)],
    "augment": [StrOptions(set(AUGMENTATIONS))],
}
