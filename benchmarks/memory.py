"""Resident memory and speed of training on 60,000 and on 600,000 rows of 28 x 28 in a memory-mapped file.

    SSAVAE_DATA=... python benchmarks/memory.py --scratch /tmp/rows --out benchmarks/results/memory.json

The files hold MNIST's training images, repeated, with a little noise so that no two rows are equal, and
their labels. Each size is trained in its own process, alternating, with as many updates of both steps
(epochs are cut short) and as many rows held out. Each process reports:

- ``peak_mb``: its peak resident memory (VmHWM: pages of mapped files count) from start to end: scan of the
  data, both steps, samplers, calibration, and ``transform`` of every 20th row;
- ``anonymous_mb``, ``mapped_mb``: the peaks of its own memory and of pages of files, sampled each 20 ms;
- ``rows_per_second_*`` and ``rows_per_cpu_second_*`` of each step's batches: by the clock, and by the CPU
  time of the process, which other work on the machine disturbs less (use OMP_NUM_THREADS=1: waiting
  threads spin).

With ``--whole`` each size is trained once with a twentieth of its own rows held out, the default of ``fit``,
and every row goes through ``transform``: memory only. By default 60,000 rows are few enough to be read into
memory, 600,000 are not (``lazy.RESIDENT_BYTES``); with ``--stored`` both stay in their files. Runs are added
to those of the result file with the same number of updates.

With ``--interleaved`` one process takes a batch from the 600,000 rows in their file and a batch from 60,000
rows in memory by turns, in both steps, so that other work on the machine slows both alike: the result is the
ratio of the medians of their seconds, each with its update.
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
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from report import command, parser, read_json, write_json
from split import Split
from status import status_mb
from torch import Tensor

from ssavae import SSAVAE
from ssavae._serialize import JSONObject
from ssavae.app.runs.environment import machine
from ssavae.preprocessing import lazy
from ssavae.preprocessing.tensors import LazyInputs
from ssavae.training import batches, loop
from ssavae.training.batches import LazyRows, TensorRows

SIZES = (60_000, 600_000)
N_HELD_OUT = 3000
NOISE = 6  # gray levels of 255
RATES = tuple(
    f"rows_per_{second}_{step}" for second in ("second", "cpu_second") for step in ("vec", "decoder")
)


def write_rows(path: Path, n: int) -> None:
    """Write n images and their classes, as many at a time as MNIST has."""
    mnist = Split.load("mnist")
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(n, *mnist.x.shape[1:]))
    for start in range(0, n, len(mnist.x)):
        noise = np.random.default_rng([0, start]).integers(-NOISE, NOISE + 1, mnist.x.shape)
        rows[start : start + len(mnist.x)] = np.clip(mnist.x + noise, 0, 255)[: n - start]
    rows.flush()
    np.save(labels_path(path), np.resize(mnist.y, n))


def labels_path(path: Path) -> Path:
    """Return the path of the labels of a file of rows."""
    return path.with_name(f"labels_{path.name}")


class MemorySampler(threading.Thread):
    """A thread that records the peaks of the process's memory."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peaks = {"RssAnon": 0.0, "RssFile": 0.0}

    def run(self) -> None:
        while True:
            for name in self.peaks:
                self.peaks[name] = max(self.peaks[name], status_mb(name))
            time.sleep(0.02)


def shorten_epochs(updates: tuple[int, int], factor: int = 1) -> dict[str, tuple[float, float]]:
    """Cut the epochs of both steps short, to ``factor`` times so many updates.

    Returns
    -------
    dict
        Filled by the training: seconds of each step's epoch, by the clock and of the process.
    """
    seconds: dict[str, tuple[float, float]] = {}
    begin = {"clock": 0.0, "process": 0.0}
    epoch_order = loop.epoch_order
    end_epoch = loop._end_epoch

    def shortened(y: np.ndarray, batch_size: int, seed: Sequence[int]) -> np.ndarray:
        order = epoch_order(y, batch_size, seed)[: factor * updates[seed[1]]]
        begin.update(clock=time.perf_counter(), process=time.process_time())
        return order

    def end(
        session: loop.Session, stage: loop.Stage, state: loop.Loop, guard: loop.Guard, patience: int | None
    ) -> None:
        seconds[stage.name] = (time.perf_counter() - begin["clock"], time.process_time() - begin["process"])
        end_epoch(session, stage, state, guard, patience)

    loop.epoch_order = shortened
    loop._end_epoch = end
    return seconds


def train_in_this_process(path: Path, options: argparse.Namespace) -> JSONObject:
    """Train on a file, and return memory and speed."""
    if options.stored:
        lazy.RESIDENT_BYTES = 0
    sampler = MemorySampler()
    sampler.start()
    at_start = status_mb("VmRSS")
    seconds = shorten_epochs(options.updates)
    x = np.load(path, mmap_mode="r")
    y = np.load(labels_path(path))
    model = SSAVAE(n_epochs=1, n_epochs_decoder=1, random_state=0)
    model.set_params(validation_fraction=None if options.whole else N_HELD_OUT / len(x))
    begin = time.perf_counter()
    model.fit(x, y)
    seconds_fit = time.perf_counter() - begin
    codes = model.transform(x if options.whole else x[::20])
    n_rows = {
        "vec": options.updates[0] * model.batch_size,
        "decoder": options.updates[1] * model.batch_size_decoder,
    }
    return {
        "rows": len(x),
        "at_start_mb": at_start,
        "peak_mb": status_mb("VmHWM"),
        "anonymous_mb": sampler.peaks["RssAnon"],
        "mapped_mb": sampler.peaks["RssFile"],
        "seconds_fit": seconds_fit,
        "load": os.getloadavg()[0],
        "rows_transformed": len(codes),
        **{f"rows_per_second_{step}": n / seconds[step][0] for step, n in n_rows.items()},
        **{f"rows_per_cpu_second_{step}": n / seconds[step][1] for step, n in n_rows.items()},
    }


class InterleavedRows(LazyRows):
    """Rows whose batches come by turns from their file and from a part of them in memory."""

    seconds: list[tuple[list[float], list[float]]]  # of each step: seconds of the batches of both
    least: int  # orders with fewer batches are samples of rows, not epochs

    def batches(self, order: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
        if len(order) < self.least:
            yield from super().batches(order)
            return
        inputs = LazyInputs(self.values.take(slice(SIZES[0])), self.forward)
        resident = TensorRows(torch.cat(list(inputs.split(1000))), self.y[: SIZES[0]], self.device)
        sources = (super().batches(order[0::2]), resident.batches(order[1::2] % SIZES[0]))
        seconds: tuple[list[float], list[float]] = ([], [])
        self.seconds.append(seconds)
        for i in range(len(order)):
            begin = time.perf_counter()
            yield next(sources[i % 2])
            seconds[i % 2].append(time.perf_counter() - begin)


def interleave(path: Path, updates: tuple[int, int]) -> JSONObject:
    """Train on batches from a file and from memory by turns; return the seconds of each with its update."""
    shorten_epochs(updates, factor=2)
    InterleavedRows.seconds = []
    InterleavedRows.least = min(updates)
    batches.LazyRows = InterleavedRows
    x = np.load(path, mmap_mode="r")
    y = np.load(labels_path(path))
    model = SSAVAE(n_epochs=1, n_epochs_decoder=1, random_state=0, validation_fraction=N_HELD_OUT / len(x))
    model.fit(x, y)
    result: JSONObject = {}
    for step, (stored, resident) in zip(("vec", "decoder"), InterleavedRows.seconds, strict=True):
        seconds_stored = statistics.median(stored)
        seconds_resident = statistics.median(resident)
        result[step] = {
            "pairs": len(resident),
            "seconds_stored": seconds_stored,
            "seconds_held": seconds_resident,
            "rows_per_second_ratio": seconds_resident / seconds_stored,
            "of_the_means": statistics.fmean(resident) / statistics.fmean(stored),
        }
    return result


def train_in_fresh_process(path: Path, updates: tuple[int, int], flags: list[str]) -> JSONObject:
    """Train on a file in its own process."""
    arguments = [sys.executable, __file__, "--child", str(path), "--updates", *map(str, updates), *flags]
    process = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if process.returncode:
        raise RuntimeError(process.stderr)
    result = json.loads(process.stdout)
    print(json.dumps(result), flush=True)
    return result


def summarize(runs: list[JSONObject]) -> JSONObject:
    """Return how much more memory the larger size takes, and the ratios of the speeds."""
    small, large = ([run for run in runs if run["rows"] == n] for n in SIZES)
    summary: JSONObject = {}
    for name in ("peak_mb", "anonymous_mb", "mapped_mb"):
        summary[f"{name}_more"] = max(run[name] for run in large) - min(run[name] for run in small)
    for name in RATES:
        ratios = [b[name] / a[name] for a, b in zip(small, large, strict=True)]
        summary[f"{name}_ratio"] = statistics.median(ratios)
    return summary


def measure_interleaved(options: argparse.Namespace, path: Path) -> None:
    """Add the interleaved measurement to the result file."""
    measures = interleave(path, options.updates)
    section = {**measures, "load": os.getloadavg()[0], "seed": 0, **machine()}
    write_json(options.out, {**read_json(options.out), "interleaved": section})
    print(json.dumps(section, indent=1))


def measure_alternating(options: argparse.Namespace, paths: list[Path]) -> None:
    """Add runs of both sizes to the result file."""
    chosen = {"--whole": options.whole, "--stored": options.stored}
    flags = [flag for flag, is_set in chosen.items() if is_set]
    key = " ".join(flags).replace("--", "") or "alternating"
    document = read_json(options.out)
    earlier = document.get(key, {})
    is_same = earlier.get("updates") == list(options.updates) and not options.whole
    runs = earlier["runs"] if is_same else []
    for _ in range(1 if options.whole else options.repeats):
        runs += [train_in_fresh_process(path, options.updates, flags) for path in paths]
        document[key] = {
            "updates": options.updates,
            "held_out": "a twentieth" if options.whole else N_HELD_OUT,
            **summarize(runs),
            "runs": runs,
            "seed": 0,
            "omp": os.environ.get("OMP_NUM_THREADS"),
            "command": command(),
            **machine(),
        }
        write_json(options.out, document)
    print(json.dumps(summarize(runs), indent=1))


def main() -> None:
    """Write the files that are missing, and measure."""
    options = parser(__doc__)
    options.add_argument("--scratch", type=Path, default=Path("/tmp/ssavae-memory"))
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "memory.json")
    options.add_argument("--updates", type=int, nargs=2, default=(60, 150), metavar=("STEP1", "STEP2"))
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--whole", action="store_true")
    options.add_argument("--stored", action="store_true")
    options.add_argument("--interleaved", action="store_true")
    options.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parsed = options.parse_args()
    if parsed.child is not None:
        print(json.dumps(train_in_this_process(parsed.child, parsed)))
        return
    parsed.scratch.mkdir(parents=True, exist_ok=True)
    paths = [parsed.scratch / f"rows_{n}.npy" for n in SIZES]
    for path, n in zip(paths, SIZES, strict=True):
        if not labels_path(path).is_file():
            write_rows(path, n)
    if parsed.interleaved:
        measure_interleaved(parsed, paths[1])
    else:
        measure_alternating(parsed, paths)


if __name__ == "__main__":
    main()
