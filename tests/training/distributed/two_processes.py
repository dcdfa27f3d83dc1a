"""Program of test_distributed.py: the same training in one process or two, and how failing runs end."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam

from ssavae.networks import Spec, build_networks
from ssavae.persistence.training_state import State, save_state
from ssavae.preprocessing.splits import member_weights
from ssavae.training import steps
from ssavae.training.batches import TensorRows, TrainingRows
from ssavae.training.distributed.context import context_of
from ssavae.training.distributed.fabric import launch_fabric
from ssavae.training.distributed.launcher import report
from ssavae.training.loop import Schedule, Session, Weights, copy_weights, train
from ssavae.training.plan import Settings, TrainingPlan
from ssavae.training.stage import Stage

IMAGE = Spec((1, 8, 8), 2, 3, bounded=True, widths=(8, 8), student_widths=(8,))
TABLE = Spec(
    (6,),
    2,
    3,
    bounded=False,
    widths=(8, 8),
    student_widths=(8,),
    n_members=2,
    embedded=(0,),
    embedding_dim=2,
)
SETTINGS = Settings(
    weight_kl=0.02,
    weight_detail=0.5,
    weight_consistency=0.0,
    weight_distill=0.0,
    beta=0.1,
    gamma=0.1,
    augment=(),
    n_epochs=1,
    n_epochs_student=1,
    n_epochs_decoder=1,
    batch_size=16,  # 4 batches an epoch
    batch_size_decoder=16,
    learning_rate=2e-3,
    learning_rate_decoder=2e-3,
    learning_rate_disc=2e-3,
    patience=None,
    n_members=1,
    embedding_dim=1,
    dropout=0.0,
)
CASES = ("labelled", "unevenly", "one label", "augmented images", "few labels, a teacher")
CASES += ("table, a teacher", "table, labels unseen by members", "table, dropout")
CASES += ("few labels, an auxiliary classifier and a teacher",)


def training_rows(case: str, device: torch.device, dtype: torch.dtype) -> TensorRows:
    """Return 64 rows, of which the first have a label, as many as the case says."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.random((64, *spec_of(case).input_shape))).to(dtype)
    y = rng.integers(0, 3, 64)
    n_labelled = {"labelled": 64, "one label": 1, "few labels, a teacher": 7, "table, a teacher": 9}
    n_labelled["few labels, an auxiliary classifier and a teacher"] = 7
    y[n_labelled.get(case, 37) :] = -1
    is_blind = case == "table, labels unseen by members"
    folds = [np.arange(0, 18), np.arange(18, 37)]
    return TensorRows(
        x, y, device, member_weights(64, folds, None).astype(x.numpy().dtype) if is_blind else None
    )


def spec_of(case: str) -> Spec:
    return TABLE if case.startswith("table") else IMAGE


def train_case(case: str, n_processes: int, dtype: torch.dtype = torch.float64) -> Weights:
    """Train both steps.

    Returns
    -------
    dict
        The weights of every network at the end of each stage, the teacher included, and the losses.
    """
    fabric = launch_fabric("cpu", "32-true", n_processes)
    spec = spec_of(case)
    torch.manual_seed(1)
    with default_dtype(dtype):
        plan = TrainingPlan(
            networks=build_networks(spec, with_detail=True, with_auxiliary="auxiliary" in case),
            spec=spec,
            kind="table" if spec is TABLE else "image",
            settings=replace(
                SETTINGS,
                weight_consistency=1.0 if "teacher" in case else 0.0,
                weight_distill=1.0 if "auxiliary" in case else 0.0,
                augment=("translate", "flip") if case == "augmented images" else (),
                dropout=0.3 if case == "table, dropout" else 0.0,
            ),
            rows=training_rows(case, fabric.device, dtype),
            seed=5,
            fingerprint="the same in all processes",
        )
        weights: Weights = {}
        # Of biases before a norm, Adam would turn gradients of nothing but rounding into whole updates.
        eps = 1e-2 if dtype == torch.float32 else 1e-8
        with (
            mock.patch.object(steps, "train", partial(train_and_copy, weights)),
            mock.patch("ssavae.training.stage.Adam", partial(Adam, eps=eps)),
        ):
            trained = steps.train_networks(plan, fabric)
    losses = {
        f"{row['step']} {name}": torch.tensor(value, dtype=torch.float64)
        for row in trained.history
        for name, value in row.items()
        if name.startswith("loss_")
    }
    return weights | {"losses": losses}


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Let new tensors, noise among them, be of a type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    yield
    torch.set_default_dtype(before)


def train_and_copy(
    weights: Weights, session: Session, stage: Stage, rows: TrainingRows, schedule: Schedule
) -> None:
    """Train one stage, and copy the weights of all networks at its end."""
    finish = stage.finish

    def copy_and_finish() -> None:  # which takes over the teacher
        copies = copy_weights(session.modules)
        weights.update({f"{name} after {stage.name}": each for name, each in copies.items()})
        finish()

    stage.finish = copy_and_finish
    train(session, stage, rows, schedule)


def run_failing(failure: str, folder: Path) -> str:
    """Train a plain network, which fails in one process alone; return how the run ended in this one."""
    fabric = launch_fabric("cpu", "32-true", 2)
    context = context_of(fabric)
    linear = nn.Linear(3, 3)
    module = fabric.setup_module(linear)
    session = Session({"vec": linear}, fabric.device, folder, context=context)
    batch = 0

    def step(x: Tensor) -> dict[str, Tensor]:
        nonlocal batch
        loss = module(x).square().mean()
        fabric.backward(loss)
        fails_here = batch == 1 and context.rank == 1
        batch += 1
        session.stop = session.stop or (fails_here and failure == "stopped")
        if fails_here and failure == "raises":
            raise ValueError("this row is bad")
        if fails_here and failure == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return {"loss_rec": loss.detach() * (float("nan") if fails_here and failure == "nan" else 1.0)}

    def arguments(x: Tensor, y: Tensor) -> tuple[Tensor]:
        return (x,)

    rows = TensorRows(torch.ones(64, 3), np.zeros(64, dtype=np.int64), fabric.device)
    try:
        train(session, Stage("vec", step, arguments, {}), rows, Schedule(3, batch_size=16, seed=5))
    except (KeyboardInterrupt, FloatingPointError) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def main(folder: Path, failures: list[str]) -> None:
    """Run the named failures, or all cases; write the results of this process."""
    rank = context_of(launch_fabric("cpu", "32-true", 2)).rank
    results: State = {failure: run_failing(failure, folder) for failure in failures or ("stopped", "nan")}
    if not failures:
        results |= {case: train_case(case, 2) for case in CASES}
        results["single"] = train_case("unevenly", 2, torch.float32)
    save_state(folder / f"process_{rank}", results)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2:])
    except Exception as error:
        report(error)
        sys.exit(1)
