"""Memory of a process, as Linux reports it."""

from __future__ import annotations

from pathlib import Path


def status_mb(name: str, process: int | str = "self") -> float:
    """Return a size of /proc/PROCESS/status in MiB, such as VmRSS, or VmHWM, the peak of VmRSS."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024
