"""Commands killed at each of their writes, or on a full disk, and given again: nothing is lost or left."""

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.runs.warm_process import Done, WarmProcess
from ssavae.persistence.model_folder import HISTORY_FILE, MODEL_FILE

SHORT = ["n_epochs=2", "n_epochs_decoder=1", "widths=8", "batch_size=32", "calibration_folds=2"]
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

    def train(self, name: str, *words: object, data: str = "trees", **when: int) -> Done:
        options = [] if "--resume" in words else OPTIONS
        out = self.folder / "work" / name
        return self.process.run("train", self.folder / f"{data}.csv", "--out", out, *words, *options, **when)

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


def n_files(writes: list[str]) -> int:
    return sum(each.startswith("open") and not each.endswith(".lock") for each in writes)


def test_a_run_killed_at_some_of_its_writes_is_finished_by_resume(runs):
    check_kills(runs, points(runs.writes, 5))


def test_a_full_disk_is_named_and_the_run_is_finished_by_resume(runs):
    check_full_disks(runs, points(["file"] * n_files(runs.writes), 3))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_run_killed_at_any_of_its_writes_is_finished_by_resume(runs):
    check_kills(runs, list(range(1, len(runs.writes) + 1)))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_disk_full_at_any_file_is_named_and_the_run_is_finished_by_resume(runs):
    check_full_disks(runs, list(range(1, n_files(runs.writes) + 1)))
