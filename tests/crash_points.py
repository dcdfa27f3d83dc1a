"""A process killed at each of its writes in turn, in this process: from then on no call reaches the disk."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

CALLS = ("fsync", "replace", "rename", "unlink", "mkdir", "rmdir")


class Killed(BaseException):
    """Raised in place of the call at which the process is killed, and of each one after it."""


def kill_at_each_write(action: Callable[[], object]) -> Iterator[int]:
    """Run an action that is killed at its first write, then at its second, and so on; yield after each.

    A file that is killed before its fsync has lost its second half.
    """
    for n in itertools.count(1):
        counter = _Counter(n)
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, _counted(name, getattr(os, name), counter))
            with suppress(Killed):
                action()
        yield n
        if counter.left > 0:
            return


class _Counter:
    """Shared by the calls of one run: how many are left before the process is killed."""

    def __init__(self, left: int) -> None:
        self.left = left


def _counted(name: str, call: Callable[..., object], counter: _Counter) -> Callable[..., object]:
    def counted(*args, **kwargs) -> object:
        counter.left -= 1
        if counter.left > 0:
            return call(*args, **kwargs)
        if name == "fsync" and counter.left == 0:
            with suppress(OSError):  # of a folder
                os.ftruncate(args[0], os.fstat(args[0]).st_size // 2)
        raise Killed

    return counted
