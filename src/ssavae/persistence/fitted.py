"""A fitted SSAVAE as plain values and tensors, for model.json and weights.safetensors, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssavae._serialize import lists_to_tuples, plain
from ssavae.inference.calibration import Calibration
from ssavae.inference.samplers import pack, unpack
from ssavae.networks import Spec
from ssavae.persistence import model_folder
from ssavae.preprocessing.preprocessor import Preprocessor

NETWORKS = ("vec", "decoder", "discriminator")
ELSEWHERE = ("encoder", "decoder", "checkpoint_folder", "checkpoint_every", "verbose", "n_workers")
ELSEWHERE += ("device", "devices", "nodes")  # parameters that say where a model is trained, not what it is
SCORES = ("class_scores", "novelty_scale", "novelty_scores")


def plain_params(model: Any) -> dict[str, Any]:
    """Return the parameters that make a model what it is, as plain values."""
    params = {k: v for k, v in model.get_params(deep=False).items() if k not in ELSEWHERE}
    if not isinstance(model.random_state, int | None):
        params["random_state"] = model.seed_
    return {name: plain(value) for name, value in params.items()}


def described(model: Any, version: str) -> dict[str, Any]:
    """Return all that a fitted model knows but its arrays, as values that JSON can hold; and the version."""
    return {
        "versions": {"ssavae": version, "torch": str(torch.__version__), "numpy": np.__version__},
        "data_sha256": model.data_sha256_,
        "params": plain_params(model),
        "custom": [name for name in ("encoder", "decoder") if getattr(model, name) is not None],
        "spec": asdict(model.spec_),
        "preprocess": asdict(model.preprocess_),
        "classes": {"dtype": model.classes_.dtype.str, "names": model.classes_.tolist()},
        "feature_names": getattr(model, "feature_names_in_", np.empty(0)).tolist(),
        "n_features_in": model.n_features_in_,
        "seed": model.seed_,
        "feature_weights": list(model.feature_weights_),
        "class_shares": model.class_shares_.tolist(),
        "temperature": model.calibration_.temperature,
        "novelty_held_out": model.calibration_.held_out,
    }


def tensors_of(model: Any) -> dict[str, Tensor]:
    """Return the arrays of a fitted model by name: weights, samplers, scores."""
    tensors = {
        f"{name}.{key}": tensor
        for name in NETWORKS
        for key, tensor in getattr(model, f"{name}_").state_dict().items()
    }
    arrays = pack(model.samplers_) | {name: getattr(model.calibration_, name) for name in SCORES}
    return tensors | {name: torch.from_numpy(array) for name, array in arrays.items()}


def restore(model: Any, told: Mapping[str, Any]) -> None:
    """Give an unfitted model what :func:`described` told; its networks can then be built."""
    model.preprocess_ = Preprocessor.restored(told["preprocess"])
    model.classes_ = np.array(told["classes"]["names"], dtype=np.dtype(told["classes"]["dtype"]))
    if told["feature_names"]:
        model.feature_names_in_ = np.array(told["feature_names"], dtype=object)
    model.n_features_in_, model.seed_ = told["n_features_in"], told["seed"]
    model.feature_weights_ = tuple(told["feature_weights"])
    model.class_shares_ = np.array(told["class_shares"])
    model.data_sha256_ = told["data_sha256"]
    model.spec_ = Spec(**lists_to_tuples(told["spec"]))
    model.calibration_ = Calibration(told["temperature"], held_out=told["novelty_held_out"])


def restore_weights(model: Any, tensors: Mapping[str, Tensor]) -> None:
    """Give a restored model, its networks built, what :func:`tensors_of` returned."""
    for name in NETWORKS:
        model_folder.load_weights(getattr(model, f"{name}_").eval(), tensors, name)
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    model.samplers_ = unpack(arrays)
    model.calibration_ = replace(model.calibration_, **{name: arrays[name] for name in SCORES})
