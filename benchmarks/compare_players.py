"""Discriminators of Algorithm 2, each against a new decoder on the same VEC.

    python benchmarks/compare_detail.py --term pixel --save-vec --out benchmarks/cache/pixel.json
    python benchmarks/compare_players.py --vec benchmarks/cache/pixel.safetensors --norm none \
        --out benchmarks/results/players_none.json

Loss "ns" is the library's (non-saturating); --smooth is its target for real images. R1 is the
gradient penalty of the discriminator at real images, in every fourth batch. Codes "aggregate" are
drawn from the posterior of a random training row; the library draws them from the prior.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
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
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.utils.parametrize import remove_parametrizations
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from ssavae.algorithms import Losses, feature_weights, frozen, latent_weight, update
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
from ssavae.training.stage import one_cycle
from ssavae.training.steps import ADVERSARIAL_BETAS

LEARNING_RATE = 2e-3  # the decoder's
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
    n_updates: int = 0

    @classmethod
    def build(cls, spec: Spec, norm: str, learning_rate_disc: float) -> Players:
        """Build new networks."""
        decoder = to_memory_format(Decoder(spec), spec)
        discriminator = discriminator_with(norm, spec)
        optimizer = Adam(decoder.parameters(), LEARNING_RATE, ADVERSARIAL_BETAS, fused=True)
        optimizer_disc = Adam(discriminator.parameters(), learning_rate_disc, ADVERSARIAL_BETAS, fused=True)
        return cls(decoder, discriminator, optimizer, optimizer_disc)


@dataclass(frozen=True)
class Objective:
    """Losses of both players and their weights."""

    loss: str
    smooth: float
    r1: float
    beta: float
    gamma: float
    weights: tuple[float, ...]
    weight_latent: float


def discriminator_with(norm: str, spec: Spec) -> Discriminator:
    """Build the library's discriminator, with another norm if ``norm`` is not "spectral"."""
    discriminator = Discriminator(spec)
    if norm != "spectral":
        remove_spectral_norm(discriminator)
    if norm == "batch":
        widths = spec.widths or default_widths(spec.input_shape)
        for layer, width in zip(discriminator.layers, widths, strict=True):
            layer.norm = nn.BatchNorm2d(width)
    return to_memory_format(discriminator, spec)


def remove_spectral_norm(discriminator: Discriminator) -> None:
    """Turn the weights of all layers into plain parameters."""
    for layer in discriminator.layers:
        remove_parametrizations(layer.get_submodule("linear"), "weight")
    remove_parametrizations(discriminator.logit, "weight")


def decoder_loss(loss: str, discriminator: nn.Module, x: Tensor, decoded: Tensor) -> Tensor:
    """Return the decoder's adversarial loss, one value per decoded row."""
    logits = discriminator(decoded)
    if loss == "hinge":
        return -logits
    if loss == "relativistic":
        return F.softplus(discriminator(x).repeat(2) - logits)
    return loss_adv(logits)


def discriminator_loss(objective: Objective, real: Tensor, rec: Tensor, gen: Tensor) -> Tensor:
    """Return the discriminator's loss from its logits, one value per row."""
    if objective.loss == "hinge":
        return F.relu(1 - real) + 0.5 * (F.relu(1 + rec) + F.relu(1 + gen))
    if objective.loss == "relativistic":
        return 0.5 * (F.softplus(rec - real) + F.softplus(gen - real))
    # CE(D(x), s) = CE(D(x), 1) + (1 - s) D(x)
    return loss_disc(real, rec, gen) + (1 - objective.smooth) * real


def players_step(
    vec: VEC, players: Players, draw: DrawCodes, objective: Objective, x: Tensor, y: Tensor
) -> Losses:
    """Take one step of Algorithm 2 with other discriminators, losses and codes."""
    players.decoder.train()
    players.discriminator.train()
    with frozen(vec):
        losses, decoded = update_decoder(vec, players, x, draw, objective)
    if objective.beta:
        losses["loss_disc"] = update_discriminator(players, x, decoded, objective)
    players.n_updates += 1
    return {name: loss.detach() for name, loss in losses.items()}


def update_decoder(
    vec: VEC, players: Players, x: Tensor, draw: DrawCodes, objective: Objective
) -> tuple[Losses, Tensor]:
    """Update the decoder; return its losses and the decoded rows, x_rec then x_gen."""
    with torch.no_grad():
        mu, logvar, features = vec.encoder(x)
        codes = torch.cat([reparameterize(mu, logvar, torch.randn_like(mu)), draw(len(x))])
    with frozen(players.discriminator):
        decoded = players.decoder(codes)
        mu_rec, _, features_rec = vec.encoder(decoded if objective.gamma else decoded[: len(x)])
        features_rec = tuple(h[: len(x)] for h in features_rec)
        losses = {"loss_rec": loss_rec(features, features_rec, objective.weights).mean()}
        total = losses["loss_rec"]
        if objective.beta:
            losses["loss_adv"] = decoder_loss(objective.loss, players.discriminator, x, decoded).mean()
            total = total + objective.beta * losses["loss_adv"]
        if objective.gamma:
            losses["loss_latent"] = loss_latent(codes, mu_rec, objective.weight_latent).mean()
            total = total + objective.gamma * losses["loss_latent"]
        update(total, players.optimizer, Tensor.backward)
    return losses, decoded.detach()


def update_discriminator(players: Players, x: Tensor, decoded: Tensor, objective: Objective) -> Tensor:
    """Update the discriminator, every fourth time with R1; return its loss without R1."""
    is_penalized = objective.r1 > 0 and players.n_updates % R1_EVERY == 0
    x = x.clone().requires_grad_(is_penalized)
    logits = players.discriminator(torch.cat([x, decoded])).chunk(3)
    loss = discriminator_loss(objective, *logits).mean()
    total = loss
    if is_penalized:
        (gradient,) = torch.autograd.grad(logits[0].sum(), x, create_graph=True)
        total = loss + R1_EVERY * objective.r1 / 2 * gradient.square().flatten(1).sum(dim=1).mean()
    update(total, players.optimizer_disc, Tensor.backward)
    return loss


def load_vec(path: Path) -> tuple[VEC, Spec, Images]:
    """Read a VEC that compare_detail.py --save-vec wrote."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    images = Images.load(metadata["data"])
    spec = images.spec(int(metadata["latent_dim"]))
    vec = build_vec(spec, with_detail=False)
    vec.load_state_dict(weights)
    return vec.eval(), spec, images


def code_source(codes: str, mu: Tensor, logvar: Tensor) -> DrawCodes:
    """Return the function that draws the codes of generated rows."""

    def aggregate(n: int) -> Tensor:
        rows = torch.randint(len(mu), (n,))
        return reparameterize(mu[rows], logvar[rows], torch.randn_like(mu[rows]))

    def prior(n: int) -> Tensor:
        return torch.randn(n, mu.shape[1])

    return aggregate if codes == "aggregate" else prior


def engine_schedule(optimizer: Adam, orders: list[np.ndarray]) -> LambdaLR:
    """Return the library's schedule of the learning rate."""
    n_steps = sum(map(len, orders))
    return LambdaLR(optimizer, lambda i: one_cycle((i + 1) / n_steps))


def measure(predictor: Predictor, images: Images, codes: Tensor, classes: np.ndarray) -> dict[str, float]:
    """Measure a decoder: reconstructions, samples by class, those that the VEC accepts, the prior."""
    judge = judge_for(images)
    real = JudgedImages(judge, images.x_test[:N_MEASURED], images.y_test[:N_MEASURED])
    samples = JudgedImages(judge, predictor.decode(codes), classes)
    is_accepted = predictor.logits(samples.x).argmax(dim=1).numpy() == classes
    from_prior = JudgedImages(judge, predictor.decode(torch.randn(N_MEASURED, codes.shape[1])))
    return {
        **measure_reconstructions(predictor, judge, real),
        **measure_class_samples(samples, real),
        "kept": float(is_accepted.mean()),
        "agreement_kept": samples.agreement(is_accepted),
        "frechet_prior_samples": from_prior.distance(real),
        "prior_confidence": from_prior.confidence(),
    }


def parse_options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--vec", type=Path, required=True, help="a file of compare_detail.py --save-vec")
    options.add_argument("--norm", choices=("spectral", "batch", "none"), default="spectral")
    options.add_argument("--loss", choices=("ns", "hinge", "relativistic"), default="ns")
    options.add_argument("--smooth", type=float, default=1.0, help="e.g. 0.9; with --loss ns only")
    options.add_argument("--r1", type=float, default=0.0, help="weight of the penalty")
    options.add_argument("--beta", type=float, default=0.01)
    options.add_argument("--gamma", type=float, default=0.1)
    options.add_argument("--learning-rate-disc", type=float, default=5e-4)
    options.add_argument("--codes", choices=("prior", "aggregate"), default="prior")
    options.add_argument("--n-epochs", type=int, default=2)
    options.add_argument("--rows", type=int, default=20_000, help="random rows in each epoch")
    options.add_argument("--out", type=Path, required=True)
    parsed = options.parse_args()
    if parsed.smooth != 1.0 and parsed.loss != "ns":
        options.error("--smooth goes with --loss ns only")
    return parsed


def main() -> None:
    """Train step 2 on a fixed VEC, measure, write the result."""
    options = parse_options()
    vec, spec, images = load_vec(options.vec)
    torch.manual_seed(SEED)
    players = Players.build(spec, options.norm, options.learning_rate_disc)
    rows = images.rows()
    predictor = Predictor(vec, players.decoder)
    mu, logvar = predictor.posterior(images.x)
    objective = Objective(
        loss=options.loss,
        smooth=options.smooth,
        r1=options.r1,
        beta=options.beta,
        gamma=options.gamma,
        weights=feature_weights(vec, images.x[:SCALE_ROWS]),
        weight_latent=latent_weight(mu),
    )
    orders = epoch_orders(rows.y, options.n_epochs, options.rows)
    schedules = [engine_schedule(players.optimizer, orders)]
    if options.beta:
        schedules.append(engine_schedule(players.optimizer_disc, orders))
    step = partial(players_step, vec, players, code_source(options.codes, mu, logvar), objective)
    losses = train(step, schedules, rows, orders)

    torch.manual_seed(SEED)
    measures = measure(predictor, images, *class_codes(mu, logvar, images.y))
    write_result(options.out, options, {"data": images.name, **measures, "step_2": losses})


if __name__ == "__main__":
    main()
