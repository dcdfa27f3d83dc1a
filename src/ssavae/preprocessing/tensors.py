"""Rows as the tensors that the networks take."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from ssavae.preprocessing.inputs import Rows
from ssavae.preprocessing.lazy import LazyArray
from ssavae.preprocessing.preprocessor import Preprocessor

Forward = Callable[[np.ndarray], np.ndarray]


class LazyInputs:
    """Network inputs that are computed batch by batch: ``split`` is that of a tensor."""

    def __init__(self, values: LazyArray | np.ndarray, forward: Forward) -> None:
        self.values = values
        self.forward = forward

    def __len__(self) -> int:
        return len(self.values)

    def split(self, size: int) -> Iterator[Tensor]:
        """Yield the inputs of ``size`` rows after the other; the last batch may be smaller."""
        for start in range(0, len(self), size):
            yield torch.from_numpy(self.forward(self.values[start : start + size]))


NetworkInputs = Tensor | LazyInputs


def network_inputs(preprocessor: Preprocessor, rows: Rows) -> NetworkInputs:
    """Return the network inputs of rows: a tensor where the rows are in memory."""
    if isinstance(rows.values, LazyArray):
        return LazyInputs(rows.values, preprocessor.forward)
    return torch.from_numpy(preprocessor.forward(rows.values))


def streamed_inputs(preprocessor: Preprocessor, rows: Rows) -> NetworkInputs:
    """Return network inputs for one pass, computed batch by batch: each batch then stays in the cache.

    Tables are transformed column by column, which is expensive for few rows, so they are not split.
    """
    if preprocessor.kind == "table":
        return network_inputs(preprocessor, rows)
    return LazyInputs(rows.values, preprocessor.forward)


def channels_last(x: Tensor) -> Tensor:
    """Lay images out with channels last, which doubles the speed of convolutions; leave other inputs."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
