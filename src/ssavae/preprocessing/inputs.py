"""Training rows that can be handed out in any order: tensors on the device, or a Source read as needed.

The order of an epoch is a function of the seed and the epoch alone, so a resumed run needs no
record of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ssavae.preprocessing import adapters
from ssavae.preprocessing.adapters import lazy_dataset
from ssavae.preprocessing.lazy import LazyArray


class Inputs:
    """Network inputs of rows, made portion by portion: what ``Tensor.split`` is to a tensor."""

    def __init__(self, source: LazyArray | np.ndarray, to_inputs: Callable[[np.ndarray], np.ndarray]) -> None:
        self.source, self.to_inputs = source, to_inputs

    def __len__(self) -> int:
        return len(self.source)

    def split(self, size: int) -> Iterator[Tensor]:
        """Yield the inputs of ``size`` rows after the other, the last portion may be smaller."""
        for start in range(0, len(self), size):
            yield torch.from_numpy(self.to_inputs(self.source[start : start + size]))


def source_of(x: Any) -> Any:
    """Return rows of a torch Dataset or of a Hugging Face data set as a Source, all others as they are."""
    if adapters.is_hugging_face(x):
        return adapters.lazy_hugging_face(x)
    return lazy_dataset(x) if isinstance(x, Dataset) else x


def labels_of(x: Any) -> Any:
    """Read the labels of a Dataset of (row, label) pairs, or a Hugging Face data set; None of other rows."""
    if adapters.is_hugging_face(x):
        return adapters.hugging_face_labels(x)
    if not isinstance(x, Dataset) or not isinstance(x[0], tuple):
        return None
    labels = [x[i][1] for i in range(len(x))]  # type: ignore[arg-type]  # map-style: it has a length
    return [label.item() if hasattr(label, "item") else label for label in labels]


def channels_last(x: Tensor) -> Tensor:
    """Lay images out with channels last, which doubles the speed of convolutions; leave the rest."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
