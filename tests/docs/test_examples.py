"""The scripts of examples/ run, and are short."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
PRINTED = {  # words that each script has to print
    "digits_map": "accuracy",
    "labelling_loop": "90 labels",
    "mixed_table": "heavy parts",
    "novel_rows": "true class",
    "search": "best",
    "without_torch": "torch imported: False",
}
# the least that any of them can do: parameters of fit are cut to one epoch before the script is run
QUICK = """
import functools, runpy, sys, warnings
import ssavae
warnings.simplefilter("ignore")
real = ssavae.SSAVAE.__init__
@functools.wraps(real)
def quick(self, *args, **kwargs):
    real(self, *args, **(kwargs | {"n_epochs": 1, "n_epochs_decoder": 1}))
ssavae.SSAVAE.__init__ = quick
runpy.run_path(sys.argv[1])
"""


def test_there_are_six_and_each_is_short() -> None:
    assert sorted(path.stem for path in SCRIPTS) == sorted(PRINTED)
    assert {path.name: n for path in SCRIPTS if (n := len(path.read_text("utf-8").splitlines())) >= 40} == {}


def run(folder: Path, *words: str) -> str:
    """Run Python in a folder, on this checkout, and return what it prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("name", ["mixed_table"])
def test_a_script_runs_to_its_end(name: str, tmp_path: Path) -> None:
    assert PRINTED[name] in run(tmp_path, "-c", QUICK, str(ROOT / "examples" / f"{name}.py"))


@pytest.mark.slow
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_prints_what_it_promises(path: Path, tmp_path: Path) -> None:
    assert PRINTED[path.stem] in run(tmp_path, "-W", "ignore", str(path))
