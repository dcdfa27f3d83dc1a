"""What a GPU gains, part by part, each in its own process: run it by ``bash benchmarks/gpu.sh``.

The floor is what ``speed.py`` measures on a CPU, the bare kernels of the same networks, here replayed as one
CUDA graph in the same run. Each part is written into benchmarks/results/gpu.json when it ends; without a GPU
nothing is written.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from report import PROGRAM, parser, read_json, write_part
from split import Split
from timing import alternate, engine, medians, ratio, timed
from torch import Tensor

from ssavae import SSAVAE
from ssavae._serialize import JSONObject
from ssavae.app.runs.environment import machine

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "gpu.json"
BUDGET = 450.0  # seconds of all parts together
BATCHES = (32, 128, 1024)
N_ROWS = {32: 6400, 128: 25600, 1024: 51200}  # of an epoch: a second or less
REPEATS = 3
MANY_ROWS = 1_000_000
FEW_ROWS = 20_000  # that the CPU transforms: its rate does not depend on their number
GPU = torch.device("cuda")


# --------------------------------------------------------------------------- speed against a graph


def mnist_rows(n: int) -> tuple[Tensor, np.ndarray]:
    """Return n rows of MNIST as network inputs, on the CPU, with their labels."""
    mnist = Split.load("mnist")
    return torch.from_numpy(mnist.x[:n]).float().div(255).unsqueeze(1), mnist.y[:n]


def graph_of(update: Callable[[], None]) -> Callable[[], None]:
    """Record an update as a CUDA graph, without the package: it is what the engine is compared with."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            update()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        update()
    return graph.replay


def seconds_of(replay: Callable[[], None], n: int) -> float:
    """Return the seconds of n replays, until the GPU has ended."""
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(n):
        replay()
    torch.cuda.synchronize()
    return time.perf_counter() - begin


def speed() -> JSONObject:
    """Samples per second of both algorithms in the engine, and of the graph floor."""
    from speed import FLOORS  # here, since it reads the arguments of its own

    result: JSONObject = {}
    for step in ("vec", "decoder"):
        for size in BATCHES:
            x, y = mnist_rows(N_ROWS[size])
            n = len(x) // size
            batch = x[:size].to(GPU).contiguous(memory_format=torch.channels_last)
            with GPU:
                floor = graph_of(FLOORS[step](batch))
            engine_seconds = engine(step, x, y, device="cuda", batch_size=size, warm_up=1)
            functions = {"floor": partial(seconds_of, floor, n), "engine": engine_seconds}
            seconds = alternate(functions, REPEATS)
            result[f"{step}, batches of {size}"] = {
                "samples_per_second": {name: n * size / value for name, value in medians(seconds).items()},
                "share_of_floor": ratio(seconds["floor"], seconds["engine"]),
            }
    return result


# ----------------------------------------------------------------------------------- whole trainings


def fitted(model: SSAVAE, mnist: Split, n: int) -> float:
    torch.cuda.synchronize()
    return timed(lambda: model.fit(mnist.x[:n], mnist.y[:n]))


def deterministic() -> JSONObject:
    """Seconds of a training with and without deterministic algorithms, and whether bits are the same."""
    mnist = Split.load("mnist")
    new = partial(SSAVAE, n_epochs=3, n_epochs_decoder=1, device="cuda", random_state=0)
    fitted(new(), mnist, 2000)  # what a process does once
    models = {"first": new(), "second": new(), "not": new(deterministic=False)}
    seconds = {name: fitted(model, mnist, 20000) for name, model in models.items()}
    codes = {name: model.transform(mnist.x_test) for name, model in models.items()}
    images = {name: np.asarray(model.reconstruct(mnist.x_test)) for name, model in models.items()}
    return {
        "same_bits": bool(
            np.array_equal(codes["first"], codes["second"])
            and np.array_equal(images["first"], images["second"])
        ),
        "seconds": seconds,
        "cost": min(seconds["first"], seconds["second"]) / seconds["not"] - 1,
    }


def precision() -> JSONObject:
    """Samples per second of both steps in each precision, at batches of 128 and 1,024; accuracy of step 1."""
    mnist = Split.load("mnist")
    result: JSONObject = {}
    for name in ("32-true", "tf32", "bf16-mixed"):
        for size in (128, 1024):
            sizes = {"batch_size": size, "batch_size_decoder": size}
            model = SSAVAE(n_epochs=4, n_epochs_decoder=2, device="cuda", precision=name, random_state=0)
            model.set_params(**sizes, validation_fraction=0.0).fit(mnist.x[:40960], mnist.y[:40960])
            result[f"{name}, batches of {size}"] = rates(model, 40960 // size * size) | {
                "accuracy": float(model.score(mnist.x_test, mnist.y_test))
            }
    return result


def rates(model: SSAVAE, n: int) -> dict[str, float]:
    """Return the rows per second of each step, without its first epoch."""
    result = {}
    for step in ("vec", "decoder"):
        ends = [float(row["seconds"]) for row in model.history_ if row["step"] == step]
        result[step] = (len(ends) - 1) * n / (ends[-1] - ends[0])
    return result


def mnist_preset() -> JSONObject:
    """Seconds of ``ssavae train mnist --preset mnist``, of its steps, and its accuracy."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", PROGRAM, "train", "mnist", "--preset", "mnist", "--out", folder]
        seconds = timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
        metrics = read_json(Path(folder) / "metrics.json")
        history = (Path(folder) / "history.csv").read_text("utf-8").splitlines()
    return {"seconds": seconds, "metrics": metrics, "history": history}


def transform() -> JSONObject:
    """Rows per second of ``transform``: a million rows on the GPU, fewer on the CPU."""
    mnist = Split.load("mnist")
    model = SSAVAE(n_epochs=1, n_epochs_decoder=0, random_state=0, device="cuda")
    model.fit(mnist.x[:2000], mnist.y[:2000])
    rows = np.resize(mnist.x, (MANY_ROWS, 28, 28))
    model.transform(rows[:FEW_ROWS])
    on_gpu = MANY_ROWS / timed(lambda: model.transform(rows))
    model.set_params(device="cpu").transform(rows[:1000])
    torch.set_num_threads(2)
    on_cpu = FEW_ROWS / timed(lambda: model.transform(rows[:FEW_ROWS]))
    rates = {"gpu": on_gpu, "cpu, 2 threads": on_cpu}
    peak = torch.cuda.max_memory_allocated() / 2**20
    return {"rows_per_second": rates, "times": on_gpu / on_cpu, "peak_mib_of_gpu": peak}


def peers() -> JSONObject:
    """Samples per second of pythae's trainers with the same layers, on the same GPU."""
    names = ["pythae_vae", "pythae_vaegan"]
    run(["benchmarks/peers/speed.py", *names, "--device", "cuda", "--out", str(RESULT)])
    return {name: read_json(RESULT)[name]["times_as_fast_as"] for name in names}


# ------------------------------------------------------------------------------------------- tests


def run(words: list[str]) -> list[str]:
    """Run a Python program in the repository; return the last lines that it prints."""
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    lines = (done.stdout + done.stderr).strip().splitlines()[-15:]
    if done.returncode:
        raise RuntimeError("\n".join(lines))
    return lines


def tests() -> JSONObject:
    """Tests that are marked gpu."""
    return {"printed": run(["-m", "pytest", "-q", "-p", "no:xdist", "-m", "gpu", "tests"])[-1:]}


def resume() -> JSONObject:
    """Runs that are killed or stopped on the GPU and go on, bit for bit."""
    names = ["tests/training/test_loop.py", "tests/test_student.py", "tests/test_consistency.py"]
    words = ["-m", "pytest", "-q", "-p", "no:xdist", *names, "-k", "sigkill or resume or stopped"]
    return {"printed": run(words)[-1:]}


def suite() -> JSONObject:
    """The fast suite with ``device="auto"``."""
    n = max(1, (os.cpu_count() or 1) // 2)
    return {"printed": run(["-m", "pytest", "-q", "-n", str(n), "tests"])[-1:]}


@dataclass(frozen=True)
class Part:
    """A part, and the seconds that it may take."""

    measure: Callable[[], JSONObject]
    seconds: float


PARTS = {
    "speed": Part(speed, 90),
    "tests": Part(tests, 90),
    "deterministic": Part(deterministic, 60),
    "mnist_preset": Part(mnist_preset, 70),
    "transform": Part(transform, 50),
    "resume": Part(resume, 90),
    "precision": Part(precision, 60),
    "peers": Part(peers, 60),
    "suite": Part(suite, 300),
}
NOT_RUN = ("ssavae reproduce figure9 --data mnist", "ssavae reproduce cifar10", "benchmarks/batches.py")


def in_own_process(name: str, seconds: float) -> str:
    """Measure a part; return a line that says how it ended."""
    begin = time.perf_counter()
    try:
        command = [sys.executable, __file__, "--one", name]
        done = subprocess.run(command, timeout=seconds, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        return f"not finished in {seconds:.0f} s"
    if done.returncode:
        return "failed: " + ((done.stderr.strip().splitlines() or ["without a message"])[-1])
    return f"measured in {time.perf_counter() - begin:.0f} s: {summary(read_json(RESULT)[name])}"


def summary(part: JSONObject) -> str:
    """Return a part in one line, without what belongs to the file alone."""
    left_out = (*machine(), "history", "metrics")
    return json.dumps({name: value for name, value in part.items() if name not in left_out})


def why_skipped(name: str, left: float) -> str:
    """Return why a part is not measured; empty where it is."""
    if not torch.cuda.is_available():
        return "not measured: no GPU"
    if name == "peers" and importlib.util.find_spec("pythae") is None:
        return "skipped: pythae is not installed"
    return f"skipped: {left:.0f} s are left" if left < min(30.0, PARTS[name].seconds) else ""


def measure(names: list[str]) -> None:
    """Measure parts in turn, each in its own process, and print a line of each."""
    begin = time.perf_counter()
    for name in names:
        left = BUDGET - (time.perf_counter() - begin)
        line = why_skipped(name, left) or in_own_process(name, min(left, PARTS[name].seconds))
        print(f"{name:14} {line}", flush=True)
    for name in NOT_RUN:
        print(f"not run here: {name}, for more than {BUDGET:.0f} s", flush=True)


def options() -> argparse.Namespace:
    parsed = parser(__doc__)
    parsed.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parsed.add_argument("--one", choices=list(PARTS), help=argparse.SUPPRESS)
    return parsed.parse_args()


def main() -> None:
    """Measure the named parts, or one in this process."""
    parsed = options()
    unknown = sorted(set(parsed.parts) - PARTS.keys())
    if unknown:
        sys.exit(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if parsed.one:
        part = PARTS[parsed.one].measure()
        write_part(RESULT, parsed.one, {**part, "torch": torch.__version__, **machine()})
        return
    measure(parsed.parts or list(PARTS))


if __name__ == "__main__":
    main()
