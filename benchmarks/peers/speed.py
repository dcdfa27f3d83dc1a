"""Speed beside others, in one run: pythae's trainers with our networks, umap-learn, scikit-learn's NCA.

    OMP_NUM_THREADS=2 python benchmarks/peers/speed.py pythae_vae pythae_vaegan
    OMP_NUM_THREADS=2 python benchmarks/peers/speed.py umap nca

pythae: the same layers, rows, batch of 128 and threads, in turn, five times each after a round that does not
count, timed within the loops: neither building, reading nor fitting mixtures counts. `as it comes` is its
trainer with the layers as torch lays them out and its own Adam; `helped` has our layout (channels last) and
the fused Adam besides. Algorithm 1 is run as it is by default and as the paper has it, without loss_detail.
Algorithm 2 and VAEGAN both train a decoder and a discriminator against deep features;
VAEGAN its encoder as well, which here is step 1.

umap: fitted with labels on all rows of MNIST (60,000), where SSAVAE trains step 1 until it passes 0.97 test
accuracy; then 10,000 new rows are mapped, by a model with a student as well, and codes decoded, in turn. Each
part is written as it is done.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import speed as ours  # ours.py of this folder needs the same path

from ssavae import SSAVAE
from ssavae.app.runs.environment import machine
from ssavae.data.loading import load_dataset
from ssavae.networks import Decoder, Encoder, to_memory_format
from ssavae.persistence.model_folder import write_atomically

RESULT = Path(__file__).resolve().parents[1] / "results" / "speed_peers.json"
N_BATCHES = 8
STUDENT_WIDTHS = (96, 64)
N_INVERSE = 100  # rows that umap decodes, at some seconds each


def pythae_trainer(name: str, x: Tensor, helped: bool, folder: str) -> Callable[[], float]:
    """Return a function that trains an epoch with pythae's trainer and tells the seconds of its loop."""
    from peers import RECIPES, PeerDecoder, PeerEncoder, quiet  # pythae is needed here alone
    from pythae.data.datasets import BaseDataset

    recipe = RECIPES[name]
    nets = [net(ours.SPEC) for net in (Encoder, Decoder)]
    encoder, decoder = (to_memory_format(net, ours.SPEC) for net in nets) if helped else nets
    model = recipe.build(ours.SPEC, PeerEncoder(encoder), PeerDecoder(decoder))
    options = recipe.options(folder, 0)
    if not helped:
        model.to(memory_format=torch.contiguous_format)
        for player in recipe.players:
            setattr(options, f"{player}optimizer_params", None)
    with quiet():
        trainer = recipe.trainer(model, BaseDataset(x, torch.zeros(len(x))), training_config=options)
        trainer.prepare_training()

    def seconds() -> float:
        with quiet():
            return ours.timed(lambda: trainer.train_step(1))

    return seconds


def pythae(step: str, peer: str) -> dict[str, Any]:
    """Compare Algorithm 1 with pythae's VAE, or Algorithm 2 with its VAEGAN."""
    x, y = ours.mnist_rows(N_BATCHES)
    own = {"ssavae": ours.engine(step, x, y)}
    if step == "vec":
        own["ssavae, without loss_detail"] = ours.engine(step, x, y, weight_detail=0.0)
    with tempfile.TemporaryDirectory() as folder:
        helped = {"as it comes": False, "helped": True}
        others = {name: pythae_trainer(peer, x, each, folder) for name, each in helped.items()}
        seconds = ours.alternating(own | others)
    rates = {name: len(x) / value for name, value in ours.medians(seconds).items()}
    ratios = {name: {each: ours.ratio(seconds[each], seconds[name]) for each in others} for name in own}
    told = {"batch_size": ours.BATCH, "samples_per_second": rates, "times_as_fast_as": ratios}
    return told | {"seconds": seconds}


def to_accuracy(
    x: np.ndarray, y: np.ndarray, test: tuple[np.ndarray, np.ndarray]
) -> tuple[SSAVAE, float, float]:
    """Train step 1 for one epoch, two, ... until it passes 0.97; return model, its seconds and accuracy."""
    for n_epochs in (1, 2, 3, 5, 10):
        model = SSAVAE(n_epochs=n_epochs, n_epochs_decoder=0, random_state=0)
        seconds = ours.timed(lambda m=model: m.fit(x, y))
        accuracy = float(model.score(*test))
        if accuracy > 0.97:
            return model, seconds, accuracy
    raise RuntimeError(f"accuracy stays at {accuracy}")


def umap() -> dict[str, Any]:
    """Compare fit, transform and inverse_transform with umap-learn's."""
    import umap as umap_learn  # pyright: ignore[reportMissingImports]

    data = load_dataset("mnist")
    x, y, x_test, y_test = data.x_train, data.y_train, data.x_test, data.y_test
    assert y is not None and x_test is not None and y_test is not None
    model, seconds, accuracy = to_accuracy(x, y, (x_test, y_test))
    taught: Any = clone(model)
    taught.set_params(student_widths=STUDENT_WIDTHS)
    taught_seconds = ours.timed(lambda: taught.fit(x, y))
    flat, flat_test = (rows.reshape(len(rows), -1) / np.float32(255) for rows in (x, x_test))
    peer = umap_learn.UMAP()  # without a seed it uses all threads
    compile_it = umap_learn.UMAP().fit(flat[:500], y[:500])
    compile_it.inverse_transform(compile_it.transform(flat_test[:10])[:2])
    peer_seconds = ours.timed(lambda: peer.fit(flat, y))
    places = peer.transform(flat_test)
    transforms = ours.alternating(
        {
            "ssavae": partial(ours.timed, partial(model.transform, x_test)),
            "ssavae, with a student": partial(ours.timed, partial(taught.transform, x_test)),
            "umap": partial(ours.timed, partial(peer.transform, flat_test)),
        },
        repeats=5,
    )
    codes = model.transform(x_test)
    decoding = ours.medians(
        ours.alternating(
            {
                "ssavae": partial(ours.timed, partial(model.inverse_transform, codes)),
                "umap": partial(ours.timed, partial(peer.inverse_transform, places[:N_INVERSE])),
            },
            repeats=1,
        )
    )
    rates = {"ssavae": len(codes) / decoding["ssavae"], "umap": N_INVERSE / decoding["umap"]}
    times = ours.medians(transforms)
    return {
        "umap_version": umap_learn.__version__,
        "seconds_fit": {
            "ssavae, step 1 to 0.97": seconds,
            "ssavae, with a student": taught_seconds,
            "umap, with labels": peer_seconds,
        },
        "accuracy": accuracy,
        "accuracy_with_a_student": float(taught.score(x_test, y_test)),
        "fit_ratio": peer_seconds / seconds,
        "seconds_transform_10000": transforms,
        "transform_ratio": {name: times["umap"] / value for name, value in times.items() if name != "umap"},
        "inverse_transform_rows_per_second": rates,
        "inverse_transform_ratio": rates["ssavae"] / rates["umap"],
    }


def nca() -> dict[str, Any]:
    """Compare with scikit-learn's neighbourhood components analysis, on 2,000 rows: it takes n^2 memory."""
    from sklearn.neighbors import NeighborhoodComponentsAnalysis

    data = load_dataset("mnist")
    x, y, x_test = data.x_train[:2000], data.y_train, data.x_test
    assert y is not None and x_test is not None
    flat, flat_test = (rows.reshape(len(rows), -1) / np.float32(255) for rows in (x, x_test))
    model = SSAVAE(n_epochs_decoder=0, random_state=0)
    peer = NeighborhoodComponentsAnalysis(2, max_iter=20, random_state=0)
    fits = {"ssavae": lambda: model.fit(x, y[:2000]), "nca, 20 iterations": lambda: peer.fit(flat, y[:2000])}
    seconds = {name: ours.timed(fit) for name, fit in fits.items()}
    transforms = {"ssavae": partial(model.transform, x_test), "nca": partial(peer.transform, flat_test)}
    found = ours.alternating({name: partial(ours.timed, each) for name, each in transforms.items()})
    return {"rows": 2000, "seconds_fit": seconds, "seconds_transform_10000": ours.medians(found)}


PARTS = {
    "pythae_vae": partial(pythae, "vec", "pythae_vae"),
    "pythae_vaegan": partial(pythae, "decoder", "pythae_vaegan"),
    "umap": umap,
    "nca": nca,
}


def main() -> None:
    """Measure what is named."""
    as_it_is = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_it_is)
    parser.add_argument("parts", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--out", type=Path, default=RESULT)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore")  # what the peers tell programmers
    for name in chosen.parts:
        found = PARTS[name]() | {"load": os.getloadavg()[0], **machine()}
        print(json.dumps({name: found}, indent=1), flush=True)
        told = json.loads(chosen.out.read_text("utf-8")) if chosen.out.is_file() else {}
        write_atomically(chosen.out, json.dumps(told | {name: found}, indent=1).encode())


if __name__ == "__main__":
    main()
