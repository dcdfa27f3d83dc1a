"""The lowest version that pyproject.toml allows of each package, as constraints for pip.

python tests/packaging/lowest_versions.py > constraints-lowest.txt
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "constraints-lowest.txt"
HEAD = """\
# The lowest versions that pyproject.toml allows, written by tests/packaging/lowest_versions.py.
# Without torch: its older builds for Linux bring several GB of CUDA libraries.
"""
TOOLS = ("test", "dev", "docs")  # extras for those who work on this package


def lowest_versions() -> str:
    """Return one line for each package of the core and of the extras for users."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + [each for name in extras if name not in TOOLS for each in extras[name]]
    floors = (re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", each) for each in wanted)
    lines = {f"{floor[1]}=={floor[2]}" for floor in floors if floor and floor[1] != "torch"}
    return HEAD + "\n".join(sorted(lines)) + "\n"


if __name__ == "__main__":
    print(lowest_versions(), end="")
