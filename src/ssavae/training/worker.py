"""What each process runs that ``SSAVAE.fit`` has started: ``python -m ssavae.training.worker FOLDER``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssavae._serialize import lists_to_tuples
from ssavae.estimator import SSAVAE
from ssavae.persistence.training_state import load_state, save_state
from ssavae.preprocessing.preprocessor import Preprocessor
from ssavae.training.batches import TensorRows
from ssavae.training.distributed.fabric import launch_fabric
from ssavae.training.distributed.launcher import exit_process, is_first, report
from ssavae.training.distributed.remote import DONE, Job, take, trained
from ssavae.training.steps import train_networks


def train_handed(folder: Path) -> None:
    """Train what ``elsewhere.train_elsewhere`` put into a folder; the first process writes what it became."""
    told = load_state(folder)
    model = SSAVAE(**lists_to_tuples(told["params"]))
    model.preprocess_ = Preprocessor.restored(told["preprocess"])
    model.classes_ = np.arange(told["n_classes"])
    model.seed_, model.data_sha256_ = told["seed"], told["data_sha256"]
    fabric = launch_fabric(model.device, model.precision, model.devices, model.nodes)
    x, y = told["rows"]
    rows = TensorRows(x, y.numpy(), fabric.device)
    job = Job(rows, _labelled(told["held"]), _labelled(told["watched"]), told["resume"], told["vec_too"])
    torch.manual_seed(model.seed_)
    model._build(with_detail=told["with_detail"])
    if not job.vec_too:
        take(model, told["trained"])
    train_networks(model, fabric, job)
    if is_first():
        save_state(folder / DONE, trained(model))


def _labelled(tensors: Sequence[Tensor] | None) -> Any:
    return None if tensors is None else (tensors[0], tensors[1].numpy())


if __name__ == "__main__":
    try:
        train_handed(Path(sys.argv[1]))
    except BaseException as error:  # that somebody stopped it is told as well
        if not report(error):
            raise
        exit_process(1)
    exit_process(0)
