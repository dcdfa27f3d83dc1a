"""Updates as one CUDA graph: recorded once, and replayed with the next rows.

A small network leaves a GPU waiting for Python: an update of MNIST's networks is some two hundred kernels
of a few microseconds each. A graph launches all of them at once. What it repeats is kernels on the same
memory, so that an update is recorded only where it depends on nothing but tensors: rows, learning rates and
the state of a generator are read from the device, and no loss is read back while it runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from ssavae.algorithms import Losses
from ssavae.training.batches import TensorRows, TrainingRows
from ssavae.training.distributed.context import Context
from ssavae.training.stage import Argument, Stage

# Updates before a recording: libraries choose their kernels in them, and Adam allocates its moments. They are
# updates of the training like all others, so that a recording changes nothing.
EAGER_UPDATES = 3

Update = Callable[..., Losses]  # changes weights and state in place, and returns the losses
Replay = Callable[[], None]
# Records a function without running it: returns the tensor that each replay fills, and the replay.
Record = Callable[[Callable[[], Tensor]], tuple[Tensor, Replay]]

_log = logging.getLogger(__name__)


def updates_of(
    stage: Stage, rows: TrainingRows, context: Context, generator: torch.Generator
) -> tuple[Callable[[np.ndarray], Iterable[tuple]], Update]:
    """Return a function that yields the arguments of each update of an epoch, and the update.

    It is replayed from a graph on a GPU, else it is the step itself; the reason is logged.
    """
    reason = why_eager(stage, context, generator.device)
    if reason:
        log_once(f"step {stage.name} runs without a graph: {reason}")
        return partial(_arguments, stage, rows, context), stage.step
    record = partial(record_graph, generator)
    if not isinstance(rows, TensorRows):
        return partial(context.batches, rows), Recorded(stage.update, record)
    return partial(_indices, rows), Recorded(partial(_update_of_rows, stage, rows), record)


def why_eager(stage: Stage, context: Context, device: torch.device) -> str:
    """Return why the updates of a stage are not recorded; empty where they are."""
    if device.type != "cuda":
        return f"graphs are for CUDA, this is {device.type}"
    if context.n_processes > 1:
        return "several processes exchange gradients in each update"
    if stage.own_networks:
        return "networks of your own may do what a graph would not repeat"
    return ""


@cache
def log_once(message: str) -> None:
    """Log a message, if it has not been logged before."""
    _log.info(message)


def _arguments(
    stage: Stage, rows: TrainingRows, context: Context, order: np.ndarray
) -> Iterator[tuple[Argument, ...]]:
    for batch in context.batches(rows, order):
        yield stage.arguments(*batch)


def _indices(rows: TensorRows, order: np.ndarray) -> Iterator[tuple[Tensor]]:
    return zip(rows.on_device(order), strict=True)


def _update_of_rows(stage: Stage, rows: TensorRows, indices: Tensor) -> Losses:
    """Take the rows as part of the update: a replay then needs their indices alone."""
    return stage.update(*rows.take(indices))


class Recorded:
    """An update that runs as it is a few times, is recorded then, and replayed from there on.

    Parameters
    ----------
    update : callable
        Takes the tensors of a batch.
    record : callable
        Raises RuntimeError where the update cannot be recorded; it then goes on as it is.
    """

    def __init__(self, update: Update, record: Record) -> None:
        self.update = update
        self.record = record
        self.n_updates = 0
        self.recording: Recording | None = None

    def __call__(self, *inputs: Tensor) -> Losses:
        """Return the losses of one update, by name."""
        if self.n_updates == EAGER_UPDATES:
            self.recording = self._try(inputs)
        self.n_updates += 1
        if self.recording is not None and self.recording.fits(inputs):
            return self.recording(*inputs)
        return beside_the_main_stream(self.update, inputs)

    def _try(self, inputs: Sequence[Tensor]) -> Recording | None:
        try:
            return Recording(self.update, self.record, inputs)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            _log.warning("updates run without a graph, several times as slow: %s", reason)
            return None


class Recording:
    """A recorded update with the memory that it reads rows from and writes losses to."""

    def __init__(self, update: Update, record: Record, inputs: Sequence[Tensor]) -> None:
        self.names: tuple[str, ...] = ()
        self.inputs = [each.clone() for each in inputs]
        self.losses, self.replay = record(partial(self._stacked, update))

    def _stacked(self, update: Update) -> Tensor:
        losses = update(*self.inputs)
        self.names = tuple(losses)
        return torch.stack(list(losses.values()))

    def fits(self, inputs: Sequence[Tensor]) -> bool:
        """Return whether inputs have the sizes that were recorded."""
        return [each.shape for each in inputs] == [each.shape for each in self.inputs]

    def __call__(self, *inputs: Tensor) -> Losses:
        """Replay the update with other rows; the losses are copies, which the next replay leaves alone."""
        for memory, values in zip(self.inputs, inputs, strict=True):
            memory.copy_(values)
        self.replay()
        return dict(zip(self.names, self.losses.clone().unbind(), strict=True))


def beside_the_main_stream(update: Update, inputs: Sequence[Tensor]) -> Losses:
    """Run an update as a recording does, in another stream than the main one; on a CPU there is none."""
    if not inputs[0].is_cuda:
        return update(*inputs)
    main = torch.cuda.current_stream()
    stream = _side_stream(main.device)
    stream.wait_stream(main)
    with torch.cuda.stream(stream):
        losses = update(*inputs)
    main.wait_stream(stream)
    return losses


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def record_graph(generator: torch.Generator, function: Callable[[], Tensor]) -> tuple[Tensor, Replay]:
    """Record a function as a CUDA graph, in which a generator goes on with each replay.

    Raises
    ------
    RuntimeError
        If the function waits for the device, copies from the host, or does what else no graph can hold. The
        generators go on as if it had not been tried.
    """
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    stream = torch.cuda.current_stream()
    generators = (generator, torch.cuda.default_generators[torch.cuda.current_device()])
    states = [each.clone_state() for each in generators]
    try:
        # Other threads of the program may go on with what they do on the device.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            outputs = function()
    except RuntimeError:  # torch then leaves its stream and the generators in the recording
        torch.cuda.set_stream(stream)
        for each, state in zip(generators, states, strict=True):
            each.graphsafe_set_state(state)
        raise
    return outputs, graph.replay
