"""The model folder (model.json + weights.safetensors) and the state of an unfinished training run.

Nothing here is pickle: tensors go through safetensors, everything else through JSON, and loading
runs no code.  Files are written under a temporary name and renamed, so a reader sees the old or the
new one, never half of one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from ssavae._serialize import write_atomically

RESUME_FOLDER, STATE_FILE = "resume", "state.safetensors"


# ------------------------------------------------------------------------------- training state


def save_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write everything a stopped run needs to go on: any nest of dicts, lists, tensors and plain values.

    One file, so that weights, optimisers and position can never be of different moments.
    """
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_take_tensors(state, tensors))
    content = save_tensors(tensors or {"none": torch.zeros(0)}, {"state": tree})
    write_atomically(folder / RESUME_FOLDER / STATE_FILE, content)


def load_state(folder: Path) -> dict[str, Any]:
    """Read the state of an unfinished run.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If the file is damaged.
    """
    path = folder / RESUME_FOLDER / STATE_FILE
    if not path.is_file():
        raise FileNotFoundError(f"nothing to resume in {folder}: {path} is missing")
    content = path.read_bytes()
    try:
        tensors = load_tensors(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return _put_tensors(json.loads(header["__metadata__"]["state"]), tensors)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({error}): delete it and train from the start") from error


def has_state(folder: Path) -> bool:
    """Say whether an unfinished run can be resumed from this folder."""
    return (folder / RESUME_FOLDER / STATE_FILE).is_file()


def drop_state(folder: Path) -> None:
    """Remove the state of a run that has ended."""
    for path in (folder / RESUME_FOLDER).glob(f"{STATE_FILE}*"):  # with what a killed write has left
        path.unlink(missing_ok=True)
    if (folder / RESUME_FOLDER).is_dir() and not any((folder / RESUME_FOLDER).iterdir()):
        (folder / RESUME_FOLDER).rmdir()


def _take_tensors(node: Any, tensors: dict[str, Tensor]) -> Any:
    """Replace tensors by references; dicts become pairs, since optimisers use integer keys."""
    if isinstance(node, Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = node.detach().cpu().clone().contiguous()
        return {"tensor": name}
    if isinstance(node, Mapping):
        return {"dict": [[key, _take_tensors(value, tensors)] for key, value in node.items()]}
    if isinstance(node, list | tuple):
        return {"list": [_take_tensors(value, tensors) for value in node]}
    return node


def _put_tensors(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(node, dict):
        return node
    if "tensor" in node:
        return tensors[node["tensor"]]
    if "list" in node:
        return [_put_tensors(value, tensors) for value in node["list"]]
    return {key: _put_tensors(value, tensors) for key, value in node["dict"]}
