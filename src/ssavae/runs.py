"""A run folder: what a run is made of (data, split, labels, parameters), and the notes it leaves."""

from __future__ import annotations

import inspect
import json
import math
import os
import platform
import subprocess
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ssavae import __version__
from ssavae.budgets import LabelBudget
from ssavae.checkpoint import MODEL_FILE, drop_state, has_state
from ssavae.checks import UsageError
from ssavae.datasets import Reading
from ssavae.files import write_atomically
from ssavae.named_sets import nearest
from ssavae.parameters import AT_LEAST, tuples
from ssavae.parts import LABELS_FILE, SPLIT_FILE

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PRESETS = Path(__file__).with_name("presets")
RUN_FILE, METRICS_FILE = "run.json", "metrics.json"
JUDGE_FILE = "judge.safetensors"
SECONDS = {f"seconds_{step}": step for step in ("vec", "student", "decoder")}  # in metrics.json's protocol
ELSEWHERE = ("encoder", "decoder", "checkpoint_folder", "verbose")  # no values for a command line


@dataclass(frozen=True)
class Run:
    """What a training run is made of; run.json holds it, so that ``--resume`` needs nothing else."""

    data: str
    reading: Reading
    test_fraction: float
    preset: str | None
    parameters: dict[str, Any]
    labels: LabelBudget = field(default_factory=LabelBudget)


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
    >>> found = plan_parameters(None, {"latent_dim": 3}, ["beta=0.5", "widths=64,32", "augment=shift"])
    >>> found["beta"], found["widths"], found["augment"]
    (0.5, (64, 32), ('shift',))
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
    told = tuples(_read_preset(preset)[1]) | {k: v for k, v in chosen.items() if v not in (None, (), False)}
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
    least = AT_LEAST.get(name, 0)
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


# ----------------------------------------------------------------------------------------- folder


def check_free(folder: Path, overwrite: bool) -> None:
    """Refuse a folder with a model or an unfinished run in it, unless it may be overwritten.

    Raises
    ------
    UsageError
        The folder is taken.
    """
    if overwrite or not folder.exists():
        return
    if (folder / MODEL_FILE).exists():
        raise UsageError(f"{folder} holds a finished model: choose another --out, or give --overwrite")
    if has_state(folder):
        raise UsageError(f"{folder} holds an unfinished run: go on with --resume, or give --overwrite")


def begin(folder: Path, run: Run) -> None:
    """Write run.json into a folder cleared of what an earlier run left, which would pass for this one's."""
    for name in (MODEL_FILE, METRICS_FILE, SPLIT_FILE, LABELS_FILE, JUDGE_FILE):
        (folder / name).unlink(missing_ok=True)
    for events in folder.glob("events.out.tfevents.*"):
        events.unlink()
    drop_state(folder)
    write_atomically(folder / RUN_FILE, json.dumps(asdict(run), indent=1).encode())


def unfinished(folder: Path, data: str, told: Mapping[str, Any]) -> Run:
    """Read the run that a folder was begun with, to go on with exactly that.

    Parameters
    ----------
    folder : Path
    data : str
        What is to be trained on, which must be the same.
    told : mapping
        Options by name, which must all be None: they could only contradict the run.

    Raises
    ------
    UsageError
        There is no such run, it has ended, or it was another one.
    """
    run = described(folder)
    if run is None or ((folder / MODEL_FILE).exists() and not has_state(folder)):
        why = f"no {RUN_FILE} there" if run is None else "the run has ended"
        raise UsageError(f"nothing to resume in {folder}: {why}")
    extra = [f"--{name.replace('_', '-')}" for name, value in told.items() if value is not None]
    if extra:
        raise UsageError(f"--resume goes on with what {folder / RUN_FILE} says: leave out {', '.join(extra)}")
    if run.data != data:
        raise UsageError(f"--resume: {folder} was begun with {run.data}, not with {data}")
    return run


def described(folder: Path) -> Run | None:
    """Read run.json; None where there is none."""
    path = folder / RUN_FILE
    if not path.is_file():
        return None
    try:
        told = json.loads(path.read_text("utf-8"))
        reading = Reading(**tuples(told["reading"]))
        run = Run(**told | {"reading": reading, "labels": LabelBudget(**told["labels"])})
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in run.parameters.items()}
    return replace(run, parameters=plain)


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read metrics.json; empty where there is none."""
    path = folder / METRICS_FILE
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def write_metrics(folder: Path, found: Mapping[str, Any]) -> Path:
    """Merge values into metrics.json, by top-level key."""
    content = json.dumps({**read_metrics(folder), **found}, indent=1)
    write_atomically(folder / METRICS_FILE, content.encode())
    return folder / METRICS_FILE


def machine() -> dict[str, Any]:
    """Say when and on what this was measured, and with which versions."""
    import torch

    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "ssavae": __version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "git_commit": _git_commit(),
    }


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _git_commit() -> str | None:
    """Return the commit of the checkout that this file lies in, "-dirty" if it was changed since."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
