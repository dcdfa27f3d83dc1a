"""Device, precision and processes of a training: several processes through Lightning Fabric."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from ssavae._checks import check, require_package
from ssavae.training.distributed.launcher import follow_parent, process_info

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Nested: TypeAlias = "Tensor | tuple[Nested, ...]"
PRECISIONS = ("32-true", "tf32", "bf16-mixed")


class SingleDevice:
    """What the training steps need of a Fabric, for the only process of a run."""

    is_global_zero = True

    def __init__(self, device: torch.device, precision: str) -> None:
        self.device = device
        self.precision = precision

    def setup_module(self, module: nn.Module) -> nn.Module:
        """Move a module to the device, and let it compute in the chosen precision."""
        module.to(self.device)
        return _MixedPrecision(module, self.device) if self.precision == "bf16-mixed" else module

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients."""
        loss.backward()


class _MixedPrecision(nn.Module):
    """A module that computes in bfloat16 where autocast allows it, and returns single precision."""

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.module = module
        self.device = device

    def forward(self, *inputs: Tensor) -> Nested:
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            outputs = self.module(*_cast(inputs, torch.bfloat16))
        return _cast(outputs, torch.float32)


def _cast(values: Nested, dtype: torch.dtype) -> Nested:
    """Return tensors with their floating ones in another precision."""
    if isinstance(values, tuple):
        return tuple(_cast(each, dtype) for each in values)
    return values.to(dtype) if values.is_floating_point() else values


AnyFabric: TypeAlias = "SingleDevice | Fabric"


def launch_fabric(device: str, precision: str, devices: int = 1, nodes: int = 1) -> AnyFabric:
    """Return where a training runs, connected to the other processes where there are any.

    Parameters
    ----------
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    precision : str
        One of ``PRECISIONS``.
    devices, nodes : int
        Processes on each machine, and machines.

    Raises
    ------
    ValueError
        If the device is not there, or the precision is not supported.
    ImportError
        If there are several processes, and Lightning Fabric is not installed.
    """
    if devices * nodes == 1:
        _check_precision(precision)
        return SingleDevice(find_device(device), precision)
    fabric = make_fabric(device, precision, devices, nodes)
    # Gradients of images with one channel may have either layout.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    follow_parent()
    fabric.launch()
    return fabric


def find_device(name: str) -> torch.device:
    """Return the device of this name, or raise ValueError where torch cannot use it."""
    if name == "auto":
        has_mps = torch.backends.mps.is_available()
        name = "mps" if has_mps else "cuda" if torch.cuda.is_available() else "cpu"
    try:
        check(name.partition(":")[0] in ("cpu", "cuda", "mps"), "choose auto, cpu, cuda, cuda:1 or mps")
        device = torch.empty(0, device=name).device  # with its index
    except Exception as error:  # torch raises RuntimeError, AssertionError, its own
        raise ValueError(f"cannot run on device={name!r}: {error}") from error
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def _check_precision(precision: str) -> None:
    # Half precision needs a gradient scaler, whose state a resumed run would have to restore.
    names = ", ".join(PRECISIONS)
    check(precision in PRECISIONS, f"precision={precision!r} is not supported: choose one of {names}")


def make_fabric(device: str, precision: str, devices: int, nodes: int = 1) -> Fabric:
    """Return the Fabric of several processes that :func:`launch_fabric` would start, or raise as it does."""
    require_package("lightning_fabric", "distributed", "training in several processes")
    from lightning_fabric import Fabric  # here, since it takes a second

    _check_precision(precision)
    # It would announce every process, and advise users of the precision of their GPU.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    options: dict[str, Any] = _distributed_options(device)
    options |= {"accelerator": device, "devices": devices, "num_nodes": nodes}
    options["precision"] = (
        "32-true" if precision == "tf32" else precision
    )  # a setting of torch, not of Fabric
    try:
        return Fabric(**options)
    except Exception as error:
        raise ValueError(
            f"cannot run on device={device!r}, devices={devices} with precision={precision!r}: {error}"
        ) from error


def _distributed_options(device: str) -> dict[str, object]:
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    from ssavae.training.distributed.strategy import SyncedStrategy

    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device={device!r} is one device: several processes take auto, cpu or cuda")
    return {"strategy": SyncedStrategy(), "plugins": [TorchElasticEnvironment()] if process_info() else []}
