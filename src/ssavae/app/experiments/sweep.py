"""Many runs over a grid, or as a sampler chooses them, by any number of workers: ``ssavae sweep``."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from ssavae import figures
from ssavae._checks import UsageError, nearest
from ssavae.app.experiments.optuna_worker import Entry, Worker, open_study
from ssavae.app.experiments.search_space import Cell, Space, name_of
from ssavae.app.runs.environment import machine
from ssavae.app.runs.evaluate import evaluate_run
from ssavae.app.runs.folder import Run, described, open_run, read_metrics
from ssavae.app.runs.train import train_run
from ssavae.data.partition import read
from ssavae.persistence.model_folder import MODEL_FILE, write_atomically
from ssavae.persistence.training_state import has_state

PLAN_FILE, TABLE_FILE, RESULT_FILE, PICTURE_FILE = "plan.json", "sweep.csv", "sweep.json", "sweep.png"
# what may be chosen by, and whether more of it is better; the second half needs a judge
METRICS = {
    "accuracy": True,
    "macro_f1": True,
    "expected_calibration_error": False,
    "reconstruction_error": False,
    "novel_share": False,
    "set_size": False,
    "knn_accuracy": True,
    "trustworthiness": True,
    "silhouette": True,
}
JUDGED = {
    "agreement_reconstructions": True,
    "agreement_class_samples": True,
    "variety_ratio": True,
    "frechet_reconstructions": False,
    "frechet_class_samples": False,
    "frechet_prior_samples": False,
    "sharpness_reconstructions": True,
}
MEASURED = METRICS | JUDGED
SHOWN = ("accuracy", "reconstruction_error")  # in the picture, beside the metric
OF_MAP = ("knn_accuracy", "trustworthiness", "silhouette")  # measured by `ssavae evaluate` alone


@dataclass(frozen=True)
class Sweep:
    """A sweep in a folder: what all cells share, what differs, and by what the best is chosen.

    ``run`` is what a cell is made of but for its parameters; ``n_trials`` cells are chosen by a sampler, None
    takes the whole grid.  Workers on other machines need not share the folder: each then holds its own runs.
    """

    run: Run
    space: Space
    folder: Path
    metric: str
    n_trials: int | None = None
    storage: str | None = None
    grace: int = 120
    retry: bool = False
    command: str = ""

    def __post_init__(self) -> None:
        if self.metric not in MEASURED:
            known = f"{nearest(self.metric, MEASURED)}; there are {', '.join(MEASURED)}"
            raise UsageError(f"--metric {self.metric!r} is unknown{known}")

    @property
    def url(self) -> str:
        """Where the study is kept: a file in the folder, unless another place is named."""
        return self.storage or f"sqlite:///{(self.folder / 'sweep.db').absolute()}"

    def plan(self) -> dict[str, Any]:
        """Return what makes this sweep another one than others; on which device it runs is not part of it."""
        sha256 = read(self.run.data, self.run.reading, self.space.shared["kind"]).sha256
        shared = {k: v for k, v in self.space.shared.items() if k not in ("device", "n_workers")}
        told = {**asdict(replace(self.run, parameters=shared)), "swept": self.space.swept}
        told |= {"data": sha256 or self.run.data, "metric": self.metric, "drawn": self.n_trials is not None}
        told.pop("preset")  # its values are among the parameters, and its path may differ elsewhere
        return json.loads(json.dumps(told))  # with lists for tuples, as it is read back


def work_on(sweep: Sweep) -> tuple[list[Entry], list[Path]]:
    """Do the sweep's cells, together with all other processes that were given the same one.

    Returns
    -------
    entries : list of Entry
        Every cell and how it stands.
    files : list of Path
        Table, numbers and picture.

    Raises
    ------
    UsageError
        The folder holds another sweep, or the storage cannot be opened.
    KeyboardInterrupt
        Stopped; the same command goes on.
    """
    plan = sweep.plan()
    _begin(sweep.folder, plan)
    name = "ssavae-" + hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:12]
    maximize = MEASURED[sweep.metric]
    study = open_study(sweep.url, name, maximize=maximize, grace=sweep.grace)
    worker = Worker(
        study, sweep.space, sweep.n_trials, Bench(sweep).work, sweep.metric, sweep.grace, sweep.retry
    )
    worker.changed = lambda: _write_table(sweep, worker.entries()) and None
    try:
        worker.run()
    except KeyboardInterrupt as stop:
        worker.changed()
        raise KeyboardInterrupt(
            f"stopped; the same command goes on ({str(stop).partition(';')[0]})"
        ) from None
    entries = worker.entries()
    return entries, _write(sweep, plan, entries)


def _begin(folder: Path, plan: Mapping[str, Any]) -> None:
    """Note what the folder's sweep is, or make sure that it is this one."""
    path = folder / PLAN_FILE
    if path.is_file() and json.loads(path.read_text("utf-8")) != plan:
        raise UsageError(f"{folder} holds a sweep of other data, values or metric: choose another --out")
    write_atomically(path, json.dumps(plan, indent=1).encode())


@dataclass
class Bench:
    """Where one process does its cells."""

    sweep: Sweep

    def work(self, cell: Cell) -> dict[str, Any]:
        """Train and measure a cell in its own folder; take what is there if it was left finished."""
        folder = self.sweep.folder / "cells" / name_of(cell)
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "training.lock"):  # a worker taken for dead may still be at it
            run = replace(self.sweep.run, parameters=self.sweep.space.parameters(cell))
            if not (_is_trained(folder) and described(folder) == run):
                self._train(folder, run, cell)
            judged = self.sweep.metric in JUDGED
            if judged or self.sweep.metric in OF_MAP:
                model, loaded = open_run(folder, run.data, run.reading.label)
                evaluate_run(model, folder, loaded, judged=judged, judges=self.sweep.folder)
        found = _flat(read_metrics(folder))
        if self.sweep.metric not in found:
            raise ValueError(f"{self.sweep.metric} cannot be measured here: there is {', '.join(found)}")
        return found

    def _train(self, folder: Path, run: Run, cell: Cell) -> None:
        print(f"cell {name_of(cell)}", flush=True)
        vec = self.sweep.space.vec_name(cell)
        vec_folder = None if vec is None else self.sweep.folder / "vecs" / vec
        resume = has_state(folder) and described(folder) == run
        train_run(folder, run, resume=resume, command=self.sweep.command, vec_folder=vec_folder)


def _is_trained(folder: Path) -> bool:
    return (folder / MODEL_FILE).is_file() and "protocol" in read_metrics(folder)


def _flat(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers that a sweep may be read by, and what it took."""
    evaluated = metrics.get("evaluate", {})
    every = {**metrics, **evaluated, **evaluated.get("judge", {})}
    found = {name: every[name] for name in MEASURED if isinstance(every.get(name), int | float)}
    protocol = metrics["protocol"]
    return found | {name: protocol[name] for name in ("seconds_vec", "seconds_decoder", "git_commit")}


# ----------------------------------------------------------------------------------------- results


def best_of(sweep: Sweep, entries: list[Entry]) -> Entry | None:
    """Return the cell with the best value of the metric, None where none is done."""
    done = [e for e in entries if math.isfinite(e.found.get(sweep.metric, math.nan))]
    sign = 1 if MEASURED[sweep.metric] else -1
    return max(done, key=lambda e: sign * e.found[sweep.metric], default=None)


def _write(sweep: Sweep, plan: Mapping[str, Any], entries: list[Entry]) -> list[Path]:
    best = best_of(sweep, entries)
    told = {"command": sweep.command, **machine(), "metric": sweep.metric, "plan": plan}
    told |= {"best": best and asdict(best), "cells": [asdict(entry) for entry in entries]}
    path = sweep.folder / RESULT_FILE
    write_atomically(path, json.dumps(told, indent=1).encode())
    files = [_write_table(sweep, entries), path]
    done = [{**entry.cell, **entry.found} for entry in entries if entry.state == "done"]
    if done:
        shown = [m for m in dict.fromkeys([sweep.metric, *SHOWN]) if m in done[0]]
        figure = figures.sweep_curves(done, list(sweep.space.swept), shown, title=sweep.run.data)
        files.append(figures.save(figure, sweep.folder / PICTURE_FILE))
    return files


def _write_table(sweep: Sweep, entries: list[Entry]) -> Path:
    rows = [
        {**{k: str(v) if isinstance(v, tuple) else v for k, v in e.cell.items()}, "state": e.state, **e.found}
        | {"worker": e.worker, "error": e.error}
        for e in entries
    ]
    path = sweep.folder / TABLE_FILE
    write_atomically(path, pd.DataFrame(rows).to_csv(index=False).encode())
    return path
