"""Where training runs: the device, the precision, and the processes that share a run."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

from ssavae.training.distributed.launcher import follow_parent, process_info

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PRECISIONS = ("32-true", "bf16-mixed")


def launch_fabric(device: str, precision: str, devices: int = 1, nodes: int = 1) -> Fabric:
    """Choose where to run, and meet the other processes where there are any.

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
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # which would announce every process
        # Of images of one channel: either layout of their gradients is right.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        follow_parent()
        fabric.launch()
    return fabric


def make_fabric(device: str, precision: str, devices: int = 1, nodes: int = 1) -> Fabric:
    """Return what :func:`launch` would start, or raise as it does."""
    from lightning_fabric import Fabric  # here, because it costs a second that predictions need not pay

    if precision not in PRECISIONS:
        # Half precision would want a gradient scaler, whose state a resumed run would have to know.
        raise ValueError(f"precision={precision!r} is not supported: choose one of {', '.join(PRECISIONS)}")
    accelerator, _, index = device.partition(":")
    several = _several(device) if devices * nodes > 1 else {}
    try:
        where: Any = [int(index)] if index else devices
        return Fabric(accelerator=accelerator, devices=where, num_nodes=nodes, precision=precision, **several)  # type: ignore[arg-type]
    except Exception as error:
        many = f", devices={devices}" if several else ""
        raise ValueError(
            f"cannot run on device={device!r}{many} with precision={precision!r}: {error}"
        ) from error


def _several(device: str) -> dict[str, Any]:
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    from ssavae.training.distributed.strategy import SharingStrategy

    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device={device!r} is one device: several processes take auto, cpu or cuda")
    return {"strategy": SharingStrategy(), "plugins": [TorchElasticEnvironment()] if process_info() else []}
