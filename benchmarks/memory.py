"""Resident memory and speed of training on 60,000 and on 600,000 rows of 28 x 28 in a memory-mapped file.

    SSAVAE_DATA=... python benchmarks/memory.py --scratch /tmp/rows --out benchmarks/results/memory.json

The files hold MNIST's training images over and over, with a little noise so that no two rows are equal, and
their labels.  Each size is trained in a process of its own, one after the other and alternating, with as many
updates of both steps (epochs are cut short) and as many rows held out.  What each process says of itself:

- ``peak_mb``: its most resident memory (VmHWM: pages of mapped files count), from start to end: data looked
  through, both steps, samplers, calibration, and ``transform`` of every 20th row;
- ``anonymous_mb``, ``mapped_mb``: the most of memory of its own and of pages of files, looked at each 20 ms;
- ``rows_per_second_*`` and ``rows_per_cpu_second_*`` of each step's batches: by the clock, and by the time
  that the process had a core, which other work on the machine disturbs less (take OMP_NUM_THREADS=1:
  waiting threads spin).

With ``--whole`` each size is trained once with its own twentieth held out, as ``fit`` does unasked, and
every row goes through ``transform``: memory only.  By default 60,000 rows are few enough to be held,
600,000 are not (``lazy.RESIDENT``); with ``--stored`` both stay in their files.  Runs are added to
those that the result file holds of the same updates.

With ``--interleaved`` one process takes a batch from the 600,000 rows in their file and a batch from 60,000
held rows by turns, in both steps, so that what else runs on the machine slows both alike: the ratio of the
medians of their seconds, each with its update.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from status import status_mb

from ssavae.app.runs.environment import machine
from ssavae.persistence.model_folder import write_atomically

SIZES = (60_000, 600_000)
HELD_OUT = 3000
NOISE = 6  # gray levels of 255
RATES = tuple(
    f"rows_per_{second}_{step}" for second in ("second", "cpu_second") for step in ("vec", "decoder")
)


def make_file(path: Path, n: int) -> None:
    """Write n images and their classes, a piece at a time."""
    from ssavae.data.loading import load_dataset

    mnist = load_dataset("mnist")
    x, y = mnist.x_train, mnist.y_train
    assert y is not None
    made = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(n, *x.shape[1:]))
    for start in range(0, n, len(x)):
        noise = np.random.default_rng([0, start]).integers(-NOISE, NOISE + 1, x.shape)
        made[start : start + len(x)] = np.clip(x + noise, 0, 255)[: n - start]
    made.flush()
    np.save(labels_of(path), np.resize(y, n))


def labels_of(path: Path) -> Path:
    """Return where the labels of a file of rows lie."""
    return path.with_name(f"labels_{path.name}")


class Watch(threading.Thread):
    """Looks at the process's memory again and again."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = {"RssAnon": 0.0, "RssFile": 0.0}

    def run(self) -> None:
        while True:
            for name in self.most:
                self.most[name] = max(self.most[name], status_mb(name))
            time.sleep(0.02)


def train_one(path: Path, updates: tuple[int, int], whole: bool, stored: bool) -> dict[str, Any]:
    """Train on a file in this process, and say what it took."""
    from ssavae import SSAVAE
    from ssavae.preprocessing import lazy
    from ssavae.training import loop

    if stored:
        lazy.RESIDENT_BYTES = 0

    watch, order = Watch(), loop.epoch_order
    watch.start()
    at_start = status_mb("VmRSS")

    def cut_short(y: np.ndarray, batch_size: int, seed: Any) -> np.ndarray:
        return order(y, batch_size, seed)[: updates[seed[1]]]

    loop.epoch_order, spent = cut_short, timed()
    x, y = np.load(path, mmap_mode="r"), np.load(labels_of(path))
    model = SSAVAE(n_epochs=1, n_epochs_decoder=1, random_state=0)
    model.set_params(validation_fraction=None if whole else HELD_OUT / len(x))
    begin = time.perf_counter()
    model.fit(x, y)
    seconds = time.perf_counter() - begin
    codes = model.transform(x if whole else x[::20])
    rates = {}
    for (step, (wall, cpu)), n in zip(spent.items(), updates, strict=True):
        rows = n * (model.batch_size if step == "vec" else model.batch_size_decoder)
        rates |= {f"rows_per_second_{step}": rows / wall, f"rows_per_cpu_second_{step}": rows / cpu}
    return {
        "rows": len(x),
        "at_start_mb": at_start,
        "peak_mb": status_mb("VmHWM"),
        "anonymous_mb": watch.most["RssAnon"],
        "mapped_mb": watch.most["RssFile"],
        "seconds_fit": seconds,
        "load": os.getloadavg()[0],
        "rows_transformed": len(codes),
        **rates,
    }


def timed() -> dict[str, tuple[float, float]]:
    """Time the epochs: step -> seconds by the clock, seconds of the process."""
    spent: dict[str, tuple[float, float]] = {}
    inner = loop._train_epoch

    def train_epoch(session: Any, stage: Any, *rest: Any) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        inner(session, stage, *rest)
        spent[stage.name] = time.perf_counter() - wall, time.process_time() - cpu

    loop._train_epoch = train_epoch
    return spent


def interleave(path: Path, updates: tuple[int, int]) -> dict[str, Any]:
    """Train on batches from a file and from memory by turns, and say how long each took with its update."""
    import torch

    from ssavae import SSAVAE, estimator
    from ssavae.preprocessing.inputs import Inputs
    from ssavae.training import loop
    from ssavae.training.batches import SourceRows, TensorRows

    order, seconds = loop.epoch_order, []
    loop.epoch_order = lambda y, size, seed: order(y, size, seed)[: 2 * updates[seed[1]]]

    class ByTurns(SourceRows):
        def batches(self, order: np.ndarray) -> Iterator[Any]:
            if len(order) < min(updates):  # some rows that are looked at
                yield from super().batches(order)
                return
            held = torch.cat(list(Inputs(self.source.take(slice(SIZES[0])), self.to_inputs).split(1000)))
            rows = TensorRows(held, self.y[: SIZES[0]], self.device)
            sources = super().batches(order[0::2]), rows.batches(order[1::2] % SIZES[0])
            seconds.append(([], []))
            for i in range(len(order)):
                begin = time.perf_counter()
                yield next(sources[i % 2])
                seconds[-1][i % 2].append(time.perf_counter() - begin)

    estimator.SourceRows = ByTurns
    x, y = np.load(path, mmap_mode="r"), np.load(labels_of(path))
    SSAVAE(n_epochs=1, n_epochs_decoder=1, random_state=0, validation_fraction=HELD_OUT / len(x)).fit(x, y)
    found: dict[str, Any] = {}
    for step, (stored, held) in zip(loop.STAGES, seconds, strict=True):
        middle = statistics.median(stored), statistics.median(held)
        found[step] = {"pairs": len(held), "seconds_stored": middle[0], "seconds_held": middle[1]}
        found[step] |= {"rows_per_second_ratio": middle[1] / middle[0]}
        found[step] |= {"of_the_means": statistics.fmean(held) / statistics.fmean(stored)}
    return found


def in_a_process(path: Path, updates: tuple[int, int], options: list[str]) -> dict[str, Any]:
    """Train on a file in a fresh process."""
    command = [sys.executable, __file__, "--child", str(path), "--updates", *map(str, updates)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    found = json.loads(done.stdout)
    print(json.dumps(found), flush=True)
    return found


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return medians by size, and how the larger one stands to the smaller."""
    small, large = ([f for f in found if f["rows"] == n] for n in SIZES)
    told: dict[str, Any] = {}
    for name in ("peak_mb", "anonymous_mb", "mapped_mb"):
        told[f"{name}_more"] = max(f[name] for f in large) - min(f[name] for f in small)
    for name in RATES:
        pairs = zip(small, large, strict=True)
        told[f"{name}_ratio"] = statistics.median(b[name] / a[name] for a, b in pairs)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, default=Path("/tmp/ssavae-memory"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "memory.json")
    parser.add_argument("--updates", type=int, nargs=2, default=(60, 150), metavar=("STEP1", "STEP2"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--stored", action="store_true")
    parser.add_argument("--interleaved", action="store_true")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        print(json.dumps(train_one(given.child, tuple(given.updates), given.whole, given.stored)))
        return
    given.scratch.mkdir(parents=True, exist_ok=True)
    files = [given.scratch / f"rows_{n}.npy" for n in SIZES]
    for path, n in zip(files, SIZES, strict=True):
        if not labels_of(path).is_file():
            make_file(path, n)
    updates = tuple(given.updates)
    if given.interleaved:
        told = json.loads(given.out.read_text()) if given.out.is_file() else {}
        told["interleaved"] = {
            **interleave(files[1], updates),
            "load": os.getloadavg()[0],
            "seed": 0,
            **machine(),
        }
        write_atomically(given.out, json.dumps(told, indent=1).encode())
        print(json.dumps(told["interleaved"], indent=1))
        return
    told = json.loads(given.out.read_text()) if given.out.is_file() else {}
    options = ["--whole"] * given.whole + ["--stored"] * given.stored
    key = " ".join(options).replace("--", "") or "alternating"
    repeats = 1 if given.whole else given.repeats
    given.out.parent.mkdir(parents=True, exist_ok=True)
    before = told.get(key, {})
    found = before["runs"] if before.get("updates") == list(updates) and not given.whole else []
    for _ in range(repeats):
        found += [in_a_process(path, updates, options) for path in files]
        told[key] = {"updates": updates, "held_out": "a twentieth" if given.whole else HELD_OUT}
        told[key] |= {**summary(found), "runs": found, "seed": 0, "omp": os.environ.get("OMP_NUM_THREADS")}
        told[key] |= {"command": " ".join(["python", *sys.argv]), **machine()}
        write_atomically(given.out, json.dumps(told, indent=1).encode())
    print(json.dumps(summary(found), indent=1))


if __name__ == "__main__":
    main()
