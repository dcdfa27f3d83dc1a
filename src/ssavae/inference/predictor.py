"""Predictor: trained networks applied to network inputs in batches, each row independent of the others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ssavae._torch_state import deterministic_convolutions, evaluated, without_autocast
from ssavae.inference.codes import Whitening
from ssavae.inference.threads import is_small, one_thread_if
from ssavae.inference.transfer import outputs, rows_at_once
from ssavae.losses import loss_latent, loss_rec
from ssavae.networks import VEC, Encoder, reparameterize
from ssavae.preprocessing.tensors import NetworkInputs

_placing = threading.Lock()  # networks move as a whole before a second thread computes with them

LogDensity = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Predictor:
    """Trained networks in eval mode.

    Parameters
    ----------
    vec, decoder : nn.Module
    feature_weights : tuple of float
        w_l of ``loss_rec``.
    whitening : Whitening or None
        Of the detail in the codes that go in and come out, where they have two parts; ``draws`` of q(z|x)
        and of samplers are as the networks have them.
    """

    vec: VEC
    decoder: nn.Module
    feature_weights: tuple[float, ...] = ()
    whitening: Whitening | None = None

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.vec.parameters()).device

    def on(self, device: torch.device) -> Predictor:
        """Move the networks to a device, where they are not there already."""
        with _placing:
            if self.device != device or next(self.decoder.parameters(), torch.empty(0)).device != device:
                self.vec.to(device)
                self.decoder.to(device)
        return self

    def encode(self, x: NetworkInputs) -> Tensor:
        """Return mu of each input, (n, K)."""
        return self._whitened(self.mu(x))

    def mu(self, x: NetworkInputs) -> Tensor:
        """Return mu of each input as the networks have it, (n, K)."""
        return self.apply(self.vec.code, x)

    def _whitened(self, mu: Tensor) -> Tensor:
        if self.whitening is None:
            return mu
        return torch.from_numpy(self.whitening.whiten(mu.numpy(), self._probs(mu)))

    def _coloured(self, z: Tensor) -> Tensor:
        if self.whitening is None:
            return z
        return torch.from_numpy(self.whitening.colour(z.numpy(), self._probs(z)))

    def _probs(self, z: Tensor) -> np.ndarray:
        return self.classify(z).softmax(dim=1).numpy()

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar of each input, (n, K) both."""
        joined = self.apply(lambda batch: torch.cat(self.vec.read(batch)[:2], dim=1), x)
        mu, logvar = joined.chunk(2, dim=1)
        return mu, logvar

    def draws(self, x: Tensor, labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a draw of q(z|x) of each input, (n, K), and its label, (n,): C's class where it is -1."""
        mu, logvar = self.posterior(x)
        classes = np.where(labels >= 0, labels, self.classify(mu).argmax(dim=1).numpy())
        eps = torch.empty_like(mu).normal_(generator=torch.Generator().manual_seed(seed))
        return reparameterize(mu, logvar, eps).double().numpy(), classes

    def logits(self, x: NetworkInputs) -> Tensor:
        """Return the class logits of each input, read from mu, (n, C)."""
        return self.apply(lambda batch: self.vec(batch)[1], x)

    def member_logits(self, x: NetworkInputs, index: int) -> Tensor:
        """Return the class logits of one member of the encoder, (n, C)."""
        encoder = self.vec.encoder
        assert isinstance(encoder, Encoder)
        return self.apply(lambda batch: self.vec.classifier(encoder.member(batch, index)), x)

    def hidden(self, x: NetworkInputs) -> Tensor:
        """Return the encoder's last hidden features of each input, (n, d)."""
        return self.apply(lambda batch: self.vec.encoder(batch)[2][-1].flatten(1), x)

    def classify(self, mu: Tensor) -> Tensor:
        """Return the class logits of codes, (n, C)."""
        return self.apply(self.vec.classifier, mu)

    def decode(self, z: Tensor) -> Tensor:
        """Return G(z) for each code."""
        return self.decode_draws(self._coloured(z))

    def decode_draws(self, z: Tensor) -> Tensor:
        """Return G(z) for draws of q(z|x) or of a sampler."""
        return self.apply(self.decoder, z)

    def reconstruct(self, x: NetworkInputs) -> Tensor:
        """Return G(mu(x)) for each input."""
        return self.apply(lambda batch: self.decoder(self.vec.code(batch)), x)

    def feature_loss(self, x: NetworkInputs) -> Tensor:
        """Return loss_rec between each input and G(mu(x)), (n,)."""
        return self.apply(self._losses_and_mu, x)[:, 0]

    def novelty_components(self, x: NetworkInputs, log_density: LogDensity) -> np.ndarray:
        """Return log loss_rec and log loss_latent of G(mu(x)), and -log_density(mu(x)), (n, 3).

        ``log_density`` takes codes, (n, K), as the networks have them.
        """
        return self.score_all(x, log_density)[2]

    def score_all(
        self, x: NetworkInputs, log_density: LogDensity
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return mu (n, K), class logits (n, C) and :meth:`novelty_components` (n, 3), from one pass."""
        scores = self.apply(self._losses_and_mu, x)
        losses = scores[:, :2].double().numpy()
        mu = scores[:, 2:]
        components = np.column_stack([np.log(losses + 1e-12), -log_density(mu.double().numpy())])
        return self._whitened(mu).numpy(), self.classify(mu).numpy(), components

    def round_trip(self, z: Tensor, log_density: LogDensity) -> tuple[np.ndarray, np.ndarray]:
        """Decode codes, encode the result, and compare.

        Returns
        -------
        novelty_components : (n, 2)
            log loss_latent between z and mu(G(z)), and -log_density(z).
        agrees : (n,) of bool
            Whether C predicts the same class at z and at mu(G(z)).
        """
        z = self._coloured(z)
        mu = self.apply(lambda batch: self.vec.code(self.decoder(batch)), z)
        distances = np.log(loss_latent(z, mu).double().numpy() + 1e-12)
        agrees = self.classify(z).argmax(dim=1) == self.classify(mu).argmax(dim=1)
        return np.column_stack([distances, -log_density(z.double().numpy())]), agrees.numpy()

    def class_loss(self, x: NetworkInputs, y: np.ndarray) -> float:
        """Mean loss_class of mu over the labelled inputs; NaN where none is labelled."""
        return float(nn.functional.cross_entropy(self.logits(x), torch.from_numpy(y), ignore_index=-1))

    def class_accuracy(self, x: NetworkInputs, y: np.ndarray) -> float:
        """Accuracy over the labelled inputs; NaN where none is labelled."""
        correct = (self.logits(x).argmax(dim=1).numpy() == y)[y >= 0]
        return float(correct.mean()) if len(correct) else float("nan")

    def decodes_to(self, c: int, codes: np.ndarray) -> np.ndarray:
        """Return the probability that the VEC gives class c for decoded draws of a sampler, (n,)."""
        decoded = self.decode_draws(torch.from_numpy(codes).float())
        return self.logits(decoded).softmax(dim=1)[:, c].numpy()

    def _losses_and_mu(self, x: Tensor) -> Tensor:
        """Return loss_rec, loss_latent, and mu of each input, (n, 2 + K)."""
        mu, _, features = self.vec.read(x)
        mu_rec, _, features_rec = self.vec.read(self.decoder(mu))
        rec = loss_rec(features, features_rec, self.feature_weights)
        losses = torch.stack([rec, loss_latent(mu, mu_rec)], dim=1)
        return torch.cat([losses, mu], dim=1)

    def apply(self, function: Callable[[Tensor], Tensor], x: NetworkInputs) -> Tensor:
        """Apply a function to batches, in eval mode; the result is on the CPU, in float32."""
        device = self.device
        size = rows_at_once(device)
        one_thread = one_thread_if(is_small(self.vec.encoder, size))  # however many rows there are
        with (
            one_thread,
            evaluated(self.vec),
            evaluated(self.decoder),
            torch.no_grad(),
            without_autocast(device),
            deterministic_convolutions(device),
        ):
            return torch.cat([*outputs(function, x.split(size), device)])
