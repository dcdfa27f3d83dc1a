"""What a model has made of rows, kept in its folder: the same map opens at once the next time."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ssavae._serialize import write_atomically
from ssavae.persistence.model_folder import MODEL_FILE, WEIGHTS_FILE
from ssavae.preprocessing.lazy import rows_sha256

POINTS_FILE = "points.npz"
Arrays = tuple[np.ndarray, ...]


def key_of(folder: Path, x: Any) -> str:
    """Return a checksum of the model in a folder and of rows, an array or a DataFrame."""
    digest = hashlib.sha256()
    for name in (MODEL_FILE, WEIGHTS_FILE):
        digest.update((folder / name).read_bytes())
    if hasattr(x, "iloc"):
        from pandas.util import hash_pandas_object

        x = hash_pandas_object(x, index=False).to_numpy()  # pyright: ignore[reportCallIssue]
    return digest.hexdigest() + rows_sha256(x)


def kept_or_made(folder: Path, x: Any, names: Sequence[str], make: Callable[[], Arrays]) -> Arrays:
    """Return the arrays of these names that the folder keeps for these rows; else make and keep them.

    A file that is damaged, or of another model or other rows, is made anew; a folder that cannot be written
    to keeps nothing.
    """
    path, key = folder / POINTS_FILE, key_of(folder, x)
    with suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):
        return _kept(path, key, names)
    made = make()
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, key=np.array(key), **dict(zip(names, made, strict=True)))
    with suppress(OSError):
        write_atomically(path, content.getvalue())
    return made


def _kept(path: Path, key: str, names: Sequence[str]) -> Arrays:
    with np.load(path) as kept:
        if str(kept["key"]) != key:
            raise ValueError(f"{path} is of another model or other rows")
        return tuple(kept[name] for name in names)
