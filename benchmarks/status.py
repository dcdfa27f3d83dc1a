"""What the system knows of a process's memory; Linux alone tells."""

from __future__ import annotations

from pathlib import Path


def status_mb(name: str, process: int | str = "self") -> float:
    """Return a size of /proc/PROCESS/status, such as VmRSS, or VmHWM, the most that it ever was."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024
