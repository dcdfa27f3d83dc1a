"""The cells of a sweep: values of parameters, their grid, and a name for each cell."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ssavae._checks import UsageError
from ssavae._serialize import JSONObject
from ssavae.app.runs.settings import plan_parameters
from ssavae.training.parameters import STEP_2

NOT_SWEPT = ("device", "n_workers")  # they should not change the result
LOG_RATIO = 10.0  # a range whose ends differ by this factor is sampled on a logarithmic scale

Cell = dict[str, object]  # the swept parameters, by name


@dataclass(frozen=True)
class Space:
    """Parameters shared by all cells, and the swept ones with their values in the order given."""

    shared: JSONObject
    swept: dict[str, tuple[object, ...]]

    def grid(self) -> list[Cell]:
        """Return all combinations, the first parameter varying fastest: workers begin with different VECs.

        Examples
        --------
        >>> Space({}, {"latent_dim": (2, 5), "beta": (0.0, 0.1)}).grid()[:2]
        [{'latent_dim': 2, 'beta': 0.0}, {'latent_dim': 5, 'beta': 0.0}]
        """
        last_fastest = itertools.product(*reversed(self.swept.values()))
        return [dict(zip(self.swept, reversed(values), strict=True)) for values in last_fastest]

    def range_of(self, name: str) -> tuple[float, float, bool] | None:
        """Return low, high, and whether the scale is logarithmic; None for values that are not numbers."""
        numbers = _numbers(self.swept[name])
        if numbers is None:
            return None
        low, high = min(numbers), max(numbers)
        return low, high, low > 0 and high / low >= LOG_RATIO

    def vec_name(self, cell: Cell) -> str | None:
        """Return a name for the step 1 of a cell; None if no other cell can have the same."""
        if not set(self.swept) & set(STEP_2):
            return None
        return name_of({k: v for k, v in cell.items() if k not in STEP_2}) or "all"


def _numbers(values: Sequence[object]) -> list[int | float] | None:
    """Return the values if all are numbers, else None; booleans are not."""
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    return numbers if len(numbers) == len(values) else None


def name_of(cell: Cell) -> str:
    """Return the name of a cell, which is also that of its folder.

    Examples
    --------
    >>> name_of({"latent_dim": 2, "beta": 0.01, "widths": (8, 16)})
    'latent_dim=2,beta=0.01,widths=8x16'
    """
    return ",".join(f"{name}={_text(value)}" for name, value in cell.items())


def _text(value: object) -> str:
    text = ("x".join(map(str, value)) or "none") if isinstance(value, tuple | list) else str(value)
    return re.sub(r"[^\w.+-]", "_", text)


def plan_space(
    preset: str | None,
    options: Mapping[str, object],
    choices: Mapping[str, Sequence[object]],
    assignments: Sequence[str],
) -> Space:
    """Return the shared and the swept parameters of preset, options and ``key=v1,v2`` assignments.

    Parameters
    ----------
    preset : str or None
        See :func:`ssavae.app.runs.settings.plan_parameters`.
    options : mapping
        Values of options that are the same in all cells; None if not given.
    choices : mapping
        Values of options that may be swept; empty if not given.
    assignments : sequence of str
        ``key=v1,v2`` with TOML values; commas within brackets or quotes belong to a value.

    Raises
    ------
    UsageError
        No parameter has two values, or a parameter is given twice, unknown or of another type.

    Examples
    --------
    >>> plan_space(None, {}, {"latent_dim": [2, 3]}, ["beta=0,0.1"]).swept
    {'latent_dim': (2, 3), 'beta': (0.0, 0.1)}
    """
    given = [(name, [str(value) for value in values]) for name, values in choices.items() if values]
    given += [_split(text) for text in assignments]
    values: dict[str, tuple[object, ...]] = {}
    for name, texts in given:
        if name in values:
            raise UsageError(f"{name} is given twice")
        parsed = (plan_parameters(None, {}, [f"{name}={text}"])[name] for text in texts)
        values[name] = tuple(dict.fromkeys(parsed))
    swept = {name: _same_type(each) for name, each in values.items() if len(each) > 1}
    if not swept:
        raise UsageError(
            "nothing to sweep: give two values or more of a parameter, such as --beta 0 0.01 0.1"
        )
    for name in sorted(set(swept) & set(NOT_SWEPT)):
        raise UsageError(f"{name} changes where a cell is trained, not what comes out: give one value")
    single = [f"{name}={texts[0]}" for name, texts in given if name not in swept]
    return Space(plan_parameters(preset, options, single), swept)


def _split(text: str) -> tuple[str, list[str]]:
    name, sign, values = (part.strip() for part in text.partition("="))
    if not sign or not values:
        raise UsageError(f"--set takes key=value or key=value,value,..., found {text!r}")
    parts = re.findall(r"(?:\[[^\]]*\]|\"[^\"]*\"|'[^']*'|[^,])+", values)
    return name, [part.strip() for part in parts]


def _same_type(values: tuple[object, ...]) -> tuple[object, ...]:
    """Convert numbers of which one is a float to floats: 0 and 0.1 are both values of beta."""
    numbers = _numbers(values)
    has_float = any(isinstance(v, float) for v in values)
    return tuple(map(float, numbers)) if numbers is not None and has_float else values
