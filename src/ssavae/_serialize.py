"""Plain values for JSON, checksums, and atomic writes of files and folders."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

JSONObject = dict[str, Any]  # what json.loads returns of an object


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it: readers see the old or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder to write into, which replaces ``folder`` at the end; an error removes it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    fresh.mkdir()
    try:
        yield fresh
        if folder.exists():
            os.replace(folder, old)
        os.replace(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        shutil.rmtree(old, ignore_errors=True)


def plain(value: Any) -> Any:
    """Turn numpy's numbers and arrays into Python's, and tuples into lists, as JSON holds them.

    Examples
    --------
    >>> plain((np.int64(3), np.float64(0.5))), plain(np.arange(2)), plain(None)
    ([3, 0.5], [0, 1], None)
    """
    value = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def lists_to_tuples(values: Mapping[str, Any]) -> JSONObject:
    """Turn the lists of a JSON object into tuples.

    Examples
    --------
    >>> lists_to_tuples({"widths": [8, 8], "beta": 0.5})
    {'widths': (8, 8), 'beta': 0.5}
    """
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()
