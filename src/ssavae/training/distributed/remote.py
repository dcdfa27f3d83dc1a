"""A plan trained in processes that ``fit`` starts: what they read, and what they return.

Plan and result are files of tensors and plain values, never pickled. So it works from a notebook and
from a program without ``if __name__ == "__main__"``, and no code of the caller's is run again.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssavae._checks import UsageError
from ssavae._serialize import lists_to_tuples
from ssavae.networks import Networks, Spec, build_networks
from ssavae.persistence.training_state import State, load_state, save_state
from ssavae.training.batches import TensorRows
from ssavae.training.distributed.launcher import run_processes_in, scratch_folder
from ssavae.training.plan import Labelled, Settings, Trained, TrainingPlan

RESULT = "result"  # folder of the result in that of the plan


def train_remotely(plan: TrainingPlan, *, devices: int, device: str, precision: str) -> Trained:
    """Train the networks of a plan in ``devices`` processes on this machine.

    Raises
    ------
    UsageError
        If the plan cannot be sent: its rows are not in memory, or its networks are the user's own.
    ValueError, FloatingPointError, KeyboardInterrupt, ..
        What a process raised.
    """
    if plan.has_own_networks or plan.pretrained is not None or not isinstance(plan.rows, TensorRows):
        raise UsageError(
            f"devices={devices}: rows that are not held in memory, networks of your own and another "
            "model's VEC cannot be sent to processes; "
            f"start the program by torchrun --nproc-per-node {devices} PROGRAM"
        )
    with scratch_folder() as folder:
        where = {"device": device, "precision": precision, "devices": devices}
        save_state(folder, {"where": where} | plan_state(plan))
        run_processes_in(folder, [sys.executable, "-m", "ssavae.training.worker", str(folder)], devices)
        return load_result(folder, plan.networks)


def plan_state(plan: TrainingPlan) -> State:
    """Return a plan as tensors and plain values."""
    rows = plan.rows
    assert isinstance(rows, TensorRows)
    return {
        "spec": asdict(plan.spec),
        "kind": plan.kind,
        "settings": asdict(plan.settings),
        "rows": [rows.x, *(torch.from_numpy(each) for each in (rows.y, rows.weights) if each is not None)],
        "seed": plan.seed,
        "fingerprint": plan.fingerprint,
        "validation": None if plan.validation is None else _tensors(plan.validation),
        "eval_sets": [_tensors(each) for each in plan.eval_sets],
        "train_vec": plan.train_vec,
        "history": plan.history,
        "resume": plan.resume,
        "folder": None if plan.folder is None else str(plan.folder),
        "checkpoint_every": plan.checkpoint_every,
        "verbose": plan.verbose,
        "deterministic": plan.deterministic,
        "precision": plan.precision,
        "with_detail": plan.networks.vec.detail is not None,
        "with_auxiliary": plan.networks.vec.auxiliary is not None,
        "networks": _network_states(plan.networks),
    }


def plan_from(state: State, device: torch.device) -> TrainingPlan:
    """Return the plan that :func:`plan_state` has described, its rows on a device."""
    spec = Spec(**lists_to_tuples(state["spec"]))
    networks = build_networks(spec, state["with_detail"], with_auxiliary=state["with_auxiliary"])
    _load_network_states(networks, state["networks"])
    x, y, *weights = state["rows"]
    return TrainingPlan(
        networks=networks,
        spec=spec,
        kind=state["kind"],
        settings=Settings(**lists_to_tuples(state["settings"])),
        rows=TensorRows(x, y.numpy(), device, *(each.numpy() for each in weights)),
        seed=state["seed"],
        fingerprint=state["fingerprint"],
        validation=None if state["validation"] is None else _labelled(state["validation"]),
        eval_sets=[_labelled(each) for each in state["eval_sets"]],
        train_vec=state["train_vec"],
        history=state["history"],
        resume=state["resume"],
        folder=None if state["folder"] is None else Path(state["folder"]),
        checkpoint_every=state["checkpoint_every"],
        verbose=state["verbose"],
        deterministic=state["deterministic"],
        precision=state["precision"],
    )


def save_result(folder: Path, trained: Trained) -> None:
    """Write the result of a training for the process that started it."""
    state = {
        "networks": _network_states(trained.networks),
        "history": trained.history,
        "feature_weights": list(trained.feature_weights),
    }
    save_state(folder / RESULT, state)


def load_result(folder: Path, networks: Networks) -> Trained:
    """Read what :func:`save_result` wrote, into networks of the same shapes."""
    state = load_state(folder / RESULT)
    _load_network_states(networks, state["networks"])
    return Trained(networks, state["history"], tuple(state["feature_weights"]))


def _network_states(networks: Networks) -> dict[str, dict[str, Tensor]]:
    return {name: network.state_dict() for name, network in networks._asdict().items()}


def _load_network_states(networks: Networks, states: dict[str, dict[str, Tensor]]) -> None:
    for name, network in networks._asdict().items():
        network.load_state_dict(states[name])


def _tensors(labelled: Labelled) -> list[Tensor]:
    x, y = labelled
    return [x if isinstance(x, Tensor) else torch.cat([*x.split(len(x))]), torch.from_numpy(y)]


def _labelled(tensors: list[Tensor]) -> tuple[Tensor, np.ndarray]:
    return tensors[0], tensors[1].numpy()
