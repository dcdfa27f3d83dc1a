"""Size of a bare install and its seconds of import: packages, MB, `import ssavae`, `ssavae --help`.

    python benchmarks/install.py              into benchmarks/results/install.json, under the commit's name
    python benchmarks/install.py --extra explore

The wheel goes into an environment of its own. Packages and MB are those that pip brought, without pip itself;
"without torch" leaves out torch and what only torch needs. Seconds are the least of five runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ssavae.app.runs.environment import machine

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results/install.json"
OF_TORCH = {
    "torch",
    "filelock",
    "fsspec",
    "jinja2",
    "markupsafe",
    "mpmath",
    "networkx",
    "sympy",
    "setuptools",
}
LIST = """
import json
from importlib.metadata import distributions
sizes = {}
for each in distributions():
    files = [each.locate_file(file) for file in each.files or ()]
    sizes[each.metadata["Name"].lower()] = sum(file.stat().st_size for file in files if file.is_file())
print(json.dumps(sizes))
"""
FIT = """
import numpy
from ssavae import SSAVAE
SSAVAE(n_epochs=1, n_epochs_decoder=1, random_state=0).fit(numpy.random.default_rng(0).random((40, 3)))
"""


def run(*command: str | Path) -> str:
    return subprocess.run(
        [str(c) for c in command], check=True, capture_output=True, text=True, cwd="/"
    ).stdout


def seconds(*command: str | Path) -> float:
    def once() -> float:
        start = time.perf_counter()
        run(*command)
        return time.perf_counter() - start

    return round(min(once() for _ in range(5)), 2)


def measure(extra: str, folder: Path) -> dict[str, object]:
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT)
    run(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv/bin/python"
    wheel = next(folder.glob("ssavae-*.whl"))
    run(
        python,
        "-m",
        "pip",
        "install",
        "-q",
        "-c",
        ROOT / "constraints.txt",
        f"{wheel}[{extra}]" if extra else wheel,
    )
    sizes = json.loads(run(python, "-c", LIST))
    sizes = {name: size for name, size in sizes.items() if name not in ("pip", "setuptools")}
    own = {name: size for name, size in sizes.items() if name not in OF_TORCH}
    return {
        "packages": len(sizes),
        "packages_without_torch": len(own),
        "mb": round(sum(sizes.values()) / 1e6, 1),
        "mb_without_torch": round(sum(own.values()) / 1e6, 1),
        "seconds_import": seconds(python, "-c", "import ssavae"),
        "seconds_import_estimator": seconds(python, "-c", "from ssavae import SSAVAE"),
        "seconds_first_fit": seconds(python, "-c", FIT),
        "seconds_import_torch_alone": seconds(python, "-c", "import torch"),
        "seconds_help": seconds(folder / "venv/bin/ssavae", "--help"),
        "names": sorted(sizes),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extra", default="")
    extra = parser.parse_args().extra
    commit = run("git", "-C", ROOT, "describe", "--always", "--dirty").strip()
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(extra, Path(folder))
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    command = " ".join(["python benchmarks/install.py", *(["--extra", extra] if extra else [])])
    results[f"{commit}{' ' * bool(extra)}{extra}"] = {
        "command": command, "commit": commit, **machine(), **measured
    }  # fmt: skip
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps({name: value for name, value in measured.items() if name != "names"}))


if __name__ == "__main__":
    main()
