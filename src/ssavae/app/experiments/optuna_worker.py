"""Workers that share the cells of a sweep through an Optuna study, each cell done once.

Optuna hands out trials, numbers them, keeps what they found and sees by their heartbeat which workers died.
Three things are ours. On sqlite a transaction takes the write lock as it begins: else two workers could take
the same trial, since Optuna reads a trial's state before it changes it. Workers that start at once may queue
a cell twice; the trial with the lowest number then has it, and the others are dropped. And what has neither
ended nor is waiting or running is queued again, so a worker may die at any point.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssavae._checks import UsageError
from ssavae.app.experiments.search_space import Cell, Space, name_of

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

ATTEMPTS = 3  # workers that may die over a cell before it is left alone: it may be what kills them
PATIENCE = 60  # seconds to wait for a database that others are writing to
POLL = 2.0  # seconds between two looks at what the others do
LIVE = ("COMPLETE", "RUNNING", "WAITING")
CELL, ERROR, STOPPED, FOUND, WORKER = "cell", "error", "stopped", "found", "worker"


@dataclass(frozen=True)
class Entry:
    """One cell and how it stands: "done", "running", "waiting" or "failed"."""

    cell: Cell
    state: str
    found: dict[str, Any] = field(default_factory=dict)
    worker: str | None = None
    error: str | None = None


@dataclass
class Worker:
    """One of the processes that work on a study, until nothing is left to do.

    Parameters
    ----------
    study : Study
        See :func:`open_study`.
    space : Space
    n_trials : int or None
        Cells that Optuna's sampler chooses within the space; None takes the grid.
    work : callable
        Does a cell and returns what it found, ``metric`` among it.
    metric : str
    grace : int
        Seconds without a sign of life after which another worker counts as dead.
    retry : bool
        Take up again what had failed before this worker began.
    """

    study: Study
    space: Space
    n_trials: int | None
    work: Callable[[Cell], dict[str, Any]]
    metric: str
    grace: int
    retry: bool = False
    changed: Callable[[], None] = lambda: None  # told after each cell

    def __post_init__(self) -> None:
        self.forgiven = {t.number for t in self._trials() if ERROR in t.user_attrs} if self.retry else set()

    def run(self) -> None:
        """Work until every cell has ended, here or elsewhere.

        Raises
        ------
        KeyboardInterrupt
            If Ctrl-C stopped the cell at work; the same command goes on with it.
        """
        while True:
            self._bury_the_dead()
            self._queue()
            if self._is_anything_free():
                self._do_one()
            elif any(_state(t) == "RUNNING" for t in self._trials()):
                time.sleep(POLL)  # until they end, or have died
            else:
                return

    def entries(self) -> list[Entry]:
        """Return every cell in order, by its best trial."""
        by_name: dict[str, list[FrozenTrial]] = {name_of(cell): [] for cell in self._grid()}
        for trial in self._trials():
            if CELL in trial.user_attrs:
                by_name.setdefault(trial.user_attrs[CELL], []).append(trial)
        cells = {name_of(cell): cell for cell in self._grid()}
        return [
            self._entry(cells.get(name) or self._cell_of(trials[0].params), trials)
            for name, trials in by_name.items()
        ]

    def _entry(self, cell: Cell, trials: Sequence[FrozenTrial]) -> Entry:
        for state, word in (("COMPLETE", "done"), ("RUNNING", "running"), ("WAITING", "waiting")):
            for trial in trials:
                if _state(trial) == state:
                    told = trial.user_attrs
                    return Entry(cell, word, told.get(FOUND, {}), told.get(WORKER))
        failed = [t for t in trials if _state(t) == "FAIL" and STOPPED not in t.user_attrs]
        errors = [t.user_attrs[ERROR] for t in failed if ERROR in t.user_attrs]
        if errors or len(failed) >= ATTEMPTS:
            return Entry(
                cell, "failed", error=errors[-1] if errors else f"{len(failed)} workers died over it"
            )
        return Entry(cell, "waiting")

    # ------------------------------------------------------------------------------------- queue

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _grid(self) -> list[Cell]:
        return self.space.grid() if self.n_trials is None else []

    def _queue(self) -> None:
        """Queue every cell that no trial stands for; two workers may do so at once, see ``_claim``."""
        trials = self._trials()
        wanted = {name_of(cell): self._params_of(cell) for cell in self._grid()}
        dead = [t for t in trials if _state(t) == "FAIL" and CELL in t.user_attrs]
        wanted |= {t.user_attrs[CELL]: t.params for t in dead if t.params}
        taken = {t.user_attrs.get(CELL) for t in trials if self._stands(t)}
        for name, params in wanted.items():
            if name not in taken and not self._is_deadly(name, dead):
                self.study.enqueue_trial(params, user_attrs={CELL: name})

    def _stands(self, trial: FrozenTrial) -> bool:
        """Say whether a trial stands for its cell: it has ended, or will."""
        is_error = ERROR in trial.user_attrs and trial.number not in self.forgiven
        return _state(trial) in LIVE or (_state(trial) == "FAIL" and is_error)

    def _is_deadly(self, name: str, dead: Sequence[FrozenTrial]) -> bool:
        own = [t for t in dead if t.user_attrs[CELL] == name and STOPPED not in t.user_attrs]
        return len([t for t in own if t.number not in self.forgiven]) >= ATTEMPTS

    def _is_anything_free(self) -> bool:
        trials = self._trials()
        if any(_state(t) == "WAITING" for t in trials):
            return True
        return self.n_trials is not None and self._n_drawn(trials) < self.n_trials

    def _n_drawn(self, trials: Sequence[FrozenTrial]) -> int:
        """Count the cells that trials stand for, and those that the sampler drew a second time."""
        stand = {t.user_attrs.get(CELL, t.number) for t in trials if self._stands(t)}
        return len(stand) + sum(_state(t) == "PRUNED" and CELL in t.user_attrs for t in trials)

    def _bury_the_dead(self) -> None:
        """Fail the trials of workers that give no sign of life."""
        import optuna

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(self.study)
        for trial in self._trials():  # that died before the first heartbeat
            begun = trial.datetime_start
            silent = _state(trial) == "RUNNING" and WORKER not in trial.user_attrs and begun is not None
            if silent and (datetime.now() - begun).total_seconds() > self.grace:  # type: ignore[operator]
                with contextlib.suppress(ValueError, RuntimeError):  # another worker was first
                    self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)

    # -------------------------------------------------------------------------------------- cell

    def _do_one(self) -> None:
        import optuna

        try:
            self.study.optimize(self._try, n_trials=1, catch=(Exception,))
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError) as error:
            # this process was asleep for so long that another one took its cell
            if "Cannot tell" not in str(error) and "already finished" not in str(error):
                raise
        self.changed()

    def _try(self, trial: Trial) -> float:
        trial.set_user_attr(WORKER, f"{socket.gethostname()}:{os.getpid()}")
        cell = self._claim(trial)
        try:
            found = self.work(cell)
            value = found[self.metric]
        except KeyboardInterrupt:
            trial.set_user_attr(STOPPED, True)
            raise
        except Exception as error:
            trial.set_user_attr(ERROR, " ".join(f"{type(error).__name__}: {error}".split()))
            raise
        trial.set_user_attr(FOUND, found)
        return float(value)

    def _claim(self, trial: Trial) -> Cell:
        """Return the trial's cell, unless a trial with a lower number stands for it, or there are enough."""
        import optuna

        earlier = [t for t in self._trials() if t.number < trial.number]
        queued = CELL in trial.user_attrs
        if not queued and self._n_drawn(earlier) >= (self.n_trials or 0):
            raise optuna.TrialPruned  # the queue was emptied between the look and the grasp
        if not queued:  # the same draw for the same number, whoever makes it
            seed = self.space.shared["random_state"] + trial.number
            self.study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        cell = self._cell_of({name: self._suggest(trial, name) for name in self.space.swept})
        trial.set_user_attr(CELL, name_of(cell))
        if any(t.user_attrs.get(CELL) == name_of(cell) and _state(t) in LIVE for t in earlier):
            raise optuna.TrialPruned
        return cell

    def _suggest(self, trial: Trial, name: str) -> Any:
        bounds = self.space.range_of(name)
        if bounds is None:
            return trial.suggest_categorical(name, [_label(v) for v in self.space.swept[name]])
        least, most, log = bounds
        if isinstance(least, int):
            return trial.suggest_int(name, least, int(most), log=log)
        return trial.suggest_float(name, least, most, log=log)

    def _params_of(self, cell: Cell) -> dict[str, Any]:
        """Return a cell in Optuna's terms, which are numbers, text and truth values."""
        return {k: _label(v) if self.space.range_of(k) is None else v for k, v in cell.items()}

    def _cell_of(self, params: dict[str, Any]) -> Cell:
        """Return the cell that Optuna's values stand for; a drawn number keeps four digits."""
        cell = {}
        for name, values in self.space.swept.items():
            by_label = {_label(value): value for value in values}
            value = by_label.get(params[name], params[name])
            cell[name] = float(f"{value:.4g}") if isinstance(value, float) and value not in values else value
        return cell


def _label(value: Any) -> Any:
    return str(list(value)) if isinstance(value, tuple | list) else value


def _state(trial: FrozenTrial) -> str:
    return trial.state.name


# ------------------------------------------------------------------------------------------ storage


def open_study(url: str, name: str, *, maximize: bool, grace: int) -> Study:
    """Open a study by name, or begin it.

    Parameters
    ----------
    url : str
        An SQLAlchemy URL: ``sqlite:///FILE``, ``postgresql://USER@HOST/DATABASE``.
    name : str
    maximize : bool
    grace : int
        Seconds without a sign of life after which a worker counts as dead.

    Raises
    ------
    ImportError
        Without optuna.
    UsageError
        The storage cannot be reached; the message leaves the password out.
    """
    if importlib.util.find_spec("optuna") is None:
        raise ImportError('a sweep needs optuna: pip install "ssavae[sweep]"')
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = _open_storage(url, max(1, grace // 4), grace)
    direction = "maximize" if maximize else "minimize"
    return optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)


def _open_storage(url: str, interval: int, grace: int, tries: int = 5) -> RDBStorage:
    """Connect; of processes that make the same tables at once all but one are refused, and try again."""
    import optuna
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    options: dict[str, Any] = {"heartbeat_interval": interval, "grace_period": grace}
    is_file = url.startswith("sqlite")
    options["engine_kwargs"] = {"connect_args": {"timeout": PATIENCE}} if is_file else {"pool_pre_ping": True}
    try:
        with _one_at_a_time(url), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = optuna.storages.RDBStorage(driven(url), **options)
    except (SQLAlchemyError, ImportError, optuna.exceptions.StorageInternalError) as error:
        if tries > 1:
            time.sleep(0.5)
            return _open_storage(url, interval, grace, tries - 1)
        where = make_url(url).render_as_string(hide_password=True)
        why = str(error.__cause__ or error).splitlines()[0]
        raise UsageError(f"--storage {where} cannot be opened: {why}") from None
    if is_file:
        _lock_early(storage)
    return storage


@contextlib.contextmanager
def _one_at_a_time(url: str) -> Iterator[None]:
    path = url.partition("sqlite:///")[2]
    if not path:
        yield
        return
    from filelock import FileLock

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        yield


def _lock_early(storage: RDBStorage) -> None:
    """Let every transaction on sqlite take the write lock as it begins."""
    from sqlalchemy import event

    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # sqlite3 itself would begin at the first write alone

    def begun(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(storage.engine, "connect", connected)
    event.listen(storage.engine, "begin", begun)
    storage.engine.dispose()  # the connection that made the tables is of the other sort


def driven(url: str) -> str:
    """Name the driver that the extra installs, where a PostgreSQL URL names none.

    Examples
    --------
    >>> driven("postgres://me@host/sweeps"), driven("sqlite:///sweep.db")
    ('postgresql+psycopg://me@host/sweeps', 'sqlite:///sweep.db')
    """
    scheme, sign, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgres", "postgresql") else f"{scheme}{sign}{rest}"
