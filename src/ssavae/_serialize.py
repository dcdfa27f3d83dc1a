"""Plain values for JSON, checksums, and atomic writes of one or several files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

JSONObject = dict[str, Any]  # what json.loads returns of an object

TEMPORARY = ".ssavae-tmp"  # ends the name of a file that is being written
PENDING = ".ssavae-new"  # of one that is complete and waits for its name


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file: readers see the old or the new one, never a part, whenever this process is killed.

    What a killed process leaves is ``.NAME.ssavae-tmp``, which the next write of that file replaces and
    :func:`sweep` removes.  Writers of one folder, threads or processes, take turns.

    Raises
    ------
    OSError
        If the file cannot be written, with its name; the old one is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        _replace(path, content)


def write_together(folder: Path, commit: str, contents: Mapping[str, bytes]) -> None:
    """Replace several files of a folder at once; ``contents[commit]`` has to hold the others' sha256.

    The rename of ``commit`` is the moment of change.  Until the other files have their names too, they are
    beside them under a name with their sha256, where :func:`read_checked` looks for them.

    Raises
    ------
    OSError
        If a file cannot be written, with its name; the old files are still there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        pending = {
            name: _pending(folder / name, sha256(content))
            for name, content in contents.items()
            if name != commit
        }
        with _removed_on_error([path for path in pending.values() if not path.exists()]):
            for name, path in pending.items():
                _replace(path, contents[name])
            _replace(folder / commit, contents[commit])
        for name, path in pending.items():
            os.replace(path, folder / name)
        _sync_folder(folder)
        _remove(folder, TEMPORARY)
        for name in pending:  # of writes of these files that were killed, not of another document's
            _remove(folder, PENDING, prefix=f".{name}.")


def read_checked(path: Path, checksum: str) -> bytes | None:
    """Read the file of this sha256; None if neither it nor the one about to replace it is that file."""
    for candidate in (_pending(path, checksum), path):  # in this order: a writer may rename it meanwhile
        with suppress(FileNotFoundError):
            content = candidate.read_bytes()
            if sha256(content) == checksum:
                return content
    return None


def read_together(
    commit: Path, parse: Callable[[bytes], T], checksums: Callable[[T], Mapping[Path, str]]
) -> tuple[T, dict[Path, bytes | None]]:
    """Read files written by :func:`write_together`, all of one write; None for one that is damaged.

    Parameters
    ----------
    commit : Path
        The file that holds the sha256 of the others.
    parse : callable
        Takes the content of ``commit``.
    checksums : callable
        Returns the other files with their sha256, from what ``parse`` returns.
    """
    while True:
        content = commit.read_bytes()
        document = parse(content)
        files = {path: read_checked(path, checksum) for path, checksum in checksums(document).items()}
        if None not in files.values() or commit.read_bytes() == content:  # else another write came between
            return document, files


def sweep(folder: Path) -> None:
    """Remove the unfinished files that killed processes left in a folder; nobody writes there meanwhile."""
    with _locked(folder):
        _remove(folder, TEMPORARY)


def is_leftover(path: Path) -> bool:
    """Return whether a file is one that only a killed process leaves."""
    return path.name.startswith(".") and path.name.endswith((TEMPORARY, PENDING))


def _remove(folder: Path, suffix: str, prefix: str = ".") -> None:
    for path in folder.iterdir():
        if path.name.startswith(prefix) and path.name.endswith(suffix):
            path.unlink(missing_ok=True)


@contextmanager
def _removed_on_error(paths: Iterable[Path]) -> Iterator[None]:
    try:
        yield
    except OSError:
        for path in paths:
            path.unlink(missing_ok=True)
        raise


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _pending(path: Path, checksum: str) -> Path:
    return path.with_name(f".{path.name}.{checksum[:16]}{PENDING}")


def _sync_folder(folder: Path) -> None:
    """Make renames last beyond a power failure, on systems that can."""
    with suppress(OSError), _opened(folder) as descriptor:
        os.fsync(descriptor)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Wait until no other thread or process writes to a folder; some file systems cannot lock one."""
    with ExitStack() as stack:
        with suppress(ImportError, OSError):
            import fcntl

            descriptor = stack.enter_context(_opened(folder))
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            stack.callback(fcntl.flock, descriptor, fcntl.LOCK_UN)  # also for a process forked meanwhile
        yield


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


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


def sha256(content: bytes) -> str:
    """Return the sha256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()
