"""A run folder: what a run is made of (data, split, labels, parameters), and the notes it leaves."""

from __future__ import annotations

import inspect
import math
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ssavae._checks import UsageError, nearest
from ssavae._serialize import lists_to_tuples
from ssavae.data.labelled import Reading
from ssavae.training.parameters import MINIMUM

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


PRESETS = Path(__file__).with_name("presets")
ELSEWHERE = ("encoder", "decoder", "checkpoint_folder", "verbose")  # no values for a command line


# ------------------------------------------------------------------------------------- parameters


def plan_parameters(
    preset: str | None, chosen: Mapping[str, Any], assignments: Sequence[str]
) -> dict[str, Any]:
    """Return all parameters: the estimator's defaults <- preset <- options <- ``key=value`` assignments.

    Parameters
    ----------
    preset : str or None
        A name in ``presets/``, or the path of a .toml file.
    chosen : mapping
        Values of options; None where not given.
    assignments : sequence of str
        ``key=value`` with TOML values; text needs no quotes, a list no brackets, ``none`` is None.

    Raises
    ------
    UsageError
        A preset or parameter is unknown (the nearest name is given), or a value is of another type.

    Examples
    --------
    >>> found = plan_parameters(None, {"latent_dim": 3}, ["beta=0.5", "widths=64,32", "augment=translate"])
    >>> found["beta"], found["widths"], found["augment"]
    (0.5, (64, 32), ('translate',))
    """
    known = _known_parameters()
    values = {name: default for name, (default, _) in known.items()} | {"random_state": 0}
    given = [("preset " + str(preset), _read_preset(preset)[0]), ("option", dict(chosen))]
    given += [("--set", dict([_parse_assignment(text)])) for text in assignments]
    for where, part in given:
        for name, value in part.items():
            if name not in known:
                raise UsageError(f"{where}: unknown parameter {name!r}{nearest(name, known)}")
            if where != "option" or value is not None:
                values[name] = _fitting(where, name, value, known[name][1])
    return values


def _known_parameters() -> dict[str, tuple[Any, Any]]:
    """Return default and type of every parameter that a command line can give."""
    from ssavae.estimator import SSAVAE

    hints = typing.get_type_hints(SSAVAE.__init__)
    found = inspect.signature(SSAVAE).parameters.values()
    return {p.name: (p.default, hints[p.name]) for p in found if p.name not in ELSEWHERE}


def plan_reading(preset: str | None, chosen: Mapping[str, Any]) -> Reading:
    """Return how the data is to be read: the preset's ``[reading]`` <- options, None where not given.

    Raises
    ------
    UsageError
        A preset is unknown, or its reading has an unknown key.

    Examples
    --------
    >>> plan_reading(None, {"window": 64, "label": None}).window
    64
    """
    told = lists_to_tuples(_read_preset(preset)[1]) | {
        k: v for k, v in chosen.items() if v not in (None, (), False)
    }
    known = [each.name for each in fields(Reading)]
    for name in told:
        if name not in known:
            raise UsageError(f"preset {preset}: unknown key {name!r} in [reading]{nearest(name, known)}")
    return Reading(**told)


def _read_preset(preset: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a preset's parameters, and how it wants the data to be read."""
    if preset is None:
        return {}, {}
    path = Path(preset) if preset.endswith(".toml") else PRESETS / f"{preset}.toml"
    if not path.is_file():
        names = sorted(file.stem for file in PRESETS.glob("*.toml"))
        raise UsageError(f"no preset {preset!r}{nearest(preset, names)}; there are {', '.join(names)}")
    try:
        told = tomllib.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise UsageError(f"preset {path} is not readable TOML: {error}") from error
    return told, told.pop("reading", {})


def _parse_assignment(text: str) -> tuple[str, Any]:
    name, sign, value = (part.strip() for part in text.partition("="))
    if not sign or not value:
        raise UsageError(f"--set takes key=value, found {text!r}")
    if value.lower() == "none":  # TOML has no word for it
        return name, None
    read = [_parse_word(word) for word in (value.split(",") if value[0] not in "[\"'" else [value])]
    return name, read if len(read) > 1 else read[0]


def _parse_word(word: str) -> Any:
    try:
        return tomllib.loads(f"value = {word}")["value"]
    except ValueError:
        return word.strip()


def _fitting(where: str, name: str, value: Any, hint: Any) -> Any:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if isinstance(value, int | str) and any(typing.get_origin(option) is tuple for option in options):
        value = [value]  # one of several that there may be
    if not any(_is_of(value, option) for option in options):
        wanted = " or ".join(_type_name(option) for option in options)
        raise UsageError(f"{where}: {name} must be {wanted}, found {value!r}")
    least = MINIMUM.get(name, 0)
    if isinstance(value, int | float) and not (math.isfinite(value) and value >= least):
        raise UsageError(f"{where}: {name} must be {least} or more, found {value}")
    return tuple(value) if isinstance(value, list) else value


def _type_name(option: Any) -> str:
    if typing.get_origin(option) is tuple:
        return f"a list of {typing.get_args(option)[0].__name__}"
    return "none" if option is type(None) else getattr(option, "__name__", str(option))


def _is_of(value: Any, option: Any) -> bool:
    if typing.get_origin(option) is tuple:
        return isinstance(value, list | tuple) and all(
            _is_of(each, typing.get_args(option)[0]) for each in value
        )
    if option in (int, float):
        allowed = (int, float) if option is float else int
        return isinstance(value, allowed) and not isinstance(value, bool)
    return isinstance(value, option)
