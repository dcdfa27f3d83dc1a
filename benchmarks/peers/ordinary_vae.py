"""The ordinary VAE to compare with: our encoder and decoder, trained jointly on pixels and KL.

    python benchmarks/peers/ordinary_vae.py mnist --n-epochs 16 --out benchmarks/results/vae_mnist.json

The pixel loss is the Bernoulli likelihood that VAEs of such images are usually trained with, which
also gives them a lower pixel error than a Gaussian of unit variance.  Everything else (batches,
optimiser, schedule, seed) is the engine's, as for SSAVAE.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy
from torch.optim import Adam

from ssavae.algorithms import Batches, step
from ssavae.app.runs.environment import machine
from ssavae.data.loading import load_dataset
from ssavae.inference.predictor import Predictor
from ssavae.losses import loss_kl
from ssavae.metrics.generation import pixel_error
from ssavae.networks import VEC, Classifier, Decoder, Encoder, Spec, reparameterize, to_memory_format
from ssavae.preprocessing.preprocessor import Preprocessor
from ssavae.training.batches import TensorRows
from ssavae.training.loop import Session, Settings, Stage, train
from ssavae.training.progress import showing_progress

SEED = 0
BATCH = 128
CPU = torch.device("cpu")


def train_vae(vae: VEC, batches: Batches, optimizer: Adam) -> Iterator[dict[str, Tensor]]:
    """Maximise the evidence lower bound: encoder and decoder (``vae.detail``) together."""
    assert vae.detail is not None
    vae.train()
    for x, _ in batches:
        mu, logvar, _ = vae.encoder(x)
        x_rec = vae.detail(reparameterize(mu, logvar))
        pixels = binary_cross_entropy(x_rec, x, reduction="none").flatten(1).sum(dim=1).mean()
        kl = loss_kl(mu, logvar).mean()
        step(pixels + kl, optimizer, Tensor.backward)
        yield {"loss_pixels": pixels.detach(), "loss_kl": kl.detach()}


def fit_vae(
    x: Tensor, latent_dim: int, n_epochs: int, seed: int, verbose: bool = False
) -> tuple[Predictor, list[dict[str, Any]]]:
    """Train on network inputs (n, C, H, W) in [0, 1]; return the networks at rest and the history."""
    torch.manual_seed(seed)
    spec = Spec(tuple(x.shape[1:]), latent_dim, 1, bounded=True)
    encoder, classifier, decoder = Encoder(spec), Classifier(spec), Decoder(spec)
    vae = to_memory_format(VEC(encoder, classifier, decoder), spec)
    optimizer = Adam([*encoder.parameters(), *decoder.parameters()], lr=2e-3, fused=True)
    session = Session({"vec": vae}, CPU)
    stage = Stage("vec", lambda batches: train_vae(vae, batches, optimizer), {"vec": optimizer})
    with showing_progress(session, "vec", n_epochs) if verbose else nullcontext():
        train(session, stage, TensorRows(x, np.full(len(x), -1), CPU), Settings(n_epochs, BATCH, seed))
    return Predictor(vae, decoder), session.history


def main() -> None:
    """Train, measure on the test images, write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--latent-dim", type=int, default=100)
    parser.add_argument("--n-epochs", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    loaded = load_dataset(arguments.data)
    assert loaded.x_test is not None
    preprocess = Preprocessor.fit(loaded.x_train, "image")
    x, x_test = (torch.from_numpy(preprocess.forward(part)) for part in (loaded.x_train, loaded.x_test))
    predictor, history = fit_vae(x, arguments.latent_dim, arguments.n_epochs, SEED, verbose=True)
    result = {
        "command": " ".join(["python", *sys.argv]),
        "data": arguments.data,
        "seed": SEED,
        "n_epochs": arguments.n_epochs,
        "pixel_error": pixel_error(x_test.numpy(), predictor.reconstruct(x_test).numpy()),
        "kl": float(loss_kl(*predictor.posterior(x_test)).mean()),
        "seconds": history[-1]["seconds"],
        **machine(),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
