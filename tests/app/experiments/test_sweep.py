"""Sweeps: processes share the cells, each cell runs once, and none is lost with its worker."""

import contextlib
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssavae import SSAVAE, figures, load
from ssavae._checks import UsageError
from ssavae.app import cli
from ssavae.app.cli.experiments import repeated
from ssavae.app.experiments.optuna_worker import CELL, WORKER, Worker, open_study
from ssavae.app.experiments.search_space import Space, name_of, plan_space
from ssavae.app.runs.folder import RunFolder
from ssavae.app.runs.train import _shared_vec

ROOT = Path(__file__).resolve().parents[3]
SHORT = ["--set", "n_epochs=1", "--set", "n_epochs_decoder=1"]
GRID = ["--latent-dim", "2", "3", "--beta", "0", "0.01", *SHORT]
SPACE = Space({"random_state": 0}, {"latent_dim": (2, 3), "beta": (0.0, 0.1, 0.2)})

# A worker that writes lines to a file instead of training. Arguments: url, file, grace, seconds per cell,
# and the number of cells after which it hangs.
QUEUE = """
import sys, time
from ssavae.app.experiments.search_space import Space, name_of
from ssavae.app.experiments.optuna_worker import Worker, open_study
url, file, grace, seconds, n_before_hang = sys.argv[1], sys.argv[2], *map(float, sys.argv[3:])
space = Space({"random_state": 0}, {"latent_dim": tuple(range(2, 8)), "beta": (0.0, 0.1, 0.2)})
done = 0
def work(cell):
    global done
    with open(file, "a") as stream:
        stream.write(name_of(cell) + "\\n")
    time.sleep(1000 if done >= n_before_hang else seconds)
    done += 1
    return {"loss": cell["beta"] + cell["latent_dim"]}
study = open_study(url, "queue", maximize=False, grace=int(grace))
worker = Worker(study, space, None, work, "loss", int(grace))
print("ready", flush=True)
sys.stdin.readline()
worker.run()
print(*(result.state for result in worker.results()))
"""


def start(*command: object, stdin: int | None = None) -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", *map(str, command)]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdin=stdin, stdout=pipe, stderr=pipe, env=env, text=True)


def ssavae(*words: object) -> subprocess.Popen[str]:
    return start("from ssavae.app.cli import main; main()", *words)


def run_here(*words: object) -> int:
    with pytest.raises(SystemExit) as stop:
        cli.main([str(word) for word in words])
    return int(stop.value.code or 0)


def wait_for(what: str, condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not come within {seconds} s"
        time.sleep(0.1)


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[str]:
    """The URL of a PostgreSQL server of this test's own, reached through a socket in its folder."""
    programs = [shutil.which(name) for name in ("initdb", "pg_ctl", "setpriv")]
    if None in programs[:2]:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not installed")
    if os.geteuid() == 0 and programs[2] is None:
        pytest.skip("PostgreSQL refuses to run as root, and there is no setpriv to be another user")
    # a socket's path has at most 107 letters, and pytest's folders are closed to the other user
    with short_folder() as home:
        other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        if other:
            os.chown(home, 65534, 65534)
        quiet = {"check": True, "capture_output": True, "cwd": "/"}
        data, options = f"{home}/data", f"-k {home} -c listen_addresses='' -c fsync=off"
        subprocess.run([*other, "initdb", "-D", data, "-U", "sweeper", "-A", "trust"], **quiet)
        log = f"{home}/log"
        subprocess.run([*other, "pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start"], **quiet)
        try:
            yield f"postgresql://sweeper@/postgres?host={home}"
        finally:
            subprocess.run([*other, "pg_ctl", "-D", data, "-m", "immediate", "stop"], **quiet)


@contextlib.contextmanager
def short_folder() -> Iterator[str]:
    home = f"/tmp/ssavae-pg-{os.getpid()}"
    os.mkdir(home, 0o700)
    try:
        yield home
    finally:
        shutil.rmtree(home)


# ---------------------------------------------------------------------------------------- the space


def test_values_follow_an_option_one_after_another():
    words = ["mnist", "--beta", "0", "1e-3", ".5", "--out", "7", "--gamma=1", "2"]
    assert repeated(words, ["--beta", "--gamma"]) == [
        *["mnist", "--beta", "0", "--beta", "1e-3", "--beta", ".5", "--out", "7", "--gamma=1", "2"],
    ]


def test_a_space_keeps_types_and_single_values_are_shared():
    space = plan_space(
        "digits", {}, {"beta": [0.0, 0.1]}, ["widths=[8],[8,16]", "n_epochs=3", "weight_kl=none,1"]
    )
    assert space.swept == {"beta": (0.0, 0.1), "widths": ((8,), (8, 16)), "weight_kl": (None, 1)}
    assert space.shared["n_epochs"] == 3
    assert len({name_of(cell) for cell in space.grid()}) == 8


@pytest.mark.parametrize(
    ("choices", "assignments", "message"),
    [
        ({"beta": [0.1]}, [], "nothing to sweep"),
        ({"beta": [0.1, 0.1]}, [], "nothing to sweep"),
        ({"beta": [0.1, 0.2]}, ["beta=1,2"], "beta is given twice"),
        ({}, ["betta=1,2"], "did you mean 'beta'"),
        ({}, ["latent_dim=2,x"], "latent_dim must be int, found 'x'"),
        ({}, ["beta"], "found 'beta'"),
        ({}, ["device=cpu,cuda"], "device changes where"),
        ({"beta": [-1.0, 0.0]}, [], "beta must be 0 or more"),
    ],
)
def test_wrong_spaces_are_refused(choices, assignments, message):
    with pytest.raises(UsageError, match=message):
        plan_space(None, {}, choices, assignments)


def test_cells_share_step_1_where_they_differ_in_step_2_alone():
    assert {SPACE.vec_name(cell) for cell in SPACE.grid()} == {"latent_dim=2", "latent_dim=3"}
    assert Space({}, {"beta": (0, 1)}).vec_name({"beta": 0}) == "all"
    assert Space({}, {"latent_dim": (2, 3)}).vec_name({"latent_dim": 2}) is None


# -------------------------------------------------------------------------------------- the workers


def worker(tmp_path: Path, work, n_trials: int | None = None, space: Space = SPACE, **options) -> Worker:
    study = open_study(f"sqlite:///{tmp_path / 'sweep.db'}", "test", maximize=False, grace=60)
    return Worker(study, space, n_trials, work, "loss", 60, **options)


def test_every_cell_is_done_once_and_none_again(tmp_path):
    done = []
    for _ in range(2):
        worker(tmp_path, lambda cell: done.append(name_of(cell)) or {"loss": cell["beta"]}).run()
    assert sorted(done) == sorted(map(name_of, SPACE.grid()))
    results = worker(tmp_path, lambda _: {}).results()
    assert [result.cell for result in results] == SPACE.grid()
    assert all(r.state == "done" and r.metrics == {"loss": r.cell["beta"]} for r in results)


def test_a_failed_cell_is_reported_and_run_again_only_with_retry(tmp_path):
    def breaks(cell):
        if cell["beta"] == 0.1:
            raise FloatingPointError("loss_rec became nan")
        return {"loss": 1.0}

    for _ in range(2):
        broken = worker(tmp_path, breaks)
        broken.run()
        errors = [result.error for result in broken.results() if result.state == "failed"]
        assert errors == ["FloatingPointError: loss_rec became nan"] * 2
    retried = worker(tmp_path, lambda _: {"loss": 2.0}, retry=True)
    retried.run()
    assert Counter(result.metrics["loss"] for result in retried.results()) == {1.0: 4, 2.0: 2}


def test_a_stopped_cell_comes_next_time(tmp_path):
    def stops(cell):
        raise KeyboardInterrupt

    for _ in range(4):  # more often than workers may die over a cell
        with pytest.raises(KeyboardInterrupt):
            worker(tmp_path, stops).run()
    again = worker(tmp_path, lambda _: {"loss": 1.0})
    assert {result.state for result in again.results()} == {"waiting"}
    again.run()
    assert {result.state for result in again.results()} == {"done"}


def test_a_cell_queued_twice_is_done_once(tmp_path):
    done = []
    twice = worker(tmp_path, lambda cell: done.append(name_of(cell)) or {"loss": 1.0})
    for cell in SPACE.grid():
        twice.study.enqueue_trial(cell, user_attrs={CELL: name_of(cell)})
    twice.study.enqueue_trial(SPACE.grid()[1], user_attrs={CELL: name_of(SPACE.grid()[1])})
    twice.run()
    assert sorted(done) == sorted(map(name_of, SPACE.grid()))


@pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed")  # ask() sends none, as one that dies
def test_a_worker_that_dies_before_its_first_heartbeat_blocks_nobody(tmp_path):
    done = []
    survivor = worker(tmp_path, lambda cell: done.append(name_of(cell)) or {"loss": 1.0})
    survivor.grace = 1
    for cell in SPACE.grid()[:2]:
        survivor.study.enqueue_trial(cell, user_attrs={CELL: name_of(cell)})
    survivor.study.ask()  # of workers killed before they have said who they are, and after it
    survivor.study.ask().set_user_attr(WORKER, "gone:1")
    survivor.run()
    assert sorted(done) == sorted(map(name_of, SPACE.grid()))
    assert {result.state for result in survivor.results()} == {"done"}


def test_a_sampler_draws_so_many_cells_within_the_range(tmp_path):
    space = Space(
        {"random_state": 0}, {"beta": (0.001, 1.0), "augment": ((), ("translate",)), "latent_dim": (2, 9)}
    )
    drawn = worker(tmp_path, lambda cell: {"loss": (np.log10(cell["beta"]) + 2) ** 2}, 12, space)
    drawn.run()
    cells: list[dict[str, Any]] = [dict(result.cell) for result in drawn.results()]
    assert len(cells) == 12 == len({name_of(cell) for cell in cells})
    assert all(0.001 <= cell["beta"] <= 1 and 2 <= cell["latent_dim"] <= 9 for cell in cells)
    assert sum(cell["beta"] < 0.03 for cell in cells) >= 4  # on a logarithmic scale
    assert {cell["augment"] for cell in cells} == {(), ("translate",)}
    more = worker(tmp_path, lambda cell: {"loss": 1.0}, 14, space)
    more.run()
    assert [result.cell for result in more.results()][:12] == cells and len(more.results()) == 14


def test_a_sampler_with_few_cells_to_draw_ends(tmp_path):
    space = Space({"random_state": 0}, {"augment": ((), ("translate",))})
    done = []
    worker(tmp_path, lambda cell: done.append(name_of(cell)) or {"loss": 1.0}, 6, space).run()
    assert sorted(done) == ["augment=none", "augment=translate"]


def race(url: str, tmp_path: Path) -> None:
    """Three at once on 18 cells, one killed at its first: each cell is done once, that one again."""
    file = tmp_path / "done"
    killed = start(QUEUE, url, file, 4, 0.02, 0, stdin=subprocess.PIPE)
    others = [start(QUEUE, url, file, 4, 0.02, 999, stdin=subprocess.PIPE) for _ in range(2)]
    for process in (killed, *others):
        assert process.stdout and process.stdin
        assert process.stdout.readline() == "ready\n", process.communicate()
    for process in (killed, *others):
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    wait_for("18 cells", lambda: file.exists() and len(file.read_text().split()) == 18)
    killed.kill()
    for process in others:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, ""), err
        assert Counter(out.split()) == {"done": 18}
    killed.communicate()
    counts = Counter(file.read_text().split())
    assert len(counts) == 18
    assert sorted(counts.values()) == [1] * 17 + [2]


def test_three_workers_on_one_sqlite_file_do_each_cell_once(tmp_path):
    race(f"sqlite:///{tmp_path / 'sweep.db'}", tmp_path)


def test_three_workers_on_postgresql_do_each_cell_once(tmp_path, postgres):
    race(postgres, tmp_path)


# ---------------------------------------------------------------------------------- the command line


@pytest.mark.slow
def test_two_workers_train_a_grid_on_one_sqlite_file(tmp_path):
    out = tmp_path / "sweep"
    both = [ssavae("sweep", "digits", *GRID, "--out", out) for _ in range(2)]
    for process in both:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    rows = table(out)
    assert [(row["latent_dim"], row["beta"]) for row in rows] == [
        ("2", "0.0"),
        ("3", "0.0"),
        ("2", "0.01"),
        ("3", "0.01"),
    ]
    assert {row["state"] for row in rows} == {"done"}
    document = json.loads((out / "sweep.json").read_text())
    assert document["best"]["found"]["reconstruction_error"] == min(
        float(row["reconstruction_error"]) for row in rows
    )
    assert (out / "sweep.png").stat().st_size > 10_000
    assert sorted(path.name for path in (out / "vecs").iterdir()) == ["latent_dim=2", "latent_dim=3"]
    for row in rows:
        cell = out / "cells" / f"latent_dim={row['latent_dim']},beta={row['beta']}"
        assert {"model.json", "metrics.json", "run.json", "history.csv"} <= {
            path.name for path in cell.iterdir()
        }
        assert load(cell).beta == float(row["beta"])


@pytest.mark.slow  # the three workers above do the same in less time, without the command line
def test_a_killed_workers_cell_is_trained_on_by_another(tmp_path, postgres):
    out, few = tmp_path / "sweep", tmp_path / "few.npz"
    np.savez(few, x_train=np.random.default_rng(0).random((200, 8, 8)), y_train=np.arange(200) % 3)
    words = ["sweep", few, "--beta", "0", "0.01", "--out", out, "--storage", postgres, "--grace", "4"]
    words += ["--set", "n_epochs=1", "--set", "n_epochs_decoder=1", "--set", "batch_size=16"]
    doomed = ssavae(*words)
    wait_for("a cell", lambda: list(out.glob("vecs/all/training.lock")))
    doomed.send_signal(signal.SIGKILL)
    doomed.communicate()
    assert not list(out.glob("cells/*/metrics.json"))
    process = ssavae(*words)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    rows = table(out)
    assert [row["state"] for row in rows] == ["done", "done"]
    assert socket.gethostname() in rows[0]["worker"]
    assert postgres not in (out / "sweep.json").read_text()


def test_ctrl_c_leaves_a_sweep_that_goes_on(tmp_path):
    out = tmp_path / "sweep"
    words = ["sweep", "digits", "--beta", "0", "0.01", "--out", out, "--set", "n_epochs=500"]
    process = ssavae(*words, "--set", "n_epochs_decoder=1")
    assert process.stdout
    wait_for("training", lambda: "epoch 1/500" in process.stdout.readline())  # type: ignore[union-attr]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the same command goes on" in err
    assert [row["state"] for row in table(out)] == ["waiting", "waiting"]
    assert (out / "vecs" / "all" / "resume" / "state.safetensors").is_file()


def test_a_model_with_anothers_vec_is_the_same_to_the_bit(toy_images):
    X, y = toy_images
    settings: dict[str, Any] = {
        "n_epochs": 2,
        "n_epochs_decoder": 2,
        "random_state": 3,
        "validation_fraction": 0.2,
    }
    alone = SSAVAE(beta=0.1, **settings).fit(X, y)
    step_1 = SSAVAE(**{**settings, "n_epochs_decoder": 0}).fit(X, y)
    given = SSAVAE(beta=0.1, **settings).fit(X, y, vec=step_1)
    assert np.array_equal(alone.reconstruct(X), given.reconstruct(X))
    assert np.array_equal(alone.novelty(X), given.novelty(X))
    assert [row["step"] for row in given.history_] == ["vec", "vec", "decoder", "decoder"]
    with pytest.raises(ValueError, match="other rows"):
        SSAVAE(beta=0.1, **settings).fit(X[:40], y[:40], vec=step_1)


def test_step_1_that_one_cell_began_is_resumed_by_another(toy_images, tmp_path, monkeypatch):
    X, y = toy_images
    data = {"X": X, "y": y}
    settings: dict[str, Any] = {"n_epochs": 2, "n_epochs_decoder": 2, "random_state": 3}
    folder = RunFolder(tmp_path / "vec")

    def full(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as disk, pytest.raises(OSError, match="no space"):
        disk.setattr(RunFolder, "save_model", full)
        _shared_vec(folder, SSAVAE(beta=0.1, **settings), data)
    assert folder.has_state
    resumed = _shared_vec(folder, SSAVAE(beta=0.2, learning_rate_disc=1e-4, **settings), data)
    assert not folder.has_state
    alone = SSAVAE(**{**settings, "n_epochs_decoder": 0}).fit(X, y)
    assert np.array_equal(resumed.transform(X), alone.transform(X))


def test_curves_join_cells_that_differ_in_one_parameter_alone():
    rows = [{"latent_dim": k, "beta": b, "loss": k + b} for k in (2, 3) for b in (0.0, 0.1, 0.2)]
    figure = figures.sweep_curves(rows, ["latent_dim", "beta"], ["loss", "unknown"])
    by_size, by_beta = (
        [line for line in axes.lines if np.size(line.get_xdata())] for axes in figure.axes[:2]
    )
    assert [np.asarray(line.get_ydata()).tolist() for line in by_beta] == [[2.0, 2.1, 2.2], [3.0, 3.1, 3.2]]
    assert [np.asarray(line.get_ydata()).tolist() for line in by_size] == [[2.0, 3.0], [2.1, 3.1], [2.2, 3.2]]
    with pytest.raises(ValueError, match="rows must hold a cell"):
        figures.sweep_curves([], ["beta"], ["loss"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--beta", "0.1"], "nothing to sweep"),
        (["--beta", "0", "1", "--metric", "acuracy"], "did you mean 'accuracy'"),
        (["--beta", "0", "1", "--storage", "postgresql://me:secret@localhost:1/x"], "me:***@localhost:1/x"),
    ],
)
def test_wrong_use_ends_with_2_and_one_line(tmp_path, capfd, words, message):
    assert run_here("sweep", "digits", *words, "--out", tmp_path / "out") == 2
    err = capfd.readouterr().err
    assert message in err and len(err.splitlines()) == 1 and "secret" not in err


def test_a_folder_with_another_sweep_is_refused(tmp_path, capfd):
    (tmp_path / "plan.json").write_text("{}")
    assert run_here("sweep", "digits", "--beta", "0", "1", "--out", tmp_path) == 2
    assert "another --out" in capfd.readouterr().err
