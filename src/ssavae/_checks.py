"""Checks of arrays that users hand in: one clear error that names the value and what was found."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]


class UsageError(ValueError):
    """The command asks for what cannot be."""

    exit_code = 2


def check(holds: bool | np.bool_, message: str) -> None:
    """Raise ValueError with the message unless the condition holds."""
    if not holds:
        raise ValueError(message)


def require_package(module: str, extra: str, what: str) -> None:
    """Raise ImportError that says what to install, unless there is such a module."""
    if importlib.util.find_spec(module) is None:
        raise ImportError(f'{what} needs {module}: pip install "ssavae[{extra}]"')


def same_shape(name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """Raise ValueError unless both shapes are equal."""
    check(found == wanted, f"{name} must have shape {wanted}, found {found}")


def numbers(name: str, values: ArrayLike, n_dims: tuple[int, ...] = ()) -> Array:
    """Return finite numbers as a floating array of one of these numbers of axes, any where empty.

    Raises ValueError for text, an empty array, other axes, NaN or infinite values.
    """
    array = np.asarray(values)
    wanted = " or ".join(map(str, n_dims))
    check(not n_dims or array.ndim in n_dims, f"{name} must have {wanted} axes, found shape {array.shape}")
    check(array.size > 0, f"{name} is empty, found shape {array.shape}")
    check(array.dtype.kind in "buif", f"{name} must hold numbers, found dtype {array.dtype}")
    array = array.astype(np.result_type(array.dtype, np.float32), copy=False)
    n_bad = int(array.size - np.isfinite(array).sum())
    check(n_bad == 0, f"{name} must be finite, found {n_bad} NaN or infinite values")
    return array


def classes(name: str, values: ArrayLike, n: int, n_classes: int | None = None) -> NDArray[np.int64]:
    """Return n class indices, below n_classes where it is given; -1 is unlabelled.

    Raises ValueError for other lengths, values that are no integers, or an index too high.
    """
    array = np.asarray(values)
    same_shape(name, array.shape, (n,))
    check(array.dtype.kind in "bui", f"{name} must hold integer class indices, found dtype {array.dtype}")
    if n_classes is not None:
        top = array.max()
        check(top < n_classes, f"{name} must be below the {n_classes} class names, found {top}")
    return array.astype(np.int64)


def nearest(word: str, names: Iterable[str]) -> str:
    """Return " (did you mean 'name'?)" for the nearest of the names, or nothing where none is near.

    >>> nearest("Minst", ["digits", "mnist"])
    " (did you mean 'mnist'?)"
    """
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), by_lower, 1, 0.4)
    return f" (did you mean {by_lower[close[0]]!r}?)" if close else ""
