"""Training and judging on real images, whose results are saved: ``make bench-quality``, two hours on 2 cores.

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
RUNS = ROOT / "runs"
RESULTS = ROOT / "benchmarks" / "results"
SAVED = ("metrics.json", "history.csv", "*.png")

SSAVAE = {
    "mnist2": ["mnist", "--preset", "mnist"],
    "mnist100": ["mnist", "--preset", "mnist", "--latent-dim", "100"],
    "fashion100": ["fashion_mnist", "--preset", "fashion_mnist", "--latent-dim", "100"],
}
# As many epochs as SSAVAE's two steps have together.
ORDINARY_VAE = {
    "vae_mnist": ["mnist", "--n-epochs", "16"],
    "vae_fashion": ["fashion_mnist", "--n-epochs", "14"],
}


def main(names: list[str]) -> None:
    """Run what is named, or everything."""
    known = [*SSAVAE, *ORDINARY_VAE]
    unknown = sorted(set(names) - set(known))
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(known)}")
    for name in names or known:
        if name in SSAVAE:
            train_and_judge(name)
        else:
            script = ROOT / "benchmarks" / "peers" / "ordinary_vae.py"
            call(sys.executable, str(script), *ORDINARY_VAE[name], "--out", str(RESULTS / f"{name}.json"))


def train_and_judge(name: str) -> None:
    """Train with the command line, evaluate with a judge, and copy numbers and figures to the results."""
    program = str(Path(sys.executable).with_name("ssavae"))
    folder = RUNS / name
    relative = str(folder.relative_to(ROOT))  # the commands are in the results, and run in ROOT
    call(program, "train", *SSAVAE[name], "--out", relative, "--overwrite")
    call(program, "evaluate", relative, SSAVAE[name][0], "--judge")
    (RESULTS / name).mkdir(parents=True, exist_ok=True)
    for pattern in SAVED:
        for path in folder.glob(pattern):
            shutil.copy(path, RESULTS / name)


def call(*command: str) -> None:
    """Print a command and run it; stop where it fails."""
    print("$", *command, flush=True)
    subprocess.run(command, check=True, cwd=ROOT)


if __name__ == "__main__":
    main(sys.argv[1:])
