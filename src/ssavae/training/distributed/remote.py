"""A fit handed to processes of its own: what they are to train with, and what they trained.

It goes to them as tensors and plain values, never pickled: so it works from a notebook and from a
program without ``if __name__ == "__main__"``, and no code of the caller's is run again.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssavae._checks import UsageError
from ssavae._serialize import plain
from ssavae.persistence.training_state import load_state, save_state
from ssavae.preprocessing.inputs import Inputs
from ssavae.training.batches import Rows, TensorRows
from ssavae.training.distributed.launcher import run_processes

DONE = "done"  # where in the folder the result lies
NETWORKS = ("vec_", "decoder_", "discriminator_")
Labelled = tuple[Tensor | Inputs, np.ndarray]


@dataclass(frozen=True)
class Job:
    """What is to be trained on, and what is measured after each epoch.

    ``vec_too`` unless step 2 alone is trained; ``vec`` is another model whose VEC takes the place of step 1.
    """

    rows: Rows
    held: Labelled | None = None
    watched: Labelled | None = None
    resume: bool = False
    vec_too: bool = True
    vec: Any = None


def train_elsewhere(model: Any, job: Job) -> None:
    """Train a model's networks in ``model.devices`` processes, as :meth:`SSAVAE._train` does in this one.

    Raises
    ------
    ValueError
        If the job cannot be handed over, or what a process raised.
    """
    own = [name for name in ("encoder", "decoder") if getattr(model, name) is not None]
    if own or job.vec is not None or not isinstance(job.rows, TensorRows):
        raise UsageError(
            f"devices={model.devices}: rows that are not held in memory, networks of your own and another "
            "model's VEC cannot be sent to processes; "
            f"start the program by torchrun --nproc-per-node {model.devices} PROGRAM"
        )
    with tempfile.TemporaryDirectory(prefix="ssavae-") as name:
        folder = Path(name)
        save_state(folder, _told(model, job, job.rows))
        run_processes([sys.executable, "-m", "ssavae.training.worker", name], model.devices)
        take(model, load_state(folder / DONE))


def _told(model: Any, job: Job, rows: TensorRows) -> dict[str, Any]:
    return {
        "params": _params(model),
        "preprocess": asdict(model.preprocess_),
        "n_classes": len(model.classes_),
        "seed": model.seed_,
        "data_sha256": model.data_sha256_,
        "with_detail": model.vec_.detail is not None,
        "rows": [rows.x, torch.from_numpy(rows.y)],
        "held": _tensors(job.held),
        "watched": _tensors(job.watched),
        "resume": job.resume,
        "vec_too": job.vec_too,
        "trained": None if job.vec_too else trained(model),
    }


def _params(model: Any) -> dict[str, Any]:
    params = {k: plain(v) for k, v in model.get_params(deep=False).items() if k not in ("encoder", "decoder")}
    if not isinstance(params["random_state"], int | None):
        params["random_state"] = model.seed_
    if params["checkpoint_folder"] is not None:
        params["checkpoint_folder"] = str(params["checkpoint_folder"])
    return params


def trained(model: Any) -> dict[str, Any]:
    """Return a model's networks and history."""
    networks = {name: getattr(model, name).state_dict() for name in NETWORKS}
    return {"history": model.history_, "feature_weights": list(model.feature_weights_)} | networks


def take(model: Any, told: Mapping[str, Any]) -> None:
    """Give a model what :func:`trained` returned of another."""
    model.history_, model.feature_weights_ = told["history"], tuple(told["feature_weights"])
    for name in NETWORKS:
        getattr(model, name).load_state_dict(told[name])


def _tensors(labelled: Labelled | None) -> list[Tensor] | None:
    if labelled is None:
        return None
    x, y = labelled
    return [x if isinstance(x, Tensor) else torch.cat([*x.split(len(x))]), torch.from_numpy(y)]
