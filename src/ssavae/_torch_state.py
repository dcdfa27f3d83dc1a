"""State of the program around training and predictions that they neither take nor change.

That is torch's random state, default dtype and device, autocast, deterministic algorithms, and threads after
a fork.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode  # the one hook that holds for one thread

CUBLAS_CONFIG = "CUBLAS_WORKSPACE_CONFIG"  # cuBLAS reads it when it is first used, and torch as well
CUBLAS_WORKSPACE = ":4096:8"  # with which cuBLAS gives the same bits each time

_lock = threading.Lock()
_switched: dict[str, tuple[int, Callable[[], None]]] = {}  # by name: users of a setting, and its way back
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
def deterministic(device: torch.device, *, warn_only: bool = False) -> Iterator[None]:
    """Compute with deterministic algorithms on a GPU; the program's settings are put back afterwards.

    Parameters
    ----------
    device : torch.device
        Others than CUDA need no setting.
    warn_only : bool
        Warn of an operation that has no such algorithm, where an error would be raised.

    Raises
    ------
    ValueError
        If cuBLAS has been used before without the workspace that it needs for it.
    """
    if not _is_cuda(device):
        yield
        return
    algorithms = _setting("algorithms", partial(_algorithms, warn_only))
    with deterministic_convolutions(device), algorithms:
        _check_cublas(device)
        yield


def deterministic_convolutions(device: torch.device) -> AbstractContextManager[object]:
    """Let cuDNN choose the same algorithm each time, and one that gives the same bits."""
    return _setting("convolutions", _convolutions) if _is_cuda(device) else nullcontext()


def tf32_matrices(device: torch.device) -> AbstractContextManager[object]:
    """Let a GPU multiply matrices of float32 with ten bits of fraction (TensorFloat-32)."""
    return _setting("tf32", _tf32) if _is_cuda(device) else nullcontext()


def _is_cuda(device: torch.device) -> bool:
    return device.type == "cuda"


@contextmanager
def _setting(name: str, switch: Callable[[], Callable[[], None]]) -> Iterator[None]:
    """Switch a setting of the process, which returns its way back; the last of several threads goes it."""
    with _lock:
        n_users, back = _switched.get(name) or (0, switch())
        _switched[name] = (n_users + 1, back)
    try:
        yield
    finally:
        with _lock:
            n_users, back = _switched.pop(name)
            if n_users > 1:
                _switched[name] = (n_users - 1, back)
            else:
                back()


def _convolutions() -> Callable[[], None]:
    cudnn = torch.backends.cudnn
    before = (cudnn.deterministic, cudnn.benchmark)
    cudnn.deterministic, cudnn.benchmark = True, False

    def back() -> None:
        cudnn.deterministic, cudnn.benchmark = before

    return back


def _tf32() -> Callable[[], None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    return partial(torch.set_float32_matmul_precision, before)


def _algorithms(warn_only: bool) -> Callable[[], None]:
    memory: Any = torch.utils.deterministic  # a module with a property
    was_on = torch.are_deterministic_algorithms_enabled()
    warned_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fills = memory.fill_uninitialized_memory
    workspace = os.environ.get(CUBLAS_CONFIG)
    os.environ.setdefault(CUBLAS_CONFIG, CUBLAS_WORKSPACE)
    torch.use_deterministic_algorithms(True, warn_only=warn_only)
    memory.fill_uninitialized_memory = False  # it would write each new tensor twice

    def back() -> None:
        torch.use_deterministic_algorithms(was_on, warn_only=warned_only)
        memory.fill_uninitialized_memory = fills
        if workspace is None:
            del os.environ[CUBLAS_CONFIG]

    return back


def _check_cublas(device: torch.device) -> None:
    """Multiply two matrices: torch refuses to where cuBLAS has another workspace."""
    one = torch.ones(1, 1, device=device)
    try:
        one @ one
    except RuntimeError as error:
        raise ValueError(
            f"the same seed cannot give the same weights on {device}: this program has used cuBLAS before, "
            f"with {CUBLAS_CONFIG}={os.environ[CUBLAS_CONFIG]!r} or without; set it to {CUBLAS_WORKSPACE} "
            "before Python starts, or train with deterministic=False"
        ) from error


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
    _lock = threading.Lock()  # another thread may have been inside
    _global_random_state = threading.RLock()
    _evaluated.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restart_in_child)
