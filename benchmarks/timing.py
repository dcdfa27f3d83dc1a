"""Timing of functions that run in turn, and of the engine's training loop."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from split import Split
from torch import Tensor

from ssavae import SSAVAE
from ssavae.algorithms import feature_weights
from ssavae.networks import Spec, build_networks
from ssavae.training.batches import TensorRows
from ssavae.training.distributed.fabric import launch_fabric
from ssavae.training.loop import Schedule, Session, train
from ssavae.training.plan import TrainingPlan, resolve
from ssavae.training.steps import decoder_stage, vec_stage

BATCH = 128
REPEATS = 7
SPEC = Spec((1, 28, 28), 2, 10, bounded=True)

Timings = dict[str, list[float]]  # seconds of each repeat, by name


def timed(function: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def repeated(function: Callable[[], object], n: int) -> Callable[[], float]:
    """Return a function that calls another n times and returns the seconds."""

    def seconds() -> float:
        begin = time.perf_counter()
        for _ in range(n):
            function()
        return time.perf_counter() - begin

    return seconds


def alternate(functions: dict[str, Callable[[], float]], repeats: int = REPEATS) -> Timings:
    """Call functions that return their own seconds in turn, after a first round that does not count."""
    seconds: Timings = {name: [] for name in functions}
    for i in range(repeats + 1):
        for name, function in functions.items():
            value = function()
            if i > 0:
                seconds[name].append(value)
    return seconds


def medians(seconds: Timings) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in seconds.items()}


def ratio(first: list[float], second: list[float]) -> float:
    """Return the median of the ratio in each round: other work on the machine slows both of a round."""
    return statistics.median(a / b for a, b in zip(first, second, strict=True))


def mnist_batches(n_batches: int) -> tuple[Tensor, np.ndarray]:
    """Return the first batches of MNIST as network inputs, with their labels."""
    mnist = Split.load("mnist")
    n = n_batches * BATCH
    return torch.from_numpy(mnist.x[:n]).float().div(255).unsqueeze(1), mnist.y[:n]


def engine(
    step: str,
    x: Tensor,
    y: np.ndarray,
    weight_detail: float | None = None,
    *,
    device: str = "cpu",
    batch_size: int = BATCH,
    warm_up: int = 0,
) -> Callable[[], float]:
    """Return a function that trains an epoch of one step as ``fit`` does and returns the loop's seconds.

    ``warm_up`` epochs before it do not count: a graph is recorded in the first one.
    """
    fabric = launch_fabric(device, "32-true")
    params = SSAVAE(weight_detail=weight_detail).get_params(deep=False)
    settings = resolve(params, kind="image", n_rows=len(x), n_labelled=len(y), n_classes=SPEC.n_classes)
    networks = build_networks(SPEC, with_detail=step == "vec" and settings.weight_detail > 0)
    rows = TensorRows(x, y, fabric.device)
    plan = TrainingPlan(networks, SPEC, "image", settings, rows, seed=0, fingerprint="")
    generator = torch.Generator(fabric.device)  # one: the stage draws from it, and a graph records it
    new_session = partial(Session, networks._asdict(), fabric.device, generator=generator)
    if step == "vec":
        stage = vec_stage(plan, new_session(), fabric)
    else:
        weights = feature_weights(networks.vec, x[:256])
        stage = decoder_stage(plan, new_session(), fabric, weights, weight_latent=0.3)

    def seconds() -> float:
        session = new_session()
        train(session, stage, rows, Schedule(1 + warm_up, batch_size=batch_size, seed=0))
        ends = [0.0, *(float(row["seconds"]) for row in session.history)]
        return ends[-1] - ends[-2]

    return seconds
