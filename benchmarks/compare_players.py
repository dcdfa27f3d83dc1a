"""Discriminators of Algorithm 2, each against a fresh decoder on the same VEC.

    python benchmarks/compare_detail.py --term pixel --save-vec --out benchmarks/cache/pixel.json
    python benchmarks/compare_players.py --vec benchmarks/cache/pixel.safetensors --norm none \
        --out benchmarks/results/players_none.json

Loss "ns" is the library's (non-saturating); --smooth is its target for real images.  R1 is the
penalty on the discriminator's slope at real images, every fourth batch.  Codes "aggregate" are
drawn from the posterior of a random training row where the library draws them from the prior.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
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
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.utils.parametrize import remove_parametrizations
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from ssavae.algorithms import Batches, Losses, feature_weights, frozen, latent_weight, step
from ssavae.inference.predictor import Predictor
from ssavae.losses import loss_adv, loss_disc, loss_latent, loss_rec
from ssavae.networks import (
    VEC,
    Decoder,
    Discriminator,
    Spec,
    build_vec,
    default_widths,
    reparameterize,
    to_memory_format,
)
from ssavae.training.loop import one_cycle

LEARNING_RATE = 2e-3  # the decoder's
BETAS = (0.5, 0.99)
R1_EVERY = 4  # batches
N_MEASURED = 3000  # test images, and samples of the prior
DrawCodes = Callable[[int], Tensor]


@dataclass
class Players:
    """Decoder and discriminator with their optimisers."""

    decoder: Decoder
    discriminator: Discriminator
    optimizer: Adam
    optimizer_disc: Adam


@dataclass(frozen=True)
class Rules:
    """What the players are trained for."""

    loss: str
    smooth: float
    r1: float
    beta: float
    gamma: float
    weights: tuple[float, ...]
    weight_latent: float


def discriminator_with(norm: str, spec: Spec) -> Discriminator:
    """Make the library's discriminator, with another norm where one is named."""
    discriminator = Discriminator(spec)
    if norm != "spectral":
        for linear in [
            *(layer.get_submodule("linear") for layer in discriminator.layers),
            discriminator.logit,
        ]:
            remove_parametrizations(linear, "weight")
    if norm == "batch":
        widths = spec.widths or default_widths(spec.input_shape)
        for layer, width in zip(discriminator.layers, widths, strict=True):
            layer.norm = nn.BatchNorm2d(width)
    return to_memory_format(discriminator, spec)


def decoders_loss(loss: str, discriminator: nn.Module, x: Tensor, decoded: Tensor) -> Tensor:
    """What the decoder minimises against the discriminator, one value per decoded row."""
    logits = discriminator(decoded)
    if loss == "hinge":
        return -logits
    if loss == "relativistic":
        return F.softplus(discriminator(x).repeat(2) - logits)
    return loss_adv(logits)


def discriminators_loss(rules: Rules, real: Tensor, rec: Tensor, gen: Tensor) -> Tensor:
    """What the discriminator minimises, from its logits, one value per row."""
    if rules.loss == "hinge":
        return F.relu(1 - real) + 0.5 * (F.relu(1 + rec) + F.relu(1 + gen))
    if rules.loss == "relativistic":
        return 0.5 * (F.softplus(rec - real) + F.softplus(gen - real))
    # CE(D(x), s) = CE(D(x), 1) + (1 - s) D(x)
    return loss_disc(real, rec, gen) + (1 - rules.smooth) * real


def train_players(
    vec: VEC, players: Players, batches: Batches, draw: DrawCodes, rules: Rules
) -> Iterator[Losses]:
    """Algorithm 2 with other discriminators, losses and codes."""
    players.decoder.train()
    players.discriminator.train()
    for i, (x, _) in enumerate(batches):
        with frozen(vec):
            losses, decoded = play_decoder(vec, players, x, draw, rules)
        if rules.beta:
            losses["loss_disc"] = play_discriminator(players, x, decoded, rules, i % R1_EVERY == 0)
        yield {name: loss.detach() for name, loss in losses.items()}


def play_decoder(
    vec: VEC, players: Players, x: Tensor, draw: DrawCodes, rules: Rules
) -> tuple[Losses, Tensor]:
    """One update of the decoder; return its losses and what it decoded, x_rec then x_gen."""
    with torch.no_grad():
        mu, logvar, features = vec.encoder(x)
        codes = torch.cat([reparameterize(mu, logvar), draw(len(x))])
    with frozen(players.discriminator):
        decoded = players.decoder(codes)
        mu_rec, _, features_rec = vec.encoder(decoded if rules.gamma else decoded[: len(x)])
        features_rec = tuple(h[: len(x)] for h in features_rec)
        losses = {"loss_rec": loss_rec(features, features_rec, rules.weights).mean()}
        total = losses["loss_rec"]
        if rules.beta:
            losses["loss_adv"] = decoders_loss(rules.loss, players.discriminator, x, decoded).mean()
            total = total + rules.beta * losses["loss_adv"]
        if rules.gamma:
            losses["loss_latent"] = loss_latent(codes, mu_rec, rules.weight_latent).mean()
            total = total + rules.gamma * losses["loss_latent"]
        step(total, players.optimizer, Tensor.backward)
    return losses, decoded.detach()


def play_discriminator(players: Players, x: Tensor, decoded: Tensor, rules: Rules, penalised: bool) -> Tensor:
    """One update of the discriminator, with R1 where it is this batch's turn; return its loss without R1."""
    penalised = penalised and rules.r1 > 0
    x = x.clone().requires_grad_(penalised)
    logits = players.discriminator(torch.cat([x, decoded])).chunk(3)
    loss = total = discriminators_loss(rules, *logits).mean()
    if penalised:
        (slope,) = torch.autograd.grad(logits[0].sum(), x, create_graph=True)
        total = loss + R1_EVERY * rules.r1 / 2 * slope.square().flatten(1).sum(dim=1).mean()
    step(total, players.optimizer_disc, Tensor.backward)
    return loss


def load_vec(path: Path) -> tuple[VEC, Spec, Images]:
    """Read what compare_detail.py --save-vec wrote."""
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    images = Images.load(about["data"])
    spec = images.spec(int(about["latent_dim"]))
    vec = build_vec(spec, with_detail=False)
    vec.load_state_dict(weights)
    return vec.eval(), spec, images


def new_players(spec: Spec, norm: str, learning_rate_disc: float) -> Players:
    """Make both players afresh."""
    decoder, discriminator = to_memory_format(Decoder(spec), spec), discriminator_with(norm, spec)
    optimizer = Adam(decoder.parameters(), LEARNING_RATE, BETAS, fused=True)
    optimizer_disc = Adam(discriminator.parameters(), learning_rate_disc, BETAS, fused=True)
    return Players(decoder, discriminator, optimizer, optimizer_disc)


def drawing(codes: str, mu: Tensor, logvar: Tensor) -> DrawCodes:
    """Say where the codes of generated rows come from."""

    def aggregate(n: int) -> Tensor:
        rows = torch.randint(len(mu), (n,))
        return reparameterize(mu[rows], logvar[rows])

    return aggregate if codes == "aggregate" else lambda n: torch.randn(n, mu.shape[1])


def course(optimizer: Adam, epochs: list[np.ndarray]) -> LambdaLR:
    """Set the engine's course of the learning rate."""
    n_steps = sum(map(len, epochs))
    return LambdaLR(optimizer, lambda i: one_cycle((i + 1) / n_steps))


def measure(predictor: Predictor, images: Images, codes: Tensor, wanted: np.ndarray) -> dict[str, float]:
    """Measure a decoder: reconstructions, samples by class, those that the VEC reads right, the prior."""
    judge = judge_of(images)
    real = Seen(judge, images.x_test[:N_MEASURED], images.y_test[:N_MEASURED])
    made = Seen(judge, predictor.decode(codes), wanted)
    kept = predictor.logits(made.x).argmax(dim=1).numpy() == wanted
    by_prior = Seen(judge, predictor.decode(torch.randn(N_MEASURED, codes.shape[1])))
    return {
        **measure_reconstructions(predictor, judge, real),
        **measure_class_samples(made, real),
        "kept": float(kept.mean()),
        "agreement_kept": made.agreement(kept),
        "frechet_prior_samples": by_prior.distance(real),
        "prior_confidence": by_prior.confidence(),
    }


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vec", type=Path, required=True, help="what compare_detail.py --save-vec wrote")
    parser.add_argument("--norm", choices=("spectral", "batch", "none"), default="spectral")
    parser.add_argument("--loss", choices=("ns", "hinge", "relativistic"), default="ns")
    parser.add_argument("--smooth", type=float, default=1.0, help="e.g. 0.9; with --loss ns only")
    parser.add_argument("--r1", type=float, default=0.0, help="weight of the penalty")
    parser.add_argument("--beta", type=float, default=0.01)
    parser.add_argument("--gamma", type=float, default=0.1)
    parser.add_argument("--learning-rate-disc", type=float, default=5e-4)
    parser.add_argument("--codes", choices=("prior", "aggregate"), default="prior")
    parser.add_argument("--n-epochs", type=int, default=2)
    parser.add_argument("--rows", type=int, default=20_000, help="of an epoch, other ones each time")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.smooth != 1.0 and options.loss != "ns":
        parser.error("--smooth goes with --loss ns only")
    return options


def main() -> None:
    """Train step 2 on a fixed VEC, measure, write the result."""
    options = parsed()
    vec, spec, images = load_vec(options.vec)
    torch.manual_seed(SEED)
    players, rows = new_players(spec, options.norm, options.learning_rate_disc), images.rows()
    predictor = Predictor(vec, players.decoder)
    mu, logvar = predictor.posterior(images.x)
    draw = drawing(options.codes, mu, logvar)
    weights = feature_weights(vec, images.x[:SCALE_ROWS])
    weighing = options.beta, options.gamma, weights, latent_weight(mu)
    rules = Rules(options.loss, options.smooth, options.r1, *weighing)
    epochs = orders(rows.y, options.n_epochs, options.rows)
    moving = [players.optimizer, players.optimizer_disc][: 2 if options.beta else 1]
    advance = [course(optimizer, epochs).step for optimizer in moving]
    trained = train(lambda batches: train_players(vec, players, batches, draw, rules), advance, rows, epochs)

    torch.manual_seed(SEED)
    found = measure(predictor, images, *class_codes(mu, logvar, images.y))
    write_result(options.out, vars(options), {"data": images.name, **found, "step_2": trained})


if __name__ == "__main__":
    main()
