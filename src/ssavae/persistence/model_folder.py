"""Model folder: model.json, weights.safetensors and history.csv, without pickle; loading runs no code.

Each file is written under a temporary name and renamed, so that a reader never sees a part of one.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from ssavae._serialize import JSONObject, lists_to_tuples, write_atomically
from ssavae._version import __version__
from ssavae.inference.calibration import Calibration
from ssavae.inference.samplers import Mixture, pack, unpack
from ssavae.networks import Networks, Spec
from ssavae.preprocessing.preprocessor import Preprocessor

SCHEMA_VERSION = 2
MODEL_FILE = "model.json"
WEIGHTS_FILE = "weights.safetensors"
HISTORY_FILE = "history.csv"
SCORES = ("class_scores", "novelty_scale", "novelty_scores")  # arrays of a Calibration

HistoryRow = dict[str, str | int | float]


@dataclass(frozen=True)
class FittedState:
    """All that a fitted model consists of.

    Parameters
    ----------
    params : dict
        Parameters that define the model, as plain values.
    custom : tuple of str
        Which of encoder and decoder are the user's own; their classes are not stored.
    spec : Spec
    preprocessor : Preprocessor
    classes : (C,) array
    feature_names : tuple of str
        Names of a table's columns; empty without names.
    n_features_in : int
    seed : int
    data_sha256 : str
        Digest of the training rows and labels.
    feature_weights : tuple of float
        w_l of ``loss_rec``.
    class_shares : (C,) array
        Fraction of each class in the training rows.
    calibration : Calibration
    samplers : dict of Mixture
    weights : dict of Tensor
        Weights of the networks, named ``vec.*``, ``decoder.*``, ``discriminator.*``.
    """

    params: JSONObject
    custom: tuple[str, ...]
    spec: Spec
    preprocessor: Preprocessor
    classes: np.ndarray
    feature_names: tuple[str, ...]
    n_features_in: int
    seed: int
    data_sha256: str
    feature_weights: tuple[float, ...]
    class_shares: np.ndarray
    calibration: Calibration
    samplers: dict[str, Mixture]
    weights: dict[str, Tensor]

    def save(self, folder: Path) -> None:
        """Write model.json and weights.safetensors."""
        arrays = pack(self.samplers) | {name: getattr(self.calibration, name) for name in SCORES}
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        save_model(folder, self._document(), self.weights | tensors)

    def _document(self) -> JSONObject:
        versions = {"ssavae": __version__, "torch": str(torch.__version__), "numpy": np.__version__}
        return {
            "versions": versions,
            "data_sha256": self.data_sha256,
            "params": self.params,
            "custom": list(self.custom),
            "spec": asdict(self.spec),
            "preprocess": asdict(self.preprocessor),
            "classes": {"dtype": self.classes.dtype.str, "names": self.classes.tolist()},
            "feature_names": list(self.feature_names),
            "n_features_in": self.n_features_in,
            "seed": self.seed,
            "feature_weights": list(self.feature_weights),
            "class_shares": self.class_shares.tolist(),
            "temperature": self.calibration.temperature,
            "novelty_held_out": self.calibration.held_out,
        }

    @classmethod
    def load(cls, folder: Path) -> FittedState:
        """Read what :meth:`save` wrote; raises as :func:`load_model`."""
        model, tensors = load_model(folder)
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        scores = {name: arrays[name] for name in SCORES}
        classes = model["classes"]
        return cls(
            params=model["params"],
            custom=tuple(model["custom"]),
            spec=Spec(**lists_to_tuples(model["spec"])),
            preprocessor=Preprocessor.restored(model["preprocess"]),
            classes=np.array(classes["names"], dtype=np.dtype(classes["dtype"])),
            feature_names=tuple(model["feature_names"]),
            n_features_in=model["n_features_in"],
            seed=model["seed"],
            data_sha256=model["data_sha256"],
            feature_weights=tuple(model["feature_weights"]),
            class_shares=np.array(model["class_shares"]),
            calibration=Calibration(model["temperature"], held_out=model["novelty_held_out"], **scores),
            samplers=unpack(arrays),
            weights=tensors,
        )


def network_weights(networks: Networks) -> dict[str, Tensor]:
    """Return the weights of all networks, named ``vec.*``, ``decoder.*``, ``discriminator.*``."""
    return {
        f"{name}.{key}": tensor
        for name, network in networks._asdict().items()
        for key, tensor in network.state_dict().items()
    }


def load_networks(networks: Networks, weights: Mapping[str, Tensor]) -> None:
    """Load the weights of all networks, and set them to eval mode."""
    for name, network in networks._asdict().items():
        load_weights(network.eval(), weights, name)


# ---------------------------------------------------------------------------------------- files


def save_model(folder: Path, model: JSONObject, weights: Mapping[str, Tensor]) -> None:
    """Write a model folder: plain values to model.json, tensors to weights.safetensors.

    model.json holds the checksums of both, so that a flipped bit is found on loading.
    """
    content = save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})
    document = {
        "schema_version": SCHEMA_VERSION,
        "weights_sha256": hashlib.sha256(content).hexdigest(),
        "model": model,
    }
    document["sha256"] = _document_sha256(document)
    text = json.dumps(document, indent=1, allow_nan=False)
    write_atomically(folder / WEIGHTS_FILE, content)
    write_atomically(folder / MODEL_FILE, text.encode())


def load_model(folder: Path) -> tuple[JSONObject, dict[str, Tensor]]:
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
        shape = tuple(own[name].shape) if name in own else "nothing"
        expected = tuple(wanted[name].shape) if name in wanted else "nothing"
        if shape != expected:
            raise ValueError(
                f"{WEIGHTS_FILE}: {prefix}.{name} is {shape}, the network of {MODEL_FILE} has {expected}"
            )
    module.load_state_dict(own)


def save_history(folder: Path, history: Sequence[HistoryRow]) -> None:
    """Write one row per epoch and step; a loss that a step does not have is left empty."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_atomically(folder / HISTORY_FILE, text.getvalue().encode())


def load_history(folder: Path) -> list[HistoryRow]:
    """Read the history back; empty where the file is missing, for the model does without it."""
    if not (folder / HISTORY_FILE).is_file():
        return []
    rows = csv.DictReader(io.StringIO((folder / HISTORY_FILE).read_text()))
    return [{name: _number(name, value) for name, value in row.items() if value} for row in rows]


def _number(name: str, value: str) -> str | int | float:
    return value if name == "step" else int(value) if name == "epoch" else float(value)


def _read(path: Path) -> bytes:
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no model folder at {path.parent}")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: a model folder holds {MODEL_FILE} and {WEIGHTS_FILE}")
    return path.read_bytes()


def _read_document(path: Path) -> JSONObject:
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


def _document_sha256(document: JSONObject) -> str:
    body = {key: value for key, value in document.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
