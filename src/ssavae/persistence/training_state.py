"""State of an unfinished training run: one safetensors file, without pickle, written atomically."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from ssavae._serialize import sweep, write_atomically
from ssavae.persistence.schema import ModelFolderError, brief

RESUME_FOLDER = "resume"
STATE_FILE = "state.safetensors"

State = dict[str, Any]  # any nesting of dicts, lists, tensors and plain values


def save_state(folder: Path, state: State) -> None:
    """Write everything that a stopped run needs to go on.

    It is one file, so that weights, optimisers and position are always of the same moment.
    """
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_without_tensors(state, tensors))
    content = save_tensors(tensors or {"none": torch.zeros(0)}, {"state": tree})
    write_atomically(folder / RESUME_FOLDER / STATE_FILE, content)


def load_state(folder: Path) -> State:
    """Read the state of an unfinished run.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ModelFolderError
        If the file is damaged.
    """
    path = folder / RESUME_FOLDER / STATE_FILE
    if not path.is_file():
        raise FileNotFoundError(f"nothing to resume in {folder}: {path} is missing")
    content = path.read_bytes()
    with readable(folder):
        tensors = load_tensors(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return dict(_with_tensors(json.loads(header["__metadata__"]["state"]), tensors))


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Raise ModelFolderError, with the file, for all that reading or using a state can raise.

    A state that ``save_state`` has not written may be a tree of any names, types and shapes.
    """
    try:
        yield
    except Exception as error:
        path = folder / RESUME_FOLDER / STATE_FILE
        problem = f"{path} is damaged ({type(error).__name__}: {brief(error)})"
        raise ModelFolderError(f"{problem}: delete it and train from the start") from error


def saved_seed(folder: Path) -> int:
    """Return the seed of an unfinished run; raises as :func:`load_state`."""
    state = load_state(folder)
    with readable(folder):
        return int(state["seed"])


def has_state(folder: Path) -> bool:
    """Return whether an unfinished run can be resumed from this folder."""
    return (folder / RESUME_FOLDER / STATE_FILE).is_file()


def drop_state(folder: Path) -> None:
    """Remove the state of a run that has ended."""
    resume = folder / RESUME_FOLDER
    (resume / STATE_FILE).unlink(missing_ok=True)
    if resume.is_dir():
        sweep(resume)
        if not any(resume.iterdir()):
            resume.rmdir()


def _without_tensors(node: object, tensors: dict[str, Tensor]) -> object:
    """Replace tensors by references; dicts become pairs, since optimisers use integer keys."""
    if isinstance(node, Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = node.detach().cpu().clone().contiguous()
        return {"tensor": name}
    if isinstance(node, Mapping):
        return {"dict": [[key, _without_tensors(value, tensors)] for key, value in node.items()]}
    if isinstance(node, list | tuple):
        return {"list": [_without_tensors(value, tensors) for value in node]}
    return node


def _with_tensors(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Put tensors in place of their references."""
    if not isinstance(node, dict):
        return node
    if "tensor" in node:
        return tensors[node["tensor"]]
    if "list" in node:
        return [_with_tensors(value, tensors) for value in node["list"]]
    return {key: _with_tensors(value, tensors) for key, value in node["dict"]}
