"""A stand-in for CUDA graphs that needs no GPU: records the operations of a function, and replays them.

As a graph does, a replay repeats operations on the same memory, with every Python number as it was. What a
graph could not hold fails while it is recorded: a tensor that is read by the host, a shape that depends on
values, a constant that would be copied to the device. Results of the last replay are overwritten before the
next one, as if other operations had been given their memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

READS = ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__", "__array__")
REFUSED = {
    "aten::_local_scalar_dense": "reads a tensor on the host",
    "aten::is_nonzero": "reads a tensor on the host",
    "aten::equal": "reads a tensor on the host",
    "aten::nonzero": "has a shape that depends on values",
    "aten::masked_select": "has a shape that depends on values",
    "aten::_unique2": "has a shape that depends on values",
    "aten::bincount": "has a shape that depends on values",
    "aten::lift_fresh": "copies a constant from the host",
}
UNDECLARED = ("aten::native_batch_norm", "aten::cudnn_batch_norm")  # they change running means too
UNWRITTEN = ("aten::empty", "aten::empty_like", "aten::new_empty", "aten::empty_strided")


class NotRecordableError(RuntimeError):
    """An operation that no CUDA graph can hold."""


class _HostReads(TorchFunctionMode):
    """Refuses methods that read a tensor, even those that cost nothing on a CPU."""

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in READS:
            raise NotRecordableError(f"Tensor.{name} reads a tensor on the host")
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    """Runs operations and remembers them, with the memory that they change as it was before."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[object, ...], dict[str, Any], object]] = []
        self.new: dict[int, Tensor] = {}  # by storage: what the operations have allocated
        self.before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        name = func._schema.name
        if name in REFUSED or _has_mask(name, args):
            why = REFUSED.get(name, "has a shape that depends on values")
            raise NotRecordableError(f"{name} {why}")
        inputs = list(_tensors((args, named)))
        if func._schema.is_mutable or name in UNDECLARED:
            for each in inputs:
                self._copy_before(each)
        result = func(*args, **named)
        known = {_memory(each) for each in inputs}
        fresh = [each for each in _tensors(result) if _memory(each) not in known]
        self.new |= {_memory(each): each for each in fresh}
        if name.startswith("aten::") and (func._schema.is_mutable or fresh):
            self.calls.append((func, args, named, result))
        return result

    def _copy_before(self, tensor: Tensor) -> None:
        memory = _memory(tensor)
        if memory not in self.new and memory not in self.before:
            storage = tensor.untyped_storage()
            self.before[memory] = (storage, storage.clone())

    def undo(self) -> None:
        """Put back what the operations have changed: a graph is recorded without being run."""
        for storage, content in self.before.values():
            storage.copy_(content)

    @torch.no_grad()
    def replay(self) -> None:
        """Repeat the operations on the same memory."""
        for each in self.new.values():
            _poison(each)
        for func, args, named, result in self.calls:
            again = func(*args, **named)
            if func._schema.is_mutable:
                continue
            for memory, values in zip(_tensors(result), _tensors(again), strict=True):
                if func._schema.name in UNWRITTEN:
                    _poison(memory)
                elif _memory(memory) in self.new:
                    memory.copy_(values)


def _has_mask(name: str, args: tuple[object, ...]) -> bool:
    """Whether an operation is an indexing by a mask."""
    indexes = name in ("aten::index", "aten::index_put_", "aten::index_put")
    return indexes and any(each.dtype in (torch.bool, torch.uint8) for each in _tensors(args[1]))


def _tensors(values: object) -> Iterator[Tensor]:
    return (each for each in tree_leaves(values) if isinstance(each, Tensor))


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _poison(tensor: Tensor) -> None:
    tensor.fill_(float("nan") if tensor.is_floating_point() else 0)


@contextmanager
def _unchanged(generators: Sequence[torch.Generator]) -> Iterator[None]:
    states = [each.get_state() for each in generators]
    yield
    for each, state in zip(generators, states, strict=True):
        each.set_state(state)


def record_operations(
    generator: torch.Generator, function: Callable[[], Tensor]
) -> tuple[Tensor, Callable[[], None]]:
    """Record a function as ``ssavae.training.capture.record_graph`` does, on a CPU."""
    operations = _Operations()
    try:
        with _unchanged([generator, torch.default_generator]), _HostReads(), operations:
            outputs = function()
    finally:
        operations.undo()
    return outputs, operations.replay
