"""Device, precision and processes of a training, through Lightning Fabric."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

from ssavae.training.distributed.launcher import follow_parent, process_info

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PRECISIONS = ("32-true", "bf16-mixed")


def launch_fabric(device: str, precision: str, devices: int = 1, nodes: int = 1) -> Fabric:
    """Return the Fabric of a training, connected to the other processes where there are any.

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
    """
    fabric = make_fabric(device, precision, devices, nodes)
    if devices * nodes > 1:
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it would announce every process
        # Gradients of images with one channel may have either layout.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        follow_parent()
        fabric.launch()
    return fabric


def make_fabric(device: str, precision: str, devices: int = 1, nodes: int = 1) -> Fabric:
    """Return the Fabric that :func:`launch_fabric` would start, or raise as it does."""
    from lightning_fabric import Fabric  # here, since it takes a second that predictions do not need

    if precision not in PRECISIONS:
        # Half precision needs a gradient scaler, whose state a resumed run would have to restore.
        raise ValueError(f"precision={precision!r} is not supported: choose one of {', '.join(PRECISIONS)}")
    accelerator, _, index = device.partition(":")
    is_distributed = devices * nodes > 1
    options: dict[str, Any] = _distributed_options(device) if is_distributed else {}
    options |= {"devices": [int(index)] if index else devices, "num_nodes": nodes, "precision": precision}
    try:
        return Fabric(accelerator=accelerator, **options)
    except Exception as error:
        many = f", devices={devices}" if is_distributed else ""
        raise ValueError(
            f"cannot run on device={device!r}{many} with precision={precision!r}: {error}"
        ) from error


def _distributed_options(device: str) -> dict[str, object]:
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    from ssavae.training.distributed.strategy import SyncedStrategy

    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device={device!r} is one device: several processes take auto, cpu or cuda")
    return {"strategy": SyncedStrategy(), "plugins": [TorchElasticEnvironment()] if process_info() else []}
