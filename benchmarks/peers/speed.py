"""Speed beside others, in one run: pythae's trainers with our networks, umap-learn, scikit-learn's NCA.

    OMP_NUM_THREADS=2 python benchmarks/peers/speed.py pythae_vae pythae_vaegan
    OMP_NUM_THREADS=2 python benchmarks/peers/speed.py umap nca
    python benchmarks/peers/speed.py pythae_vae pythae_vaegan --device cuda --out benchmarks/results/gpu.json

pythae: the same layers, rows, batch of 128 and threads, in turn, several times each after a round that does
not count, timed within the loops: neither building, reading nor fitting mixtures counts. `as it comes` is its
trainer with torch's default memory layout and its own Adam; `helped` has our layout (channels last) and
the fused Adam too. Algorithm 1 runs with its defaults and as in the paper, without loss_detail.
Algorithm 2 and VAEGAN both train a decoder and a discriminator against deep features;
VAEGAN its encoder as well, which here is step 1.

umap: fitted with labels on all rows of MNIST (60,000), where SSAVAE trains step 1 until it passes 0.97 test
accuracy; then 10,000 new rows are mapped, by a model with a student as well, and codes decoded, in turn. Each
part is written when it ends.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from shared import Split, parser, write_part  # first: it sets the path of timing
from sklearn.base import clone
from timing import BATCH, REPEATS, SPEC, alternate, engine, medians, mnist_batches, ratio, timed
from torch import Tensor

from ssavae import SSAVAE
from ssavae._serialize import JSONObject
from ssavae.app.runs.environment import machine
from ssavae.networks import Decoder, Encoder, to_memory_format

RESULT = Path(__file__).resolve().parents[1] / "results" / "speed_peers.json"
N_BATCHES = 8
N_BATCHES_ON_GPU = 100
STUDENT_WIDTHS = (96, 64)
N_INVERSE = 100  # rows that umap decodes, which takes seconds for each
REACHED = 0.97  # test accuracy


def timed_calls(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Call functions in turn; return the median seconds of each."""
    timed_functions = {name: partial(timed, function) for name, function in functions.items()}
    return medians(alternate(timed_functions, repeats))


def pythae_trainer(name: str, x: Tensor, helped: bool, folder: str, device: str) -> Callable[[], float]:
    """Return a function that trains an epoch with pythae's trainer and returns the seconds of its loop."""
    from peers import RECIPES, PeerDecoder, PeerEncoder, quiet  # here, since only this part needs pythae
    from pythae.data.datasets import BaseDataset  # pyright: ignore[reportMissingImports]

    recipe = RECIPES[name]
    encoder = Encoder(SPEC)
    decoder = Decoder(SPEC)
    if helped:
        encoder = to_memory_format(encoder, SPEC)
        decoder = to_memory_format(decoder, SPEC)
    model = recipe.build(SPEC, PeerEncoder(encoder), PeerDecoder(decoder))
    options = recipe.options(folder, 0)
    options.no_cuda = device == "cpu"
    if not helped:
        model.to(memory_format=torch.contiguous_format)
        for player in recipe.players:
            setattr(options, f"{player}optimizer_params", None)
    with quiet():
        trainer = recipe.trainer(model, BaseDataset(x, torch.zeros(len(x))), training_config=options)
        trainer.prepare_training()

    def seconds() -> float:
        with quiet():
            return timed(lambda: trainer.train_step(1))

    return seconds


def pythae(step: str, peer: str, device: str = "cpu") -> JSONObject:
    """Compare Algorithm 1 with pythae's VAE, or Algorithm 2 with its VAEGAN."""
    x, y = mnist_batches(N_BATCHES if device == "cpu" else N_BATCHES_ON_GPU)
    new_engine = partial(engine, step, x, y, device=device, warm_up=device != "cpu")
    ours = {"ssavae": new_engine()}
    if step == "vec":
        ours["ssavae, without loss_detail"] = new_engine(weight_detail=0.0)
    with tempfile.TemporaryDirectory() as folder:
        theirs = {
            "as it comes": pythae_trainer(peer, x, False, folder, device),
            "helped": pythae_trainer(peer, x, True, folder, device),
        }
        seconds = alternate(ours | theirs)
    return {
        "batch_size": BATCH,
        "device": device,
        "samples_per_second": {name: len(x) / value for name, value in medians(seconds).items()},
        "times_as_fast_as": {
            name: {other: ratio(seconds[other], seconds[name]) for other in theirs} for name in ours
        },
        "seconds": seconds,
    }


def train_to_accuracy(mnist: Split) -> tuple[SSAVAE, float, float]:
    """Train step 1 for one epoch, two, ... until it passes 0.97; return model, its seconds and accuracy."""
    accuracy = 0.0
    for n_epochs in (1, 2, 3, 5, 10):
        model = SSAVAE(n_epochs=n_epochs, n_epochs_decoder=0, random_state=0)
        seconds = timed(partial(model.fit, mnist.x, mnist.y))
        accuracy = float(model.score(mnist.x_test, mnist.y_test))
        if accuracy > REACHED:
            return model, seconds, accuracy
    raise RuntimeError(f"accuracy stays at {accuracy}")


def umap() -> JSONObject:
    """Compare fit, transform and inverse_transform with umap-learn's."""
    import umap as umap_learn  # pyright: ignore[reportMissingImports]

    mnist = Split.load("mnist")
    model, seconds, accuracy = train_to_accuracy(mnist)
    with_student = clone(model)
    assert isinstance(with_student, SSAVAE)
    with_student.set_params(student_widths=STUDENT_WIDTHS)
    seconds_with_student = timed(lambda: with_student.fit(mnist.x, mnist.y))
    flat, flat_test = mnist.flat()
    peer = umap_learn.UMAP()  # without a seed it uses all threads
    warm_up = umap_learn.UMAP().fit(flat[:500], mnist.y[:500])  # which compiles it
    warm_up.inverse_transform(warm_up.transform(flat_test[:10])[:2])
    seconds_peer = timed(lambda: peer.fit(flat, mnist.y))
    codes_peer = peer.transform(flat_test)
    transforms = timed_calls(
        {
            "ssavae": partial(model.transform, mnist.x_test),
            "ssavae, with a student": partial(with_student.transform, mnist.x_test),
            "umap": partial(peer.transform, flat_test),
        },
        repeats=5,
    )
    codes = model.transform(mnist.x_test)
    inverses = timed_calls(
        {
            "ssavae": partial(model.inverse_transform, codes),
            "umap": partial(peer.inverse_transform, codes_peer[:N_INVERSE]),
        },
        repeats=1,
    )
    rates = {"ssavae": len(codes) / inverses["ssavae"], "umap": N_INVERSE / inverses["umap"]}
    return {
        "umap_version": umap_learn.__version__,
        "seconds_fit": {
            "ssavae, step 1 to 0.97": seconds,
            "ssavae, with a student": seconds_with_student,
            "umap, with labels": seconds_peer,
        },
        "accuracy": accuracy,
        "accuracy_with_a_student": float(with_student.score(mnist.x_test, mnist.y_test)),
        "fit_ratio": seconds_peer / seconds,
        "seconds_transform_10000": transforms,
        "transform_ratio": {
            name: transforms["umap"] / value for name, value in transforms.items() if name != "umap"
        },
        "inverse_transform_rows_per_second": rates,
        "inverse_transform_ratio": rates["ssavae"] / rates["umap"],
    }


def nca() -> JSONObject:
    """Compare with scikit-learn's neighbourhood components analysis, on 2,000 rows: it takes n^2 memory."""
    from sklearn.neighbors import NeighborhoodComponentsAnalysis

    mnist = Split.load("mnist")
    x = mnist.x[:2000]
    y = mnist.y[:2000]
    flat, flat_test = mnist.flat()
    model = SSAVAE(n_epochs_decoder=0, random_state=0)
    peer = NeighborhoodComponentsAnalysis(2, max_iter=20, random_state=0)
    seconds = {
        "ssavae": timed(lambda: model.fit(x, y)),
        "nca, 20 iterations": timed(lambda: peer.fit(flat[:2000], y)),
    }
    transforms = timed_calls(
        {"ssavae": partial(model.transform, mnist.x_test), "nca": partial(peer.transform, flat_test)},
        repeats=REPEATS,
    )
    return {"rows": 2000, "seconds_fit": seconds, "seconds_transform_10000": transforms}


PYTHAE: dict[str, Callable[..., JSONObject]] = {
    "pythae_vae": partial(pythae, "vec", "pythae_vae"),
    "pythae_vaegan": partial(pythae, "decoder", "pythae_vaegan"),
}
PARTS: dict[str, Callable[..., JSONObject]] = {
    **PYTHAE,
    "umap": umap,
    "nca": nca,
}


def main() -> None:
    """Measure what is named."""
    options = parser(__doc__)
    options.add_argument("parts", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    options.add_argument("--device", default="cpu", help="of pythae's trainers and ours")
    options.add_argument("--out", type=Path, default=RESULT)
    parsed = options.parse_args()
    warnings.filterwarnings("ignore")  # of the peers
    for name in parsed.parts:
        measure = partial(PARTS[name], device=parsed.device) if name in PYTHAE else PARTS[name]
        write_part(parsed.out, name, {**measure(), "load": os.getloadavg()[0], **machine()})


if __name__ == "__main__":
    main()
