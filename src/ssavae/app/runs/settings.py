"""Parameters and reading of a run: defaults, presets, options and ``key=value`` assignments."""

from __future__ import annotations

import ast
import math
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from pathlib import Path

import numpy as np

from ssavae._checks import UsageError, nearest
from ssavae._serialize import JSONObject, lists_to_tuples
from ssavae.data.labelled import DEFAULT_READING, Reading
from ssavae.preprocessing.labels import ClassWeight
from ssavae.training.parameters import MINIMUM

PRESETS = Path(__file__).with_name("presets")
# no values for a command line, whose runs begin anew
NOT_ASSIGNABLE = ("encoder", "decoder", "checkpoint_folder", "verbose", "warm_start")


def plan_parameters(
    preset: str | None, options: Mapping[str, object], assignments: Sequence[str]
) -> JSONObject:
    """Return all parameters: the estimator's defaults <- preset <- options <- ``key=value`` assignments.

    Parameters
    ----------
    preset : str or None
        A name in ``presets/``, or the path of a .toml file.
    options : mapping
        Values of options; None where not given.
    assignments : sequence of str
        ``key=value`` with TOML values; text needs no quotes, a list no brackets, ``none`` is None.

    Raises
    ------
    UsageError
        A preset or parameter is unknown (the nearest name is given), or a value is of another type.

    Examples
    --------
    >>> params = plan_parameters(None, {"latent_dim": 3}, ["beta=0.5", "widths=64,32", "augment=translate"])
    >>> params["beta"], params["widths"], params["augment"]
    (0.5, (64, 32), ('translate',))
    """
    defaults, hints = _assignable_parameters()
    values = {**defaults, "random_state": 0}
    given = {name: value for name, value in options.items() if value is not None}
    layers = [(f"preset {preset}", _read_preset(preset)[0]), ("option", given)]
    layers += [("--set", dict([_parse_assignment(text)])) for text in assignments]
    for source, layer in layers:
        for name, value in layer.items():
            if name not in hints:
                raise UsageError(f"{source}: unknown parameter {name!r}{nearest(name, hints)}")
            values[name] = _check_value(source, name, value, hints[name])
    return values


@lru_cache(1)
def _assignable_parameters() -> tuple[JSONObject, JSONObject]:
    """Return the default and the type of every parameter that a command line can give.

    They are read in the source of the estimator: to import it is to import torch, which takes seconds, and a
    wrong name should be named at once.
    """
    arguments = _signature_of(Path(__file__).parents[2] / "estimator.py", "SSAVAE")
    names = {"np": np, "ClassWeight": eval(typing.cast(str, ClassWeight))}
    parameters = {name: each for name, each in arguments.items() if name not in NOT_ASSIGNABLE}
    defaults = {name: ast.literal_eval(default) for name, (default, _) in parameters.items()}
    return defaults, {name: eval(ast.unparse(hint), names) for name, (_, hint) in parameters.items()}


def _signature_of(path: Path, name: str) -> dict[str, tuple[ast.expr, ast.expr]]:
    """Return default and annotation of each parameter of a class that has one."""
    module = ast.parse(path.read_text("utf-8"))
    body = next(node.body for node in module.body if isinstance(node, ast.ClassDef) and node.name == name)
    init = next(node for node in body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    given = [*init.args.args[1:], *init.args.kwonlyargs]
    defaults = [*init.args.defaults, *init.args.kw_defaults]
    pairs = zip(given, defaults, strict=True)
    return {each.arg: (value, each.annotation) for each, value in pairs if value and each.annotation}


def parameter_names() -> list[str]:
    """Return the names of the parameters that ``--set`` takes."""
    return list(_assignable_parameters()[0])


def plan_reading(preset: str | None, options: Reading = DEFAULT_READING) -> Reading:
    """Return how to read the data: the preset's ``[reading]`` <- options that are given.

    Raises
    ------
    UsageError
        A preset is unknown, or its reading has an unknown key.

    Examples
    --------
    >>> plan_reading(None, Reading(window=64)).window
    64
    """
    given = {name: value for name, value in vars(options).items() if value not in (None, (), False)}
    values = lists_to_tuples(_read_preset(preset)[1]) | given
    known = [each.name for each in fields(Reading)]
    for name in values:
        if name not in known:
            raise UsageError(f"preset {preset}: unknown key {name!r} in [reading]{nearest(name, known)}")
    return Reading(**values)


def _read_preset(preset: str | None) -> tuple[JSONObject, JSONObject]:
    """Return a preset's parameters and its ``[reading]``."""
    if preset is None:
        return {}, {}
    path = Path(preset) if preset.endswith(".toml") else PRESETS / f"{preset}.toml"
    if not path.is_file():
        names = sorted(file.stem for file in PRESETS.glob("*.toml"))
        raise UsageError(f"no preset {preset!r}{nearest(preset, names)}; there are {', '.join(names)}")
    try:
        parameters = tomllib.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise UsageError(f"preset {path} is not readable TOML: {error}") from error
    return parameters, parameters.pop("reading", {})


def _parse_assignment(text: str) -> tuple[str, object]:
    name, sign, value = (part.strip() for part in text.partition("="))
    if not sign or not value:
        raise UsageError(f"--set takes key=value, found {text!r}")
    if value.lower() == "none":  # TOML has no word for it
        return name, None
    is_quoted = value[0] in "[\"'"
    values = [_parse_word(word) for word in ([value] if is_quoted else value.split(","))]
    return name, values if len(values) > 1 else values[0]


def _parse_word(word: str) -> object:
    try:
        return tomllib.loads(f"value = {word}")["value"]
    except ValueError:
        return word.strip()


def _check_value(source: str, name: str, value: object, hint: object) -> object:
    """Return a value of the hinted type, a list as a tuple; refuse every other one."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if isinstance(value, int | str) and any(typing.get_origin(option) is tuple for option in options):
        value = [value]  # one of several that there may be
    if not any(_is_of(value, option) for option in options):
        expected = " or ".join(_type_name(option) for option in options)
        raise UsageError(f"{source}: {name} must be {expected}, found {value!r}")
    least = MINIMUM.get(name, 0)
    if isinstance(value, int | float) and not (math.isfinite(value) and value >= least):
        raise UsageError(f"{source}: {name} must be {least} or more, found {value}")
    return tuple(value) if isinstance(value, list) else value


def _type_name(option: object) -> str:
    if typing.get_origin(option) is tuple:
        return f"a list of {typing.get_args(option)[0].__name__}"
    return "none" if option is type(None) else getattr(option, "__name__", str(option))


def _is_of(value: object, option: object) -> bool:
    if typing.get_origin(option) is tuple:
        item_type = typing.get_args(option)[0]
        return isinstance(value, list | tuple) and all(_is_of(item, item_type) for item in value)
    if isinstance(value, bool):
        return option is bool
    option = typing.get_origin(option) or option
    return isinstance(value, int | float if option is float else typing.cast("type", option))
