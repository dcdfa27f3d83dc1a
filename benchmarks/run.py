"""Train, judge and compare on real images, keep the results: ``make bench-quality``, two hours on 2 cores.

    python benchmarks/run.py                   everything
    python benchmarks/run.py mnist2 vae_mnist  some of it

Each run is what a user would type; its metrics.json names command, seed, commit and hardware.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUNS, RESULTS = ROOT / "runs", ROOT / "benchmarks" / "results"
KEPT = ("metrics.json", "history.csv", "*.png")

TRAINED = {
    "mnist2": ["mnist", "--preset", "mnist"],
    "mnist100": ["mnist", "--preset", "mnist", "--latent-dim", "100"],
    "fashion100": ["fashion_mnist", "--preset", "fashion_mnist", "--latent-dim", "100"],
}
# As many epochs as SSAVAE's two steps have together.
ORDINARY = {"vae_mnist": ["mnist", "--n-epochs", "16"], "vae_fashion": ["fashion_mnist", "--n-epochs", "14"]}


def main(names: list[str]) -> None:
    """Run what is named, or everything."""
    unknown = set(names) - TRAINED.keys() - ORDINARY.keys()
    if unknown:
        sys.exit(
            f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join([*TRAINED, *ORDINARY])}"
        )
    for name in names or [*TRAINED, *ORDINARY]:
        if name in TRAINED:
            train_and_judge(name)
        else:
            script = ROOT / "benchmarks" / "peers" / "ordinary_vae.py"
            call(sys.executable, str(script), *ORDINARY[name], "--out", str(RESULTS / f"{name}.json"))


def train_and_judge(name: str) -> None:
    """Train with the command line, evaluate with a judge, keep numbers and pictures."""
    ssavae, folder = str(Path(sys.executable).with_name("ssavae")), RUNS / name
    call(ssavae, "train", *TRAINED[name], "--out", str(folder), "--overwrite")
    call(ssavae, "evaluate", str(folder), TRAINED[name][0], "--judge")
    keep(name, folder)


def keep(name: str, folder: Path) -> None:
    """Copy numbers and pictures of a run to the results."""
    (RESULTS / name).mkdir(parents=True, exist_ok=True)
    for pattern in KEPT:
        for path in folder.glob(pattern):
            shutil.copy(path, RESULTS / name)


def call(*command: str) -> None:
    """Run a command, showing it first; stop where it fails."""
    print("$", *command, flush=True)
    subprocess.run(command, check=True, cwd=ROOT)


if __name__ == "__main__":
    main(sys.argv[1:])
