"""Launcher of the processes of one run on this machine, with the environment variables of torchrun.

A process that fails leaves a report, so that the one that started them raises the error that ended
the run.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from ssavae._checks import UsageError
from ssavae.training.interrupts import StopRequest, handle_stop_signals

REPORTS = "SSAVAE_REPORTS"  # environment variable with the folder of reports
GRACE = 20.0  # seconds that the other processes have to end once one has failed
ERRORS: dict[str, type[BaseException]] = {
    kind.__name__: kind
    for kind in (UsageError, ValueError, FloatingPointError, OSError, FileNotFoundError, KeyboardInterrupt)
}
TORCHRUN = "torchrun --nnodes {} --nproc-per-node {} --rdzv-backend c10d --rdzv-endpoint HOST:29500 PROGRAM"


class RemoteError(Exception):
    """The traceback of the process that failed, shown above that of the one that started it."""


class ProcessInfo(NamedTuple):
    """Rank of a process, and the numbers of processes of its run."""

    rank: int
    n_processes: int
    devices: int  # processes on each machine

    @property
    def nodes(self) -> int:
        """Return the number of machines."""
        return self.n_processes // self.devices


def process_info() -> ProcessInfo | None:
    """Return what torchrun, or :func:`run_processes`, has set for this process; None where neither has."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    return ProcessInfo(*(int(os.environ[name]) for name in names)) if "LOCAL_RANK" in os.environ else None


def is_first() -> bool:
    """Return whether this process is the one that writes and prints."""
    info = process_info()
    return info is None or info.rank == 0


def must_launch(devices: int, nodes: int) -> bool:
    """Return whether a run of so many processes has to start them.

    Raises
    ------
    UsageError
        If torchrun has started other numbers of processes, or some would be on other machines.

    Examples
    --------
    >>> must_launch(1, 1), must_launch(2, 1)
    (False, True)
    """
    info = process_info()
    if devices * nodes == 1:
        return False
    if info is None and nodes > 1:
        start = TORCHRUN.format(nodes, devices)
        raise UsageError(f"nodes={nodes}: start the same program on each machine, by {start}")
    if info is not None and (info.devices, info.nodes) != (devices, nodes):
        raise UsageError(
            f"devices={devices} and nodes={nodes}, but torchrun started {info.devices} processes "
            f"on each of {info.nodes} machines"
        )
    return info is None


def process_counts(devices: int | None, nodes: int | None) -> dict[str, int]:
    """Return the given numbers by name, else those of torchrun, where it has started this process.

    Examples
    --------
    >>> process_counts(2, None)
    {'devices': 2}
    """
    info = process_info()
    given = {"devices": devices, "nodes": nodes}
    counts = {} if info is None else {"devices": info.devices, "nodes": info.nodes}
    return counts | {name: value for name, value in given.items() if value is not None}


# ---------------------------------------------------------------------------------------- reports


def report(error: BaseException) -> bool:
    """Write a report of the error that ended this process, if :func:`run_processes` has started it."""
    info = process_info()
    if info is None or REPORTS not in os.environ:
        return False
    content = {
        "time": time.monotonic(),
        "kind": next((kind.__name__ for kind in type(error).__mro__ if kind.__name__ in ERRORS), ""),
        "message": str(error),
        "traceback": "".join(traceback.format_exception(error)),
    }
    with suppress(FileNotFoundError):  # the process that would read it has been killed
        (Path(os.environ[REPORTS]) / f"{info.rank}.json").write_text(json.dumps(content))
    return True


def exit_process(status: int) -> None:
    """End this process at once, if :func:`run_processes` has started it.

    Its work is done, and the regular shutdown after a run with gloo at times aborts in torch's own threads,
    which would look like a failure.
    """
    if REPORTS in os.environ:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def follow_parent() -> None:
    """Send this process SIGTERM when the one that started it has been killed, and remove its leftovers."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        shutil.rmtree(os.environ[REPORTS], ignore_errors=True)
        os.kill(os.getpid(), signal.SIGTERM)

    if REPORTS in os.environ:
        threading.Thread(target=watch, daemon=True).start()


# ---------------------------------------------------------------------------------------- starting


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a temporary folder; those of processes of this machine that were killed are removed."""
    prefix = f"ssavae-{socket.gethostname()}-"
    for path in Path(tempfile.gettempdir()).glob(f"{prefix}*-*"):
        pid = path.name.removeprefix(prefix).partition("-")[0]
        if pid.isdigit() and not _is_alive(int(pid)):
            shutil.rmtree(path, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{prefix}{os.getpid()}-") as folder:
        yield Path(folder)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def run_processes(command: Sequence[str], n: int) -> None:
    """Run a command in n processes of one process group, and wait for them; the first one prints.

    A signal that asks to stop is passed on once; half a minute later the next one kills the processes. When
    one fails the others end as well.

    Raises
    ------
    ValueError, FileNotFoundError, FloatingPointError, KeyboardInterrupt, ..
        The error of the first process that failed, with its message.
    RuntimeError
        If a process died without a report.
    """
    with scratch_folder() as folder:
        run_processes_in(folder, command, n)


def run_processes_in(folder: Path, command: Sequence[str], n: int) -> None:
    """Do so with a scratch folder of the caller's, which the processes remove if this one is killed."""
    from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    started = [_start(command, rank, n, store.port, folder) for rank in range(n)]
    try:
        statuses = _wait(started)
    finally:
        for process in started:
            process.kill()
            process.communicate()  # waits, and closes the pipe
    _raise_first_error(statuses, folder)


def _start(command: Sequence[str], rank: int, n: int, port: int, folder: Path) -> subprocess.Popen[bytes]:
    source = str(Path(__file__).resolve().parents[3])  # the processes run this very ssavae
    threads = max(1, (os.cpu_count() or 1) // n)
    variables = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "GROUP_RANK": 0,
        "WORLD_SIZE": n,
        "LOCAL_WORLD_SIZE": n,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "TORCHELASTIC_USE_AGENT_STORE": True,
        "TORCHELASTIC_RESTART_COUNT": 0,
        REPORTS: folder,
        "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")])),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
    }
    with open(folder / f"{rank}.err", "wb") as errors:
        return subprocess.Popen(
            command,
            env=os.environ | {name: str(value) for name, value in variables.items()},
            stdin=subprocess.PIPE,
            stdout=None if rank == 0 else subprocess.DEVNULL,
            stderr=None if rank == 0 else errors,
            start_new_session=True,  # so that Ctrl-C on the terminal reaches the processes once, through us
        )


def _wait(started: Sequence[subprocess.Popen[bytes]]) -> dict[int, int | None]:
    """Wait until all have ended, or one has failed and ``GRACE`` is over; return exit statuses by rank."""
    deadline = float("inf")
    with _passing_on_signals(started):
        while any(process.poll() is None for process in started) and time.monotonic() < deadline:
            if any(process.returncode for process in started):
                deadline = min(deadline, time.monotonic() + GRACE)
            time.sleep(0.02)
    return {rank: process.returncode for rank, process in enumerate(started)}


@contextmanager
def _passing_on_signals(started: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    def pass_on() -> None:
        for process in started:
            process.terminate()  # stops a training as Ctrl-C does, and anything else without a traceback

    with handle_stop_signals(StopRequest(pass_on)):
        yield


def _raise_first_error(statuses: Mapping[int, int | None], folder: Path) -> None:
    """Raise the error that the first process to fail has reported, or that one died without a report."""
    reports = {int(path.stem): json.loads(path.read_text()) for path in folder.glob("*.json")}
    silent = [rank for rank, status in statuses.items() if status and rank not in reports]
    if -signal.SIGTERM in (statuses[rank] for rank in silent):
        raise KeyboardInterrupt
    if silent:
        rank = min(silent, key=lambda rank: statuses[rank] or 0)  # a killed one, if there is one
        lines = (folder / f"{rank}.err").read_text(errors="replace").strip().splitlines()
        last = f": {lines[-1]}" if lines else ""
        raise RuntimeError(f"process {rank} of {len(statuses)} ended with status {statuses[rank]}{last}")
    if reports:
        first = min(reports.values(), key=lambda each: each["time"])
        raise ERRORS.get(first["kind"], RuntimeError)(first["message"]) from RemoteError(first["traceback"])
