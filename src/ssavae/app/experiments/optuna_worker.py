"""Workers that share the cells of a sweep through an Optuna study, each cell run once.

Optuna queues, numbers and stores the trials, and detects dead workers by their heartbeats, which its
journal storage lacks.  This module adds:

- A cell without an active trial is queued again, so a worker may die at any point.  Optuna's retry
  callback covers neither Ctrl-C nor deaths before the first heartbeat.
- Workers that start at once may queue a cell twice: its first trial runs it, the others are pruned.
- On sqlite every transaction takes the write lock when it begins.  Two workers could otherwise take the
  same trial, since Optuna reads its state before it changes it.
"""

from __future__ import annotations

import os
import socket
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ssavae._checks import UsageError, require_package
from ssavae._serialize import JSONObject
from ssavae.app.experiments.search_space import Cell, Space, name_of

if TYPE_CHECKING:
    from sqlite3 import Connection as SQLiteConnection

    from optuna import Study, Trial
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial
    from sqlalchemy import Connection

MAX_DEATHS = 3  # workers that may die running a cell before it counts as failed: it may be the cause
LOCK_TIMEOUT = 60  # seconds to wait for a database that others write to
POLL_INTERVAL = 2.0  # seconds between two looks at the trials of other workers
STATES = {"COMPLETE": "done", "RUNNING": "running", "WAITING": "waiting"}  # best first
# Attributes of trials. A worker may be killed after it has taken a trial and before its first heartbeat.
CELL, ERROR, STOPPED, METRICS, WORKER = "cell", "error", "stopped", "found", "worker"
HEARTBEAT = "heartbeat"


@dataclass(frozen=True)
class CellResult:
    """The state of a cell ("done", "running", "waiting" or "failed"), and its metrics."""

    cell: Cell
    state: str
    metrics: JSONObject = field(default_factory=dict)
    worker: str | None = None
    error: str | None = None


@dataclass
class Worker:
    """One of the processes that work on a study until no cell is left."""

    study: Study
    space: Space
    n_trials: int | None  # cells that Optuna's sampler draws from the space; None runs the grid
    run_cell: Callable[[Cell], JSONObject]  # returns the metrics of a cell, ``metric`` among them
    metric: str
    grace: int  # seconds without a heartbeat after which another worker counts as dead
    retry: bool = False  # whether to run cells again that had failed before this worker began
    on_change: Callable[[list[CellResult]], object] | None = None  # called with all results after each cell

    def __post_init__(self) -> None:
        cells = self.space.grid() if self.n_trials is None else []
        self._grid = {name_of(cell): cell for cell in cells}
        self._retried = {t.number for t in self._trials() if self.retry and ERROR in t.user_attrs}

    def run(self) -> None:
        """Work until every cell has ended, here or in another process.

        Raises
        ------
        KeyboardInterrupt
            If Ctrl-C stopped the running cell; the same command resumes it.
        """
        while True:
            self._fail_dead_trials()
            self._queue_cells()
            trials = self._trials()
            states = {_state(trial) for trial in trials}
            if "WAITING" in states or self._n_sampled(trials) < (self.n_trials or 0):
                self._run_trial()
            elif "RUNNING" in states:
                time.sleep(POLL_INTERVAL)  # until they end or count as dead
            else:
                return

    def results(self) -> list[CellResult]:
        """Return the result of every cell, in order of the grid or of the draws."""
        return [
            _result(self._grid.get(name) or self._decode(trials[0].params), trials)
            for name, trials in self._trials_by_cell().items()
        ]

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _trials_by_cell(self) -> dict[str, list[FrozenTrial]]:
        by_cell: dict[str, list[FrozenTrial]] = {name: [] for name in self._grid}
        for trial in self._trials():
            if CELL in trial.user_attrs:
                by_cell.setdefault(trial.user_attrs[CELL], []).append(trial)
        return by_cell

    def _queue_cells(self) -> None:
        """Queue every cell that has no trial; two workers may do so at once, see ``_claim``."""
        for name, trials in self._trials_by_cell().items():
            counted = [trial for trial in trials if trial.number not in self._retried]
            is_active = any(_state(trial) in STATES for trial in counted)
            if not is_active and _error(counted) is None:
                params = self._encode(self._grid[name]) if name in self._grid else trials[0].params
                self.study.enqueue_trial(params, user_attrs={CELL: name})

    def _n_sampled(self, trials: Sequence[FrozenTrial]) -> int:
        """Count the cells that have ended or will, and those that the sampler drew a second time."""
        counted = [t for t in trials if ERROR in t.user_attrs and t.number not in self._retried]
        counted += [t for t in trials if _state(t) in STATES]
        n_repeated = sum(_state(t) == "PRUNED" and CELL in t.user_attrs for t in trials)
        return len({t.user_attrs.get(CELL, t.number) for t in counted}) + n_repeated

    def _fail_dead_trials(self) -> None:
        """Mark the trials of dead workers as failed."""
        import optuna

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(self.study)
        for trial in self._trials():  # of workers that died before their first heartbeat
            start = trial.datetime_start
            if _state(trial) != "RUNNING" or HEARTBEAT in trial.user_attrs or start is None:
                continue
            if (datetime.now() - start).total_seconds() > self.grace:
                with suppress(ValueError, RuntimeError):  # another worker was first
                    self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)

    def _run_trial(self) -> None:
        import optuna

        try:
            self.study.optimize(self._objective, n_trials=1, catch=(Exception,))
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError) as error:
            # this process was suspended for so long that another one took its cell
            if "Cannot tell" not in str(error) and "already finished" not in str(error):
                raise
        if self.on_change is not None:
            self.on_change(self.results())

    def _objective(self, trial: Trial) -> float:
        trial.set_user_attr(WORKER, f"{socket.gethostname()}:{os.getpid()}")
        cell = self._claim(trial)
        try:
            metrics = self.run_cell(cell)
            value = metrics[self.metric]
        except KeyboardInterrupt:
            trial.set_user_attr(STOPPED, True)
            raise
        except Exception as error:
            trial.set_user_attr(ERROR, " ".join(f"{type(error).__name__}: {error}".split()))
            raise
        trial.set_user_attr(METRICS, metrics)
        return float(cast("float", value))

    def _claim(self, trial: Trial) -> Cell:
        """Return the trial's cell; prune it if an earlier trial has that cell, or there are enough."""
        import optuna

        earlier = [t for t in self._trials() if t.number < trial.number]
        if CELL not in trial.user_attrs:
            if self._n_sampled(earlier) >= (self.n_trials or 0):
                raise optuna.TrialPruned  # another worker took the last waiting trial
            # seeded by its number, the trial gets the same cell from any worker
            seed = cast("int", self.space.shared["random_state"]) + trial.number
            self.study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        cell = self._decode({name: self._suggest(trial, name) for name in self.space.swept})
        trial.set_user_attr(CELL, name_of(cell))
        if any(t.user_attrs.get(CELL) == name_of(cell) and _state(t) in STATES for t in earlier):
            raise optuna.TrialPruned
        return cell

    def _suggest(self, trial: Trial, name: str) -> object:
        bounds = self.space.range_of(name)
        if bounds is None:
            return trial.suggest_categorical(name, [_choice(v) for v in self.space.swept[name]])
        low, high, log = bounds
        if isinstance(low, int):
            return trial.suggest_int(name, low, int(high), log=log)
        return trial.suggest_float(name, low, high, log=log)

    def _encode(self, cell: Cell) -> dict[str, object]:
        """Return the parameters of a cell in Optuna's types."""
        return {k: _choice(v) if self.space.range_of(k) is None else v for k, v in cell.items()}

    def _decode(self, params: Mapping[str, object]) -> Cell:
        """Return the cell of Optuna's parameters; a sampled number keeps four digits."""
        cell: Cell = {}
        for name, values in self.space.swept.items():
            by_choice: dict[object, object] = {_choice(each): each for each in values}
            value = by_choice.get(params[name], params[name])
            is_sampled = isinstance(value, float) and value not in values
            cell[name] = float(f"{value:.4g}") if is_sampled else value
        return cell


def _state(trial: FrozenTrial) -> str:
    return trial.state.name


def _error(trials: Sequence[FrozenTrial]) -> str | None:
    """Return why a cell without a trial in ``STATES`` has failed; None if it is to be run."""
    failed = [t.user_attrs for t in trials if _state(t) == "FAIL" and STOPPED not in t.user_attrs]
    errors = [attributes[ERROR] for attributes in failed if ERROR in attributes]
    if not errors and len(failed) >= MAX_DEATHS:
        return f"{len(failed)} workers died over it"
    return errors[-1] if errors else None


def _result(cell: Cell, trials: Sequence[FrozenTrial]) -> CellResult:
    for name, state in STATES.items():
        for trial in trials:
            if _state(trial) == name:
                attributes = trial.user_attrs
                return CellResult(cell, state, attributes.get(METRICS, {}), attributes.get(WORKER))
    error = _error(trials)
    return CellResult(cell, "waiting" if error is None else "failed", error=error)


def _choice(value: object) -> bool | int | float | str | None:
    """Return a value as one of Optuna's categorical choices: a list as text."""
    return str(list(value)) if isinstance(value, tuple | list) else cast("str", value)


def open_study(url: str, name: str, *, maximize: bool, grace: int) -> Study:
    """Open or create a study at an SQLAlchemy URL: ``sqlite:///FILE``, ``postgresql://USER@HOST/DATABASE``.

    Raises
    ------
    ImportError
        If optuna is not installed, or psycopg for PostgreSQL.
    UsageError
        If the storage cannot be reached; the message leaves the password out.
    """
    require_package("optuna", "sweep", "a sweep")
    if with_driver(url).startswith("postgresql+psycopg:"):
        require_package("psycopg", "postgres", "a sweep on PostgreSQL")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = _open_storage(url, grace)
    direction = "maximize" if maximize else "minimize"
    return optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)


def _open_storage(url: str, grace: int, n_tries: int = 5) -> RDBStorage:
    """Connect; all but one of the processes that create the tables at once fail, and try again."""
    import optuna
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    is_file = url.startswith("sqlite")
    engine = {"connect_args": {"timeout": LOCK_TIMEOUT}} if is_file else {"pool_pre_ping": True}
    try:
        with _creation_lock(url), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = _storage_class()(
                with_driver(url),
                engine_kwargs=engine,
                heartbeat_interval=max(1, grace // 4),
                grace_period=grace,
            )
    except (SQLAlchemyError, ImportError, optuna.exceptions.StorageInternalError) as error:
        if n_tries > 1:
            time.sleep(0.5)
            return _open_storage(url, grace, n_tries - 1)
        masked = make_url(url).render_as_string(hide_password=True)
        reason = str(error.__cause__ or error).splitlines()[0]
        raise UsageError(f"--storage {masked} cannot be opened: {reason}") from None
    if is_file:
        _lock_at_begin(storage)
    return storage


def _storage_class() -> type[RDBStorage]:
    """Return a storage that notes at a trial that its worker has sent a heartbeat."""
    import optuna

    class Storage(optuna.storages.RDBStorage):
        def record_heartbeat(self, trial_id: int) -> None:
            super().record_heartbeat(trial_id)
            with suppress(optuna.exceptions.UpdateFinishedTrialError):
                self.set_trial_user_attr(trial_id, HEARTBEAT, True)

    return Storage


def _creation_lock(url: str) -> AbstractContextManager[object]:
    """Return a lock beside a sqlite file, for one process at a time to create it."""
    path = url.partition("sqlite:///")[2]
    if not path:
        return nullcontext()
    from filelock import FileLock

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{path}.lock")


def _lock_at_begin(storage: RDBStorage) -> None:
    """Let every transaction on sqlite take the write lock when it begins."""
    from sqlalchemy import event

    @event.listens_for(storage.engine, "connect")
    def on_connect(connection: SQLiteConnection, _: object) -> None:
        connection.isolation_level = None  # sqlite3 itself would begin at the first write only

    @event.listens_for(storage.engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    storage.engine.dispose()  # the connection that created the tables has no listeners


def with_driver(url: str) -> str:
    """Add the driver that the extra installs to a PostgreSQL URL that names none.

    Examples
    --------
    >>> with_driver("postgres://me@host/sweeps"), with_driver("sqlite:///sweep.db")
    ('postgresql+psycopg://me@host/sweeps', 'sqlite:///sweep.db')
    """
    scheme, sign, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgres", "postgresql") else f"{scheme}{sign}{rest}"
