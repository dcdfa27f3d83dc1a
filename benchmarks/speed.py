"""How fast it is, as numbers that can be compared: ``make bench``, some ten minutes on 2 cores.

    python benchmarks/speed.py                       everything but the last
    python benchmarks/speed.py imports inference     some of it
    python benchmarks/speed.py quality               seconds to 0.97 test accuracy and 0.95 agreement (long)

Every part is written into benchmarks/results/speed.json as it is done, with commit, date and machine.  What
is compared alternates, in one process or in fresh ones where it has to be, and medians are kept: on a shared
machine a ratio can be believed where seconds cannot.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from status import status_mb
from torch import Tensor
from torch.optim import Adam

from ssavae import SSAVAE
from ssavae.algorithms import feature_weights
from ssavae.app.runs.environment import machine
from ssavae.data.loading import load_dataset
from ssavae.networks import Decoder, Discriminator, Spec, build_vec, to_memory_format
from ssavae.persistence.model_folder import write_atomically
from ssavae.training.augmentations import STRONG
from ssavae.training.batches import TensorRows
from ssavae.training.distributed.context import SINGLE_PROCESS
from ssavae.training.distributed.fabric import launch_fabric
from ssavae.training.loop import Session, Settings, train
from ssavae.training.stages import decoder_stage, measured_variance, vec_stage

RESULT = Path(__file__).parent / "results" / "speed.json"
BATCH, REPEATS = 128, 7
N_BATCHES = {"vec": 12, "decoder": 6}  # in a repeat: about a second each
SPEC = Spec((1, 28, 28), 2, 10, bounded=True)


def timed(function: Callable[[], Any]) -> float:
    """Return the seconds of one call."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def alternating(functions: dict[str, Callable[[], float]], repeats: int = REPEATS) -> dict[str, list[float]]:
    """Call each in turn, so often, after a first round that does not count; each tells its own seconds."""
    found: dict[str, list[float]] = {name: [] for name in functions}
    for i in range(repeats + 1):
        for name, function in functions.items():
            seconds = function()
            if i:
                found[name].append(seconds)
    return found


def medians(found: dict[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in found.items()}


def ratio(first: list[float], second: list[float]) -> float:
    """Return the median of the rounds' own ratios: what slows the machine slows both of a round."""
    return statistics.median(a / b for a, b in zip(first, second, strict=True))


# --------------------------------------------------------------------------- (a) against the floor


def floor_vec(x: Tensor, compiled: bool = False) -> Callable[[], None]:
    """One update of Algorithm 1's networks without its losses: passes forward and back, the optimiser."""
    vec = build_vec(SPEC, with_detail=True).train()
    assert vec.detail is not None
    if compiled:
        vec.encoder.compile(dynamic=False)
        vec.detail.compile(dynamic=False)
    optimizer = Adam(vec.parameters(), lr=1e-4, fused=True)
    outputs = [
        *vec.encoder(x)[:2],
        vec.classifier(torch.zeros(len(x), 2)),
        vec.detail(torch.zeros(len(x), 2)),
    ]
    seeds = [torch.full_like(each, 1e-6).detach() for each in outputs]

    def update() -> None:
        mu, logvar, _ = vec.encoder(x)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward([mu, logvar, vec.classifier(mu), vec.detail(mu)], seeds)  # pyright: ignore
        optimizer.step()

    return update


def floor_decoder(x: Tensor, compiled: bool = False) -> Callable[[], None]:
    """One update of Algorithm 2's networks without its losses: a pass of each network where one is needed."""
    vec = build_vec(SPEC, with_detail=False).eval().requires_grad_(False)
    decoder, disc = (to_memory_format(net(SPEC), SPEC) for net in (Decoder, Discriminator))
    for net in (vec.encoder, decoder, disc) if compiled else ():
        net.compile(dynamic=False)
    optimizers = [Adam(net.parameters(), lr=1e-4, betas=(0.5, 0.99), fused=True) for net in (decoder, disc)]
    seeds = [torch.full_like(h, 1e-6) for h in vec.encoder(torch.cat([x, x]))[2]]

    def update() -> None:
        with torch.no_grad():
            mu = vec.encoder(x)[0]
        decoded = decoder(torch.cat([mu, torch.randn_like(mu)]))
        features = vec.encoder(decoded)[2]
        played = decoded.detach().requires_grad_()
        logits = disc(torch.cat([x, played]))
        optimizers[1].zero_grad(set_to_none=True)
        logits.backward(torch.full_like(logits, 1e-6))
        optimizers[1].step()
        optimizers[0].zero_grad(set_to_none=True)
        torch.autograd.backward([*features, decoded], [*seeds, played.grad])  # pyright: ignore
        optimizers[0].step()

    return update


def repeated(update: Callable[[], Any], n: int) -> Callable[[], float]:
    return lambda: timed(lambda: [update() for _ in range(n)])


def engine(step: str, x: Tensor, y: np.ndarray, weight_detail: float = 0.5) -> Callable[[], float]:
    """Return a function that trains an epoch of one step as ``fit`` does and tells the engine's seconds."""
    fabric = launch_fabric("cpu", "32-true")
    vec = build_vec(SPEC, with_detail=step == "vec" and weight_detail > 0)
    decoder, disc = (to_memory_format(net(SPEC), SPEC) for net in (Decoder, Discriminator))
    if step == "vec":
        told: dict[str, Any] = {"weight_kl": 0.02, "weight_detail": weight_detail, "augment": ()}
        told |= {"teacher": None, "weight_consistency": 0.0, "change": STRONG["image"]}
        told |= {"variance": measured_variance(x)}
        stage = vec_stage(fabric, SINGLE_PROCESS, vec, learning_rate=2e-3, measure=dict, **told)
    else:
        told = {"learning_rate": 2e-3, "learning_rate_disc": 2e-3, "beta": 0.005, "gamma": 0.05}
        weights = feature_weights(vec, x[:256])
        stage = decoder_stage(
            fabric,
            SINGLE_PROCESS,
            vec,
            decoder,
            disc,
            weights=weights,
            weight_latent=0.3,
            measure=dict,
            **told,
        )
    rows = TensorRows(x, y, fabric.device)

    def seconds() -> float:
        session = Session({"vec": vec, "decoder": decoder, "discriminator": disc}, fabric.device)
        train(session, stage, rows, Settings(n_epochs=1, batch_size=BATCH, seed=0))
        return session.history[-1]["seconds"]

    return seconds


def compilation() -> dict[str, Any]:
    """What torch.compile would gain: the floor with and without it, and the seconds until it is ready."""
    x, _ = mnist_rows(1)
    batch = x.contiguous(memory_format=torch.channels_last)
    found = {}
    for step, floor in (("vec", floor_vec), ("decoder", floor_decoder)):
        plain, compiled = floor(batch), floor(batch, compiled=True)
        ready = timed(compiled)
        functions = {name: repeated(f, 4) for name, f in (("plain", plain), ("compiled", compiled))}
        seconds = alternating(functions)
        gain = ratio(seconds["plain"], seconds["compiled"])
        found[step] = {"plain_over_compiled": gain, "seconds_of_first_update": ready, "seconds": seconds}
    return found


def mnist_rows(n_batches: int) -> tuple[Tensor, np.ndarray]:
    """Return the first batches of MNIST as network inputs, with their labels."""
    data = load_dataset("mnist")
    assert data.y_train is not None
    n = n_batches * BATCH
    return torch.from_numpy(data.x_train[:n]).float().div(255).unsqueeze(1), data.y_train[:n]


def overhead(step: str) -> dict[str, Any]:
    """Samples per second of an algorithm as the engine runs it, against the floor."""
    n = N_BATCHES[step]
    x, y = mnist_rows(n)
    batch = x[:BATCH].contiguous(memory_format=torch.channels_last)
    floor = {"vec": floor_vec, "decoder": floor_decoder}[step](batch)
    seconds = alternating({"floor": repeated(floor, n), "engine": engine(step, x, y)})
    rates = {name: n * BATCH / value for name, value in medians(seconds).items()}
    share = ratio(seconds["floor"], seconds["engine"])
    return {"batch_size": BATCH, "samples_per_second": rates, "share_of_floor": share, "seconds": seconds}


class few_sampler_rows:  # noqa: N801  # reads as a statement
    """Fit the mixtures to a few rows meanwhile: they take seconds that are not measured here."""

    def __enter__(self) -> None:
        from ssavae import estimator

        self.before, estimator.SAMPLER_ROWS = estimator.SAMPLER_ROWS, 500

    def __exit__(self, *_: object) -> None:
        from ssavae import estimator

        estimator.SAMPLER_ROWS = self.before


# ------------------------------------------------------------------------------- (c) trained models


def trained() -> tuple[SSAVAE, np.ndarray]:
    """Return a model of MNIST's shapes, hardly trained, and 10,000 rows."""
    data = load_dataset("mnist")
    assert data.y_train is not None and data.x_test is not None
    model = SSAVAE(n_epochs=1, n_epochs_decoder=1, random_state=0)
    with few_sampler_rows():
        model.fit(data.x_train[:2000], data.y_train[:2000])
    return model, data.x_test


def inference() -> dict[str, Any]:
    """Rows per second of what a trained model is asked for, in calls of 1, 64 and 10,000 rows."""
    model, rows = trained()
    codes = model.transform(rows)
    asked = {"transform": (model.transform, rows), "predict": (model.predict, rows)}
    asked |= {"inverse_transform": (model.inverse_transform, codes), "reconstruct": (model.reconstruct, rows)}
    found: dict[str, Any] = {}
    for n, calls in ((1, 50), (64, 20), (10000, 1)):
        functions = {name: repeated(partial(f, x[:n]), calls) for name, (f, x) in asked.items()}
        rates = {name: n * calls / value for name, value in medians(alternating(functions)).items()}
        found[f"rows_per_second_in_calls_of_{n}"] = rates
        found[f"milliseconds_a_call_of_{n}"] = {name: 1000 * n / rate for name, rate in rates.items()}
    return found


# ------------------------------------------------------------------------------ (d) until it begins


def process_seconds(program: str, *words: str) -> float:
    """Return the seconds of a fresh interpreter."""
    command = [sys.executable, "-c", program, *words]
    return timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


def first_line_seconds() -> float:
    """Return the seconds from typing `ssavae train digits` to the first line about the training."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", "digits", "--out", folder, "--overwrite", "--set", "n_epochs=20"]
        program = "from ssavae.app.cli import main; main()"
        begin = time.perf_counter()
        command = [sys.executable, "-u", "-c", program, *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            while "step 1" not in process.stdout.readline():
                assert process.poll() is None, "`ssavae train` ended without a line of progress"
            seconds = time.perf_counter() - begin
            process.kill()
    return seconds


def imports() -> dict[str, Any]:
    """Seconds until `import ssavae`, until SSAVAE is there, and until training shows its first line."""
    functions = {
        "python": partial(process_seconds, "pass"),
        "import torch": partial(process_seconds, "import torch"),
        "import ssavae": partial(process_seconds, "import ssavae"),
        "from ssavae import SSAVAE": partial(process_seconds, "from ssavae import SSAVAE"),
        "ssavae --help": partial(process_seconds, "from ssavae.app.cli import main; main(['--help'])"),
        "first line of ssavae train digits": first_line_seconds,
    }
    seconds = medians(alternating(functions, repeats=3))
    more = {f"{name}, more than torch": seconds[name] - seconds["import torch"] for name in [*seconds][2:4]}
    return {"seconds": seconds, **more}


# -------------------------------------------------------------------------------- (e), (f) how it grows


def growth() -> dict[str, Any]:
    """Speed and memory for 1,000, 10,000 and 60,000 rows, each in a process of its own."""
    found = {}
    for n in (1000, 10000, 60000):
        command = [sys.executable, __file__, "one-size", str(n)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[f"rows_{n}"] = json.loads(done.stdout.splitlines()[-1])
    return found


def one_size(n: int) -> dict[str, Any]:
    """Train an epoch of each step on n rows of MNIST, read them all, and tell speed and peak memory."""
    before = peak_mib()
    data = load_dataset("mnist")
    assert data.y_train is not None
    x, y = data.x_train[:n], data.y_train[:n]
    model = SSAVAE(
        n_epochs=1, n_epochs_decoder=1, validation_fraction=0.0, batch_size_decoder=BATCH, random_state=0
    )
    fit = timed(lambda: model.fit(x, y))
    seconds = {row["step"]: row["seconds"] for row in model.history_}
    used = n // BATCH * BATCH
    rates = {step: used / value for step, value in seconds.items()}
    rates |= {"transform": n / timed(lambda: model.transform(x))}
    rest = fit - sum(seconds.values())
    return {"rows_per_second": rates, "seconds_fit": fit, "seconds_beside_training": rest} | {
        "peak_mib": peak_mib(),
        "peak_mib_of_imports": before,
        "data_mib": x.nbytes / 2**20,
    }


def peak_mib() -> float:
    """Return the peak of this program alone: getrusage begins with that of the process that started it."""
    if not Path("/proc/self/status").is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return status_mb("VmHWM")


# -------------------------------------------------------------------------------- (b) time to quality


def quality() -> dict[str, Any]:
    """Seconds of training until MNIST, K = 2, passes 0.97 test accuracy, and its judge 0.95 agreement."""
    from ssavae.metrics.judge import judge_logits, train_judge

    data = load_dataset("mnist")
    x_test, y_test = data.x_test, data.y_test
    assert data.y_train is not None and x_test is not None and y_test is not None
    model = SSAVAE(n_epochs=10, n_epochs_decoder=0, random_state=0)
    model.fit(data.x_train, data.y_train, eval_set=(x_test, y_test))
    passed = [row for row in model.history_ if row.get("eval_accuracy", 0) > 0.97]
    found: dict[str, Any] = {"seconds_to_accuracy_0.97": passed[0]["seconds"] if passed else None}
    judge = train_judge(data.x_train[..., None].astype(np.float32) / 255, data.y_train, n_epochs=6)
    seconds = []
    for n_rows in (10000, 20000, 40000, 60000):  # each is a run of its own, whose learning rate ends at 0
        model.set_params(n_epochs_decoder=1).fit_decoder(data.x_train[:n_rows])
        made = model.reconstruct(x_test).astype(np.float32)[..., None] / 255
        agreement = float((judge_logits(judge, made).argmax(axis=1) == y_test).mean())
        seconds.append({"rows": n_rows, "agreement": agreement, "seconds": model.history_[-1]["seconds"]})
        if agreement >= 0.95:
            break
    return found | {"agreement": seconds}


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "overhead_vec": partial(overhead, "vec"),
    "overhead_decoder": partial(overhead, "decoder"),
    "compilation": compilation,
    "inference": inference,
    "imports": imports,
    "growth": growth,
    "quality": quality,
}


def main() -> None:
    """Measure what is named, or everything but the long one."""
    as_it_is = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_it_is)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--out", type=Path, default=RESULT)
    chosen = parser.parse_args()
    if chosen.parts[:1] == ["one-size"]:
        print(json.dumps(one_size(int(chosen.parts[1]))))
        return
    unknown = set(chosen.parts) - PARTS.keys()
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    for name in chosen.parts or [part for part in PARTS if part != "quality"]:
        found = PARTS[name]() | {"load": os.getloadavg()[0], **machine()}
        print(json.dumps({name: found}, indent=1), flush=True)
        told = json.loads(chosen.out.read_text("utf-8")) if chosen.out.is_file() else {}
        write_atomically(chosen.out, json.dumps(told | {name: found}, indent=1).encode())


if __name__ == "__main__":
    main()
