"""JSON files in the folder of an experiment: its settings and its results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ssavae._checks import UsageError
from ssavae._serialize import write_atomically
from ssavae.app.runs.environment import machine


def write_json(path: Path, document: Mapping[str, object]) -> Path:
    """Write a JSON file atomically."""
    write_atomically(path, json.dumps(document, indent=1).encode())
    return path


def write_results(path: Path, command: str, results: Mapping[str, object]) -> Path:
    """Write results with the command that produced them, the versions and the machine."""
    return write_json(path, {"command": command, **machine(), **results})


def begin_or_resume(path: Path, settings: Mapping[str, object], contents: str) -> None:
    """Write the settings of an experiment, unless the file holds the same ones already.

    Raises
    ------
    UsageError
        The file holds other settings; ``contents`` says in the message what the folder then holds.
    """
    if path.is_file() and json.loads(path.read_text("utf-8")) != json.loads(json.dumps(settings)):
        raise UsageError(f"{path.parent} holds {contents}: choose another --out")
    write_json(path, settings)
