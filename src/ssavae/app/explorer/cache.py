"""Cache of the explorer's points in the run folder, so that the same map opens at once the next time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ssavae.app.runs.folder import RunFolder
from ssavae.data.labelled import RowsLike
from ssavae.persistence.model_folder import MODEL_FILE, WEIGHTS_FILE
from ssavae.preprocessing.lazy import LazyArray, rows_sha256

Arrays = tuple[np.ndarray, ...]


def cache_key(folder: Path, x: RowsLike) -> str:
    """Return a checksum of the model in a folder and of rows."""
    digest = hashlib.sha256()
    for name in (MODEL_FILE, WEIGHTS_FILE):
        digest.update((folder / name).read_bytes())
    if isinstance(x, np.ndarray | LazyArray):
        return digest.hexdigest() + rows_sha256(x)
    from pandas.util import hash_pandas_object

    hashes = hash_pandas_object(x, index=False).to_numpy()  # pyright: ignore[reportCallIssue]
    return digest.hexdigest() + rows_sha256(hashes)


def cached(folder: Path, x: RowsLike, names: Sequence[str], compute: Callable[[], Arrays]) -> Arrays:
    """Return arrays from the cache in a run folder, computing and caching them first where needed.

    A damaged file, or one of another model or other rows, is replaced; without write permission nothing is
    cached.
    """
    run = RunFolder(folder)
    key = cache_key(folder, x)
    arrays = run.read_points(key, names)
    if arrays is None:
        arrays = compute()
        run.write_points(key, dict(zip(names, arrays, strict=True)))
    return arrays
