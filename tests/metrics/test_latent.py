from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ssavae.metrics import latent

RNG = np.random.default_rng(0)


def test_knn_accuracy_of_separate_and_of_mixed_classes() -> None:
    y = np.arange(200) % 2
    apart = y[:, None] * 10 + RNG.random((200, 2))
    assert latent.knn_accuracy(apart, y, apart, y) == 1
    mixed = RNG.random((200, 2))
    assert 0.3 < latent.knn_accuracy(mixed, y, RNG.random((200, 2)), y) < 0.7
    half = np.where(np.arange(200) < 100, y, -1)
    assert latent.knn_accuracy(apart, half, apart, y) == 1


def test_map_quality_prefers_the_map_that_keeps_the_data() -> None:
    y = np.arange(150) % 3
    x = np.eye(3)[y] * 6 + RNG.standard_normal((150, 3))
    good, bad = latent.map_quality(x, x[:, :2], y), latent.map_quality(x, RNG.random((150, 2)), y)
    assert good["silhouette"] > 0.4 > 0.1 > bad["silhouette"]
    assert good["trustworthiness"] > 0.8 > 0.7 > bad["trustworthiness"]
    assert latent.map_quality(x, x, np.where(y == 2, -1, y), n_max=60)["trustworthiness"] == 1


BAD: list[tuple[Callable[..., object], tuple[Any, ...], str]] = [
    (latent.knn_accuracy, (np.zeros((2, 2)), [0, 1], np.zeros((2, 3)), [0, 1], 1), "z_test must have shape"),
    (latent.knn_accuracy, (np.zeros((2, 2)), [0, 1], np.zeros((2, 2)), [0, 1]), "k must be .* found 15"),
    (latent.map_quality, (np.zeros((20, 2)), np.zeros((20, 2)), [0] * 20), "y must hold 2 or more classes"),
    (
        latent.map_quality,
        (np.zeros((9, 2)), np.zeros((9, 2)), [0] * 9),
        "x must have 12 rows or more, found 9",
    ),
]


@pytest.mark.parametrize(("function", "args", "message"), BAD)
def test_bad_input_raises_an_error_that_names_the_argument_and_the_value(
    function: Callable[..., object], args: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        function(*args)
