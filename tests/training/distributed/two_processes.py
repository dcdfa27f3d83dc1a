"""What tests/test_ddp.py runs, alone and in two processes: the same training, and what became of it."""

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssavae.consistency import Teacher
from ssavae.networks import Decoder, Discriminator, Spec, build_vec
from ssavae.persistence.training_state import save_state
from ssavae.training.augmentations import STRONG
from ssavae.training.batches import TensorRows
from ssavae.training.distributed.context import context_of
from ssavae.training.distributed.fabric import launch_fabric
from ssavae.training.distributed.launcher import report
from ssavae.training.loop import Session, Settings, Stage, train
from ssavae.training.stages import decoder_stage, student_stage, vec_stage

IMAGE, TABLE = (
    Spec((1, 8, 8), 2, 3, bounded=True, widths=(8, 8), student_widths=(8,)),
    Spec((6,), 2, 3, bounded=False, widths=(8,), student_widths=(8,)),
)
SETTINGS = Settings(n_epochs=1, batch_size=16, seed=5)  # 4 batches: as many updates as the k
CASES = ("labelled", "unevenly", "one label", "changed images", "few labels, a teacher", "table, a teacher")


def rows(case: str, device: torch.device, dtype: torch.dtype) -> TensorRows:
    """64 rows of which some have a label, as many as the case wants, the first rows rather than the last."""
    rng = np.random.default_rng(0)
    shape = TABLE.input_shape if case.startswith("table") else IMAGE.input_shape
    x, y = torch.from_numpy(rng.random((64, *shape))).to(dtype), rng.integers(0, 3, 64)
    wanted = {"labelled": 64, "one label": 1, "few labels, a teacher": 7, "table, a teacher": 9}.get(case, 37)
    y[wanted:] = -1
    return TensorRows(x, y, device)


def trained(case: str, n_processes: int, dtype: torch.dtype = torch.float64) -> dict[str, dict[str, Tensor]]:
    """Train both steps and return all weights and the losses."""
    fabric = launch_fabric("cpu", "32-true", n_processes)
    share, data = context_of(fabric), rows(case, fabric.device, dtype)
    torch.manual_seed(1)
    spec = TABLE if case.startswith("table") else IMAGE
    modules: dict[str, nn.Module] = {"vec": build_vec(spec, with_detail=True), "decoder": Decoder(spec)}
    modules["discriminator"] = Discriminator(spec)
    modules["teacher"] = Teacher(modules["vec"], spec.n_classes)  # type: ignore[arg-type]
    for module in modules.values():
        module.to(dtype)
    session = Session(modules, fabric.device, share=share)
    vec: Any = modules["vec"]
    kind = "table" if spec is TABLE else "image"
    step_1 = partial(vec_stage, fabric, share, vec, learning_rate=2e-3, measure=dict, variance=0.1)
    step_1 = partial(step_1, weight_kl=0.02, weight_detail=0.5, change=STRONG[kind])
    teacher: Any = modules["teacher"] if "teacher" in case else None
    augment = ("translate", "flip") if case == "changed images" else ()
    train(
        session, calm(step_1(teacher=teacher, weight_consistency=1.0, augment=augment), dtype), data, SETTINGS
    )
    between = student_stage(fabric, share, vec, learning_rate=2e-3, kind=kind, variance=1.0, measure=dict)
    train(session, calm(between, dtype), data, SETTINGS)
    step_2 = partial(decoder_stage, fabric, share, vec, modules["decoder"], modules["discriminator"])
    step_2 = partial(step_2, learning_rate=2e-3, learning_rate_disc=2e-3, beta=0.1, gamma=0.1, measure=dict)
    weights = (1.0,) * len(vec.encoder.layers)
    train(session, calm(step_2(weights=weights, weight_latent=1.0), dtype), data, SETTINGS)
    losses = {
        f"{row['step']} {name}": torch.tensor(value, dtype=torch.float64)
        for row in session.history
        for name, value in row.items()
        if name.startswith("loss_")
    }
    return {name: dict(module.state_dict()) for name, module in modules.items()} | {"losses": losses}


def calm(stage: Stage, dtype: torch.dtype) -> Stage:
    """Keep Adam from making steps of nothing but rounding where this is coarse: of biases before a norm."""
    for optimizer in stage.optimizers.values():
        for group in optimizer.param_groups:
            group["eps"] = 1e-2 if dtype == torch.float32 else group["eps"]
    return stage


def ended(what: str, folder: Path) -> str:
    """Train a plain network of which one process alone fails, and say how the run ended here."""
    fabric = launch_fabric("cpu", "32-true", 2)
    share = context_of(fabric)
    module = fabric.setup_module(nn.Linear(3, 3))
    session = Session({"vec": module.module}, fabric.device, folder, share=share)
    x = torch.ones(64, 3)

    def algorithm(batches: Any) -> Iterator[dict[str, Tensor]]:
        for batch, (x, _) in enumerate(batches):
            loss = module(x).square().mean()
            fabric.backward(loss)
            here = batch == 1 and share.rank == 1
            session.stop = session.stop or (here and what == "asked")
            if here and what == "raises":
                raise ValueError("this row is bad")
            if here and what == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            yield {"loss_rec": loss.detach() * (float("nan") if here and what == "nan" else 1.0)}

    rows = TensorRows(x, np.zeros(64, dtype=np.int64), fabric.device)
    try:
        train(session, Stage("vec", algorithm, {}), rows, replace(SETTINGS, n_epochs=3))
    except (KeyboardInterrupt, FloatingPointError) as error:
        return f"{type(error).__name__}: {error}"
    return "to its end"


if __name__ == "__main__":
    try:
        folder, what = Path(sys.argv[1]), sys.argv[2:]
        rank = context_of(launch_fabric("cpu", "32-true", 2)).rank
        found: dict[str, Any] = {each: ended(each, folder) for each in what or ("asked", "nan")}
        if not what:
            found |= {case: trained(case, 2) for case in CASES}
            found["single"] = trained("unevenly", 2, torch.float32)
        save_state(folder / f"process_{rank}", found)
    except Exception as error:
        report(error)
        sys.exit(1)
