"""pythae's VAE, VAEGAN and AAE around our networks, trained by pythae's own trainers for so many seconds.

Settings are those of pythae's own MNIST examples where its defaults would not do; see README.md.
"""

from __future__ import annotations

import io
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from typing import Any

import torch
from ours import Trained
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEGAN, Adversarial_AE, Adversarial_AE_Config, VAEConfig, VAEGANConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseDiscriminator, BaseEncoder
from pythae.trainers import (
    AdversarialTrainer,
    AdversarialTrainerConfig,
    BaseTrainer,
    BaseTrainerConfig,
    CoupledOptimizerAdversarialTrainer,
    CoupledOptimizerAdversarialTrainerConfig,
)
from pythae.trainers.training_callbacks import TrainingCallback
from shared import BATCH, Images
from torch import Tensor, nn
from torch.nn.utils.parametrize import remove_parametrizations

from ssavae.inference.predictor import Predictor
from ssavae.networks import VEC, Decoder, Discriminator, Encoder, Spec, to_memory_format
from ssavae.preprocessing.inputs import channels_last

ENDLESS = 10**6  # epochs: the clock ends the training
LEARNING_RATE = 2e-3  # as ours; with pythae's 1e-4 every method is far behind after the same seconds


class PeerEncoder(BaseEncoder):
    """Our encoder in pythae's words."""

    def __init__(self, net: Encoder) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> ModelOutput:
        mu, logvar, _ = self.net(channels_last(x))
        return ModelOutput(embedding=mu, log_covariance=logvar)


class PeerDecoder(BaseDecoder):
    """Our decoder in pythae's words."""

    def __init__(self, net: Decoder) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.net(z))


class PeerDiscriminator(BaseDiscriminator):
    """Our discriminator in pythae's words: a probability, and hidden layers by number from 1."""

    def __init__(self, net: Discriminator) -> None:
        super().__init__()
        self.net, self.depth = net, len(net.layers) + 1  # the last one is the probability

    def forward(self, x: Tensor, output_layer_levels: list[int] | None = None) -> ModelOutput:
        output, h, wanted = ModelOutput(), channels_last(x), output_layer_levels or []
        for level, layer in enumerate(self.net.layers, start=1):
            h = layer(h)
            if level in wanted:
                output[f"embedding_layer_{level}"] = h
        if self.depth in wanted or not wanted:
            output["embedding"] = self.net.logit(h.flatten(1)).sigmoid()
            output[f"embedding_layer_{self.depth}"] = output["embedding"]
        return output


class MendedTrainer(CoupledOptimizerAdversarialTrainer):
    """pythae's trainer of VAEGAN with each player's gradient from its own loss alone.

    pythae 0.1.2 adds the discriminator's gradient to the decoder's before the decoder moves, which
    turns the sign of the decoder's adversarial term: it learns to help the discriminator.
    """

    def _optimizers_step(self, model_output: ModelOutput) -> None:
        players = [
            name
            for name in ("encoder", "decoder", "discriminator")
            if getattr(model_output, f"update_{name}")
        ]
        for name in players:
            weights = list(getattr(self.model, name).parameters())
            loss = getattr(model_output, f"{name}_loss")
            gradients = torch.autograd.grad(loss, weights, retain_graph=True)
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient
        for name in players:
            getattr(self, f"{name}_optimizer").step()


class OutOfTime(Exception):  # noqa: N818  # nothing went wrong
    """The seconds are spent: the only way to stop pythae's trainers within an epoch."""


class Clock(TrainingCallback):
    """Ends the training when the seconds are spent; keeps the losses of the last whole epoch."""

    def __init__(self, seconds: float) -> None:
        self.budget, self.seconds, self.updates = seconds, 0.0, 0
        self.losses: dict[str, float] = {}

    def on_train_begin(self, training_config: Any, **_: Any) -> None:
        self.begin = time.perf_counter()

    def on_train_step_end(self, training_config: Any, **_: Any) -> None:
        self.updates += 1
        self.seconds = time.perf_counter() - self.begin
        if self.seconds >= self.budget:
            raise OutOfTime

    def on_log(self, training_config: Any, logs: dict[str, float], **_: Any) -> None:
        self.losses = {f"loss_{name.removeprefix('train_')}": value for name, value in logs.items()}


def build_vae(spec: Spec, encoder: PeerEncoder, decoder: PeerDecoder) -> VAE:
    """With the Bernoulli likelihood, as the ordinary VAE of our parts has."""
    return VAE(VAEConfig(spec.input_shape, spec.latent_dim, reconstruction_loss="bce"), encoder, decoder)


def build_vaegan(spec: Spec, encoder: PeerEncoder, decoder: PeerDecoder) -> VAEGAN:
    """With scale and layer of pythae's own MNIST example: by default it compares the probability alone."""
    config = VAEGANConfig(
        spec.input_shape, spec.latent_dim, adversarial_loss_scale=0.8, reconstruction_layer=3
    )
    return VAEGAN(
        config, encoder, decoder, PeerDiscriminator(to_memory_format(unbound(Discriminator(spec)), spec))
    )


def unbound(discriminator: Discriminator) -> Discriminator:
    """Take the spectral norm off: features that it keeps small weigh nothing beside VAEGAN's KL."""
    for layer in (*(layer.linear for layer in discriminator.layers), discriminator.logit):
        remove_parametrizations(layer, "weight", leave_parametrized=False)
    return discriminator


def build_aae(spec: Spec, encoder: PeerEncoder, decoder: PeerDecoder) -> Adversarial_AE:
    """With a deterministic encoder, as in Makhzani 2015, and pythae's own discriminator of codes."""
    config = Adversarial_AE_Config(
        spec.input_shape, spec.latent_dim, reconstruction_loss="bce", deterministic_posterior=True
    )
    return Adversarial_AE(config, encoder, decoder)


@dataclass(frozen=True)
class Recipe:
    """How a method is built and trained; ``players`` begin the names of pythae's options of optimisers."""

    build: Callable[[Spec, PeerEncoder, PeerDecoder], VAE]
    trainer: type[BaseTrainer]
    config: type[BaseTrainerConfig]
    players: tuple[str, ...]

    def options(self, folder: str, seed: int) -> BaseTrainerConfig:
        """Return pythae's options: batches as ours, and Adam fused as ours, which saves time alone."""
        rates = {f"{player}learning_rate": LEARNING_RATE for player in self.players}
        fused = {f"{player}optimizer_params": {"fused": True} for player in self.players}
        run = {"output_dir": folder, "num_epochs": ENDLESS, "no_cuda": True, "seed": seed}
        return self.config(per_device_train_batch_size=BATCH, **run, **rates, **fused)


_VAEGAN = CoupledOptimizerAdversarialTrainerConfig, ("encoder_", "decoder_", "discriminator_")
_AAE = AdversarialTrainerConfig, ("autoencoder_", "discriminator_")
RECIPES = {
    "pythae_vae": Recipe(build_vae, BaseTrainer, BaseTrainerConfig, ("",)),
    "pythae_vaegan": Recipe(build_vaegan, CoupledOptimizerAdversarialTrainer, *_VAEGAN),
    "pythae_vaegan_mended": Recipe(build_vaegan, MendedTrainer, *_VAEGAN),
    "pythae_aae": Recipe(build_aae, AdversarialTrainer, *_AAE),
}


def train_peer(name: str, images: Images, latent_dim: int, seconds: float, seed: int) -> Trained:
    """Train one of ``RECIPES``; the last weights are taken, as of the other methods."""
    recipe, clock = RECIPES[name], Clock(seconds)
    torch.manual_seed(seed)
    spec = images.spec(latent_dim)
    encoder, decoder = to_memory_format(Encoder(spec), spec), to_memory_format(Decoder(spec), spec)
    model = recipe.build(spec, PeerEncoder(encoder), PeerDecoder(decoder))
    data = BaseDataset(images.x, torch.zeros(len(images.x)))
    with tempfile.TemporaryDirectory() as folder, quiet():
        trainer = recipe.trainer(model, data, training_config=recipe.options(folder, seed), callbacks=[clock])
        with suppress(OutOfTime):
            trainer.train()
    predictor = Predictor(VEC(encoder, nn.Identity()), decoder)
    return Trained(predictor, clock.updates, clock.seconds, clock.losses, stochastic=name != "pythae_aae")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pythae from reporting every epoch; its bars go to stderr, whatever is asked of it."""
    logging.disable(logging.INFO)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
