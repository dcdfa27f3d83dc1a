"""Data sets with a training and a test part, and training labels of which only a few are left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ssavae.data.label_budget import draw_labelled
from ssavae.data.labelled import named_labels
from ssavae.data.loading import load_dataset


@dataclass(frozen=True)
class Split:
    """Rows and class indices of a training and a test part."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    kind: str | None
    classes: np.ndarray  # as a model of the data set has them, by index

    @classmethod
    def load(cls, name: str, kind: str | None = None) -> Split:
        """Read a data set in which every row has its class."""
        data = load_dataset(name, kind=kind)
        assert data.y_train is not None and data.x_test is not None and data.y_test is not None
        classes = named_labels(np.arange(data.y_train.max() + 1), data.class_names)
        x, x_test = np.asarray(data.x_train), np.asarray(data.x_test)
        return cls(x, data.y_train, x_test, data.y_test, data.kind, classes)

    def flat(self) -> tuple[np.ndarray, np.ndarray]:
        """Return training and test images as rows of numbers in [0, 1], (n, d)."""
        x, x_test = (rows.reshape(len(rows), -1) / np.float32(255) for rows in (self.x, self.x_test))
        return x, x_test


def few_labels(y: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """Return labels of so many random rows of each class, -1 for all others."""
    labelled = draw_labelled(y, seed, per_class=per_class)
    y_few = np.full(len(y), -1)
    y_few[labelled] = y[labelled]
    return y_few
