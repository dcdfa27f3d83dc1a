"""The ordinary VAE for comparison: our encoder and decoder, trained jointly on pixels and KL.

    python benchmarks/peers/ordinary_vae.py mnist --n-epochs 16 --out benchmarks/results/vae_mnist.json

The pixel loss is the Bernoulli likelihood that VAEs of such images are usually trained with, which
also gives them a lower pixel error than a Gaussian of unit variance. Everything else (batches,
optimiser, schedule, seed) is the engine's, as for SSAVAE.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import torch
from shared import BATCH, Images, command, parser, write_json
from torch import Tensor
from torch.nn.functional import binary_cross_entropy
from torch.optim import Adam

from ssavae.algorithms import Losses, update
from ssavae.app.runs.environment import machine
from ssavae.inference.predictor import Predictor
from ssavae.losses import loss_kl
from ssavae.metrics.generation import pixel_error
from ssavae.networks import VEC, Classifier, Decoder, Encoder, Spec, reparameterize, to_memory_format
from ssavae.persistence.model_folder import HistoryRow
from ssavae.training.batches import TensorRows
from ssavae.training.loop import Schedule, Session, train
from ssavae.training.stage import Stage

SEED = 0
CPU = torch.device("cpu")


def vae_step(encoder: Encoder, decoder: Decoder, x: Tensor, eps: Tensor, *, optimizer: Adam) -> Losses:
    """Take one step towards a higher evidence lower bound, for encoder and decoder together."""
    encoder.train()
    decoder.train()
    mu, logvar, _ = encoder(x)
    x_rec = decoder(reparameterize(mu, logvar, eps))
    pixels = binary_cross_entropy(x_rec, x, reduction="none").flatten(1).sum(dim=1).mean()
    kl = loss_kl(mu, logvar).mean()
    update(pixels + kl, optimizer, Tensor.backward)
    return {"loss_pixels": pixels.detach(), "loss_kl": kl.detach()}


def vae_arguments(x: Tensor, y: Tensor, latent_dim: int) -> tuple[Tensor, Tensor]:
    """Return the arguments of :func:`vae_step`: rows and noise."""
    return x, torch.randn(len(x), latent_dim)


def fit_vae(
    x: Tensor, latent_dim: int, n_epochs: int, seed: int, verbose: bool = False
) -> tuple[Predictor, list[HistoryRow]]:
    """Train on network inputs (n, C, H, W) in [0, 1]; return the networks in eval mode and the history."""
    torch.manual_seed(seed)
    spec = Spec(tuple(x.shape[1:]), latent_dim, 1, bounded=True)
    encoder = Encoder(spec)
    classifier = Classifier(spec)
    decoder = Decoder(spec)
    vae = to_memory_format(VEC(encoder, classifier, decoder), spec)
    optimizer = Adam([*encoder.parameters(), *decoder.parameters()], lr=2e-3, fused=True)
    session = Session({"vec": vae}, CPU, verbose=verbose)
    step = partial(vae_step, encoder, decoder, optimizer=optimizer)
    stage = Stage("vec", step, partial(vae_arguments, latent_dim=latent_dim), {"vec": optimizer})
    rows = TensorRows(x, np.full(len(x), -1), CPU)
    train(session, stage, rows, Schedule(n_epochs, BATCH, seed))
    return Predictor(vae, decoder), session.history


def main() -> None:
    """Train, measure on the test images, write the result."""
    options = parser(__doc__)
    options.add_argument("data")
    options.add_argument("--latent-dim", type=int, default=100)
    options.add_argument("--n-epochs", type=int, required=True)
    options.add_argument("--out", type=Path, required=True)
    parsed = options.parse_args()
    images = Images.load(parsed.data)
    predictor, history = fit_vae(images.x, parsed.latent_dim, parsed.n_epochs, SEED, verbose=True)
    result = {
        "command": command(),
        "data": parsed.data,
        "seed": SEED,
        "n_epochs": parsed.n_epochs,
        "pixel_error": pixel_error(images.x_test.numpy(), predictor.reconstruct(images.x_test).numpy()),
        "kl": float(loss_kl(*predictor.posterior(images.x_test)).mean()),
        "seconds": history[-1]["seconds"],
        **machine(),
    }
    write_json(parsed.out, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
