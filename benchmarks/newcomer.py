"""Seconds from a csv of one's own to its map, with the commands of docs/start.md in a new folder.

    python benchmarks/newcomer.py
    python benchmarks/newcomer.py --install     also clone this checkout and install it into a new environment

The csv is scikit-learn's wines, half of them labelled. Words are those of docs/start.md up to the commands.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import command, parser, write_json
from sklearn.datasets import load_wine

from ssavae.app.runs.environment import machine

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "newcomer.json"


def seconds_of(folder: Path, *words: str) -> float:
    """Run a command in a folder, and return how long it took."""
    begin = time.perf_counter()
    subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def install(folder: Path) -> dict[str, float]:
    """Clone and install as docs/start.md says."""
    return {
        "clone": seconds_of(folder, "git", "clone", "-q", str(ROOT), "ssavae"),
        "environment": seconds_of(folder / "ssavae", sys.executable, "-m", "venv", ".venv"),
        "install": seconds_of(folder / "ssavae", ".venv/bin/pip", "install", "-q", ".[explore]"),
    }


def words_to_read() -> int:
    """Count the words of the page that a newcomer reads before typing the last command."""
    page = (ROOT / "docs" / "start.md").read_text("utf-8")
    return len(page[: page.index("$ ssavae explore runs/parts")].split())


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--install", action="store_true")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds = install(folder) if given.install else {}
        new = folder / "ssavae" / ".venv" / "bin" / "ssavae"
        program = str(new) if given.install else shutil.which("ssavae") or "ssavae"
        table = load_wine(as_frame=True).frame
        table["target"] = table["target"].where(table.index % 2 == 0)
        table.to_csv(folder / "parts.csv", index=False)
        train = ["train", "parts.csv", "--label", "target", "--out", "runs/parts"]
        seconds["train"] = seconds_of(folder, program, *train)
        assert (folder / "runs" / "parts" / "map.png").is_file()
        export = ["explore", "runs/parts", "parts.csv", "--export", "map.html"]
        seconds["explore"] = seconds_of(folder, program, *export)
    document = {
        "command": command(),
        "seed": 0,
        "words_to_read": words_to_read(),
        "seconds": seconds,
        **machine(),
    }
    write_json(RESULT, document)
    print(document)


if __name__ == "__main__":
    main()
