"""Many runs over a grid or of sampled parameters, by any number of workers: ``ssavae sweep``."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd

from ssavae import figures
from ssavae._checks import UsageError, nearest
from ssavae._serialize import JSONObject, write_atomically
from ssavae.app.experiments.optuna_worker import CellResult, Worker, open_study
from ssavae.app.experiments.results import begin_or_resume, write_results
from ssavae.app.experiments.search_space import NOT_SWEPT, Cell, Space, name_of
from ssavae.app.runs.evaluate import evaluate_run
from ssavae.app.runs.folder import Run, RunFolder
from ssavae.app.runs.train import train_run
from ssavae.data.partition import read

PLAN_FILE, TABLE_FILE, RESULT_FILE, PICTURE_FILE = "plan.json", "sweep.csv", "sweep.json", "sweep.png"
# metrics by which the best cell may be chosen, and whether higher is better
METRICS = {
    "accuracy": True,
    "macro_f1": True,
    "expected_calibration_error": False,
    "reconstruction_error": False,
    "novel_share": False,
    "set_size": False,
}
MAP_METRICS = {"knn_accuracy": True, "trustworthiness": True, "silhouette": True}  # by `ssavae evaluate`
JUDGE_METRICS = {
    "agreement_reconstructions": True,
    "agreement_class_samples": True,
    "variety_ratio": True,
    "frechet_reconstructions": False,
    "frechet_class_samples": False,
    "frechet_prior_samples": False,
    "sharpness_reconstructions": True,
}
HIGHER_IS_BETTER = METRICS | MAP_METRICS | JUDGE_METRICS
SHOWN = ("accuracy", "reconstruction_error")  # in the picture, beside the metric


@dataclass(frozen=True)
class Sweep:
    """A sweep in a folder, which workers on other machines need not share: each then has its own runs."""

    run: Run  # settings of all cells but their parameters
    space: Space
    folder: Path
    metric: str  # by which the best cell is chosen, a key of ``HIGHER_IS_BETTER``
    n_trials: int | None = None  # cells that a sampler draws; None runs the whole grid
    storage: str | None = None  # URL of a database that workers share; None takes a file in the folder
    grace: int = 120  # see ``Worker``
    retry: bool = False  # see ``Worker``
    command: str = ""  # noted in the results

    def __post_init__(self) -> None:
        if self.metric not in HIGHER_IS_BETTER:
            known = f"{nearest(self.metric, HIGHER_IS_BETTER)}; there are {', '.join(HIGHER_IS_BETTER)}"
            raise UsageError(f"--metric {self.metric!r} is unknown{known}")

    def plan(self) -> JSONObject:
        """Return the settings by which this sweep differs from others; the device is not one of them."""
        run = replace(self.run, parameters=self.space.shared)
        sha256 = read(run.data, run.reading, run.kind).sha256
        plan = asdict(run)
        del plan["preset"]  # its values are among the parameters, and its path may differ on other machines
        plan["parameters"] = {k: v for k, v in self.space.shared.items() if k not in NOT_SWEPT}
        plan |= {"swept": self.space.swept, "data": sha256 or run.data, "metric": self.metric}
        return {**plan, "drawn": self.n_trials is not None}


def work_on(sweep: Sweep) -> tuple[list[CellResult], list[Path]]:
    """Run the cells of a sweep, together with all other processes that were given the same one.

    Returns the result of every cell, and the files written: table, numbers and picture.

    Raises
    ------
    UsageError
        The folder holds another sweep, or the storage cannot be opened.
    KeyboardInterrupt
        Stopped; the same command resumes.
    """
    plan = sweep.plan()
    begin_or_resume(sweep.folder / PLAN_FILE, plan, "a sweep of other data, values or metric")
    name = "ssavae-" + hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:12]
    url = sweep.storage or f"sqlite:///{(sweep.folder / 'sweep.db').absolute()}"
    study = open_study(url, name, maximize=HIGHER_IS_BETTER[sweep.metric], grace=sweep.grace)
    worker = Worker(
        study,
        sweep.space,
        sweep.n_trials,
        run_cell=partial(_run_cell, sweep),
        metric=sweep.metric,
        grace=sweep.grace,
        retry=sweep.retry,
        on_change=partial(_write_table, sweep),
    )
    try:
        worker.run()
    except KeyboardInterrupt as stop:
        _write_table(sweep, worker.results())
        reason = str(stop).partition(";")[0]
        raise KeyboardInterrupt(f"stopped; the same command goes on ({reason})") from None
    results = worker.results()
    return results, _write(sweep, plan, results)


def _run_cell(sweep: Sweep, cell: Cell) -> JSONObject:
    """Train and measure a cell in its own folder, unless it is there already; return its metrics."""
    folder = RunFolder(sweep.folder / "cells" / name_of(cell))
    with folder.locked(wait=True):  # a worker that counts as dead may still run it
        run = replace(sweep.run, parameters={**sweep.space.shared, **cell})
        is_complete = folder.has_model and folder.read_unfinished() is None
        if not (is_complete and folder.read_run() == run):
            _train(sweep, folder, run, cell)
        judged = sweep.metric in JUDGE_METRICS
        if judged or sweep.metric in MAP_METRICS:
            model, loaded = folder.load_model_and_data(run.data, run.reading)
            evaluate_run(model, folder, loaded, judged=judged, judges=sweep.folder)
    metrics = _flatten(folder.read_metrics())
    if sweep.metric not in metrics:
        raise ValueError(f"{sweep.metric} cannot be measured here: there is {', '.join(metrics)}")
    return metrics


def _train(sweep: Sweep, folder: RunFolder, run: Run, cell: Cell) -> None:
    print(f"cell {name_of(cell)}", flush=True)
    vec = sweep.space.vec_name(cell)
    vec_folder = None if vec is None else sweep.folder / "vecs" / vec
    resume = folder.has_state and folder.read_unfinished() == run
    train_run(folder, run, resume=resume, command=sweep.command, vec_folder=vec_folder)


def _flatten(document: JSONObject) -> JSONObject:
    """Return the metrics of metrics.json that a sweep may be ordered by, and seconds and commit."""
    evaluated = document.get("evaluate", {})
    values = {**document, **evaluated, **evaluated.get("judge", {})}
    metrics = {name: values[name] for name in HIGHER_IS_BETTER if isinstance(values.get(name), int | float)}
    protocol = document.get("protocol", {})
    return metrics | {name: protocol[name] for name in ("seconds_vec", "seconds_decoder", "git_commit")}


def best_of(sweep: Sweep, results: list[CellResult]) -> CellResult | None:
    """Return the cell with the best value of the metric, None if none is done."""
    sign = 1 if HIGHER_IS_BETTER[sweep.metric] else -1
    scores = {}
    for i, result in enumerate(results):
        value = result.metrics.get(sweep.metric)
        if isinstance(value, int | float) and math.isfinite(value):
            scores[i] = sign * value
    return results[max(scores, key=scores.__getitem__)] if scores else None


def _document(result: CellResult) -> JSONObject:
    document = asdict(result)
    return {"found" if name == "metrics" else name: value for name, value in document.items()}


def _write(sweep: Sweep, plan: Mapping[str, object], results: list[CellResult]) -> list[Path]:
    best = best_of(sweep, results)
    document = {
        "metric": sweep.metric,
        "plan": plan,
        "best": best and _document(best),
        "cells": [_document(result) for result in results],
    }
    files = [
        _write_table(sweep, results),
        write_results(sweep.folder / RESULT_FILE, sweep.command, document),
    ]
    done = [{**result.cell, **result.metrics} for result in results if result.state == "done"]
    if done:
        shown = [name for name in dict.fromkeys([sweep.metric, *SHOWN]) if name in done[0]]
        figure = figures.sweep_curves(done, list(sweep.space.swept), shown, title=sweep.run.data)
        files.append(figures.save(figure, sweep.folder / PICTURE_FILE))
    return files


def _write_table(sweep: Sweep, results: list[CellResult]) -> Path:
    rows = [
        {
            **{name: str(value) if isinstance(value, tuple) else value for name, value in r.cell.items()},
            "state": r.state,
            **r.metrics,
            "worker": r.worker,
            "error": r.error,
        }
        for r in results
    ]
    path = sweep.folder / TABLE_FILE
    write_atomically(path, pd.DataFrame(rows).to_csv(index=False).encode())
    return path
