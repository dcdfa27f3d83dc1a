"""Recorded updates: what is replayed is what would have run, and what no graph can hold is refused.

The recordings are those of the stand-in in ``graph_stand_in``; tests of real graphs are marked gpu.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from graph_stand_in import NotRecordableError, record_operations
from ssavae import SSAVAE
from ssavae.networks import Networks, Spec, build_networks
from ssavae.training import capture
from ssavae.training.batches import TensorRows
from ssavae.training.capture import EAGER_UPDATES, Recorded, log_once, updates_of, why_eager
from ssavae.training.distributed.context import SINGLE_PROCESS, Context
from ssavae.training.distributed.fabric import SingleDevice
from ssavae.training.loop import Schedule, Session, train
from ssavae.training.plan import Settings, TrainingPlan
from ssavae.training.stage import Stage, adam
from ssavae.training.steps import run_decoder, run_student, run_vec
from training.distributed.two_processes import IMAGE, TABLE
from training.distributed.two_processes import SETTINGS as ONE_EPOCH

CPU = torch.device("cpu")
SIGNAL = Spec((2, 16), 2, 3, bounded=False, widths=(8, 8), student_widths=(8,))
SPECS = {
    "image": IMAGE,
    "table": TABLE,
    "signal": SIGNAL,
    "ensemble": replace(TABLE, n_members=2, embedded=(1, 3), embedding_dim=4),
    "two parts": replace(IMAGE, latent_dim=5, map_dim=2),
}
KINDS = {1: "table", 2: "signal", 3: "image"}  # by the number of axes of an input
N_UPDATES = 8  # of a stage: some run eagerly, the others are replayed
SETTINGS = replace(ONE_EPOCH, n_epochs=2, n_epochs_student=2, n_epochs_decoder=2)  # of 4 batches each
CASES: dict[str, tuple[str, Settings, bool]] = {
    "plain": ("image", SETTINGS, False),
    "weighted rows": ("image", SETTINGS, True),
    "augmented images": ("image", replace(SETTINGS, augment=("translate", "flip", "erase")), False),
    "augmented table": ("table", replace(SETTINGS, augment=("noise", "mixup")), False),
    "a teacher of images": ("image", replace(SETTINGS, weight_consistency=1.0), False),
    "a teacher of tables": ("table", replace(SETTINGS, weight_consistency=1.0), True),
    "a teacher of signals": ("signal", replace(SETTINGS, weight_consistency=1.0), False),
    "an auxiliary classifier": (
        "image",
        replace(SETTINGS, weight_consistency=1.0, weight_distill=1.0),
        False,
    ),
    "an ensemble's auxiliary classifiers": ("ensemble", replace(SETTINGS, weight_distill=1.0), True),
    "dropout": ("table", replace(SETTINGS, dropout=0.3), False),
    "no adversary": ("image", replace(SETTINGS, beta=0.0), False),
    "no latent loss": ("image", replace(SETTINGS, gamma=0.0), False),
    "nothing from the prior": ("table", replace(SETTINGS, beta=0.0, gamma=0.0), False),
    "an ensemble": ("ensemble", SETTINGS, False),
    "an ensemble with weights of each member": ("ensemble", SETTINGS, True),
    "a code in two parts": ("two parts", SETTINGS, False),
    "no detail": ("image", replace(SETTINGS, weight_detail=0.0), False),
}


def plan_of(case: str) -> TrainingPlan:
    """Return a training of 64 rows, of which 40 have a label."""
    name, settings, is_weighted = CASES[case]
    spec = SPECS[name]
    kind = KINDS[len(spec.input_shape)]
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.random((64, *spec.input_shape), dtype=np.float32))
    y = rng.integers(0, 3, 64)
    y[40:] = -1
    shape = (64,) if spec.n_members == 1 else (64, spec.n_members)
    weights = rng.random(shape, dtype=np.float32) if is_weighted else None
    torch.manual_seed(0)
    with_detail, with_auxiliary = settings.weight_detail > 0, settings.weight_distill > 0
    networks = build_networks(spec, with_detail, with_auxiliary=with_auxiliary)
    rows = TensorRows(x, y, CPU, weights)
    return TrainingPlan(networks, spec, kind, settings, rows, seed=3, fingerprint="")


def train_all(case: str) -> tuple[Networks, Session]:
    """Train the three stages of a case."""
    plan = plan_of(case)
    session = Session(plan.networks._asdict(), CPU, seed=plan.seed, generator=torch.Generator())
    fabric = SingleDevice(CPU, "32-true")
    run_vec(plan, session, fabric)
    run_student(plan, session, fabric)
    run_decoder(plan, session, fabric)
    return plan.networks, session


def rates_as_tensors(self: Stage, device: torch.device) -> None:
    """Do what ``Stage.match_device`` does on a GPU."""
    for optimizer in self.optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(float(group["lr"]))


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record and replay on the CPU; the number of replays is counted."""
    replays = []

    def record(generator: torch.Generator, function: Callable[[], Tensor]):
        outputs, replay = record_operations(generator, function)

        def counted() -> None:
            replays.append(1)
            replay()

        return outputs, counted

    monkeypatch.setattr(Stage, "match_device", rates_as_tensors)
    monkeypatch.setattr(capture, "why_eager", lambda *_: "")
    monkeypatch.setattr(capture, "record_graph", record)
    return replays


@pytest.mark.parametrize("case", CASES)
def test_replayed_updates_are_the_updates_to_the_bit(case, as_on_a_gpu, monkeypatch):
    recorded, session = train_all(case)
    assert len(as_on_a_gpu) == 3 * (N_UPDATES - EAGER_UPDATES)
    monkeypatch.setattr(capture, "why_eager", lambda *_: "not here")
    eager, eager_session = train_all(case)
    assert len(as_on_a_gpu) == 3 * (N_UPDATES - EAGER_UPDATES)
    for name, network in eager._asdict().items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, recorded._asdict()[name].state_dict()[key]), f"{name}: {key}"
    histories = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in each.history]
        for each in (session, eager_session)
    ]
    assert histories[0] == histories[1]


# ------------------------------------------------------------------ steps that no graph could repeat


class Regression:
    """A network that copies its input, and its update with a fault that a subclass adds."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.generator = torch.Generator().manual_seed(1)
        self.module = nn.Linear(3, 3)
        self.optimizer = adam(self.module, 0.05)
        self.optimizer.param_groups[0]["lr"] = torch.tensor(0.05)
        self.n = 0

    def loss(self, x: Tensor) -> Tensor:
        return (self.module(x) - x).square().mean()

    def update(self, x: Tensor) -> dict[str, Tensor]:
        self.n += 1
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(x)
        loss.backward()
        self.optimizer.step()
        return {"loss_rec": loss.detach()}


class Noisy(Regression):
    """Draws from the generator that a graph registers: this one can be recorded."""

    def loss(self, x: Tensor) -> Tensor:
        return super().loss(x + torch.randn(x.shape, generator=self.generator))


class ReadsANumber(Regression):
    def loss(self, x: Tensor) -> Tensor:
        return super().loss(x) * float(x.mean().item() > 0)


class AsksWhichIsTrue(Regression):
    def loss(self, x: Tensor) -> Tensor:
        return super().loss(x) if x.mean() > 0 else super().loss(-x)


class CopiesToTheHost(Regression):
    def loss(self, x: Tensor) -> Tensor:
        return super().loss(x) * sum(x[0].tolist())


class ChoosesByAMask(Regression):
    def loss(self, x: Tensor) -> Tensor:
        return super().loss(x[x[:, 0] > 0])


class SizesByValues(Regression):
    def loss(self, x: Tensor) -> Tensor:
        return super().loss(x) + x.nonzero().float().mean()


class BringsAConstant(Regression):
    def loss(self, x: Tensor) -> Tensor:
        return super().loss(x * torch.tensor([1.0, 2.0, 3.0]))


REFUSED = {
    ReadsANumber: "item reads",
    AsksWhichIsTrue: "__bool__ reads|is_nonzero reads|local_scalar_dense reads",
    CopiesToTheHost: "tolist reads",
    ChoosesByAMask: "index has a shape",
    SizesByValues: "nonzero has a shape",
    BringsAConstant: "copies a constant",
}


class CountsInPython(Regression):
    def loss(self, x: Tensor) -> Tensor:
        return super().loss(x) * (1.0 + 0.1 * self.n)


class DrawsFromNumpy(Regression):
    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(0)

    def loss(self, x: Tensor) -> Tensor:
        return super().loss(x + float(self.rng.random()))


class RemembersATensor(Regression):
    previous: Tensor | None = None

    def loss(self, x: Tensor) -> Tensor:
        last = 0.0 if self.previous is None else self.previous
        self.previous = x.mean()
        return super().loss(x + last)


class ChangesTheRate(Regression):
    """Its learning rate is a Python number, which the schedule changes between updates."""

    def update(self, x: Tensor) -> dict[str, Tensor]:
        self.optimizer.param_groups[0]["lr"] = 0.05 / (self.n + 1)
        return super().update(x)


def run(regression: Regression, record: bool) -> list[float]:
    """Return losses and weights after some updates with other rows each time."""
    rows = torch.randn(N_UPDATES, 16, 3, generator=torch.Generator().manual_seed(2)).unbind()
    recorder = partial(record_operations, regression.generator)
    update = Recorded(regression.update, recorder) if record else regression.update
    losses = [float(update(x)["loss_rec"]) for x in rows]
    return losses + regression.module.weight.detach().flatten().tolist()


@pytest.mark.parametrize("regression", [Regression, Noisy])
def test_an_update_of_tensors_alone_is_replayed_to_the_bit(regression):
    assert run(regression(), record=True) == run(regression(), record=False)


@pytest.mark.parametrize("regression", REFUSED)
def test_an_update_that_asks_the_host_is_refused_and_leaves_no_trace(regression):
    it = regression()
    run(it, record=False)
    before = it.module.weight.detach().clone()
    with pytest.raises(NotRecordableError, match=REFUSED[regression]):
        record_operations(it.generator, lambda: it.update(torch.ones(16, 3))["loss_rec"])
    assert torch.equal(it.module.weight, before)


@pytest.mark.parametrize("regression", REFUSED)
def test_what_cannot_be_recorded_runs_eagerly_with_one_warning(regression, caplog):
    with caplog.at_level(logging.WARNING):
        assert run(regression(), record=True) == run(regression(), record=False)
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "updates run without a graph, several times as slow"
    ]


@pytest.mark.parametrize("regression", [CountsInPython, DrawsFromNumpy, RemembersATensor, ChangesTheRate])
def test_an_update_that_depends_on_python_differs_when_replayed(regression):
    replayed, eager = run(regression(), record=True), run(regression(), record=False)
    assert replayed[:EAGER_UPDATES] == eager[:EAGER_UPDATES]
    assert not np.array_equal(replayed, eager)


def test_rows_of_another_number_run_eagerly():
    regressions = Regression(), Regression()
    update = Recorded(regressions[0].update, partial(record_operations, regressions[0].generator))
    for n in (16, 16, 16, 16, 5, 16):
        x = torch.randn(n, 3)
        assert torch.equal(update(x)["loss_rec"], regressions[1].update(x)["loss_rec"])
    assert torch.equal(regressions[0].module.weight, regressions[1].module.weight)


def test_losses_of_a_replay_are_not_overwritten_by_the_next():
    it = Regression()
    update = Recorded(it.update, partial(record_operations, it.generator))
    losses = [update(torch.full((4, 3), float(i + 1)))["loss_rec"] for i in range(6)]
    assert len({float(each) for each in losses}) == 6


# --------------------------------------------------------------------------------- when it is used


def test_the_reason_for_running_eagerly_names_what_is_in_the_way():
    stage = Stage("vec", dict, lambda x, y: (x,), {})
    several = Context()
    several.n_processes = 2
    gpu = torch.device("cuda")
    assert why_eager(stage, SINGLE_PROCESS, gpu) == ""
    assert "this is cpu" in why_eager(stage, SINGLE_PROCESS, CPU)
    assert "several processes" in why_eager(stage, several, gpu)
    stage.own_networks = True
    assert "networks of your own" in why_eager(stage, SINGLE_PROCESS, gpu)


def test_the_reason_is_logged_once(caplog):
    log_once.cache_clear()
    stage = Stage("vec", dict, lambda x, y: (x,), {})
    rows = TensorRows(torch.zeros(2, 3), np.zeros(2, dtype=np.int64), CPU)
    with caplog.at_level(logging.INFO, logger=capture.__name__):
        for _ in range(3):
            updates_of(stage, rows, SINGLE_PROCESS, torch.Generator())
    assert [record.message for record in caplog.records] == [
        "step vec runs without a graph: graphs are for CUDA, this is cpu"
    ]


def test_learning_rates_are_numbers_on_a_cpu_whatever_a_state_has_brought():
    optimizer = adam(nn.Linear(2, 2), 0.5)
    optimizer.param_groups[0]["lr"] = torch.tensor(0.25)  # of a state that a GPU has written
    optimizer.param_groups[0]["capturable"] = True
    Stage("vec", dict, lambda x, y: (x,), {"vec": optimizer}).match_device(CPU)
    assert optimizer.param_groups[0]["lr"] == 0.25 and not isinstance(optimizer.param_groups[0]["lr"], Tensor)
    assert optimizer.param_groups[0]["capturable"] is False


def test_a_run_that_diverges_in_a_replay_has_finite_weights_again(as_on_a_gpu, monkeypatch):
    it = Regression()
    rows = TensorRows(torch.ones(64, 3), np.zeros(64, dtype=np.int64), CPU)
    rows.x[17] = math.nan
    stage = Stage("vec", it.update, lambda x, y: (x,), {"vec": it.optimizer})
    session = Session({"vec": it.module}, CPU, generator=it.generator)
    monkeypatch.setattr("ssavae.training.loop.READ_EVERY", 1)
    with pytest.raises(FloatingPointError, match="loss_rec became nan"):
        train(session, stage, rows, Schedule(n_epochs=3, batch_size=16, seed=0))
    assert torch.isfinite(it.module.weight).all()


# ---------------------------------------------------------------------------------- on a real GPU


@pytest.mark.gpu
@pytest.mark.parametrize("case", ["images", "a teacher", "table"])
def test_graphs_on_a_gpu_give_what_eager_updates_give(case, toy_images, toy_table, monkeypatch, caplog):
    x, y = toy_table if case == "table" else toy_images
    if case == "a teacher":
        y = np.where(np.arange(len(y)) < 12, y, -1)
    params: dict = {"n_epochs": 4, "n_epochs_decoder": 4, "batch_size": 16, "random_state": 0}
    with caplog.at_level(logging.WARNING):
        graphs = SSAVAE(device="cuda", augment=() if case == "table" else ("translate",), **params).fit(x, y)
    assert [record.message for record in caplog.records if "without a graph" in record.message] == []
    monkeypatch.setattr(capture, "why_eager", lambda *_: "not here")
    eager = SSAVAE(device="cuda", augment=() if case == "table" else ("translate",), **params).fit(x, y)
    np.testing.assert_array_equal(graphs.transform(x), eager.transform(x))


@pytest.mark.gpu
def test_a_failed_recording_on_a_gpu_leaves_the_training_as_it_was():
    def update(x: Tensor) -> dict[str, Tensor]:
        x = x + torch.randn(x.shape, device=x.device, generator=generator)
        return {"loss_rec": x.mean() * float(x.sum().item() != 0)}

    generator = torch.Generator("cuda").manual_seed(0)
    recorded = Recorded(update, partial(capture.record_graph, generator))
    x = torch.ones(4, device="cuda")
    losses = [float(recorded(x)["loss_rec"]) for _ in range(6)]
    generator.manual_seed(0)
    assert losses == [float(update(x)["loss_rec"]) for _ in range(6)]
