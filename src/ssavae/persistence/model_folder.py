"""Model folder: model.json, weights.safetensors and history.csv, without pickle; loading runs no code.

model.json holds the checksums of the others and of itself, and its rename is the moment at which a new
model takes the place of an older one: see ``_serialize.write_together``.
"""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from ssavae._checks import check
from ssavae._serialize import JSONObject, read_together, sha256, write_together
from ssavae._version import __version__
from ssavae.inference.calibration import Calibration
from ssavae.inference.samplers import Mixture, pack, unpack
from ssavae.networks import Networks, copy_network
from ssavae.persistence.model_document import (
    SCORES,
    ModelDocument,
    check_arrays,
    check_document,
    check_size,
    compare_shapes,
)
from ssavae.persistence.schema import (
    ModelFolderError,
    damaged,
    document_sha256,
    parse_document,
    read,
)

SCHEMA_VERSION = 2
MODEL_FILE = "model.json"
WEIGHTS_FILE = "weights.safetensors"
HISTORY_FILE = "history.csv"
ADVICE = "load it with the version of ssavae that wrote it, or a newer one"
NETWORKS = tuple(f"{name}." for name in Networks._fields)  # how the names of their weights begin
OWN_NETWORKS = {"encoder": "vec.encoder.", "decoder": "decoder."}  # where a user's own networks are

HistoryRow = dict[str, str | int | float]


@dataclass(frozen=True)
class FittedState:
    """All that a fitted model consists of.

    Parameters
    ----------
    document : ModelDocument
        What model.json holds.
    calibration : Calibration
    samplers : dict of Mixture
    weights : dict of Tensor
        Weights of the networks, named ``vec.*``, ``decoder.*``, ``discriminator.*``.
    history : list of dict
    """

    document: ModelDocument
    calibration: Calibration
    samplers: dict[str, Mixture]
    weights: dict[str, Tensor]
    history: list[HistoryRow]

    def save(self, folder: Path) -> None:
        """Write the model folder; raises ValueError, and writes nothing, if it could not be loaded again."""
        arrays = pack(self.samplers) | {name: getattr(self.calibration, name) for name in SCORES}
        tensors = self.weights | {name: torch.from_numpy(array) for name, array in arrays.items()}
        versions = {"ssavae": __version__, "torch": str(torch.__version__), "numpy": np.__version__}
        model = asdict(replace(self.document, versions=versions))
        self.checked(json.loads(json.dumps(model)), tensors, self.history)
        save_model(folder, model, tensors, self.history)

    @classmethod
    def load(cls, folder: Path) -> FittedState:
        """Read what :meth:`save` wrote; raises as :func:`load_model`."""
        with damaged(folder / MODEL_FILE):
            return cls.checked(*load_model(folder))

    @classmethod
    def checked(
        cls, model: JSONObject, tensors: Mapping[str, Tensor], history: list[HistoryRow]
    ) -> FittedState:
        """Return the state of plain values and tensors; raises ValueError unless they are a model's."""
        document: ModelDocument = read(ModelDocument, model, "model")
        check_document(document)
        weights = {name: tensor for name, tensor in tensors.items() if name.startswith(NETWORKS)}
        arrays = {name: tensor.numpy() for name, tensor in tensors.items() if name not in weights}
        check_size(document, _shapes(weights))
        check_arrays(document, arrays)
        scores = {name: arrays[name] for name in SCORES}
        calibration = Calibration(document.temperature, held_out=document.novelty_held_out, **scores)
        return cls(document, calibration, unpack(arrays), weights, history)


def network_weights(networks: Networks) -> dict[str, Tensor]:
    """Return the weights of all networks, named ``vec.*``, ``decoder.*``, ``discriminator.*``, on the CPU."""
    return {
        f"{name}.{key}": tensor.cpu()
        for name, network in networks._asdict().items()
        for key, tensor in network.state_dict().items()
    }


def load_networks(networks: Networks, weights: Mapping[str, Tensor], custom: Collection[str] = ()) -> None:
    """Load the weights of all networks, and set them to eval mode.

    Raises
    ------
    ValueError
        If a weight is missing, has another shape or type, or is not finite; in networks of the user's own,
        ``custom``, what is not trained may hold infinity, such as the mask of an attention.
    """
    expected = network_weights(networks)
    compare_shapes(_shapes(weights), _shapes(expected))
    for name, tensor in weights.items():
        dtype = expected[name].dtype
        fits = tensor.is_floating_point() if dtype.is_floating_point else tensor.dtype == dtype
        check(fits, f"{name} is {tensor.dtype}, wanted is {dtype}")
    _check_finite({name: weights[name] for name in _finite_names(networks, custom)})
    for name, network in networks._asdict().items():
        n = len(name) + 1
        own = {key[n:]: tensor for key, tensor in weights.items() if key[:n] == f"{name}."}
        network.eval().load_state_dict(own)


def check_storable(network: nn.Module, name: str) -> None:
    """Raise ValueError, before it is trained, for a network of the user's that could not be loaded again."""
    try:
        copied = copy_network(network)
        _check_finite({f"{name}.{key}": p for key, p in copied.named_parameters() if p.requires_grad})
        copied.load_state_dict(load_tensors(_tensor_bytes(copied.state_dict())))
    except Exception as error:  # whatever the code of the network raises
        raise ValueError(
            f"{name}={type(network).__name__}(...) could not be saved and loaded again, and is not trained: "
            f"load_state_dict must take back what state_dict gives, finite tensors ({error})"
        ) from error


def _finite_names(networks: Networks, custom: Collection[str]) -> set[str]:
    """Return the names of the weights that must be finite: all of ours, and the trained ones of others."""
    trained = {
        f"{name}.{key}"
        for name, network in networks._asdict().items()
        for key, parameter in network.named_parameters(remove_duplicate=False)
        if parameter.requires_grad
    }
    own = tuple(OWN_NETWORKS[name] for name in custom)
    return {name for name in network_weights(networks) if name in trained or not name.startswith(own)}


def _check_finite(weights: Mapping[str, Tensor]) -> None:
    for name, tensor in weights.items():
        check(bool(torch.isfinite(tensor).all()), f"weight {name!r} holds NaN or infinity")


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


# ---------------------------------------------------------------------------------------- files


@dataclass(frozen=True)
class _Files:
    """Top level of model.json: checksums, and the model."""

    schema_version: int
    weights_sha256: str
    sha256: str
    model: dict[str, Any]
    history_sha256: str | None = None  # not in folders that version 0.1.0 wrote


def save_model(
    folder: Path, model: JSONObject, weights: Mapping[str, Tensor], history: Sequence[HistoryRow] = ()
) -> None:
    """Write a model folder, or nothing: plain values, tensors, and one row of history per epoch and step."""
    contents = {WEIGHTS_FILE: _tensor_bytes(weights), HISTORY_FILE: _history_bytes(history)}
    document = {
        "schema_version": SCHEMA_VERSION,
        "weights_sha256": sha256(contents[WEIGHTS_FILE]),
        "history_sha256": sha256(contents[HISTORY_FILE]),
        "model": model,
    }
    document["sha256"] = document_sha256(document)
    contents[MODEL_FILE] = json.dumps(document, indent=1, allow_nan=False).encode()
    write_together(folder, MODEL_FILE, contents)


def load_model(folder: Path) -> tuple[JSONObject, dict[str, Tensor], list[HistoryRow]]:
    """Read a model folder back, checking version and checksums.

    A history that is damaged is warned of, and empty: the model does without it.

    Raises
    ------
    FileNotFoundError
        If the folder or one of its two files is missing.
    ModelFolderError
        If the schema is newer, or a file is damaged.
    """
    path = folder / WEIGHTS_FILE
    _check_is_file(folder / MODEL_FILE)
    parse = partial(_read_files, folder)
    files, contents = read_together(folder / MODEL_FILE, parse, partial(_checksums, folder))
    content = contents[path]
    if content is None:
        _check_is_file(path)
        raise ModelFolderError(f"{path} is damaged: its checksum is not the one in {MODEL_FILE}")
    try:
        tensors = load_tensors(content)
    except Exception as error:  # those of safetensors have no common class
        raise ModelFolderError(f"{path} is damaged: {error}") from error
    history = folder / HISTORY_FILE
    rows = contents[history] if history in contents else _bytes_if_file(history)
    return files.model, tensors, _history_rows(history, rows)


def _bytes_if_file(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _check_is_file(path: Path) -> None:
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no model folder at {path.parent}")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: a model folder holds {MODEL_FILE} and {WEIGHTS_FILE}")


def _read_files(folder: Path, content: bytes) -> _Files:
    with damaged(folder / MODEL_FILE):
        return read(_Files, parse_document(content, SCHEMA_VERSION, ADVICE), "")


def _checksums(folder: Path, files: _Files) -> dict[Path, str]:
    checksums = {folder / WEIGHTS_FILE: files.weights_sha256}
    if files.history_sha256 is not None and (folder / HISTORY_FILE).is_file():
        checksums[folder / HISTORY_FILE] = files.history_sha256
    return checksums


def _tensor_bytes(weights: Mapping[str, Tensor]) -> bytes:
    """Return the content of a safetensors file; tensors that share memory are stored once for each name."""
    return save_tensors(
        {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in weights.items()
        }
    )


def _history_bytes(history: Sequence[HistoryRow]) -> bytes:
    """Return one row per epoch and step; a loss that a step does not have is left empty."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue().encode()


def _history_rows(path: Path, content: bytes | None) -> list[HistoryRow]:
    try:
        check(content is not None, f"its checksum is not the one in {MODEL_FILE}")
        rows = csv.DictReader(io.StringIO((content or b"").decode()))
        return [_history_row(row) for row in rows]
    except (ValueError, csv.Error) as error:
        warnings.warn(f"{path} is damaged, history_ is empty: {error}", stacklevel=2)
        return []


def _history_row(row: Mapping[str | None, str | None]) -> HistoryRow:
    check(None not in row and bool(row.get("step") and row.get("epoch")), f"found the row {[*row.values()]}")
    return {name: _number(name, value) for name, value in row.items() if name is not None and value}


def _number(name: str, value: str) -> str | int | float:
    return value if name == "step" else int(value) if name == "epoch" else float(value)
