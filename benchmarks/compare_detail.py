"""What keeps detail in the code: Algorithm 1 with one of four terms, then a decoder on features alone.

    python benchmarks/compare_detail.py --term pixel --out benchmarks/results/detail_pixel.json

Step 2 has neither adversary nor loss_latent (beta = gamma = 0) and a fresh decoder, so that what it
can draw is what the code holds:

- none: the plain reading, cross-entropy and KL;
- pixel: the share of the variance of x that an auxiliary decoder misses, what the library does;
- feature: the same share of the hidden layer h_2, which a head on z misses;
- infonce: from which x of the batch a code was drawn.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measured import (
    SCALE_ROWS,
    SEED,
    Images,
    Seen,
    class_codes,
    judge_of,
    measure_class_samples,
    measure_reconstructions,
    orders,
    train,
    write_result,
)
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR

from ssavae.algorithms import Batches, Losses, feature_weights, frozen, step, train_decoder, train_vec
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
from ssavae.training.stages import measured_variance

LEARNING_RATE = 2e-3
VARIANCE_ROWS = 5000  # rows that the variance in loss_detail is measured on
CODE_ROWS = 20_000  # training rows whose codes the class-wise Gaussians are fitted to
LAYER = 1  # the hidden layer h_2 of the feature term
Term = Callable[[Encoding, Tensor], Tensor]


def train_with(
    vec: VEC, batches: Batches, optimizer: Adam, term: Term, *, weight_kl: float, weight_detail: float
) -> Iterator[Losses]:
    """Algorithm 1 with another term in the place of loss_detail; every row has its label."""
    vec.train()
    for x, y in batches:
        encoding = vec.encoder(x)
        z = reparameterize(encoding.mu, encoding.logvar)
        losses = {
            "loss_class": loss_class(vec.classifier(z), y).mean(),
            "loss_kl": loss_kl(encoding.mu, encoding.logvar).mean(),
            "loss_term": term(encoding, z),
        }
        total = losses["loss_class"] + weight_kl * losses["loss_kl"] + weight_detail * losses["loss_term"]
        step(total, optimizer, Tensor.backward)
        yield {name: loss.detach() for name, loss in losses.items()}


def feature_head(vec: VEC, x: Tensor, latent_dim: int) -> nn.Module:
    """Make what reads the hidden layer h_2 back from z."""
    with frozen(vec), torch.no_grad():
        size = vec.encoder(x).features[LAYER][0].numel()
    return nn.Sequential(
        nn.Linear(latent_dim, 512), nn.BatchNorm1d(512), nn.LeakyReLU(SLOPE), nn.Linear(512, size)
    )


def feature_term(head: nn.Module, encoding: Encoding, z: Tensor) -> Tensor:
    """Share of the variance of h_2 that the head misses; h_2 itself is not pulled towards it."""
    h = encoding.features[LAYER].detach().flatten(1)
    return loss_detail(h, head(z), variance=float(h.var(dim=0).mean())).mean()


def infonce_term(encoding: Encoding, z: Tensor) -> Tensor:
    """InfoNCE: cross-entropy of finding the x that z was drawn from among those of the batch, by q(z|x)."""
    mu, logvar, _ = encoding
    squares = (z[:, None] - mu[None]).square() * (-logvar[None]).exp()
    return cross_entropy(-0.5 * (squares + logvar[None]).sum(dim=2), torch.arange(len(z)))


def one_cycle(optimizer: Adam, epochs: list[np.ndarray]) -> OneCycleLR:
    """Let the learning rate rise over a fifth of the batches, then fall."""
    return OneCycleLR(optimizer, LEARNING_RATE, total_steps=sum(map(len, epochs)), pct_start=0.2)


def step_1(
    rows: TensorRows, spec: Spec, term: str, n_epochs: int, weight_kl: float, weight_detail: float
) -> tuple[VEC, dict[str, float]]:
    """Train a VEC with a term; return it with its seconds and losses."""
    torch.manual_seed(SEED)
    vec = build_vec(spec, with_detail=term == "pixel")
    if term == "feature":
        vec.detail = feature_head(vec, rows.x[:2], spec.latent_dim)
    optimizer = Adam(vec.parameters(), lr=LEARNING_RATE, fused=True)
    weights = {"weight_kl": weight_kl, "weight_detail": 0.0 if term == "none" else weight_detail}

    def algorithm(batches: Batches) -> Iterator[Losses]:
        if term in ("none", "pixel"):
            variance = measured_variance(rows.x[:VARIANCE_ROWS])
            return train_vec(vec, batches, optimizer, Tensor.backward, variance=variance, **weights)
        other = infonce_term if vec.detail is None else partial(feature_term, vec.detail)
        return train_with(vec, batches, optimizer, other, **weights)

    epochs = orders(rows.y, n_epochs)
    return vec, train(algorithm, [one_cycle(optimizer, epochs).step], rows, epochs)


def step_2(rows: TensorRows, spec: Spec, vec: VEC, n_epochs: int) -> tuple[Decoder, dict[str, float]]:
    """Train a fresh decoder on the VEC's features; return it with its seconds and losses."""
    torch.manual_seed(SEED)
    decoder, resting = to_memory_format(Decoder(spec), spec), Discriminator(spec)
    optimizer = Adam(decoder.parameters(), lr=LEARNING_RATE, fused=True)
    idle = Adam(resting.parameters())
    weights = feature_weights(vec, rows.x[:SCALE_ROWS])

    def algorithm(batches: Batches) -> Iterator[Losses]:
        players = (vec, decoder, resting, batches, optimizer, idle, Tensor.backward)
        return train_decoder(*players, beta=0.0, gamma=0.0, weights=weights, weight_latent=1.0)

    epochs = orders(rows.y, n_epochs)
    return decoder, train(algorithm, [one_cycle(optimizer, epochs).step], rows, epochs)


def measure(predictor: Predictor, images: Images, rows: TensorRows) -> dict[str, float]:
    """Measure code and decoder on all test images and on class-wise samples."""
    judge = judge_of(images)
    torch.manual_seed(SEED)
    real = Seen(judge, images.x_test, images.y_test)
    posterior = predictor.posterior(rows.x[:CODE_ROWS])
    codes, wanted = class_codes(*posterior, rows.y[:CODE_ROWS])
    return {
        "test_accuracy": predictor.class_accuracy(images.x_test, images.y_test),
        "kl": float(loss_kl(*predictor.posterior(images.x_test)).mean()),
        **measure_reconstructions(predictor, judge, real),
        **measure_class_samples(Seen(judge, predictor.decode(codes), wanted), real),
    }


def save_vec(vec: VEC, path: Path, data: str, latent_dim: int) -> None:
    """Write encoder and classifier, for compare_players.py; what kept the detail is left out."""
    weights = {name: t.contiguous() for name, t in vec.state_dict().items() if not name.startswith("detail.")}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, path, metadata={"data": data, "latent_dim": str(latent_dim)})


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--term", choices=("none", "pixel", "feature", "infonce"), required=True)
    parser.add_argument("--weight-kl", type=float, default=0.02)
    parser.add_argument("--weight-detail", type=float, default=5.0, help="of the term; 'none' has none")
    parser.add_argument("--n-epochs", type=int, default=3, help="of step 1")
    parser.add_argument("--n-epochs-decoder", type=int, default=2, help="of step 2")
    parser.add_argument("--latent-dim", type=int, default=100)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--rows", type=int, help="train on the first so many only")
    parser.add_argument("--save-vec", action="store_true", help="beside the json, as .safetensors")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    """Train both steps, measure, write the result."""
    options = parsed()
    images = Images.load(options.data)
    rows, spec = images.rows(options.rows), images.spec(options.latent_dim)
    vec, first = step_1(rows, spec, options.term, options.n_epochs, options.weight_kl, options.weight_detail)
    if options.save_vec:
        save_vec(vec, options.out.with_suffix(".safetensors"), options.data, options.latent_dim)
    decoder, second = step_2(rows, spec, vec, options.n_epochs_decoder)
    found = measure(Predictor(vec, decoder), images, rows)
    write_result(options.out, vars(options), {**found, "step_1": first, "step_2": second})


if __name__ == "__main__":
    main()
