"""Speed, as numbers that can be compared: ``make bench``, about ten minutes on 2 cores.

    python benchmarks/speed.py                       everything but the last part
    python benchmarks/speed.py imports inference     some parts
    python benchmarks/speed.py quality               seconds to 0.97 test accuracy and 0.95 agreement (long)

Each part is written into benchmarks/results/speed.json when it ends, with commit, date and machine. Functions
to compare alternate, in one process or in fresh ones where necessary, and the result is the median: on a
shared machine ratios are reliable where seconds are not.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from report import PROGRAM, parser, write_part
from split import Split
from status import status_mb
from timing import BATCH, SPEC, alternate, engine, medians, mnist_batches, ratio, repeated, timed
from torch import Tensor
from torch.optim import Adam

from ssavae import SSAVAE, estimator
from ssavae._serialize import JSONObject
from ssavae.app.runs.environment import machine
from ssavae.metrics.judge import judge_logits, train_judge
from ssavae.networks import Decoder, Discriminator, build_vec, to_memory_format
from ssavae.training.steps import ADVERSARIAL_BETAS

RESULT = Path(__file__).parent / "results" / "speed.json"
N_BATCHES = {"vec": 12, "decoder": 6}  # in a repeat: about a second each

# ----------------------------------------------------------------------------- (a) against the floor


def floor_vec(x: Tensor, compiled: bool = False) -> Callable[[], None]:
    """Return one update of Algorithm 1's networks without its losses: both passes and the optimiser."""
    vec = build_vec(SPEC, with_detail=True).train()
    assert vec.detail is not None
    if compiled:
        vec.encoder.compile(dynamic=False)
        vec.detail.compile(dynamic=False)
    optimizer = Adam(vec.parameters(), lr=1e-4, fused=True, capturable=x.is_cuda)
    mu, logvar, _ = vec.encoder(x)
    codes = torch.zeros(len(x), 2, device=x.device)
    outputs = [mu, logvar, vec.classifier(codes), vec.detail(codes)]
    gradients = [torch.full_like(output, 1e-6).detach() for output in outputs]

    def update() -> None:
        assert vec.detail is not None
        mu, logvar, _ = vec.encoder(x)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward([mu, logvar, vec.classifier(mu), vec.detail(mu)], gradients)
        optimizer.step()

    return update


def floor_decoder(x: Tensor, compiled: bool = False) -> Callable[[], None]:
    """Return one update of Algorithm 2's networks without its losses: the passes that it needs of each."""
    vec = build_vec(SPEC, with_detail=False).eval().requires_grad_(False)
    decoder = to_memory_format(Decoder(SPEC), SPEC)
    discriminator = to_memory_format(Discriminator(SPEC), SPEC)
    if compiled:
        for network in (vec.encoder, decoder, discriminator):
            network.compile(dynamic=False)
    new_adam = partial(Adam, lr=1e-4, betas=ADVERSARIAL_BETAS, fused=True, capturable=x.is_cuda)
    optimizer = new_adam(decoder.parameters())
    optimizer_disc = new_adam(discriminator.parameters())
    gradients = [torch.full_like(h, 1e-6) for h in vec.encoder(torch.cat([x, x]))[2]]

    def update() -> None:
        with torch.no_grad():
            mu = vec.encoder(x)[0]
        decoded = decoder(torch.cat([mu, torch.randn_like(mu)]))
        features = vec.encoder(decoded)[2]
        detached = decoded.detach().requires_grad_()
        logits = discriminator(torch.cat([x, detached]))
        optimizer_disc.zero_grad(set_to_none=True)
        logits.backward(torch.full_like(logits, 1e-6))
        optimizer_disc.step()
        assert detached.grad is not None
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward([*features, decoded], [*gradients, detached.grad])
        optimizer.step()

    return update


FLOORS = {"vec": floor_vec, "decoder": floor_decoder}


def overhead(step: str) -> JSONObject:
    """Samples per second of an algorithm in the engine, against the floor."""
    n = N_BATCHES[step]
    x, y = mnist_batches(n)
    batch = x[:BATCH].contiguous(memory_format=torch.channels_last)
    seconds = alternate({"floor": repeated(FLOORS[step](batch), n), "engine": engine(step, x, y)})
    return {
        "batch_size": BATCH,
        "samples_per_second": {name: n * BATCH / value for name, value in medians(seconds).items()},
        "share_of_floor": ratio(seconds["floor"], seconds["engine"]),
        "seconds": seconds,
    }


def compilation() -> JSONObject:
    """Gain of torch.compile on the floor, and the seconds until it is ready."""
    x, _ = mnist_batches(1)
    batch = x.contiguous(memory_format=torch.channels_last)
    result: JSONObject = {}
    for step, floor in FLOORS.items():
        compiled = floor(batch, compiled=True)
        seconds_of_first_update = timed(compiled)
        seconds = alternate({"plain": repeated(floor(batch), 4), "compiled": repeated(compiled, 4)})
        result[step] = {
            "plain_over_compiled": ratio(seconds["plain"], seconds["compiled"]),
            "seconds_of_first_update": seconds_of_first_update,
            "seconds": seconds,
        }
    return result


# ------------------------------------------------------------------------------- (c) trained models


def inference() -> JSONObject:
    """Rows per second of a trained model's methods, in calls of 1, 64 and 10,000 rows."""
    mnist = Split.load("mnist")
    model = SSAVAE(n_epochs=1, n_epochs_decoder=1, random_state=0)
    with mock.patch.object(estimator, "SAMPLER_ROWS", 500):  # fitting the mixtures is not measured here
        model.fit(mnist.x[:2000], mnist.y[:2000])
    rows = mnist.x_test
    codes = model.transform(rows)
    methods = {
        "transform": (model.transform, rows),
        "predict": (model.predict, rows),
        "inverse_transform": (model.inverse_transform, codes),
        "reconstruct": (model.reconstruct, rows),
    }
    result: JSONObject = {}
    for n, n_calls in ((1, 50), (64, 20), (10000, 1)):
        functions = {name: repeated(partial(f, x[:n]), n_calls) for name, (f, x) in methods.items()}
        seconds = medians(alternate(functions))
        rates = {name: n * n_calls / value for name, value in seconds.items()}
        result[f"rows_per_second_in_calls_of_{n}"] = rates
        result[f"milliseconds_a_call_of_{n}"] = {name: 1000 * n / rate for name, rate in rates.items()}
    return result


# ------------------------------------------------------------------------------ (d) until it begins


def process_seconds(program: str) -> float:
    """Return the seconds of a program in a fresh interpreter."""
    command = [sys.executable, "-c", program]
    return timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


def first_line_seconds() -> float:
    """Return the seconds from the start of `ssavae train digits` to its first line about the training."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["train", "digits", "--out", folder, "--overwrite", "--set", "n_epochs=20"]
        command = [sys.executable, "-u", "-c", PROGRAM, *arguments]
        begin = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            while "step 1" not in process.stdout.readline():
                assert process.poll() is None, "`ssavae train` ended without a line of progress"
            seconds = time.perf_counter() - begin
            process.kill()
    return seconds


def imports() -> JSONObject:
    """Seconds until ssavae and SSAVAE are imported, and until training shows its first line."""
    functions = {
        "python": partial(process_seconds, "pass"),
        "import torch": partial(process_seconds, "import torch"),
        "import ssavae": partial(process_seconds, "import ssavae"),
        "from ssavae import SSAVAE": partial(process_seconds, "from ssavae import SSAVAE"),
        "ssavae --help": partial(process_seconds, "from ssavae.app.cli import main; main(['--help'])"),
        "first line of ssavae train digits": first_line_seconds,
    }
    seconds = medians(alternate(functions, repeats=3))
    more_than_torch = {
        f"{name}, more than torch": seconds[name] - seconds["import torch"]
        for name in ("import ssavae", "from ssavae import SSAVAE")
    }
    return {"seconds": seconds, **more_than_torch}


# --------------------------------------------------------------------- (e), (f) speed and memory by size


def growth() -> JSONObject:
    """Speed and memory for 1,000, 10,000 and 60,000 rows, each in its own process."""
    result: JSONObject = {}
    for n in (1000, 10000, 60000):
        command = [sys.executable, __file__, "one-size", str(n)]
        process = subprocess.run(command, check=True, capture_output=True, text=True)
        result[f"rows_{n}"] = json.loads(process.stdout.splitlines()[-1])
    return result


def one_size(n: int) -> JSONObject:
    """Train an epoch of each step on n rows of MNIST, transform them, and return speed and peak memory."""
    peak_of_imports = peak_mib()
    mnist = Split.load("mnist")
    x = mnist.x[:n]
    model = SSAVAE(
        n_epochs=1, n_epochs_decoder=1, validation_fraction=0.0, batch_size_decoder=BATCH, random_state=0
    )
    seconds_fit = timed(lambda: model.fit(x, mnist.y[:n]))
    seconds = {str(row["step"]): float(row["seconds"]) for row in model.history_}
    rates = {step: n // BATCH * BATCH / value for step, value in seconds.items()}
    rates["transform"] = n / timed(lambda: model.transform(x))
    return {
        "rows_per_second": rates,
        "seconds_fit": seconds_fit,
        "seconds_beside_training": seconds_fit - sum(seconds.values()),
        "peak_mib": peak_mib(),
        "peak_mib_of_imports": peak_of_imports,
        "data_mib": x.nbytes / 2**20,
    }


def peak_mib() -> float:
    """Return the peak memory of this program alone: getrusage begins with that of the parent process."""
    if not Path("/proc/self/status").is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return status_mb("VmHWM")


# -------------------------------------------------------------------------------- (b) time to quality


def quality() -> JSONObject:
    """Seconds of training until MNIST, K = 2, passes 0.97 test accuracy, and its judge 0.95 agreement."""
    mnist = Split.load("mnist")
    model = SSAVAE(n_epochs=10, n_epochs_decoder=0, random_state=0)
    model.fit(mnist.x, mnist.y, eval_set=(mnist.x_test, mnist.y_test))
    passed = [row["seconds"] for row in model.history_ if float(row.get("eval_accuracy", 0)) > 0.97]
    judge = train_judge(mnist.x[..., None].astype(np.float32) / 255, mnist.y, n_epochs=6)
    agreements = []
    for n in (10000, 20000, 40000, 60000):  # each is its own run, whose learning rate ends at 0
        model.set_params(n_epochs_decoder=1).fit_decoder(mnist.x[:n])
        images = np.asarray(model.reconstruct(mnist.x_test), dtype=np.float32)[..., None] / 255
        agreement = float((judge_logits(judge, images).argmax(axis=1) == mnist.y_test).mean())
        agreements.append({"rows": n, "agreement": agreement, "seconds": model.history_[-1]["seconds"]})
        if agreement >= 0.95:
            break
    return {"seconds_to_accuracy_0.97": passed[0] if passed else None, "agreement": agreements}


PARTS: dict[str, Callable[[], JSONObject]] = {
    "overhead_vec": partial(overhead, "vec"),
    "overhead_decoder": partial(overhead, "decoder"),
    "compilation": compilation,
    "inference": inference,
    "imports": imports,
    "growth": growth,
    "quality": quality,
}


def main() -> None:
    """Measure what is named, or everything but the long part."""
    options = parser(__doc__)
    options.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    options.add_argument("--out", type=Path, default=RESULT)
    parsed = options.parse_args()
    if parsed.parts[:1] == ["one-size"]:
        print(json.dumps(one_size(int(parsed.parts[1]))))
        return
    unknown = sorted(set(parsed.parts) - PARTS.keys())
    if unknown:
        options.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    for name in parsed.parts or [part for part in PARTS if part != "quality"]:
        write_part(parsed.out, name, {**PARTS[name](), "load": os.getloadavg()[0], **machine()})


if __name__ == "__main__":
    main()
