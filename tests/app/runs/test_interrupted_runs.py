"""Commands killed at each of their writes, or on a full disk, and given again: nothing is lost or left."""

import csv
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.runs.warm_process import Done, WarmProcess
from ssavae.persistence.model_folder import HISTORY_FILE, MODEL_FILE, WEIGHTS_FILE, load_model

SHORT = ["n_epochs=2", "n_epochs_decoder=1", "widths=8", "batch_size=32", "calibration_folds=2"]
SHORT += ["checkpoint_every=1"]
OPTIONS = [
    "--label=kind",
    "--labels-per-class=10",
    *(f"--set={each}" for each in [*SHORT, "checkpoint_every=1"]),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a table; what the commands write goes into ``work``."""
    folder = tmp_path_factory.mktemp("killed").resolve()
    (folder / "work").mkdir()
    rng = np.random.default_rng(0)
    for name, shift in (("old", 3), ("trees", 4)):
        rows = rng.normal(size=(60, 3))
        rows[30:] += shift
        with (folder / f"{name}.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["a", "b", "c", "kind"])
            writer.writerows([*row, ("oak", "elm")[i >= 30]] for i, row in enumerate(rows.tolist()))
    return folder


@pytest.fixture(scope="module")
def process(folder) -> Iterator[WarmProcess]:
    process = WarmProcess(folder)
    yield process
    process.close()


class Runs:
    """Trainings of one table, and the run that one never interrupted writes."""

    def __init__(self, process: WarmProcess, folder: Path) -> None:
        self.process = process
        self.folder = folder
        done = self.train("whole")
        assert done.status == 0, done
        self.writes = done.writes
        self.whole = content(folder / "work" / "whole")

    def train(
        self, name: str, *words: object, data: str = "trees", kill_at: int = 0, full_at: int = 0
    ) -> Done:
        options = [] if "--resume" in words else OPTIONS
        out = self.folder / "work" / name
        return self.process.run(
            "train",
            self.folder / f"{data}.csv",
            "--out",
            out,
            *words,
            *options,
            kill_at=kill_at,
            full_at=full_at,
        )

    def finish(self, name: str, *words: object) -> None:
        """Finish a run as its user would: --resume where it says that it can, else the same command again."""
        run = self.folder / "work" / name
        is_trained = b'"decoder"' in state_of(run) and b'"optimizers"' not in state_of(run)
        done = self.train(name, "--resume")
        if done.status == 2:
            assert "nothing to resume" in done.err, done
            done = self.train(name, *words)
        assert done.status == 0, done
        assert not is_trained or "epoch" not in done.out  # a finished training is never repeated
        assert content(run) == self.whole


def state_of(run: Path) -> bytes:
    path = run / "resume" / "state.safetensors"
    return path.read_bytes() if path.exists() else b""


def content(run: Path) -> dict[str, object]:
    """All that a run folder holds, less times and event files."""
    files: dict[str, object] = {}
    for path in run.rglob("*"):
        name = str(path.relative_to(run))
        if name.startswith("events.out"):
            continue
        files[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
    metrics = json.loads((run / "metrics.json").read_text())
    del metrics["protocol"]
    with (run / HISTORY_FILE).open() as stream:
        history = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(stream)]
    return files | {"metrics.json": metrics, HISTORY_FILE: history, MODEL_FILE: MODEL_FILE in files}


@pytest.fixture(scope="module")
def runs(process, folder) -> Runs:
    return Runs(process, folder)


def points(writes: list[str], n: int) -> list[int]:
    """Some of the writes, counted from 1, evenly spread."""
    return sorted(set(np.linspace(1, len(writes), n).round().astype(int).tolist()))


def check_kills(runs: Runs, kills: list[int]) -> None:
    for n in kills:
        done = runs.train(f"killed{n}", kill_at=n)
        assert done.status == -9, done
        runs.finish(f"killed{n}")


def check_full_disks(runs: Runs, failures: list[int]) -> None:
    for n in failures:
        done = runs.train(f"full{n}", full_at=n)
        lines = done.err.strip().splitlines()
        assert done.status == 1 and len(lines) == 1, done
        assert lines[0].startswith("error: [Errno 28] No space left on device: ") and f"full{n}/" in lines[0]
        runs.finish(f"full{n}")


def check_overwrites(runs: Runs, folder: Path, kills: list[int]) -> None:
    """Replace the model of other data, killed at each of these writes: one of both can be loaded."""
    assert runs.train("older", data="old").status == 0
    older, whole = (load_model(folder / "work" / name)[0] for name in ("older", "whole"))
    seen = []
    for n in kills:
        run = folder / "work" / f"replaced{n}"
        shutil.copytree(folder / "work" / "older", run)
        if runs.train(run.name, "--overwrite", kill_at=n).status == 0:
            continue
        model = load_model(run)[0]
        seen.append(model == older)
        assert model in (older, whole)
        if model == older and not (run / "resume" / "run.json").exists():
            assert runs.train(run.name, "--overwrite").status == 0
        runs.finish(run.name, "--overwrite")
    assert seen == sorted(seen, reverse=True)  # first the older one, then the new one


def copy_of_whole(folder: Path, name: str) -> Path:
    return shutil.copytree(folder / "work" / "whole", folder / "work" / name)


def timeless(files: dict[str, object]) -> dict[str, object]:
    """What :func:`content` returns, less what says when and where ``ssavae evaluate`` ran."""
    metrics = files["metrics.json"]
    assert isinstance(metrics, dict)
    evaluate = {k: v for k, v in metrics["evaluate"].items() if k not in ("date", "seconds")}
    return files | {"metrics.json": metrics | {"evaluate": evaluate}}


def names_in(folder: Path) -> set[str]:
    found = (str(path.relative_to(folder)) for path in folder.rglob("*"))
    return {name for name in found if "events.out" not in name}


def n_files(writes: list[str]) -> int:
    return sum(each.startswith("open") and not each.endswith(".lock") for each in writes)


def test_a_run_killed_at_some_of_its_writes_is_finished_by_resume(runs):
    check_kills(runs, points(runs.writes, 3))


def test_a_full_disk_is_named_and_the_run_is_finished_by_resume(runs):
    check_full_disks(runs, [n_files(runs.writes) // 2])


def test_a_model_is_replaced_by_the_new_one_or_still_there(runs, folder):
    check_overwrites(runs, folder, points(runs.writes, 4)[2:3])


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_run_killed_at_any_of_its_writes_is_finished_by_resume(runs):
    check_kills(runs, list(range(1, len(runs.writes) + 1)))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_disk_full_at_any_file_is_named_and_the_run_is_finished_by_resume(runs):
    check_full_disks(runs, list(range(1, n_files(runs.writes) + 1)))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_model_is_the_old_or_the_new_one_wherever_its_replacement_is_killed(runs, folder):
    check_overwrites(runs, folder, list(range(1, len(runs.writes) + 1, 2)))


# ---- commands on a run


@pytest.mark.parametrize("n_points", [1, pytest.param(None, marks=pytest.mark.slow)])
def test_evaluate_killed_and_given_again_writes_all_it_would_have_written(runs, process, folder, n_points):
    def evaluate(name: str, kill_at: int = 0) -> Done:
        return process.run("evaluate", folder / "work" / name, folder / "trees.csv", kill_at=kill_at)

    whole = copy_of_whole(folder, "measured")
    writes = evaluate("measured").writes
    for n in points(writes, n_points or len(writes)):
        run = copy_of_whole(folder, f"measured{n}")
        assert evaluate(f"measured{n}", kill_at=n).status == -9
        load_model(run)
        assert evaluate(f"measured{n}").status == 0
        assert timeless(content(run)) == timeless(content(whole))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_export_killed_and_given_again_writes_all_it_would_have_written(runs, process, folder):
    pytest.importorskip("onnxruntime")
    work = folder / "work"
    export = ["export", work / "whole", "--onnx"]
    writes = process.run(*export, work / "onnx").writes
    names = {path.name for path in (work / "onnx").iterdir()}
    for n in points(writes, 12):
        process.run(*export, work / f"onnx{n}", kill_at=n)
        done = process.run(*export, work / f"onnx{n}", "--overwrite")
        assert done.status == 0, done
        assert {path.name for path in (work / f"onnx{n}").iterdir()} == names
        words = ["--onnx", work / f"onnx{n}", folder / "trees.csv", "--out", folder / "rows.csv"]
        assert process.run("predict", *words).status == 0
    assert not [path for path in work.iterdir() if path.name.startswith(".")]


SWEEP = """
from ssavae.app.experiments.search_space import plan_space
from ssavae.app.experiments.sweep import Sweep, work_on
from ssavae.app.runs.folder import Run
from ssavae.data.label_budget import LabelBudget
from ssavae.data.labelled import Reading
space = plan_space(None, {}, {"beta": [0.0, 0.1]}, SHORT)
run = Run(str(folder.parent / "trees.csv"), Reading("kind"), 0.2, None, {}, LabelBudget())
work_on(Sweep(run, space, folder / NAME, "accuracy", grace=1))
"""


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_sweep_killed_and_given_again_has_every_cell(process, folder):
    pytest.importorskip("optuna")

    def sweep(name: str, kill_at: int = 0) -> Done:
        return process.run(call=f"SHORT = {SHORT}; NAME = {name!r}\n{SWEEP}", kill_at=kill_at)

    writes = sweep("sweep").writes
    whole = folder / "work" / "sweep"
    for n in points(writes, 20):
        sweep(f"sweep{n}", kill_at=n)
        done = sweep(f"sweep{n}")
        assert done.status == 0, done
        again = folder / "work" / f"sweep{n}"
        assert names_in(again) == names_in(whole)
        for weights in whole.rglob(WEIGHTS_FILE):
            assert (again / weights.relative_to(whole)).read_bytes() == weights.read_bytes()


# ---- signals, a closed output, a second training

PATCHED = """
import os, shutil, signal
from ssavae import estimator
from ssavae.app import cli
from ssavae.training import loop

def stop(*_, **__):
    os.kill(os.getpid(), signal.SIGINT)

def before(module, name, action):
    real = getattr(module, name)
    setattr(module, name, lambda *args, **kwargs: (action(), real(*args, **kwargs))[1])

"""


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ("before(estimator, 'fit_samplers', stop)", "stopped; the state of the training is saved"),
        ("before(estimator.SSAVAE, '_logits_without', stop)", "stopped; the state of the training is saved"),
        (
            "before(loop, '_end_batch', lambda: os.kill(os.getpid(), signal.SIGHUP))",
            "stopped in step vec, epoch 1, batch 1",
        ),
        (
            "before(loop, '_end_batch', lambda: os.kill(os.getpid(), signal.SIGTERM))\n"
            "before(loop, 'save_state', lambda: [os.kill(os.getpid(), signal.SIGTERM) for _ in range(3)])",
            "stopped in step vec, epoch 1, batch 1",
        ),
    ],
    ids=["samplers", "folds", "sighup", "impatient"],
)
def test_a_stop_anywhere_saves_what_was_trained(runs, process, folder, request, action, message):
    name = request.node.callspec.id
    run = folder / "work" / name
    words = ["train", str(folder / "trees.csv"), "--out", str(run), *OPTIONS]
    done = process.run(call=f"{PATCHED}{action}\ncli.main({words})")
    assert done.status == 130 and message in done.err and "--resume" in done.err, done
    assert len(done.err.strip().splitlines()) == 1
    runs.finish(name)


def test_a_deleted_folder_ends_the_training_with_one_error(process, folder):
    run = folder / "work" / "deleted"
    words = ["train", str(folder / "trees.csv"), "--out", str(run), *OPTIONS]
    action = f"before(loop, '_end_epoch', lambda: shutil.rmtree({str(run)!r}, ignore_errors=True))"
    done = process.run(call=f"{PATCHED}{action}\ncli.main({words})")
    assert (done.status, done.err) == (1, f"error: {run} was deleted while the model was being trained\n")


CLOSED = """
import os
from ssavae.app import cli
reading, writing = os.pipe()
os.close(reading)
os.dup2(writing, 1)
"""


def test_a_closed_output_ends_no_training_and_is_no_error(runs, process, folder):
    words = ["train", str(folder / "trees.csv"), "--out", str(folder / "work" / "unread"), *OPTIONS]
    done = process.run(call=f"{CLOSED}cli.main({words})")
    assert (done.status, done.err) == (0, "")
    assert content(folder / "work" / "unread") == runs.whole
    done = process.run(call=f"{CLOSED}cli.main(['data'])")
    assert (done.status, done.err) == (0, "")


def test_a_second_training_into_a_folder_is_refused_with_the_name_of_the_first(process, folder):
    run = folder / "work" / "taken"
    for words in ([], ["--overwrite"], ["--resume"]):
        options = ["train", str(folder / "trees.csv"), "--out", str(run), *words]
        code = "import os; from ssavae.app import cli; from ssavae.app.runs.folder import RunFolder\n"
        code += "with RunFolder(folder / 'taken').locked(): print(os.getpid(), flush=True); "
        code += f"cli.main({options})"
        done = process.run(call=code)
        assert done.status == 2 and len(done.err.splitlines()) == 1, done
        assert f"error: process {done.out.split()[0]} on " in done.err and f"trains into {run}" in done.err
    assert not run.exists()  # nothing was written into it


@pytest.mark.parametrize(("out", "message"), [("", "the name is empty"), ("trees.csv", "is a file")])
def test_a_folder_that_cannot_be_one_is_refused_before_training(process, folder, out, message):
    done = process.run("train", folder / "trees.csv", "--out", out and folder / out)
    assert done.status == 2 and f"Invalid value for '--out': {folder / out if out else ''}" in done.err
    assert message in done.err


# ---- nothing that nobody asked for

NO_NETWORK = """
import sys
from ssavae.app import cli
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        sys.__stderr__.write(f"{event} {arguments}\\n")
        raise SystemExit(99)
sys.addaudithook(hook)
"""
COMMANDS = [
    "train DATA --out WORK/quiet OPTIONS",
    "evaluate WORK/whole DATA",
    "map WORK/whole DATA",
    "predict WORK/whole DATA",
    "sample WORK/whole",
    "card WORK/whole",
]
SLOW_COMMANDS = ["export WORK/whole --onnx WORK/quiet_onnx", "predict --onnx WORK/quiet_onnx DATA"]


def check_quiet(process: WarmProcess, folder: Path, commands: list[str]) -> None:
    places = {"DATA": str(folder / "trees.csv"), "WORK": str(folder / "work"), "OPTIONS": " ".join(OPTIONS)}
    for command in commands:
        for name, value in places.items():
            command = command.replace(name, value)
        done = process.run(call=f"{NO_NETWORK}cli.main({command.split()})")
        assert done.status == 0, (command, done)


def test_no_command_opens_a_connection(runs, process, folder):
    check_quiet(process, folder, COMMANDS)


@pytest.mark.slow
def test_onnxruntime_stores_nothing_and_opens_no_connection(runs, folder, tmp_path_factory, monkeypatch):
    pytest.importorskip("onnxruntime")
    home = tmp_path_factory.mktemp("home")
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(home))
    process = WarmProcess(folder)
    check_quiet(process, folder, SLOW_COMMANDS)
    process.close()
    assert not [path for path in home.rglob("*") if "microsoft" in path.name.lower()]
