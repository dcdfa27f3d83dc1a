"""The model folder (model.json + weights.safetensors) and the state of an unfinished training run.

Nothing here is pickle: tensors go through safetensors, everything else through JSON, and loading
runs no code.  Files are written under a temporary name and renamed, so a reader sees the old or the
new one, never half of one.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from ssavae._serialize import write_atomically

SCHEMA_VERSION = 2
MODEL_FILE, WEIGHTS_FILE, HISTORY_FILE = "model.json", "weights.safetensors", "history.csv"


# ---------------------------------------------------------------------------------------- model


def save_model(folder: Path, model: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Write a model folder: plain values to model.json, tensors to weights.safetensors.

    The description carries the checksums of both, so that a flipped byte is found on loading.
    """
    content = save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})
    document = {
        "schema_version": SCHEMA_VERSION,
        "weights_sha256": hashlib.sha256(content).hexdigest(),
        "model": dict(model),
    }
    document["sha256"] = _document_sha256(document)
    text = json.dumps(document, indent=1, allow_nan=False)
    write_atomically(folder / WEIGHTS_FILE, content)
    write_atomically(folder / MODEL_FILE, text.encode())


def load_model(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a model folder back, checking version, checksums and finiteness.

    Raises
    ------
    FileNotFoundError
        If the folder or one of its two files is missing.
    ValueError
        If the schema is newer, a file is damaged, or a weight is not finite.
    """
    document = _read_document(folder / MODEL_FILE)
    content = _read(folder / WEIGHTS_FILE)
    if hashlib.sha256(content).hexdigest() != document["weights_sha256"]:
        raise ValueError(f"{folder / WEIGHTS_FILE} is damaged: its checksum is not the one in {MODEL_FILE}")
    weights = load_tensors(content)
    broken = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise ValueError(f"{folder / WEIGHTS_FILE}: weight {broken[0]!r} holds NaN or infinity")
    return document["model"], weights


def load_weights(module: torch.nn.Module, weights: Mapping[str, Tensor], prefix: str) -> None:
    """Copy the weights named ``prefix.*`` into a module whose shapes must fit."""
    own = {name[len(prefix) + 1 :]: t for name, t in weights.items() if name.startswith(prefix + ".")}
    wanted = module.state_dict()
    for name in sorted(wanted.keys() | own.keys()):
        found = tuple(own[name].shape) if name in own else "nothing"
        expected = tuple(wanted[name].shape) if name in wanted else "nothing"
        if found != expected:
            raise ValueError(
                f"{WEIGHTS_FILE}: {prefix}.{name} is {found}, the network of {MODEL_FILE} has {expected}"
            )
    module.load_state_dict(own)


def save_history(folder: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Write one row per epoch and step; a loss that a step does not have is left empty."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_atomically(folder / HISTORY_FILE, text.getvalue().encode())


def load_history(folder: Path) -> list[dict[str, Any]]:
    """Read the history back; empty where the file is missing, for the model does without it."""
    if not (folder / HISTORY_FILE).is_file():
        return []
    rows = csv.DictReader(io.StringIO((folder / HISTORY_FILE).read_text()))
    return [{name: _number(name, value) for name, value in row.items() if value} for row in rows]


def _number(name: str, value: str) -> Any:
    return value if name == "step" else int(value) if name == "epoch" else float(value)


def _read(path: Path) -> bytes:
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no model folder at {path.parent}")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: a model folder holds {MODEL_FILE} and {WEIGHTS_FILE}")
    return path.read_bytes()


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(_read(path))
        version = document["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"{path} has schema version {version}, this ssavae reads {SCHEMA_VERSION}: "
            "load it with the version of ssavae that wrote it, or a newer one"
        )
    if document.get("sha256") != _document_sha256(document):
        raise ValueError(f"{path} is damaged: its content does not match its checksum")
    return document


def _document_sha256(document: Mapping[str, Any]) -> str:
    body = {key: value for key, value in document.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
