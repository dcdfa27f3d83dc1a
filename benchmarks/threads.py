"""One update of each step with one thread and with two: milliseconds, and whether bits are equal.

    python benchmarks/threads.py [--out benchmarks/results/threads.json]

The limit is ``ssavae.inference.threads.SMALL``: see docs/decisions.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from report import command, parser, write_json
from torch.optim import Adam

from ssavae.algorithms import decoder_step, vec_step
from ssavae.app.runs.environment import machine
from ssavae.networks import Networks, Spec, build_networks

SHAPES = {  # input shape, widths, bounded
    "table 4, 64-32": ((4,), (64, 32)),
    "table 30, 256-128": ((30,), (256, 128)),
    "table 30, 512-256": ((30,), (512, 256)),
    "table 30, 1024-512": ((30,), (1024, 512)),
    "table 30, 2048-1024": ((30,), (2048, 1024)),
    "image 8 x 8": ((1, 8, 8), ()),
    "image 28 x 28": ((1, 28, 28), ()),
    "signal 2 x 96": ((2, 96), ()),
}
BATCHES = {"vec": 128, "decoder": 32}
SECONDS = 1.0  # that each of ROUNDS measures at least
ROUNDS = 5


def steps(networks: Networks, spec: Spec) -> dict[str, Callable[[], object]]:
    """Return one update of each step, on random rows."""
    vec, decoder, discriminator = networks
    adam = partial(Adam, lr=1e-3, fused=True)
    y = torch.arange(BATCHES["vec"]) % spec.n_classes
    x = {name: torch.rand(n, *spec.input_shape) for name, n in BATCHES.items()}
    eps = {name: torch.randn(n, spec.latent_dim) for name, n in BATCHES.items()}
    backward = torch.Tensor.backward
    train_vec = partial(
        vec_step, vec, x["vec"], y, eps["vec"], 128.0, optimizer=adam(vec.parameters()), backward=backward,
        weight_kl=0.02, weight_detail=0.5, variance=1.0,
    )  # fmt: skip
    weights = (0.01,) * len(vec.encoder(x["vec"])[2])
    train_decoder = partial(
        decoder_step, vec, decoder, discriminator, x["decoder"], eps["decoder"], eps["decoder"],
        optimizer=adam(decoder.parameters()), optimizer_disc=adam(discriminator.parameters()),
        backward=backward, beta=0.005, gamma=0.05, weights=weights, weight_latent=0.3,
    )  # fmt: skip
    return {"vec": train_vec, "decoder": train_decoder}


def build(shape: tuple[int, ...], widths: tuple[int, ...]) -> tuple[Networks, Spec]:
    """Build networks from the same seed each time."""
    torch.manual_seed(0)
    spec = Spec(shape, 2, 3, bounded=len(shape) > 1, widths=widths)
    return build_networks(spec, with_detail=True), spec


def milliseconds(step: Callable[[], object]) -> float:
    """Return the time of the fastest of many calls: other programs can only make a call slower."""
    times = []
    while sum(times) < SECONDS:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def trained_bits(shape: tuple[int, ...], widths: tuple[int, ...], n_threads: int) -> list[torch.Tensor]:
    """Return all weights after ten updates of each step."""
    torch.set_num_threads(n_threads)
    networks, spec = build(shape, widths)
    for step in steps(networks, spec).values():
        for _ in range(10):
            step()
    return [value for module in networks for value in module.state_dict().values()]


def measure(shape: tuple[int, ...], widths: tuple[int, ...]) -> dict[str, object]:
    """Return the best time of each step with one and two threads, in turn, and whether bits are equal."""
    networks, spec = build(shape, widths)
    both = steps(networks, spec)
    times: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            for name, step in both.items():
                times.setdefault(f"{name}_{n_threads}", []).append(milliseconds(step))
    one, two = (trained_bits(shape, widths, n) for n in (1, 2))
    equal = all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    return {name: round(min(values), 3) for name, values in times.items()} | {"equal_bits": equal}


def main() -> None:
    """Measure all shapes, and write them."""
    options = parser(__doc__)
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "threads.json")
    parsed = options.parse_args()
    rows = {}
    for name, (shape, widths) in SHAPES.items():
        rows[name] = measure(shape, widths)
        print(name, rows[name], flush=True)
    write_json(parsed.out, {"command": command(), **machine(), "milliseconds": rows})


if __name__ == "__main__":
    main()
