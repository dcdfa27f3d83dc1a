"""Terms that keep detail in the code: Algorithm 1 with one of four, then a decoder on features alone.

    python benchmarks/compare_detail.py --term pixel --out benchmarks/results/detail_pixel.json

Step 2 has neither adversary nor loss_latent (beta = gamma = 0) and a new decoder, so that its
reconstructions show what the code contains. Terms:

- none: the plain reading, cross-entropy and KL;
- pixel: the fraction of the variance of x that an auxiliary decoder does not explain, as in the library;
- feature: the same fraction for the hidden layer h_2, predicted from z by a small network;
- infonce: InfoNCE, by which z identifies its x among those of the batch.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measured import (
    SCALE_ROWS,
    SEED,
    Images,
    JudgedImages,
    class_codes,
    epoch_orders,
    judge_for,
    measure_class_samples,
    measure_reconstructions,
    train,
    write_result,
)
from report import parser
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR

from ssavae.algorithms import Losses, decoder_step, feature_weights, frozen, update, vec_step
from ssavae.inference.predictor import Predictor
from ssavae.losses import loss_class, loss_detail, loss_kl
from ssavae.networks import (
    SLOPE,
    VEC,
    Decoder,
    Discriminator,
    Encoding,
    Spec,
    build_vec,
    reparameterize,
    to_memory_format,
)
from ssavae.training.batches import TensorRows
from ssavae.training.steps import mean_variance

LEARNING_RATE = 2e-3
VARIANCE_ROWS = 5000  # rows from which the variance in loss_detail is computed
CODE_ROWS = 20_000  # training rows whose codes the class-wise Gaussians are fitted to
LAYER = 1  # index of the hidden layer h_2 in the feature term
Term = Callable[[Encoding, Tensor], Tensor]


def term_step(
    vec: VEC, term: Term, x: Tensor, y: Tensor, *, optimizer: Adam, weight_kl: float, weight_detail: float
) -> Losses:
    """Take one step of Algorithm 1 with another term instead of loss_detail; every row has its label."""
    vec.train()
    encoding = vec.encoder(x)
    z = reparameterize(encoding.mu, encoding.logvar, torch.randn_like(encoding.mu))
    losses = {
        "loss_class": loss_class(vec.classifier(z), y).mean(),
        "loss_kl": loss_kl(encoding.mu, encoding.logvar).mean(),
        "loss_term": term(encoding, z),
    }
    total = losses["loss_class"] + weight_kl * losses["loss_kl"] + weight_detail * losses["loss_term"]
    update(total, optimizer, Tensor.backward)
    return {name: loss.detach() for name, loss in losses.items()}


def feature_head(vec: VEC, x: Tensor, latent_dim: int) -> nn.Module:
    """Build the network that predicts the hidden layer h_2 from z."""
    with frozen(vec), torch.no_grad():
        size = vec.encoder(x).features[LAYER][0].numel()
    return nn.Sequential(
        nn.Linear(latent_dim, 512), nn.BatchNorm1d(512), nn.LeakyReLU(SLOPE), nn.Linear(512, size)
    )


def feature_term(head: nn.Module, encoding: Encoding, z: Tensor) -> Tensor:
    """Return the fraction of the variance of h_2 that the head misses, without a gradient into h_2."""
    h = encoding.features[LAYER].detach().flatten(1)
    return loss_detail(h, head(z), variance=float(h.var(dim=0).mean())).mean()


def infonce_term(encoding: Encoding, z: Tensor) -> Tensor:
    """Return InfoNCE: the cross-entropy of identifying the x of each z within the batch, by q(z|x)."""
    mu, logvar, _ = encoding
    squares = (z[:, None] - mu[None]).square() * (-logvar[None]).exp()
    return cross_entropy(-0.5 * (squares + logvar[None]).sum(dim=2), torch.arange(len(z)))


def one_cycle(optimizer: Adam, orders: list[np.ndarray]) -> OneCycleLR:
    """Return a schedule of the learning rate that rises over a fifth of the batches, then falls."""
    return OneCycleLR(optimizer, LEARNING_RATE, total_steps=sum(map(len, orders)), pct_start=0.2)


def train_vec(rows: TensorRows, spec: Spec, options: argparse.Namespace) -> tuple[VEC, dict[str, float]]:
    """Train a VEC with a term; return it with its seconds and losses."""
    torch.manual_seed(SEED)
    vec = build_vec(spec, with_detail=options.term == "pixel")
    if options.term == "feature":
        vec.detail = feature_head(vec, rows.x[:2], spec.latent_dim)
    optimizer = Adam(vec.parameters(), lr=LEARNING_RATE, fused=True)
    weights = {
        "weight_kl": options.weight_kl,
        "weight_detail": 0.0 if options.term == "none" else options.weight_detail,
    }
    orders = epoch_orders(rows.y, options.n_epochs)
    variance = mean_variance(rows.x[:VARIANCE_ROWS])

    def library_step(x: Tensor, y: Tensor) -> Losses:
        step = partial(vec_step, vec, optimizer=optimizer, backward=Tensor.backward, variance=variance)
        return step(x, y, torch.randn(len(x), spec.latent_dim), len(y), **weights)

    if options.term in ("none", "pixel"):
        step = library_step
    else:
        term = infonce_term if vec.detail is None else partial(feature_term, vec.detail)
        step = partial(term_step, vec, term, optimizer=optimizer, **weights)
    return vec, train(step, [one_cycle(optimizer, orders)], rows, orders)


def train_decoder(
    rows: TensorRows, spec: Spec, vec: VEC, n_epochs: int
) -> tuple[nn.Module, dict[str, float]]:
    """Train a new decoder on the VEC's features; return it with its seconds and losses."""
    torch.manual_seed(SEED)
    decoder = to_memory_format(Decoder(spec), spec)
    discriminator = Discriminator(spec)  # which beta = 0 leaves as it is
    optimizer = Adam(decoder.parameters(), lr=LEARNING_RATE, fused=True)
    step = partial(
        decoder_step,
        vec,
        decoder,
        discriminator,
        z_prior=None,
        optimizer=optimizer,
        optimizer_disc=Adam(discriminator.parameters()),
        backward=Tensor.backward,
        beta=0.0,
        gamma=0.0,
        weights=feature_weights(vec, rows.x[:SCALE_ROWS]),
        weight_latent=1.0,
    )
    orders = epoch_orders(rows.y, n_epochs)

    def step_with_noise(x: Tensor, y: Tensor) -> Losses:
        return step(x, torch.randn(len(x), spec.latent_dim))

    return decoder, train(step_with_noise, [one_cycle(optimizer, orders)], rows, orders)


def measure(predictor: Predictor, images: Images, rows: TensorRows) -> dict[str, float]:
    """Measure code and decoder on all test images and on class-wise samples."""
    judge = judge_for(images)
    torch.manual_seed(SEED)
    real = JudgedImages(judge, images.x_test, images.y_test)
    codes, classes = class_codes(*predictor.posterior(rows.x[:CODE_ROWS]), rows.y[:CODE_ROWS])
    return {
        "test_accuracy": predictor.class_accuracy(images.x_test, images.y_test),
        "kl": float(loss_kl(*predictor.posterior(images.x_test)).mean()),
        **measure_reconstructions(predictor, judge, real),
        **measure_class_samples(JudgedImages(judge, predictor.decode(codes), classes), real),
    }


def save_vec(vec: VEC, path: Path, data: str, latent_dim: int) -> None:
    """Write encoder and classifier for compare_players.py."""
    weights = {name: tensor.contiguous() for name, tensor in vec.bare().state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, path, metadata={"data": data, "latent_dim": str(latent_dim)})


def parse_options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--term", choices=("none", "pixel", "feature", "infonce"), required=True)
    options.add_argument("--weight-kl", type=float, default=0.02)
    options.add_argument("--weight-detail", type=float, default=5.0, help="of the term; 'none' has none")
    options.add_argument("--n-epochs", type=int, default=3, help="of step 1")
    options.add_argument("--n-epochs-decoder", type=int, default=2, help="of step 2")
    options.add_argument("--latent-dim", type=int, default=100)
    options.add_argument("--data", default="mnist")
    options.add_argument("--rows", type=int, help="train on the first so many only")
    options.add_argument("--save-vec", action="store_true", help="beside the json, as .safetensors")
    options.add_argument("--out", type=Path, required=True)
    return options.parse_args()


def main() -> None:
    """Train both steps, measure, write the result."""
    options = parse_options()
    images = Images.load(options.data)
    rows = images.rows(options.rows)
    spec = images.spec(options.latent_dim)
    vec, first = train_vec(rows, spec, options)
    if options.save_vec:
        save_vec(vec, options.out.with_suffix(".safetensors"), options.data, options.latent_dim)
    decoder, second = train_decoder(rows, spec, vec, options.n_epochs_decoder)
    measures = measure(Predictor(vec, decoder), images, rows)
    write_result(options.out, options, {**measures, "step_1": first, "step_2": second})


if __name__ == "__main__":
    main()
