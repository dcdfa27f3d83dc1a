"""The training loop: runs that are stopped and resumed, diverge, or stall."""

import math
import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Callable
from multiprocessing.process import BaseProcess as Process
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.optim import Adam

from ssavae import SSAVAE
from ssavae.persistence import model_folder, training_state
from ssavae.persistence.schema import ModelFolderError
from ssavae.training.batches import TensorRows
from ssavae.training.distributed.fabric import launch_fabric
from ssavae.training.loop import Schedule, Session, train
from ssavae.training.stage import Stage, one_cycle

CPU = torch.device("cpu")
X = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)


def rows() -> TensorRows:
    return TensorRows(torch.from_numpy(X), np.zeros(64, dtype=np.int64), CPU)


def regression(fail_at: int | None = None) -> tuple[Session, Stage, dict[str, int]]:
    """Return the training of a network that copies its input: session, stage, and the number of steps.

    Noise makes the order of the batches matter. The loss of step ``fail_at`` is NaN.
    """
    torch.manual_seed(0)
    module = nn.Linear(3, 3)
    optimizer = Adam(module.parameters(), 0.05)
    calls = {"n": 0}

    def step(x: torch.Tensor, noise: torch.Tensor) -> dict[str, torch.Tensor]:
        calls["n"] += 1
        loss = (module(x + 0.1 * noise) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss_rec": loss.detach() * (math.nan if calls["n"] == fail_at else 1.0)}

    def arguments(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, torch.randn_like(x)

    return Session({"vec": module}, CPU), Stage("vec", step, arguments, {"vec": optimizer}), calls


def call_after_step(stage: Stage, function: Callable[[], None]) -> None:
    """Call a function after each step of a stage, before the loop reads anything of it."""
    step = stage.step

    def wrapped(*arguments: torch.Tensor) -> dict[str, torch.Tensor]:
        losses = step(*arguments)
        function()
        return losses

    stage.step = wrapped


def weight_of(session: Session) -> nn.Parameter:
    return session.modules["vec"].get_parameter("weight")


SCHEDULE = Schedule(n_epochs=4, batch_size=16, seed=7)


def test_the_history_has_a_row_for_each_epoch_with_every_loss():
    session, stage, _ = regression()
    stage.measure = lambda: {"val_loss": 1.0}
    train(session, stage, rows(), SCHEDULE)
    assert [row["epoch"] for row in session.history] == [1, 2, 3, 4]
    assert set(session.history[0]) == {"step", "epoch", "seconds", "loss_rec", "val_loss"}
    assert float(session.history[-1]["loss_rec"]) < float(session.history[0]["loss_rec"])
    assert session.done == ["vec"]


@pytest.mark.parametrize("stop_at", [1, 3, 4, 9, 15])
def test_a_run_stopped_anywhere_and_resumed_is_the_run_never_stopped(tmp_path, stop_at):
    whole, stage, _ = regression()
    train(whole, stage, rows(), SCHEDULE)

    first, stage, calls = regression()
    first.folder = tmp_path

    def stop() -> None:
        first.stop = calls["n"] == stop_at

    call_after_step(stage, stop)
    with pytest.raises(KeyboardInterrupt, match=r"saved in .* go on with --resume"):
        train(first, stage, rows(), SCHEDULE)

    second, stage, calls = regression()
    second.folder = tmp_path
    second.resume()
    train(second, stage, rows(), SCHEDULE)
    assert calls["n"] == 16 - stop_at
    for a, b in zip(whole.modules["vec"].parameters(), second.modules["vec"].parameters(), strict=True):
        assert torch.equal(a, b)
    timeless = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in s.history] for s in (whole, second)
    ]
    assert timeless[0] == timeless[1]


def without(*keys):
    """Return a function that deletes an entry of a nested state."""

    def change(state):
        for key in keys[:-1]:
            state = state[key]
        del state[keys[-1]]

    return change


def replaced(value, *keys):
    """Return a function that replaces an entry of a nested state."""

    def change(state):
        for key in keys[:-1]:
            state = state[key]
        state[keys[-1]] = value

    return change


DAMAGES = [
    *(without(name) for name in ("history", "done", "modules", "loop", "optimizers", "schedulers")),
    without("modules", "vec", "weight"),
    without("loop", "n_batches"),
    without("optimizers", "vec", "state"),
    without("optimizers", "vec", "param_groups"),
    *(replaced(value, "history") for value in (7, [7], "text")),
    *(replaced(value, "modules") for value in ([], "text", {"vec": 3})),
    *(replaced(value, "loop") for value in ([], {"epoch": 1, "colour": 2})),
    *(replaced(torch.zeros(9, 9), *keys) for keys in (("modules", "vec", "weight"), ("rng",))),
    replaced(torch.zeros(9, 9), "optimizers", "vec", "state", 0, "exp_avg"),
    replaced("text", "rng"),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_state_that_was_not_written_by_a_run_is_refused_with_its_file(tmp_path, damage):
    session, stage, _ = regression()
    session.folder = tmp_path
    call_after_step(stage, lambda: setattr(session, "stop", True))
    with pytest.raises(KeyboardInterrupt):
        train(session, stage, rows(), SCHEDULE)
    state = training_state.load_state(tmp_path)
    damage(state)
    training_state.save_state(tmp_path, state)

    resumed, stage, _ = regression()
    resumed.folder = tmp_path
    with pytest.raises(ModelFolderError, match=r"(?s)state\.safetensors is damaged .*train from the start"):
        resumed.resume()
        train(resumed, stage, rows(), SCHEDULE)


def test_without_a_folder_the_message_of_a_stop_says_that_nothing_was_saved():
    session, stage, _ = regression()
    session.stop = True
    with pytest.raises(KeyboardInterrupt, match="nothing was saved"):
        train(session, stage, rows(), SCHEDULE)


def test_sigterm_stops_at_the_next_batch_and_the_handlers_are_restored(tmp_path):
    session, stage, _ = regression()
    session.folder = tmp_path
    call_after_step(stage, lambda: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt, match="stopped in step vec, epoch 1, batch 1"):
        train(session, stage, rows(), SCHEDULE)
    assert signal.getsignal(signal.SIGTERM) is before
    assert training_state.has_state(tmp_path)


def test_another_run_is_not_resumed(tmp_path):
    session, stage, _ = regression()
    session.folder = tmp_path
    session.stop = True
    with pytest.raises(KeyboardInterrupt):
        train(session, stage, rows(), SCHEDULE)
    other, _, _ = regression()
    other.folder = tmp_path
    other.fingerprint = "other data"
    with pytest.raises(ValueError, match="other data or parameters"):
        other.resume()


def test_states_are_written_at_the_chosen_interval_even_where_epochs_are_short(tmp_path, monkeypatch):
    session, stage, _ = regression()
    session.folder = tmp_path
    session.checkpoint_every = 6
    written = []
    monkeypatch.setattr(
        "ssavae.training.loop.save_state",
        lambda folder, state: written.append(dict(state["loop"]) if "loop" in state else None),
    )
    train(session, stage, rows(), SCHEDULE)
    assert written.pop() is None  # after the step
    assert [(loop["epoch"], loop["batch"]) for loop in written] == [(1, 2), (2, 4)]


@pytest.mark.parametrize("fail_at", [1, 6, 14])
def test_a_loss_that_is_not_finite_stops_the_run_with_finite_weights(fail_at):
    session, stage, _ = regression(fail_at)
    epoch = (fail_at - 1) // 4 + 1
    batch = (fail_at - 1) % 4 + 1
    with pytest.raises(
        FloatingPointError, match=f"loss_rec became nan in step vec, epoch {epoch}, batch {batch};"
    ):
        train(session, stage, rows(), SCHEDULE)
    assert all(torch.isfinite(p).all() for p in session.modules["vec"].parameters())


def test_weights_that_diverged_after_the_last_read_do_not_count_as_good():
    session, stage, calls = regression()
    weight = weight_of(session)

    def diverge() -> None:
        if calls["n"] == 8:  # the loss of this batch is still finite, the weights no longer are
            weight.data.fill_(math.inf)

    call_after_step(stage, diverge)
    with pytest.raises(FloatingPointError, match="epoch 3, batch 1"):
        train(session, stage, rows(), SCHEDULE)
    assert torch.isfinite(weight).all()


def test_the_last_finite_weights_of_a_run_that_diverged_are_saved(tmp_path):
    session, stage, _ = regression(fail_at=14)
    session.folder = tmp_path
    with pytest.raises(FloatingPointError, match=r"which are in .*last_good"):
        train(session, stage, rows(), SCHEDULE)
    saved = training_state.load_state(tmp_path / "last_good")["modules"]["vec"]
    assert torch.equal(saved["weight"], weight_of(session))


def test_patience_ends_the_stage_with_the_best_weights():
    session, stage, _ = regression()
    losses = iter([3.0, 1.0, 2.0, 2.5, 0.1])
    weights = []

    def measure():
        weights.append(weight_of(session).detach().clone())
        return {"val_loss": next(losses)}

    stage.measure = measure
    train(session, stage, rows(), Schedule(n_epochs=9, batch_size=16, seed=0, patience=2))
    assert len(session.history) == 4
    assert torch.equal(weight_of(session), weights[1])


def test_the_learning_rate_rises_and_falls():
    factors = [one_cycle(i / 100) for i in range(101)]
    assert max(factors) == factors[10] == 1.0
    assert factors[0] == factors[-1] == 0.0


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="device='warp'"):
        launch_fabric("warp", "32-true")


def train_digits(folder: Path, resume: bool) -> None:
    torch.set_num_threads(1)
    bunch: Any = load_digits()
    X, y = bunch.images / 16, bunch.target
    small: dict[str, Any] = {"n_epochs": 3, "n_epochs_decoder": 3, "widths": (8, 8, 8), "random_state": 3}
    model = SSAVAE(kind="image", checkpoint_folder=folder, checkpoint_every=3, **small)
    model.fit(X[:1024], y[:1024], resume=resume)
    model.save(folder)


def start(folder: Path, resume: bool = False) -> Process:
    """Train in a child of this process, which has imported all that it needs."""
    process = multiprocessing.get_context("fork").Process(target=train_digits, args=(folder, resume))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: the parent has threads
        process.start()
    return process


def kill_when(process: Process, folder: Path, n_states: int, delay: float) -> None:
    """Kill a run some time after it has written so many states."""
    path = folder / training_state.RESUME_FOLDER / training_state.STATE_FILE
    n_seen = 0
    last = None
    deadline = time.monotonic() + 120
    while n_seen < n_states and process.is_alive() and time.monotonic() < deadline:
        try:
            written = path.stat().st_mtime_ns
        except FileNotFoundError:
            written = None
        n_seen += written is not None and written != last
        last = written
        time.sleep(0.002)
    time.sleep(delay)
    process.kill()
    process.join()


def test_sigkills_at_random_moments_change_no_bit(tmp_path):
    whole = start(tmp_path / "whole")
    rng = np.random.default_rng(11)
    killed = tmp_path / "killed"
    for kill, n in enumerate((5, 3, 4, 5, 3)):  # states that it writes first; step 1 writes eight
        process = start(killed, resume=training_state.has_state(killed))
        kill_when(process, killed, n, rng.uniform(0, 0.05))
        assert process.exitcode == -signal.SIGKILL, f"kill {kill} came after the end"
        assert not (killed / model_folder.MODEL_FILE).exists()
    assert training_state.load_state(killed)["stage"] == "decoder"  # so both steps were interrupted
    last = start(killed, resume=True)
    for process in (last, whole):
        process.join(300)
        assert process.exitcode == 0
    expected, resumed = (model_folder.load_model(tmp_path / name)[1] for name in ("whole", "killed"))
    assert expected.keys() == resumed.keys()
    assert [name for name in expected if not torch.equal(expected[name], resumed[name])] == []
    assert not (killed / training_state.RESUME_FOLDER).exists()
