"""Several processes are one run: they learn the same, stop and fail together, and the first one writes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from two_processes import CASES, train_case

from ssavae import SSAVAE
from ssavae.app import cli
from ssavae.networks import Encoder, Spec
from ssavae.persistence import model_folder, training_state
from ssavae.training.distributed import launcher
from ssavae.training.distributed.strategy import with_synced_norms
from ssavae.training.loop import Weights

PROGRAM = str(Path(__file__).with_name("two_processes.py"))
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Run all cases in two processes; return the folder of their results."""
    folder = tmp_path_factory.mktemp("ddp")
    launcher.run_processes([sys.executable, PROGRAM, str(folder)], 2)
    return folder


@pytest.fixture(scope="module")
def results(folder) -> list[dict[str, Any]]:
    """The results of both processes."""
    return [training_state.load_state(folder / f"process_{rank}") for rank in range(2)]


def largest_differences(a: Weights, b: Weights) -> dict[str, float]:
    """Return the largest difference in each network, its buffers included, and in the losses."""
    assert {part: set(a[part]) for part in a} == {part: set(b[part]) for part in b}
    return {p: max(float((a[p][k].double() - b[p][k].double()).abs().max()) for k in a[p]) for p in a}


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_learns_from_the_whole_batch(results, case):
    one = train_case(case, 1)
    assert ("teacher after vec" in one) == ("teacher" in case)
    differences = largest_differences(one, results[0][case])
    assert max(differences.values()) < 1e-8, differences


def test_in_single_precision_they_do_so_to_rounding(results):
    differences = largest_differences(train_case("unevenly", 1, torch.float32), results[0]["single"])
    assert max(differences.values()) < 1e-4, differences


@pytest.mark.parametrize("case", [*CASES, "single"])
def test_weights_buffers_and_teacher_are_the_same_bits_in_both(results, case):
    differences = largest_differences(results[0][case], results[1][case])
    assert all(value == 0 for part, value in differences.items() if part != "losses"), differences


@pytest.mark.parametrize(
    ("failure", "message"),
    [("stopped", "Stopped: stopped in step vec, epoch 1, batch 4"), ("nan", "batch 2")],
)
def test_a_stop_or_a_nan_in_one_process_ends_both_at_the_same_batch(results, failure, message):
    assert results[0][failure] == results[1][failure]
    assert message in results[0][failure]


def test_the_state_of_a_stopped_run_and_the_last_finite_weights_are_saved(results, folder):
    assert training_state.load_state(folder)["loop"]["batch"] == 4
    assert (folder / "last_good").is_dir()


@pytest.mark.parametrize(
    ("failure", "kind", "message"),
    [
        ("raises", ValueError, "^this row is bad$"),
        ("killed", RuntimeError, "process 1 of 2 ended with status -9"),
    ],
)
def test_a_process_that_fails_ends_the_run_with_its_message(tmp_path, failure, kind, message):
    start = time.monotonic()
    with pytest.raises(kind, match=message):
        launcher.run_processes([sys.executable, PROGRAM, str(tmp_path), failure], 2)
    assert time.monotonic() - start < 60  # nobody waits for the ten minutes of a collective


# ---- the estimator


def test_fit_starts_the_processes_itself_and_resembles_the_fit_of_one(toy_table):
    X, y = toy_table
    names = np.array(["ash", "elm", "oak"], dtype=object)[y]
    names[::4] = None
    short: dict[str, Any] = {"n_epochs": 1, "n_epochs_decoder": 1, "batch_size": 32, "random_state": 0}
    one, two = (SSAVAE(**short, validation_fraction=0.2, devices=n).fit(X, names) for n in (1, 2))
    assert two.classes_.tolist() == ["ash", "elm", "oak"]
    assert np.allclose(one.transform(X), two.transform(X), atol=1e-3)
    assert [row["step"] for row in two.history_] == ["vec", "decoder"]
    assert two.history_[0]["val_loss"] == pytest.approx(one.history_[0]["val_loss"], abs=1e-3)
    assert all(type(part).__name__ != "SyncedBatchNorm" for part in two.vec_.modules())
    before = two.transform(X)
    assert len(two.fit_decoder(X, beta=0.0).history_) == 2  # step 2 again, in two processes as well
    assert np.array_equal(two.transform(X), before)


ENDLESS = """
import sys
from sklearn.datasets import load_digits
from ssavae import SSAVAE
X, y = load_digits(return_X_y=True)
SSAVAE(devices=2, n_epochs=9999, checkpoint_every=1, checkpoint_folder=sys.argv[1]).fit(X, y)
"""


def test_a_killed_fit_leaves_no_rows_in_the_temporary_folder(tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    process = start(sys.executable, "-c", ENDLESS, tmp_path)
    wait_for(lambda: training_state.has_state(tmp_path) or process.poll() is not None)
    assert process.poll() is None
    assert not list(scratch.rglob("*.safetensors"))  # all processes have read the rows
    process.kill()
    process.communicate()
    wait_for(lambda: not any(scratch.glob("ssavae-*")))
    assert not any(scratch.glob("ssavae-*"))


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


class RandomRows(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 40

    def __getitem__(self, i: int) -> Any:
        return np.random.default_rng(i).random(3, dtype=np.float32)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"devices": 0}, "'devices' .* must be an int in the range .1, inf.. Got 0 "),
        ({"devices": 3}, "batch_size=128 cannot be divided among 3 processes"),
        ({"devices": 2, "device": "cuda"}, "cannot run on device='cuda', devices=2"),
        ({"devices": 2, "device": "mps"}, "device='mps' is one device"),
        ({"nodes": 2}, "nodes=2: start .* torchrun --nnodes 2 --nproc-per-node 1 "),
        ({"devices": 2, "encoder": nn.Linear(3, 2)}, "networks of your own"),
    ],
)
def test_impossible_parameters_are_refused_before_a_process_is_started(
    toy_table, monkeypatch, params, message
):
    monkeypatch.setattr(subprocess, "Popen", None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ValueError, match=message):
        SSAVAE(**params).fit(*toy_table)


def test_a_dataset_needs_torchrun(monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    with pytest.raises(ValueError, match="torchrun --nproc-per-node 2"):
        SSAVAE(devices=2).fit(RandomRows())


def test_torchrun_and_parameters_must_agree(monkeypatch):
    variables = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launcher.process_counts(None, None) == {"devices": 2, "nodes": 2}
    assert not launcher.must_launch(2, 2) and not launcher.is_first()
    with pytest.raises(ValueError, match="torchrun started 2 processes on each of 2 machines"):
        launcher.must_launch(3, 1)


def test_shared_norms_are_the_same_tensors_in_another_module():
    encoder = Encoder(Spec((1, 8, 8), 2, 3, bounded=True, widths=(4,)))
    twin = with_synced_norms(encoder)
    assert all(a is b for a, b in zip(encoder.parameters(), twin.parameters(), strict=True))
    assert all(a is b for a, b in zip(encoder.buffers(), twin.buffers(), strict=True))
    x = torch.rand(5, 1, 8, 8)
    assert torch.equal(encoder.eval()(x).mu, twin.eval()(x).mu)


# ---- the command line

RUN = ["train", "digits", "--set", "n_epochs=2", "--set", "n_epochs_decoder=2", "--set", "widths=[8, 8]"]
RUN += ["--set", "checkpoint_every=10", "--set", "weight_consistency=1.0"]
SSAVAE_COMMAND = [sys.executable, "-c", "from ssavae.app.cli import main; main()"]


def start(*command: object) -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3] / "src")}
    arguments = [str(argument) for argument in command]
    return subprocess.Popen(arguments, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_a_run_of_two_processes_stopped_and_resumed_is_the_run_of_torchrun(tmp_path, capfd):
    whole = tmp_path / "whole"
    resumed = tmp_path / "resumed"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    unbroken = start(sys.executable, *torchrun, *SSAVAE_COMMAND, *RUN, "--out", whole)
    process = start(*SSAVAE_COMMAND, *RUN, "--out", resumed, "--devices", 2)
    deadline = time.monotonic() + 120
    while not training_state.has_state(resumed) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "--resume" in err and len(err.strip().splitlines()) == 1, err
    assert training_state.has_state(resumed) and not (resumed / model_folder.MODEL_FILE).exists()

    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "digits", "--out", str(resumed), "--resume"])
    out, err = capfd.readouterr()
    assert stop.value.code == 0, err
    written = [line for line in out.splitlines() if line.startswith("wrote ")]
    assert len(written) == len(set(written)) > 5
    assert unbroken.communicate(timeout=120) and unbroken.returncode == 0
    a, b = (model_folder.load_model(folder)[1] for folder in (whole, resumed))
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    losses = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in model_folder.load_model(folder)[2]]
        for folder in (whole, resumed)
    ]
    assert losses[0] == losses[1]
    assert not (resumed / training_state.RESUME_FOLDER).exists()
    assert (resumed / "map.png").is_file() and (whole / "map.png").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--devices", 0], "devices must be 1 or more, found 0"),
        (["--devices", 2, "--device", "cuda"], "cannot run on device='cuda', devices=2"),
        (["--devices", 2, "--nodes", 2], "torchrun --nnodes 2 --nproc-per-node 2"),
        (["--devices", 3], "batch_size=128 cannot be divided among 3 processes"),
    ],
)
def test_wrong_numbers_of_processes_get_one_line(tmp_path, capfd, options, message):
    with pytest.raises(SystemExit) as stop:
        cli.main([*map(str, ["train", "digits", "--out", tmp_path / "run", *options])])
    err = capfd.readouterr().err.strip().splitlines()
    assert stop.value.code in (1, 2) and len(err) == 1 and message in err[0], err
