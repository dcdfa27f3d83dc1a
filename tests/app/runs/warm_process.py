"""A process that has imported ssavae and forks a child for each command line, which may be killed at a write.

Hundreds of runs are killed in these tests, and an import takes seconds. One thread, so that a fork is safe.
"""

import builtins
import contextlib
import errno
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[3]
SHORTEST = ["--set=n_epochs=1", "--set=n_epochs_decoder=1", "--set=widths=8", "--set=calibration_folds=0"]
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")  # audit events, beside "open" for writing


class Done(NamedTuple):
    """How a command ended: its exit status, or minus the signal; the writes it made; what it printed."""

    status: int
    writes: list[str]
    out: str
    err: str


class WarmProcess:
    """Runs command lines in forked children."""

    def __init__(self, folder: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(folder)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: object, kill_at: int = 0, full_at: int = 0, call: str = "") -> Done:
        """Run ``ssavae WORDS``, or a piece of Python.

        Parameters
        ----------
        kill_at : int
            The write, rename or unlink in the folder, counted from 1, at which the child is killed.
        full_at : int
            The file, counted from 1, from which on nothing more can be written.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        job = {"words": [str(word) for word in words], "kill_at": kill_at, "full_at": full_at, "call": call}
        print(json.dumps(job), file=self.process.stdin, flush=True)
        status = json.loads(self.process.stdout.readline())
        texts = [(self.folder / name).read_text() for name in ("writes", "out", "err")]
        return Done(status, texts[0].splitlines(), texts[1], texts[2])

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


# ------------------------------------------------------------------------------- in the process


class FullDisk(io.FileIO):
    """A file that can be opened and not written to."""

    def write(self, content: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def watch_writes(folder: str, log: int, kill_at: int) -> None:
    """Log every write below a folder, and die at one of them: before it, or in the middle of a file."""
    count = 0

    def point(name: str, path: object) -> bool:
        nonlocal count
        if not isinstance(path, str | os.PathLike) or not os.fspath(path).startswith(folder):
            return False
        count += 1
        os.write(log, f"{name} {os.fspath(path)[len(folder) + 1 :]}\n".encode())
        return count == kill_at

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        is_write = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if (is_write or event in CHANGES) and point(event, arguments[0]):
            os.kill(os.getpid(), signal.SIGKILL)

    fsync = os.fsync

    def half_written(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if not os.path.isdir(path) and point("fsync", path):
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(descriptor)

    os.fsync = half_written
    sys.addaudithook(hook)


def fill_disk(folder: str, full_at: int) -> None:
    """Let every file below a folder from the n-th on fail when it is written to."""
    real = builtins.open
    count = 0

    def open_on_full_disk(file: Any, mode: str = "r", buffering: int = -1, *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        if not set(mode) & set("wax") or not str(file).startswith(folder):
            return real(file, mode, buffering, *args, **kwargs)
        count += 1
        if count < full_at:
            return real(file, mode, buffering, *args, **kwargs)
        raw = FullDisk(file, mode.replace("b", ""))
        return raw if buffering == 0 else io.BufferedWriter(raw)

    builtins.open = io.open = open_on_full_disk


def run_child(job: dict[str, Any], folder: Path) -> None:
    from ssavae.app import cli

    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    log = os.open(folder / "writes", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    watched = str(folder / "work")
    if job["full_at"]:
        fill_disk(watched, job["full_at"])
    watch_writes(watched, log, job["kill_at"])
    if job["call"]:
        exec(job["call"], {"folder": folder / "work"})
    else:
        cli.main(job["words"])


def serve(folder: Path) -> None:
    import torch
    from matplotlib.figure import Figure

    from ssavae import figures
    from ssavae.app import cli
    from ssavae.app.runs import pictures, walks

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    # pictures take most of the time of a short run
    Figure.savefig = lambda self, fname, **_: fname.write(b"a picture")  # pyright: ignore
    figures.loss_curves = lambda *_, **__: Figure()
    for name in ("draw_map", "draw_reconstructions", "draw_samples", "draw_reliability"):
        setattr(pictures, name, lambda *_, **__: Figure())
    for name in ("draw_interpolation", "draw_traversal"):
        setattr(walks, name, lambda *_, **__: Figure())
    # a first run imports all that the others need
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        cli.main(["train", "digits", "--out", str(folder / "warm"), *SHORTEST])
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                run_child(json.loads(line), folder)
                status = 0
            except SystemExit as end:
                status = int(end.code or 0)
            finally:
                with contextlib.suppress(OSError):
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(status)
        _, ended = os.waitpid(child, 0)
        print(json.dumps(os.waitstatus_to_exitcode(ended)), flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
