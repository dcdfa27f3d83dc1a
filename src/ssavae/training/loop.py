"""The training loop: epochs, batches, progress, early stopping, resuming, and the guard against NaN.

A :class:`Stage` is one step of the method with its networks and optimisers; :func:`train` runs it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ssavae._checks import check
from ssavae.algorithms import Losses
from ssavae.persistence.training_state import State, load_state, readable, save_state
from ssavae.training.batches import TrainingRows, epoch_order
from ssavae.training.capture import updates_of
from ssavae.training.distributed.context import SINGLE_PROCESS, Context
from ssavae.training.interrupts import Stopped, StopRequest, handle_stop_signals
from ssavae.training.progress import HistoryRow, Progress, Record, progress_bar, tensorboard_events
from ssavae.training.stage import Stage

READ_EVERY = 25  # batches between two reads of the losses
READ_EVERY_ON_DEVICE = 200  # fewer where they are computed elsewhere: each read waits for all that is queued
# The title of each stage. Its index is part of the seed: new ones go to the end.
STAGES = {"vec": "step 1 (vec)", "decoder": "step 2 (decoder)", "student": "step 1 (student)"}

Weights = dict[str, dict[str, Tensor]]  # of each network by name


@dataclass(frozen=True)
class Schedule:
    """How long a stage is trained, in batches of what size, and from which seed."""

    n_epochs: int
    batch_size: int
    seed: int
    patience: int | None = None  # epochs without a lower val_loss after which the stage ends


@dataclass
class Session:
    """One training run over all its stages: networks, history, and the folder to resume from.

    Each of several processes has one; the first writes, and all stop, fail and end together.
    """

    modules: dict[str, nn.Module]
    device: torch.device
    folder: Path | None = None
    checkpoint_every: int = 0  # batches; 0 saves only when stopped
    fingerprint: str = ""
    seed: int = 0
    context: Context = SINGLE_PROCESS
    verbose: bool = False
    progress: Progress | None = None
    record: Record | None = None
    history: list[HistoryRow] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    stop: bool = False
    resumed: State | None = None
    generator: torch.Generator = field(default_factory=lambda: torch.default_generator)

    def resume(self) -> None:
        """Go on with the run whose state the folder holds.

        Raises
        ------
        FileNotFoundError
            If the folder holds none.
        ValueError
            If that run had other data or parameters.
        ModelFolderError
            If the state is damaged.
        """
        if self.folder is None:
            raise ValueError("resume=True needs checkpoint_folder, the folder of the unfinished run")
        state = load_state(self.folder)
        if state.get("fingerprint") != self.fingerprint:
            raise ValueError(
                f"the unfinished run in {self.folder} had other data or parameters: "
                "resume with the same ones, or train into another folder"
            )
        with readable(self.folder):
            self.history = [dict(row) for row in state["history"]]
            self.done = list(state["done"])
            load_weights(self.modules, state["modules"])
        self.resumed = state

    def add(self, name: str, module: nn.Module) -> None:
        """Add a network that one stage alone needs, with the weights of a resumed run."""
        self.modules[name] = module
        if self.resumed is None or self.folder is None or name not in self.resumed["modules"]:
            return
        with readable(self.folder):
            module.load_state_dict(self.resumed["modules"][name])

    def request_stop(self) -> None:
        """Stop after the current batch."""
        self.stop = True

    def report(self, epochs: int, fraction: float, losses: Mapping[str, str | int | float]) -> None:
        """Show the progress, where it is shown."""
        if self.progress is not None:
            self.progress(epochs, fraction, losses)

    def save(self, position: State) -> None:
        """Write all that is needed to go on from a position in a stage, or, if it is empty, after one.

        Nothing is written where there is no folder; one that has been deleted raises FileNotFoundError.
        """
        if self.folder is None:
            return
        if self.context.rank == 0:
            if not self.folder.is_dir():
                raise FileNotFoundError(f"{self.folder} was deleted while the model was being trained")
            modules = {name: module.state_dict() for name, module in self.modules.items()}
            run = {"fingerprint": self.fingerprint, "seed": self.seed, "history": self.history}
            save_state(self.folder, run | {"done": self.done, "modules": modules} | position)
        self.context.barrier()

    def position(self, stage: Stage, loop: Loop) -> State:
        """Return the position in a stage, with optimisers and the state of the generator."""
        return {
            "stage": stage.name,
            "loop": vars(loop),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in stage.optimizers.items()},
            "schedulers": {name: scheduler.state_dict() for name, scheduler in stage.schedulers.items()},
            self._rng_key: self.generator.get_state(),
        }

    @property
    def read_every(self) -> int:
        """Batches between two reads of the losses."""
        return READ_EVERY if self.device.type == "cpu" else READ_EVERY_ON_DEVICE

    @property
    def _rng_key(self) -> str:
        return "rng" if self.generator.device.type == "cpu" else "rng_device"

    def restore(self, stage: Stage, loop: Loop) -> None:
        """Restore the resumed state, if it is of this stage."""
        state = self.resumed
        if state is None or self.folder is None or state.get("stage") != stage.name:
            return
        with readable(self.folder):
            vars(loop).update(vars(Loop(**state["loop"])))
            for name, optimizer in stage.optimizers.items():
                optimizer.load_state_dict(state["optimizers"][name])
                _match_layout(optimizer)
                stage.schedulers[name].load_state_dict(state["schedulers"][name])
            if state.get(self._rng_key) is not None:  # else that was another kind of device
                self.generator.set_state(state[self._rng_key])

    def save_last_good(self, weights: Weights) -> str:
        """Write finite weights beside the state of a run that diverged; return words that say where."""
        if self.folder is None:
            return ""
        if self.context.rank == 0:
            save_state(self.folder / "last_good", {"modules": weights})
        self.context.barrier()
        return f", which are in {self.folder / 'last_good'}"


def copy_weights(modules: Mapping[str, nn.Module]) -> Weights:
    """Copy the weights of all networks."""
    return {
        name: {key: value.detach().clone() for key, value in module.state_dict().items()}
        for name, module in modules.items()
    }


def load_weights(modules: Mapping[str, nn.Module], weights: Weights) -> None:
    """Load the weights of all networks."""
    for name, module in modules.items():
        module.load_state_dict(weights[name])


def _match_layout(optimizer: Optimizer) -> None:
    """Lay the moments out like their weights: other strides could round differently in the last bit.

    Raises
    ------
    ValueError
        If the shape of a moment is not that of its weights.
    """
    for parameter, moments in optimizer.state.items():
        for key in moments.keys() - {"step"}:
            check(
                moments[key].shape == parameter.shape, f"a moment has the shape {tuple(moments[key].shape)}"
            )
            moments[key] = torch.empty_like(parameter).copy_(moments[key])


@dataclass
class Loop:
    """The position in a stage; with weights and random states, all that a resumed run needs."""

    n_batches: int
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    best: Weights | None = None
    best_epoch: int = 0

    def means(self) -> dict[str, float]:
        """Return the means of the losses over the epoch so far."""
        return {name: total / max(1, self.batch) for name, total in self.sums.items()}

    def has_stalled(self, patience: int | None) -> bool:
        """Return whether val_loss has not become lower for ``patience`` epochs."""
        return patience is not None and self.best is not None and self.epoch - self.best_epoch >= patience


def train(session: Session, stage: Stage, rows: TrainingRows, schedule: Schedule) -> None:
    """Train one stage to its end, or go on with it where a resumed session stopped.

    Raises
    ------
    FloatingPointError
        If a loss is NaN or infinite; the networks have the last finite weights again.
    KeyboardInterrupt
        If a signal asked to stop; the state is saved first, where there is a folder.
    """
    if stage.name in session.done:
        return
    seed = (schedule.seed, list(STAGES).index(stage.name))
    loop = Loop(n_batches=len(epoch_order(rows.y, schedule.batch_size, (*seed, 0))))
    stage.start(schedule.n_epochs * loop.n_batches)
    session.generator.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
    session.restore(stage, loop)
    stage.match_device(session.device)
    batches, update = updates_of(stage, rows, session.context, session.generator)
    guard = Guard(session, stage, loop)
    request = StopRequest(session.request_stop)
    with handle_stop_signals(request), reporting(session, stage, schedule):
        while loop.epoch < schedule.n_epochs and not loop.has_stalled(schedule.patience):
            order = epoch_order(rows.y, schedule.batch_size, (*seed, loop.epoch))[loop.batch :]
            guard.count_seconds(restart=True)
            for batch in batches(order):
                _end_batch(session, stage, loop, guard, update(*batch))
            guard.read()
            guard.count_seconds()
            _end_epoch(session, stage, loop, guard, schedule.patience)
        _end_stage(session, stage, loop)


def _end_stage(session: Session, stage: Stage, loop: Loop) -> None:
    if loop.best is not None:
        load_weights(session.modules, loop.best)
    stage.finish()
    session.done.append(stage.name)
    session.save({})
    if session.context.should_stop(session.stop, synchronize=True):  # asked while the last epoch was measured
        raise _stopped(session, f"after step {stage.name}")


def _end_batch(session: Session, stage: Stage, loop: Loop, guard: Guard, losses: Losses) -> None:
    """Advance the schedules; read the losses, save and stop when it is time to."""
    stage.advance()
    guard.add(losses)
    loop.batch += 1
    guard.count_seconds()
    n_trained = loop.epoch * loop.n_batches + loop.batch
    save_now = session.checkpoint_every > 0 and n_trained % session.checkpoint_every == 0
    read_now = save_now or loop.batch % session.read_every == 0
    stop_now = session.context.should_stop(session.stop, read_now or loop.batch == loop.n_batches)
    if read_now or stop_now:
        guard.read()
        session.report(loop.epoch, loop.batch / loop.n_batches, loop.means())
    if save_now or stop_now:
        session.save(session.position(stage, loop))
    if stop_now:
        raise _stopped(session, f"in step {stage.name}, epoch {loop.epoch + 1}, batch {loop.batch}")


def _end_epoch(session: Session, stage: Stage, loop: Loop, guard: Guard, patience: int | None) -> None:
    """Measure, add a row to the history, and copy the weights if val_loss is the lowest so far."""
    guard.count_seconds(restart=True)
    measures = session.context.mean_of(stage.measure())
    guard.count_seconds()
    row: HistoryRow = {"step": stage.name, "epoch": loop.epoch + 1, "seconds": loop.seconds}
    row.update(loop.means() | measures)
    earlier = [float(r["val_loss"]) for r in session.history if r["step"] == stage.name and "val_loss" in r]
    session.history.append(row)
    if session.record is not None:
        session.record(row)
    loop.epoch += 1
    loop.batch = 0
    loop.sums = {}
    session.report(loop.epoch, 0.0, row)
    if patience is not None and measures.get("val_loss", math.inf) < min(earlier, default=math.inf):
        loop.best_epoch = loop.epoch
        loop.best = copy_weights(session.modules)


def _stopped(session: Session, where: str) -> Stopped:
    if session.folder is None:
        return Stopped(where, "nothing was saved, since there is no checkpoint folder")
    return Stopped(where, f"saved in {session.folder}: go on with --resume (Python: fit(X, y, resume=True))")


class Guard:
    """Reads the losses of several batches at once, and stops the run at the first that is not finite."""

    def __init__(self, session: Session, stage: Stage, loop: Loop) -> None:
        self.session = session
        self.stage = stage
        self.loop = loop
        self.unread: list[Losses] = []
        self.n_since_copy = 0
        self.good = self.candidate = copy_weights(session.modules)
        self.clock = time.perf_counter()

    def count_seconds(self, *, restart: bool = False) -> None:
        """Add the seconds since the last call to those of the epoch; ``restart`` leaves them out."""
        now = time.perf_counter()
        self.loop.seconds += 0.0 if restart else now - self.clock
        self.clock = now

    def add(self, losses: Losses) -> None:
        """Collect the losses of one batch, on the device."""
        self.unread.append(losses)

    def read(self) -> None:
        """Add the unread losses to the epoch's sums, or restore the last finite weights and raise."""
        if not self.unread:
            return
        names = list(self.unread[0])
        stacked = torch.stack([torch.stack([losses[name] for name in names]) for losses in self.unread])
        self.unread = []
        values = self.session.context.mean(stacked).tolist()
        for batch, row in enumerate(values, start=self.loop.batch - len(values) + 1):
            for name, value in zip(names, row, strict=True):
                if not math.isfinite(value):
                    self._stop(name, value, batch)
                self.loop.sums[name] = self.loop.sums.get(name, 0.0) + value
        self.n_since_copy += len(values)
        if self.n_since_copy < self.session.read_every:  # epochs of a small table are shorter
            return
        self.n_since_copy = 0
        # Weights count as good only once the losses of later batches were finite.
        self.good = self.candidate
        self.candidate = copy_weights(self.session.modules)

    def _stop(self, name: str, value: float, batch: int) -> None:
        load_weights(self.session.modules, self.good)
        where = self.session.save_last_good(self.good)
        raise FloatingPointError(
            f"{name} became {value} in step {self.stage.name}, epoch {self.loop.epoch + 1}, batch {batch}; "
            f"the networks have the last finite weights again{where}: "
            "lower learning_rate, or look for extreme rows in X"
        )


@contextmanager
def reporting(session: Session, stage: Stage, schedule: Schedule) -> Iterator[None]:
    """Show and record the progress of a stage; of several processes the first one does."""
    if session.context.rank != 0:
        yield
        return
    with ExitStack() as stack:
        if session.verbose:
            session.progress = stack.enter_context(progress_bar(STAGES[stage.name], schedule.n_epochs))
        session.record = stack.enter_context(tensorboard_events(session.folder))
        yield
