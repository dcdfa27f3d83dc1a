"""The processes of one run: their places in it, and what starts them on this machine as torchrun would.

Each place is told by torchrun's environment variables. A process that fails leaves a report, so that
what started them can raise the one error that ended the run.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ssavae._checks import UsageError
from ssavae.training.interrupts import handle_stop_signals

REPORTS = "SSAVAE_REPORTS"  # the variable that names the folder of reports
GRACE = 20.0  # seconds in which the others may end by themselves, once one has
ERRORS: dict[str, type[BaseException]] = {
    kind.__name__: kind
    for kind in (UsageError, ValueError, FloatingPointError, OSError, FileNotFoundError, KeyboardInterrupt)
}
TORCHRUN = "torchrun --nnodes {} --nproc-per-node {} --rdzv-backend c10d --rdzv-endpoint HOST:29500 PROGRAM"


class RemoteTraceback(Exception):
    """The traceback of the process that failed, shown above that of the one that started it."""


class ProcessInfo(NamedTuple):
    """Where a process stands among the processes of a run."""

    rank: int
    n_processes: int
    devices: int  # processes on each machine

    @property
    def nodes(self) -> int:
        """Return the number of machines."""
        return self.n_processes // self.devices


def process_info() -> ProcessInfo | None:
    """Return the place that torchrun, or :func:`run`, has given to this process; None where neither has."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    return ProcessInfo(*(int(os.environ[name]) for name in names)) if "LOCAL_RANK" in os.environ else None


def is_first() -> bool:
    """Say whether this process is the one that writes and prints."""
    here = process_info()
    return here is None or here.rank == 0


def must_launch(devices: int, nodes: int) -> bool:
    """Say whether a run of so many processes has yet to start them.

    Raises
    ------
    UsageError
        If there are other processes than asked for, or some would have to be on other machines.

    Examples
    --------
    >>> are_to_start(1, 1), are_to_start(2, 1)
    (False, True)
    """
    here = process_info()
    if devices * nodes == 1:
        return False
    if here is None and nodes > 1:
        start = TORCHRUN.format(nodes, devices)
        raise UsageError(f"nodes={nodes}: start the same program on each machine, by {start}")
    if here is not None and (here.devices, here.nodes) != (devices, nodes):
        raise UsageError(
            f"devices={devices} and nodes={nodes}, but torchrun started {here.devices} processes "
            f"on each of {here.nodes} machines"
        )
    return here is None


def process_counts(devices: int | None, nodes: int | None) -> dict[str, int]:
    """Return the numbers that were given by name; those of torchrun, where it has started this process.

    Examples
    --------
    >>> wanted(2, None)
    {'devices': 2}
    """
    here = process_info()
    given = {"devices": devices, "nodes": nodes}
    theirs = {} if here is None else {"devices": here.devices, "nodes": here.nodes}
    return theirs | {name: value for name, value in given.items() if value is not None}


# ---------------------------------------------------------------------------------------- reports


def report(error: BaseException) -> bool:
    """Leave word of what ended this process, if something waits for it."""
    here = process_info()
    if here is None or REPORTS not in os.environ:
        return False
    told = {"time": time.monotonic(), "kind": type(error).__name__, "message": str(error)}
    told["traceback"] = "".join(traceback.format_exception(error))
    (Path(os.environ[REPORTS]) / f"{here.rank}.json").write_text(json.dumps(told))
    return True


def exit_process(status: int) -> None:
    """End this process at once, if :func:`run` has started it.

    What it was to do is done, and the orderly end of an interpreter that has met others through gloo is at
    times an abort of torch's own threads, which would pass for a failure.
    """
    if REPORTS in os.environ:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def follow_parent() -> None:
    """Stop this process, as SIGTERM does, when the one that started it is gone."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    if REPORTS in os.environ:
        threading.Thread(target=watch, daemon=True).start()


# ---------------------------------------------------------------------------------------- starting


def run_processes(command: Sequence[str], n: int) -> None:
    """Run a command in n processes that find one another, and wait for them; the first one prints.

    Ctrl-C and SIGTERM are passed on once; the second time the processes are ended. When one fails the
    others end as well.

    Raises
    ------
    ValueError, FileNotFoundError, FloatingPointError, KeyboardInterrupt, ..
        What ended the first of them that failed, with its message.
    RuntimeError
        If one died without a word.
    """
    from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with tempfile.TemporaryDirectory(prefix="ssavae-") as folder:
        started = [_start(command, rank, n, store.port, Path(folder)) for rank in range(n)]
        try:
            ended = _wait(started)
        finally:
            for process in started:
                process.kill()
                process.communicate()  # waits, and closes the pipe
        _raise_first_error(ended, Path(folder))


def _start(command: Sequence[str], rank: int, n: int, port: int, folder: Path) -> subprocess.Popen[bytes]:
    told = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n}
    told |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": True}
    told |= {"TORCHELASTIC_RESTART_COUNT": 0, REPORTS: folder}
    source = str(Path(__file__).resolve().parents[3])  # the processes run this very ssavae
    told["PYTHONPATH"] = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    told["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", max(1, (os.cpu_count() or 1) // n))
    env = os.environ | {name: str(value) for name, value in told.items()}
    # A session of its own: Ctrl-C on the terminal reaches the processes through us alone, once.
    with open(folder / f"{rank}.err", "wb") as words:
        out, err = (None, None) if rank == 0 else (subprocess.DEVNULL, words)
        return subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=out, stderr=err, start_new_session=True
        )


def _wait(started: Sequence[subprocess.Popen[bytes]]) -> dict[int, int | None]:
    """Wait until all have ended, or one has failed and the others had time to end; return exit statuses."""
    deadline = float("inf")
    with _passing_on_signals(started):
        while any(process.poll() is None for process in started) and time.monotonic() < deadline:
            if any(process.returncode for process in started):
                deadline = min(deadline, time.monotonic() + GRACE)
            time.sleep(0.02)
    return {rank: process.returncode for rank, process in enumerate(started)}


@contextmanager
def _passing_on_signals(started: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    asked: list[int] = []

    def pass_on(signum: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(signum)
        for process in started:
            process.terminate()  # stops a training as Ctrl-C does, and whatever else without a traceback

    with handle_stop_signals(pass_on):
        yield


def _raise_first_error(ended: Mapping[int, int | None], folder: Path) -> None:
    """Raise what the first process to fail has reported; one that died without a report was before it."""
    reports = {int(path.stem): json.loads(path.read_text()) for path in folder.glob("*.json")}
    silent = [rank for rank, status in ended.items() if status and rank not in reports]
    if -signal.SIGTERM in (ended[rank] for rank in silent):
        raise KeyboardInterrupt
    if silent:
        rank = min(silent, key=lambda rank: ended[rank] or 0)  # one that was killed, if one was
        words = (folder / f"{rank}.err").read_text(errors="replace").strip().splitlines()
        last = f": {words[-1]}" if words else ""
        raise RuntimeError(f"process {rank} of {len(ended)} ended with status {ended[rank]}{last}")
    if reports:
        told = min(reports.values(), key=lambda each: each["time"])
        raise ERRORS.get(told["kind"], RuntimeError)(told["message"]) from RemoteTraceback(told["traceback"])
