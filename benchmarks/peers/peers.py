"""pythae's VAE, VAEGAN and AAE with our networks, trained by pythae's own trainers for so many seconds.

Settings are pythae's defaults, or those of its MNIST examples where the defaults fail; see README.md.
"""

from __future__ import annotations

import io
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass

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
from ssavae.preprocessing.tensors import channels_last

MAX_EPOCHS = 10**6  # never reached: the time limit ends the training
LEARNING_RATE = 2e-3  # as ours; with pythae's 1e-4 every method is much worse after the same seconds


class PeerEncoder(BaseEncoder):
    """Our encoder with pythae's interface."""

    def __init__(self, net: Encoder) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> ModelOutput:
        mu, logvar, _ = self.net(channels_last(x))
        return ModelOutput(embedding=mu, log_covariance=logvar)


class PeerDecoder(BaseDecoder):
    """Our decoder with pythae's interface."""

    def __init__(self, net: Decoder) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.net(z))


class PeerDiscriminator(BaseDiscriminator):
    """Our discriminator with pythae's interface: a probability, and hidden layers numbered from 1."""

    def __init__(self, net: Discriminator) -> None:
        super().__init__()
        self.net = net
        self.depth = len(net.layers) + 1  # the last one is the probability

    def forward(self, x: Tensor, output_layer_levels: list[int] | None = None) -> ModelOutput:
        output = ModelOutput()
        levels = output_layer_levels or [self.depth]
        h = channels_last(x)
        for level, layer in enumerate(self.net.layers, start=1):
            h = layer(h)
            if level in levels:
                output[f"embedding_layer_{level}"] = h
        if self.depth in levels:
            output["embedding"] = self.net.logit(h.flatten(1)).sigmoid()
            output[f"embedding_layer_{self.depth}"] = output["embedding"]
        return output


class CorrectedTrainer(CoupledOptimizerAdversarialTrainer):
    """pythae's trainer of VAEGAN, corrected: each player gets the gradient of its own loss alone.

    pythae 0.1.2 adds the discriminator's gradient to the decoder's before the decoder's step, which
    changes the sign of the decoder's adversarial term: it learns to help the discriminator.
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


class TimeIsUp(Exception):  # noqa: N818  # not an error
    """The end of the seconds: the only way to stop pythae's trainers within an epoch."""


class TimeLimit(TrainingCallback):
    """Ends the training after so many seconds; records the losses of the last whole epoch."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.seconds = 0.0
        self.updates = 0
        self.losses: dict[str, float] = {}

    def on_train_begin(self, training_config: BaseTrainerConfig, **_: object) -> None:
        self.begin = time.perf_counter()

    def on_train_step_end(self, training_config: BaseTrainerConfig, **_: object) -> None:
        self.updates += 1
        self.seconds = time.perf_counter() - self.begin
        if self.seconds >= self.limit:
            raise TimeIsUp

    def on_log(self, training_config: BaseTrainerConfig, logs: dict[str, float], **_: object) -> None:
        self.losses = {f"loss_{name.removeprefix('train_')}": value for name, value in logs.items()}


def build_vae(spec: Spec, encoder: PeerEncoder, decoder: PeerDecoder) -> VAE:
    """Build a VAE with the Bernoulli likelihood, as our ordinary VAE has."""
    return VAE(VAEConfig(spec.input_shape, spec.latent_dim, reconstruction_loss="bce"), encoder, decoder)


def build_vaegan(spec: Spec, encoder: PeerEncoder, decoder: PeerDecoder) -> VAEGAN:
    """Build a VAEGAN with scale and layer of pythae's MNIST example; by default it compares probabilities."""
    config = VAEGANConfig(
        spec.input_shape, spec.latent_dim, adversarial_loss_scale=0.8, reconstruction_layer=3
    )
    discriminator = to_memory_format(without_spectral_norm(Discriminator(spec)), spec)
    return VAEGAN(config, encoder, decoder, PeerDiscriminator(discriminator))


def without_spectral_norm(discriminator: Discriminator) -> Discriminator:
    """Remove the spectral norm: its small features would count for nothing beside VAEGAN's KL."""
    for layer in (*(layer.get_submodule("linear") for layer in discriminator.layers), discriminator.logit):
        remove_parametrizations(layer, "weight", leave_parametrized=False)
    return discriminator


def build_aae(spec: Spec, encoder: PeerEncoder, decoder: PeerDecoder) -> Adversarial_AE:
    """Build an AAE with a deterministic encoder (Makhzani 2015) and pythae's own discriminator of codes."""
    config = Adversarial_AE_Config(
        spec.input_shape, spec.latent_dim, reconstruction_loss="bce", deterministic_posterior=True
    )
    return Adversarial_AE(config, encoder, decoder)


@dataclass(frozen=True)
class Recipe:
    """Model, trainer and options of a method.

    ``players`` are the prefixes of the names of pythae's optimiser options.
    """

    build: Callable[[Spec, PeerEncoder, PeerDecoder], VAE]
    trainer: type[BaseTrainer]
    config: type[BaseTrainerConfig]
    players: tuple[str, ...]

    def options(self, folder: str, seed: int) -> BaseTrainerConfig:
        """Return pythae's options: our batch size, and the fused Adam, which only saves time."""
        rates = {f"{player}learning_rate": LEARNING_RATE for player in self.players}
        fused = {f"{player}optimizer_params": {"fused": True} for player in self.players}
        run = {"output_dir": folder, "num_epochs": MAX_EPOCHS, "no_cuda": True, "seed": seed}
        return self.config(per_device_train_batch_size=BATCH, **run, **rates, **fused)


VAEGAN_PLAYERS = ("encoder_", "decoder_", "discriminator_")
AAE_PLAYERS = ("autoencoder_", "discriminator_")
RECIPES = {
    "pythae_vae": Recipe(build_vae, BaseTrainer, BaseTrainerConfig, ("",)),
    "pythae_vaegan": Recipe(
        build_vaegan,
        CoupledOptimizerAdversarialTrainer,
        CoupledOptimizerAdversarialTrainerConfig,
        VAEGAN_PLAYERS,
    ),
    "pythae_vaegan_mended": Recipe(
        build_vaegan, CorrectedTrainer, CoupledOptimizerAdversarialTrainerConfig, VAEGAN_PLAYERS
    ),
    "pythae_aae": Recipe(build_aae, AdversarialTrainer, AdversarialTrainerConfig, AAE_PLAYERS),
}


def train_peer(name: str, images: Images, latent_dim: int, seconds: float, seed: int) -> Trained:
    """Train one of ``RECIPES``, and return its last weights, as for the other methods."""
    recipe = RECIPES[name]
    time_limit = TimeLimit(seconds)
    torch.manual_seed(seed)
    spec = images.spec(latent_dim)
    encoder = to_memory_format(Encoder(spec), spec)
    decoder = to_memory_format(Decoder(spec), spec)
    model = recipe.build(spec, PeerEncoder(encoder), PeerDecoder(decoder))
    data = BaseDataset(images.x, torch.zeros(len(images.x)))
    with tempfile.TemporaryDirectory() as folder, quiet():
        options = recipe.options(folder, seed)
        trainer = recipe.trainer(model, data, training_config=options, callbacks=[time_limit])
        with suppress(TimeIsUp):
            trainer.train()
    return Trained(
        Predictor(VEC(encoder, nn.Identity()), decoder),
        time_limit.updates,
        time_limit.seconds,
        time_limit.losses,
        is_stochastic=name != "pythae_aae",
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress pythae's report of every epoch, and its progress bars on stderr, which it cannot turn off."""
    logging.disable(logging.INFO)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
