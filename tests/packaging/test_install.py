"""The wheel in new environments: bare, with one extra, with the lowest versions. Needs a package index."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
from lowest_versions import FILE, ROOT

QUICK = ["--set", "n_epochs=1", "--set", "n_epochs_decoder=1"]
# what a command without its extra has to say
EXTRAS = {
    "explore": ["explore", "run", "digits", "--no-browser"],
    "explain": ["why", "run", "digits", "--row", "0"],
    "onnx": ["export", "run", "--onnx", "exported"],
    "hub": ["push", "run", "user/digits"],
    "sweep": ["sweep", "digits", "--beta", "0", "1", "--out", "sweep"],
    "distributed": ["train", "digits", "--devices", "2", "--out", "two"],
}
README = """
import sys
from functools import partial
import ssavae
ssavae.SSAVAE = partial(ssavae.SSAVAE, n_epochs=1, n_epochs_decoder=1)
exec(open("README.py").read())
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


def run(*command: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "SSAVAE_DATA")}
    return subprocess.run(
        [*map(str, command)], cwd=folder, env=kept, capture_output=True, text=True, check=False
    )


def check_run(*command: str | Path, folder: Path | None = None) -> str:
    done = run(*command, folder=folder)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    check_run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT)
    return next(folder.glob("ssavae-*.whl"))


def new_environment(folder: Path, *packages: str | Path, constraints: Path) -> Path:
    """Install into a new environment, with the torch of this one, and return the folder of its programs."""
    check_run(sys.executable, "-m", "venv", folder / "venv")
    torch = f"torch=={importlib.metadata.version('torch').partition('+')[0]}"
    check_run(folder / "venv/bin/pip", "install", "-q", "-c", constraints, torch, *packages)
    return folder / "venv/bin"


def test_bare_wheel(wheel: Path, tmp_path: Path) -> None:
    programs = new_environment(tmp_path, wheel, constraints=ROOT / "constraints.txt")
    block = (ROOT / "README.md").read_text("utf-8").partition("```python\n")[2].partition("```")[0]
    (tmp_path / "README.py").write_text(block, "utf-8")
    check_run(programs / "python", "-c", README, folder=tmp_path)
    check_run(programs / "ssavae", "train", "digits", "--out", "run", *QUICK, folder=tmp_path)
    check_run(programs / "ssavae", "evaluate", "run", "digits", folder=tmp_path)
    for extra, words in EXTRAS.items():
        done = run(programs / "ssavae", *words, folder=tmp_path)
        assert done.returncode == 1 and f'pip install "ssavae[{extra}]"' in done.stderr, (
            f"{words}: {done.stderr}"
        )


def test_explore_alone(wheel: Path, tmp_path: Path) -> None:
    programs = new_environment(tmp_path, f"{wheel}[explore]", constraints=ROOT / "constraints.txt")
    check_run(programs / "ssavae", "train", "digits", "--out", "run", *QUICK, folder=tmp_path)
    check_run(programs / "ssavae", "explore", "run", "digits", "--export", "map.html", folder=tmp_path)
    assert (tmp_path / "map.html").stat().st_size > 300_000


def test_lowest_versions(wheel: Path, tmp_path: Path) -> None:
    tools = ["pytest", "pytest-timeout", "hypothesis", "beartype", "jaxtyping", "httpx", "polars"]
    programs = new_environment(tmp_path, f"{wheel}[parquet,explore]", *tools, constraints=FILE)
    # old libraries warn of what new ones deprecate
    tests = ["test_losses.py", "test_algorithms.py", "test_student.py", "preprocessing", "data", "figures"]
    check_run(
        programs / "python",
        "-m",
        "pytest",
        "-q",
        "-o",
        "filterwarnings=default",
        *(f"tests/{each}" for each in tests),
        folder=ROOT,
    )
    check_run(programs / "ssavae", "train", "digits", "--out", "run", *QUICK, folder=tmp_path)
    check_run(programs / "ssavae", "explore", "run", "digits", "--export", "map.html", folder=tmp_path)
