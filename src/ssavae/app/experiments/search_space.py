"""What a sweep tries: values of parameters, the grid that they span, and a name for each cell of it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssavae._checks import UsageError
from ssavae.app.runs.settings import plan_parameters

# what step 1 knows nothing of: cells that differ in these alone share their VEC
OF_STEP_2 = (
    "beta",
    "gamma",
    "n_epochs_decoder",
    "batch_size_decoder",
    "learning_rate_decoder",
    "learning_rate_disc",
)
NO_AXIS = ("device", "n_workers")  # nothing of the result, or so it should be
LOG_FROM = 10.0  # a range whose ends differ by this factor is drawn from by its logarithm

Cell = dict[str, Any]


@dataclass(frozen=True)
class Space:
    """Parameters that all cells share, and those that are swept, with their values in the order given."""

    shared: dict[str, Any]
    swept: dict[str, tuple[Any, ...]]

    def grid(self) -> list[Cell]:
        """Return all combinations, the first parameter fastest: so workers begin with VECs of their own.

        Examples
        --------
        >>> Space({}, {"latent_dim": (2, 5), "beta": (0.0, 0.1)}).grid()[:2]
        [{'latent_dim': 2, 'beta': 0.0}, {'latent_dim': 5, 'beta': 0.0}]
        """
        names = [*self.swept][::-1]
        every = itertools.product(*(self.swept[name] for name in names))
        return [dict(list(zip(names, values, strict=True))[::-1]) for values in every]

    def parameters(self, cell: Cell) -> dict[str, Any]:
        """Return all parameters of a cell."""
        return {**self.shared, **cell}

    def range_of(self, name: str) -> tuple[float, float, bool] | None:
        """Return least, most, and whether by its logarithm, of a parameter whose values are numbers."""
        values = self.swept[name]
        if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            return None
        least, most = min(values), max(values)
        return least, most, least > 0 and most / least >= LOG_FROM

    def vec_name(self, cell: Cell) -> str | None:
        """Return a name for the step 1 of a cell; None where no other cell can have the same."""
        if not set(self.swept) & set(OF_STEP_2):
            return None
        return name_of({k: v for k, v in cell.items() if k not in OF_STEP_2}) or "all"


def name_of(cell: Cell) -> str:
    """Return a cell's name, which is that of its folder.

    Examples
    --------
    >>> name_of({"latent_dim": 2, "beta": 0.01, "widths": (8, 16)})
    'latent_dim=2,beta=0.01,widths=8x16'
    """
    return ",".join(f"{name}={_word(value)}" for name, value in cell.items())


def _word(value: Any) -> str:
    text = ("x".join(map(str, value)) or "none") if isinstance(value, tuple | list) else str(value)
    return re.sub(r"[^\w.+-]", "_", text)


def plan_space(
    preset: str | None,
    options: Mapping[str, Any],
    choices: Mapping[str, Sequence[Any]],
    assignments: Sequence[str],
) -> Space:
    """Read what is shared and what is swept from preset, options and ``key=v1,v2`` assignments.

    Parameters
    ----------
    preset : str or None
        See ``runs.plan_parameters``.
    options : mapping
        Values of options that no cell differs in; None where not given.
    choices : mapping
        Values of options that may have several; empty where not given.
    assignments : sequence of str
        ``key=v1,v2`` with TOML values; commas within brackets or quotes belong to a value.

    Raises
    ------
    UsageError
        Nothing has two values, a parameter is given twice, unknown or of another type.

    Examples
    --------
    >>> plan_space(None, {}, {"latent_dim": [2, 3]}, ["beta=0,0.1"]).swept
    {'latent_dim': (2, 3), 'beta': (0.0, 0.1)}
    """
    given = [(name, [str(value) for value in values]) for name, values in choices.items() if values]
    given += [_split(text) for text in assignments]
    values: dict[str, tuple[Any, ...]] = {}
    for name, texts in given:
        if name in values:
            raise UsageError(f"{name} is given twice")
        read = (plan_parameters(None, {}, [f"{name}={text}"])[name] for text in texts)
        values[name] = tuple(dict.fromkeys(read))
    swept = {name: found for name, found in values.items() if len(found) > 1}
    _check_swept(swept)
    single = [f"{name}={texts[0]}" for name, texts in given if name not in swept]
    shared = plan_parameters(preset, options, single)
    return Space(shared, {name: _alike(found) for name, found in swept.items()})


def _check_swept(swept: Mapping[str, Any]) -> None:
    if not swept:
        raise UsageError(
            "nothing to sweep: give two values or more of a parameter, such as --beta 0 0.01 0.1"
        )
    idle = sorted(set(swept) & set(NO_AXIS))
    if idle:
        raise UsageError(f"{idle[0]} changes where a cell is trained, not what comes out: give one value")


def _split(text: str) -> tuple[str, list[str]]:
    name, sign, values = (part.strip() for part in text.partition("="))
    if not sign or not values:
        raise UsageError(f"--set takes key=value or key=value,value,..., found {text!r}")
    found = re.findall(r"(?:\[[^\]]*\]|\"[^\"]*\"|'[^']*'|[^,])+", values)
    return name, [value.strip() for value in found]


def _alike(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Make one type of whole and broken numbers: 0 and 0.1 are both values of beta."""
    plain = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return tuple(map(float, values)) if plain and any(isinstance(v, float) for v in values) else values
