"""Lightning Fabric's DDP with one addition: batch norm over the rows of all processes.

torch's own SyncBatchNorm refuses to run on CPUs, where this is tested. Nothing here has seen a GPU.
"""

from __future__ import annotations

import copy
from datetime import timedelta

import torch
import torch.distributed as dist
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

TIMEOUT = timedelta(minutes=10)  # a process that waits longer for the others gives up


class _Sum(torch.autograd.Function):
    """Sum over the processes; of each process's gradient likewise, since each has a loss of its own."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _Sum.forward(ctx, gradient)


class SharedBatchNorm(_BatchNorm):
    """Batch norm of any number of axes by mean and variance over all processes, each with as many rows."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        mean, var = self._statistics(x)
        if self.track_running_stats:
            self._follow(mean.detach(), var.detach(), x.numel() // len(mean) * dist.get_world_size())
        scale = (var + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight
        shape = (1, -1, *[1] * (x.ndim - 2))
        y = (x - mean.view(shape)) * scale.view(shape)
        return (y if self.bias is None else y + self.bias.view(shape)).to(input.dtype)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance over the rows of all processes, through which gradients pass."""
        var, mean = torch.var_mean(x, [0, *range(2, x.ndim)], correction=0)
        each = x.new_zeros(dist.get_world_size(), 2, len(mean))
        each[dist.get_rank()] = torch.stack([mean, var])
        means, variances = _Sum.apply(each).unbind(1)
        return means.mean(0), variances.mean(0) + means.var(0, correction=0)

    @torch.no_grad()
    def _follow(self, mean: Tensor, var: Tensor, n: int) -> None:
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None and self.running_var is not None
        self.num_batches_tracked += 1
        share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_((var * (n / max(1, n - 1))).to(self.running_var.dtype), share)


def with_shared_norms(module: nn.Module) -> nn.Module:
    """Return a module of the very same weights and buffers whose batch norms are shared."""
    same: dict[int, object] = {id(each): each for each in (*module.parameters(), *module.buffers())}
    twin = copy.deepcopy(module, same)
    for part in twin.modules():
        if isinstance(part, _BatchNorm):
            part.__class__ = SharedBatchNorm
    return twin


class SharingStrategy(DDPStrategy):
    """DDP for what is trained; what is held still has no gradients to average and stays as it is."""

    def __init__(self) -> None:
        super().__init__(timeout=TIMEOUT)

    def setup_module(self, module: nn.Module) -> nn.Module:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Wrap a module whose parameters want gradients."""
        if not any(parameter.requires_grad for parameter in module.parameters()):
            return module
        wrapped = super().setup_module(with_shared_norms(module))
        # Shared batch norms and spectral norm keep them equal; its argument for this has two names by now.
        wrapped.broadcast_buffers = False
        return wrapped
