"""Lightning Fabric's DDP strategy with batch norm over the rows of all processes.

``nn.SyncBatchNorm`` does not run on CPUs, where this is tested, and ``torch.distributed.nn.all_reduce`` is
deprecated. Nothing here has been run on a GPU yet.
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


class _AllReduceSum(torch.autograd.Function):
    """Sum over the processes; the gradient is summed likewise, since each process has its own loss."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _AllReduceSum.forward(ctx, gradient)


class SyncedBatchNorm(_BatchNorm):
    """Batch norm of any number of axes over the rows of all processes, which are as many in each."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        mean, var = self._statistics(x)
        if self.track_running_stats:
            self._update_running(mean.detach(), var.detach(), x.numel() // len(mean) * dist.get_world_size())
        scale = (var + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight
        shape = (1, -1, *[1] * (x.ndim - 2))
        y = (x - mean.view(shape)) * scale.view(shape)
        if self.bias is not None:
            y = y + self.bias.view(shape)
        return y.to(input.dtype)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance over the rows of all processes, through which gradients pass."""
        var, mean = torch.var_mean(x, [0, *range(2, x.ndim)], correction=0)
        each = x.new_zeros(dist.get_world_size(), 2, len(mean))
        each[dist.get_rank()] = torch.stack([mean, var])
        means, variances = _AllReduceSum.apply(each).unbind(1)
        return means.mean(0), variances.mean(0) + means.var(0, correction=0)

    @torch.no_grad()
    def _update_running(self, mean: Tensor, var: Tensor, n: int) -> None:
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None and self.running_var is not None
        self.num_batches_tracked += 1
        rate = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
        self.running_var.lerp_((var * (n / max(1, n - 1))).to(self.running_var.dtype), rate)


def with_synced_norms(module: nn.Module) -> nn.Module:
    """Return a module that shares the weights and buffers, and whose batch norms are synchronised."""
    same: dict[int, object] = {id(each): each for each in (*module.parameters(), *module.buffers())}
    twin = copy.deepcopy(module, same)
    for part in twin.modules():
        if isinstance(part, _BatchNorm):
            part.__class__ = SyncedBatchNorm
    return twin


class SyncedStrategy(DDPStrategy):
    """DDP for modules that are trained; a frozen one has no gradients to average and is not wrapped."""

    def __init__(self) -> None:
        super().__init__(timeout=TIMEOUT)

    def setup_module(self, module: nn.Module) -> nn.Module:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Wrap a module whose parameters require gradients."""
        if not any(parameter.requires_grad for parameter in module.parameters()):
            return module
        wrapped = super().setup_module(with_synced_norms(module))
        # Synchronised batch norm and spectral norm keep buffers equal; torch has two names for this argument.
        wrapped.broadcast_buffers = False
        return wrapped
