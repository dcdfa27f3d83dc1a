"""Checks of arguments: each error names the argument, what it must be and what it is."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray


class UsageError(ValueError):
    """An invalid request of the user; the command line prints the message and exits with code 2."""

    exit_code = 2


def check(condition: bool | np.bool_, message: str) -> None:
    """Raise ValueError with the message unless the condition is true."""
    if not condition:
        raise ValueError(message)


def require_package(module: str, extra: str, feature: str) -> None:
    """Raise ImportError that names the extra to install, unless the module can be imported."""
    if importlib.util.find_spec(module) is None:
        raise ImportError(f'{feature} needs {module}: pip install "ssavae[{extra}]"')


def check_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise ValueError unless the shape is the expected one."""
    check(shape == expected, f"{name} must have shape {expected}, found {shape}")


def check_array(name: str, values: ArrayLike, n_dims: tuple[int, ...] = ()) -> np.ndarray:
    """Return finite numbers as a floating array; n_dims lists the allowed numbers of axes, () allows any.

    Raises ValueError for text, an empty array, another number of axes, NaN or infinite values.
    """
    array = np.asarray(values)
    allowed = " or ".join(map(str, n_dims))
    check(not n_dims or array.ndim in n_dims, f"{name} must have {allowed} axes, found shape {array.shape}")
    check(array.size > 0, f"{name} is empty, found shape {array.shape}")
    check(array.dtype.kind in "buif", f"{name} must hold numbers, found dtype {array.dtype}")
    array = array.astype(np.result_type(array.dtype, np.float32), copy=False)
    n_bad = int(array.size - np.isfinite(array).sum())
    check(n_bad == 0, f"{name} must be finite, found {n_bad} NaN or infinite values")
    return array


def check_labels(name: str, values: ArrayLike, n: int, n_classes: int | None = None) -> NDArray[np.int64]:
    """Return n class indices, below n_classes where that is given; -1 is unlabelled.

    Raises ValueError for another length, values that are not integers, or an index too high.
    """
    array = np.asarray(values)
    check_shape(name, array.shape, (n,))
    check(array.dtype.kind in "bui", f"{name} must hold integer class indices, found dtype {array.dtype}")
    if n_classes is not None:
        top = array.max()
        check(top < n_classes, f"{name} must be below the {n_classes} class names, found {top}")
    return array.astype(np.int64)


def nearest(word: str, names: Iterable[str]) -> str:
    """Return " (did you mean 'name'?)" for the most similar name, or "" where none is similar.

    >>> nearest("Minst", ["digits", "mnist"])
    " (did you mean 'mnist'?)"
    """
    name = closest(word, names)
    return f" (did you mean {name!r}?)" if name else ""


def closest(word: str, names: Iterable[str]) -> str | None:
    """Return the most similar name, None where none is similar.

    >>> closest("epochs", ["n_epochs", "beta"])
    'n_epochs'
    """
    by_lower = {name.lower(): name for name in names}
    matches = difflib.get_close_matches(word.lower(), by_lower, 1, 0.4)
    return by_lower[matches[0]] if matches else None
