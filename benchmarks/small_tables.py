"""Seconds to fit small tables, before and after a change, alone and beside two busy processes.

    python benchmarks/small_tables.py --before OLD/src [--table iris] [--rounds 3]

Both sources are measured in turn within each round, each fit in a process of its own with default parameters
and torch's own number of threads; the ratio is the median over the rounds.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from report import command, parser, read_json, write_json

from ssavae.app.runs.environment import machine

SOURCE = Path(__file__).resolve().parents[1] / "src"
TABLES = ("iris", "wine", "breast_cancer")
TIMEOUT = 1800
BUSY = "while True: pass"
FIT = """
import time, warnings
from sklearn import datasets
from ssavae import SSAVAE
warnings.simplefilter("ignore")
X, y = datasets.load_{table}(return_X_y=True)
model = SSAVAE(random_state=0)
start = time.perf_counter()
model.fit(X, y)
print(time.perf_counter() - start, model.score(X, y))
"""


@contextmanager
def busy(n: int) -> Iterator[None]:
    """Run n processes that compute without end."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(n)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def fit(source: Path, table: str) -> tuple[float, float]:
    """Return seconds and accuracy of a fit with the package of a source folder."""
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    env["PYTHONPATH"] = str(source)
    program = [sys.executable, "-c", FIT.format(table=table)]
    done = subprocess.run(program, env=env, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    seconds, accuracy = map(float, done.stdout.split())
    return round(seconds, 2), round(accuracy, 4)


def measure(table: str, before: Path, n_busy: int, n_rounds: int) -> dict[str, object]:
    """Measure both sources in turn."""
    runs: dict[str, list[tuple[float, float]]] = {"before": [], "after": []}
    load = os.getloadavg()[0]
    with busy(n_busy):
        time.sleep(1)
        for _ in range(n_rounds):
            runs["before"].append(fit(before, table))
            runs["after"].append(fit(SOURCE, table))
    ratios = [old[0] / new[0] for old, new in zip(runs["before"], runs["after"], strict=True)]
    ratio = round(statistics.median(ratios), 2)
    return {"table": table, "busy": n_busy, "load_before": load, "ratio": ratio, **runs}


def main() -> None:
    """Measure all tables, and write the file after each."""
    options = parser(__doc__)
    options.add_argument("--before", type=Path, required=True, help="the src folder of the older commit")
    options.add_argument("--table", action="append", choices=TABLES)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "small_tables.json")
    options.add_argument("--busy", type=int, nargs="+", default=[0, 2], help="processes beside the fit")
    parsed = options.parse_args()
    for n_busy in parsed.busy:
        for table in parsed.table or TABLES:
            measured = {**measure(table, parsed.before.resolve(), n_busy, parsed.rounds), **machine()}
            print(measured, flush=True)
            others = [
                result
                for result in read_json(parsed.out).get("results", [])
                if (result["table"], result["busy"]) != (table, n_busy)
            ]
            write_json(parsed.out, {"command": command(), "results": [*others, measured]})


if __name__ == "__main__":
    main()
