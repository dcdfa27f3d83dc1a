"""How training runs: epochs, batches, progress, early stopping, resume, NaN guard.

The algorithms yield the losses of one batch after another; :func:`train` is what surrounds them.
Everything a stopped run needs is in :meth:`Session.save`: weights, optimisers, schedules, random
states and the position in the epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from ssavae.algorithms import Losses
from ssavae.persistence.training_state import drop_state, load_state, save_state
from ssavae.training.batches import Rows, epoch_order
from ssavae.training.distributed.context import SINGLE_PROCESS, Batches, Context
from ssavae.training.interrupts import handle_stop_signals

READ_EVERY = 25  # batches between two looks at the losses: on a GPU each look waits for the device
# The title of each stage; its place is a part of the seed: new ones go to the end.
STAGES = {"vec": "step 1 (vec)", "decoder": "step 2 (decoder)", "student": "step 1 (student)"}


@dataclass(frozen=True)
class Settings:
    """How long and in what portions a stage is trained; the estimator holds the defaults."""

    n_epochs: int
    batch_size: int
    seed: int
    patience: int | None = None  # epochs without a better val_loss after which the stage ends


@dataclass
class Stage:
    """One step of the method, ready to run: its algorithm bound to networks and optimisers.

    ``algorithm`` takes batches and yields losses.  ``measure`` is called after every epoch and adds
    columns to the history, ``val_loss`` among them where a part is held out.
    """

    name: str
    algorithm: Callable[[Batches], Iterator[Losses]]
    optimizers: dict[str, Optimizer]
    measure: Callable[[], dict[str, float]] = dict
    schedulers: dict[str, LambdaLR] = field(default_factory=dict)

    def start(self, n_steps: int) -> None:
        """Set the learning rates' course over so many batches."""
        self.schedulers = {
            name: LambdaLR(optimizer, lambda i: one_cycle((i + 1) / max(1, n_steps)))
            for name, optimizer in self.optimizers.items()
        }

    def advance(self) -> None:
        """Move the learning rates on by one batch."""
        for scheduler in self.schedulers.values():
            scheduler.step()


@dataclass
class Session:
    """One training run over all its stages: the networks, the history, and the folder to resume from.

    Of several processes each has one; the first writes, and all stop, fail and end together.
    ``progress(epoch, share, losses)`` is told how far the run is: epochs done, share of the
    running epoch, mean losses so far.
    """

    modules: dict[str, nn.Module]
    device: torch.device
    folder: Path | None = None
    checkpoint_every: int = 0  # batches; 0 saves only when stopped
    fingerprint: str = ""
    seed: int = 0
    share: Context = SINGLE_PROCESS
    progress: Callable[[int, float, Mapping[str, Any]], None] = lambda *_: None
    record: Callable[[Mapping[str, Any]], None] = lambda _: None  # told each row of the history
    history: list[dict[str, Any]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    stop: bool = False
    resumed: dict[str, Any] | None = None

    def resume(self) -> None:
        """Take up the run whose state the folder holds.

        Raises
        ------
        FileNotFoundError
            If the folder holds none.
        ValueError
            If that run had other data or parameters: going on would be neither run.
        """
        if self.folder is None:
            raise ValueError("resume=True needs checkpoint_folder, the folder of the unfinished run")
        state = load_state(self.folder)
        if state["fingerprint"] != self.fingerprint:
            raise ValueError(
                f"the unfinished run in {self.folder} had other data or parameters: "
                "resume with the same ones, or train into another folder"
            )
        self.history, self.done, self.resumed = state["history"], state["done"], state
        _load_modules(self.modules, state["modules"])

    def add(self, name: str, module: nn.Module) -> None:
        """Take a network in that one stage alone needs, as a resumed run left it."""
        self.modules[name] = module
        if self.resumed is not None and name in self.resumed["modules"]:
            module.load_state_dict(self.resumed["modules"][name])

    def save(self, stage: Stage, loop: Loop) -> None:
        """Write all that is needed to go on from here, bit for bit; nothing where there is no folder."""
        if self.folder is None:
            return
        if self.share.rank == 0:
            save_state(self.folder, self._state(stage, loop))
        self.share.wait()

    def _state(self, stage: Stage, loop: Loop) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint,
            "seed": self.seed,
            "stage": stage.name,
            "done": self.done,
            "history": self.history,
            "loop": vars(loop),
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in stage.optimizers.items()},
            "schedulers": {name: scheduler.state_dict() for name, scheduler in stage.schedulers.items()},
            "rng": torch.get_rng_state(),
            "rng_device": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def restore(self, stage: Stage, loop: Loop) -> None:
        """Put the resumed state back in place, if it is of this stage."""
        state = self.resumed
        if state is None or state["stage"] != stage.name:
            return
        vars(loop).update(state["loop"])
        for name, optimizer in stage.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
            _match_layout(optimizer)
            stage.schedulers[name].load_state_dict(state["schedulers"][name])
        torch.set_rng_state(state["rng"])
        if state["rng_device"] is not None:
            torch.cuda.set_rng_state(state["rng_device"], self.device)

    def keep_last_good(self, modules: Mapping[str, Any]) -> str:
        """Write good weights beside the state of a run that diverged, and say where they are."""
        if self.folder is None:
            return ""
        if self.share.rank == 0:
            save_state(self.folder / "last_good", {"modules": modules})
        self.share.wait()
        return f", which are in {self.folder / 'last_good'}"

    def finish(self) -> None:
        """Forget the state of a run that has ended."""
        if self.folder is not None:
            drop_state(self.folder)


def _states(modules: Mapping[str, nn.Module]) -> dict[str, Any]:
    """Copy the weights of all networks."""
    return {
        name: {key: value.detach().clone() for key, value in module.state_dict().items()}
        for name, module in modules.items()
    }


def _load_modules(modules: Mapping[str, nn.Module], states: Mapping[str, Any]) -> None:
    for name, module in modules.items():
        module.load_state_dict(states[name])


def _match_layout(optimizer: Optimizer) -> None:
    """Lay the moments out like their weights: other strides could round differently in the last bit."""
    for parameter, moments in optimizer.state.items():
        for key, value in moments.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                moments[key] = torch.empty_like(parameter).copy_(value)


@dataclass
class Loop:
    """Where a stage stands; with the weights and random states, all that a resumed run needs."""

    n_batches: int
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    best: dict[str, Any] | None = None
    best_epoch: int = 0

    def means(self) -> dict[str, float]:
        """Means of the losses over the epoch so far."""
        return {name: total / max(1, self.batch) for name, total in self.sums.items()}


def train(session: Session, stage: Stage, rows: Rows, settings: Settings) -> None:
    """Train one stage to its end, or go on with it where a resumed session left it.

    Raises
    ------
    FloatingPointError
        If a loss is NaN or infinite; the networks are back at the last weights known to be good.
    KeyboardInterrupt
        If Ctrl-C or SIGTERM asked to stop; the state is saved first, where there is a folder.
    """
    if stage.name in session.done:
        return
    seed = (settings.seed, list(STAGES).index(stage.name))
    loop = Loop(n_batches=len(epoch_order(rows.y, settings.batch_size, (*seed, 0))))
    stage.start(settings.n_epochs * loop.n_batches)
    torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
    session.restore(stage, loop)
    guard = Guard(session, stage, loop)
    with stopping_gently(session):
        while loop.epoch < settings.n_epochs and not _has_stalled(loop, settings.patience):
            order = epoch_order(rows.y, settings.batch_size, (*seed, loop.epoch))[loop.batch :]
            _train_epoch(session, stage, session.share.batches(rows, order), loop, guard)
            _end_epoch(session, stage, loop, settings.patience)
    if loop.best is not None:
        _load_modules(session.modules, loop.best)
    session.done.append(stage.name)


def _train_epoch(session: Session, stage: Stage, batches: Batches, loop: Loop, guard: Guard) -> None:
    clock = time.perf_counter()
    for losses in stage.algorithm(batches):
        stage.advance()
        guard.add(losses)
        loop.batch += 1
        loop.seconds, clock = loop.seconds + time.perf_counter() - clock, time.perf_counter()
        n_trained = loop.epoch * loop.n_batches + loop.batch
        due = session.checkpoint_every > 0 and n_trained % session.checkpoint_every == 0
        look = due or loop.batch % READ_EVERY == 0
        stop = session.share.stops(session.stop, look or loop.batch == loop.n_batches)
        if look or stop:
            guard.read()
            session.progress(loop.epoch, loop.batch / loop.n_batches, loop.means())
        if due or stop:
            session.save(stage, loop)
        if stop:
            raise KeyboardInterrupt(_how_to_resume(session, stage, loop))
    guard.read()


def _end_epoch(session: Session, stage: Stage, loop: Loop, patience: int | None) -> None:
    clock = time.perf_counter()
    measured = _agreed(session.share, stage.measure())
    loop.seconds += time.perf_counter() - clock
    row = {"step": stage.name, "epoch": loop.epoch + 1, "seconds": loop.seconds, **loop.means(), **measured}
    earlier = [r["val_loss"] for r in session.history if r["step"] == stage.name and "val_loss" in r]
    session.history.append(row)
    session.record(row)
    loop.epoch, loop.batch, loop.sums = loop.epoch + 1, 0, {}
    session.progress(loop.epoch, 0.0, row)
    if patience is not None and measured.get("val_loss", math.inf) < min(earlier, default=math.inf):
        loop.best_epoch, loop.best = loop.epoch, _states(session.modules)


def _agreed(share: Context, measured: dict[str, float]) -> dict[str, float]:
    """Make numbers that differ in the last digit, on unlike machines, the same for all processes."""
    return {
        name: float(share.mean(torch.tensor(value, dtype=torch.float64))) for name, value in measured.items()
    }


def _has_stalled(loop: Loop, patience: int | None) -> bool:
    return patience is not None and loop.best is not None and loop.epoch - loop.best_epoch >= patience


def one_cycle(progress: float, warm_up: float = 0.1) -> float:
    """Factor of the learning rate: a straight rise, then half a cosine down to 0.

    Examples
    --------
    >>> [round(one_cycle(p), 2) for p in (0.0, 0.05, 0.1, 0.55, 1.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if progress < warm_up:
        return progress / warm_up
    return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (progress - warm_up) / (1.0 - warm_up)))


def _how_to_resume(session: Session, stage: Stage, loop: Loop) -> str:
    where = f"stopped in step {stage.name}, epoch {loop.epoch + 1}, batch {loop.batch}"
    if session.folder is None:
        return f"{where}; nothing was saved, since there is no checkpoint folder"
    return f"{where}; saved in {session.folder}: go on with --resume (Python: fit(X, y, resume=True))"


class Guard:
    """Reads the losses of several batches at once and stops at the first that is not finite."""

    def __init__(self, session: Session, stage: Stage, loop: Loop) -> None:
        self.session, self.stage, self.loop = session, stage, loop
        self.unread: list[Losses] = []
        self.good = self.candidate = _states(session.modules)

    def add(self, losses: Losses) -> None:
        """Keep the losses of one batch, on the device."""
        self.unread.append(losses)

    def read(self) -> None:
        """Add the unread losses to the epoch's sums, or put the good weights back and raise."""
        if not self.unread:
            return
        names, unread, self.unread = list(self.unread[0]), self.unread, []
        values = torch.stack([torch.stack([losses[name] for name in names]) for losses in unread])
        values = self.session.share.mean(values).tolist()
        for batch, row in enumerate(values, start=self.loop.batch - len(values) + 1):
            for name, value in zip(names, row, strict=True):
                if not math.isfinite(value):
                    self._stop(name, value, batch)
                self.loop.sums[name] = self.loop.sums.get(name, 0.0) + value
        # Weights count as good only once later batches have found them so.
        self.good, self.candidate = self.candidate, _states(self.session.modules)

    def _stop(self, name: str, value: float, batch: int) -> None:
        _load_modules(self.session.modules, self.good)
        kept = self.session.keep_last_good(self.good)
        raise FloatingPointError(
            f"{name} became {value} in step {self.stage.name}, epoch {self.loop.epoch + 1}, batch {batch}; "
            f"the networks are back at the last good weights{kept}: "
            "lower learning_rate, or look for extreme rows in X"
        )


@contextmanager
def stopping_gently(session: Session) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM stop the run at the next batch; a second Ctrl-C stops it at once."""

    def ask(signum: int, frame: object) -> None:
        if session.stop:
            raise KeyboardInterrupt
        session.stop = True

    with handle_stop_signals(ask):
        yield
