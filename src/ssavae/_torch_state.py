"""State of the program around training and predictions that they neither take nor change.

That is torch's random state, default dtype and device, autocast, and threads after a fork.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode  # the one hook that holds for one thread

_lock = threading.Lock()
_global_random_state = threading.RLock()
_evaluated: WeakKeyDictionary[nn.Module, list[list[nn.Module]]] = WeakKeyDictionary()


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Build modules in float32, on the CPU, from a seed of their own.

    They get the weights that ``torch.manual_seed(seed)`` would give, but the global generator is neither
    used nor changed, and other threads may build meanwhile.
    """
    with torch.device("cpu"), _Draws(seed):
        yield


class _Draws(TorchDispatchMode):
    """Gives operations a generator, and new tensors their dtype, where the caller has not."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.generator = torch.Generator("cpu").manual_seed(seed)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        names = {argument.name for argument in func._schema.arguments}
        if "generator" in names:
            given["generator"] = given.get("generator") or self.generator
        if "device" in names and "self" not in names:  # a new tensor, not one like another
            given["dtype"] = given.get("dtype") or torch.float32
        return func(*args, **given)


@contextmanager
def global_random_state() -> Iterator[None]:
    """Lend torch's global generators to a user's own networks, for one training at a time.

    Layers such as dropout draw from them alone. Afterwards they have the caller's state again.
    """
    with _global_random_state, torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        yield


def default_generator(device: torch.device) -> torch.Generator:
    """Return torch's global generator of a device, or a new one where there is none to be had."""
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        return torch.cuda.default_generators[index]
    return torch.default_generator if device.type == "cpu" else torch.Generator(device)


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Compute in the precision of the networks, whatever autocast the caller is in."""
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


@contextmanager
def evaluated(module: nn.Module) -> Iterator[None]:
    """Put a module into eval mode while any thread is in this ``with`` block; the last one restores it."""
    with _lock:
        entered = _evaluated.setdefault(module, [])
        training = [part for part in module.modules() if part.training]
        entered.append(training)
        for part in training:
            part.training = False
    try:
        yield
    finally:
        with _lock:
            training = entered.pop()
            if entered:
                entered[0] += training
            else:
                for part in training:
                    part.training = True


def _restart_in_child() -> None:
    """Compute in one thread after a fork: those of OpenMP are gone, and the child would wait for them."""
    global _lock, _global_random_state
    torch.set_num_threads(1)
    _lock = threading.Lock()  # another thread may have held it
    _global_random_state = threading.RLock()
    _evaluated.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restart_in_child)
