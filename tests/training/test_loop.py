"""The engine: runs that stop and go on, diverge, stall, or run in the dark."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import Adam

from ssavae.persistence import model_folder, training_state
from ssavae.training.batches import TensorRows
from ssavae.training.distributed.fabric import launch_fabric
from ssavae.training.loop import Session, Settings, Stage, one_cycle, train

CPU = torch.device("cpu")
X = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)


def rows() -> TensorRows:
    return TensorRows(torch.from_numpy(X), np.zeros(64, dtype=np.int64), CPU)


def regression(fail_at: int | None = None, stop: tuple[Session, int] | None = None):
    """A network that learns to copy its input, as a stage and a session; noise makes order matter."""
    torch.manual_seed(0)
    module = nn.Linear(3, 3)
    optimizer = Adam(module.parameters(), 0.05)
    calls = {"n": 0}

    def algorithm(batches):
        for x, _ in batches:
            calls["n"] += 1
            loss = (module(x + 0.1 * torch.randn_like(x)) - x).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield {"loss_rec": loss.detach() * (math.nan if calls["n"] == fail_at else 1.0)}

    session = Session({"vec": module}, CPU)
    return session, Stage("vec", algorithm, {"vec": optimizer}), calls


def weight_of(session: Session) -> nn.Parameter:
    return session.modules["vec"].get_parameter("weight")


SETTINGS = Settings(n_epochs=4, batch_size=16, seed=7)


def test_the_history_has_a_row_an_epoch_with_every_loss():
    session, stage, _ = regression()
    stage.measure = lambda: {"val_loss": 1.0}
    train(session, stage, rows(), SETTINGS)
    assert [row["epoch"] for row in session.history] == [1, 2, 3, 4]
    assert set(session.history[0]) == {"step", "epoch", "seconds", "loss_rec", "val_loss"}
    assert session.history[-1]["loss_rec"] < session.history[0]["loss_rec"]
    assert session.done == ["vec"]


@pytest.mark.parametrize("stop_at", [1, 3, 4, 9, 15])
def test_a_run_stopped_anywhere_and_resumed_is_the_run_never_stopped(tmp_path, stop_at):
    whole, stage, _ = regression()
    train(whole, stage, rows(), SETTINGS)

    first, stage, calls = regression()
    first.folder = tmp_path
    inner = stage.algorithm

    def stopping(batches):
        for losses in inner(batches):
            first.stop = calls["n"] == stop_at
            yield losses

    stage.algorithm = stopping
    with pytest.raises(KeyboardInterrupt, match=r"saved in .* go on with --resume"):
        train(first, stage, rows(), SETTINGS)

    second, stage, calls = regression()
    second.folder = tmp_path
    second.resume()
    train(second, stage, rows(), SETTINGS)
    assert calls["n"] == 16 - stop_at
    for a, b in zip(whole.modules["vec"].parameters(), second.modules["vec"].parameters(), strict=True):
        assert torch.equal(a, b)
    timeless = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in s.history] for s in (whole, second)
    ]
    assert timeless[0] == timeless[1]


def test_without_a_folder_a_stop_says_that_nothing_was_saved():
    session, stage, _ = regression()
    session.stop = True
    with pytest.raises(KeyboardInterrupt, match="nothing was saved"):
        train(session, stage, rows(), SETTINGS)


def test_sigterm_stops_at_the_next_batch_and_the_handlers_are_put_back(tmp_path):
    session, stage, _ = regression()
    session.folder = tmp_path
    inner = stage.algorithm

    def terminated(batches):
        for losses in inner(batches):
            os.kill(os.getpid(), signal.SIGTERM)
            yield losses

    stage.algorithm = terminated
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt, match="stopped in step vec, epoch 1, batch 1"):
        train(session, stage, rows(), SETTINGS)
    assert signal.getsignal(signal.SIGTERM) is before
    assert training_state.has_state(tmp_path)


def test_another_run_is_not_resumed(tmp_path):
    session, stage, _ = regression()
    session.folder, session.stop = tmp_path, True
    with pytest.raises(KeyboardInterrupt):
        train(session, stage, rows(), SETTINGS)
    other, _, _ = regression()
    other.folder, other.fingerprint = tmp_path, "other data"
    with pytest.raises(ValueError, match="other data or parameters"):
        other.resume()


def test_states_are_written_at_the_chosen_interval_even_where_epochs_are_short(tmp_path, monkeypatch):
    session, stage, _ = regression()
    session.folder, session.checkpoint_every = tmp_path, 6
    written = []
    monkeypatch.setattr(
        "ssavae.training.loop.save_state", lambda folder, state: written.append(dict(state["loop"]))
    )
    train(session, stage, rows(), SETTINGS)
    assert [(loop["epoch"], loop["batch"]) for loop in written] == [(1, 2), (2, 4)]


@pytest.mark.parametrize("fail_at", [1, 6, 14])
def test_a_loss_that_is_not_finite_stops_the_run_with_good_weights(fail_at):
    session, stage, _ = regression(fail_at)
    epoch, batch = (fail_at - 1) // 4 + 1, (fail_at - 1) % 4 + 1
    with pytest.raises(
        FloatingPointError, match=f"loss_rec became nan in step vec, epoch {epoch}, batch {batch};"
    ):
        train(session, stage, rows(), SETTINGS)
    assert all(torch.isfinite(p).all() for p in session.modules["vec"].parameters())


def test_weights_that_went_bad_after_the_last_look_are_not_called_good():
    session, stage, calls = regression()
    module, inner = weight_of(session), stage.algorithm
    kept = []

    def diverging(batches):
        for losses in inner(batches):
            if calls["n"] == 8:  # the loss of this batch is still fine, the weights no longer
                kept.append(module.detach().clone())
                module.data.fill_(math.inf)
            yield losses

    stage.algorithm = diverging
    with pytest.raises(FloatingPointError, match="epoch 3, batch 1"):
        train(session, stage, rows(), SETTINGS)
    assert torch.isfinite(module).all()


def test_patience_ends_the_stage_and_keeps_the_best_weights():
    session, stage, _ = regression()
    losses, kept = iter([3.0, 1.0, 2.0, 2.5, 0.1]), []

    def measure():
        kept.append(weight_of(session).detach().clone())
        return {"val_loss": next(losses)}

    stage.measure = measure
    train(session, stage, rows(), Settings(n_epochs=9, batch_size=16, seed=0, patience=2))
    assert len(session.history) == 4
    assert torch.equal(weight_of(session), kept[1])


def test_the_learning_rate_rises_and_falls():
    course = [one_cycle(i / 100) for i in range(101)]
    assert max(course) == course[10] == 1.0
    assert course[0] == course[-1] == 0.0


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="device='warp'"):
        launch_fabric("warp", "32-true")


PROGRAM = """
import sys, torch
torch.set_num_threads(1)
from sklearn.datasets import load_digits
from ssavae import SSAVAE
folder, resume = sys.argv[1], sys.argv[2] == "resume"
X, y = load_digits(return_X_y=True)
model = SSAVAE(kind="image", n_epochs=3, n_epochs_decoder=14, widths=(8, 8, 8), checkpoint_folder=folder,
               checkpoint_every=3, random_state=3)
model.fit(X[:1024].reshape(-1, 8, 8) / 16, y[:1024], resume=resume)
model.save(folder)
"""


def start(folder: Path, mode: str) -> subprocess.Popen:
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(folder), mode], env=env)


def kill_when(process: subprocess.Popen, folder: Path, n_states: int, delay: float) -> None:
    """Kill a run some time after it has written so many states."""
    path, seen, last = folder / training_state.RESUME_FOLDER / training_state.STATE_FILE, 0, None
    deadline = time.monotonic() + 120
    while seen < n_states and process.poll() is None and time.monotonic() < deadline:
        try:
            stamp = path.stat().st_mtime_ns
        except FileNotFoundError:
            stamp = None
        seen, last = seen + (stamp != last and stamp is not None), stamp
        time.sleep(0.002)
    time.sleep(delay)
    process.kill()
    process.wait()


def test_five_sigkills_at_random_moments_change_no_bit(tmp_path):
    whole = start(tmp_path / "whole", "fresh")
    rng, killed = np.random.default_rng(11), tmp_path / "killed"
    for kill in range(5):
        process = start(killed, "resume" if training_state.has_state(killed) else "fresh")
        kill_when(process, killed, int(rng.integers(3, 6)), rng.uniform(0, 0.05))
        assert process.returncode == -signal.SIGKILL, f"kill {kill} came after the end"
        assert not (killed / model_folder.MODEL_FILE).exists()
    assert training_state.load_state(killed)["stage"] == "decoder"  # so both steps were cut
    assert start(killed, "resume").wait(300) == 0
    assert whole.wait(300) == 0
    expected, found = (model_folder.load_model(tmp_path / name)[1] for name in ("whole", "killed"))
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert not (killed / training_state.RESUME_FOLDER).exists()
