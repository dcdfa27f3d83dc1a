"""Trained networks applied to network inputs, batch by batch, each row by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ssavae.algorithms import frozen
from ssavae.losses import loss_latent, loss_rec
from ssavae.networks import VEC
from ssavae.preprocessing.inputs import Inputs, channels_last

BATCH = 512  # rows at once, which leaves what is between the layers in the cache; results do not depend on it


@dataclass(frozen=True)
class Predictor:
    """The networks at rest.

    Parameters
    ----------
    vec, decoder : nn.Module
    feature_weights : tuple of float
        w_l of ``loss_rec``.
    """

    vec: VEC
    decoder: nn.Module
    feature_weights: tuple[float, ...] = ()

    def encode(self, x: Tensor | Inputs) -> Tensor:
        """Return mu of each input, (n, K)."""
        return self.apply(self.vec.code, x)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar of each input, (n, K) both."""
        both = self.apply(lambda part: torch.cat(self.vec.read(part)[:2], dim=1), x)
        mu, logvar = both.chunk(2, dim=1)
        return mu, logvar

    def logits(self, x: Tensor | Inputs) -> Tensor:
        """Return the class logits of each input, read from mu, (n, C)."""
        return self.apply(lambda part: self.vec(part)[1], x)

    def hidden(self, x: Tensor | Inputs) -> Tensor:
        """Return the encoder's last hidden features of each input, (n, d)."""
        return self.apply(lambda part: self.vec.encoder(part)[2][-1].flatten(1), x)

    def classify(self, mu: Tensor) -> Tensor:
        """Return the class logits of codes, (n, C)."""
        return self.apply(self.vec.classifier, mu)

    def decode(self, z: Tensor) -> Tensor:
        """Return G(z) for each code."""
        return self.apply(self.decoder, z)

    def reconstruct(self, x: Tensor | Inputs) -> Tensor:
        """Return G(mu(x)) for each input."""
        return self.apply(lambda part: self.decoder(self.vec.code(part)), x)

    def feature_loss(self, x: Tensor | Inputs) -> Tensor:
        """Return loss_rec between each input and G(mu(x)), (n,)."""
        return self.apply(self._surveyed, x)[:, 0]

    def novelty_components(
        self, x: Tensor | Inputs, log_density: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Return log loss_rec and log loss_latent of G(mu(x)), and -log_density(mu(x)), (n, 3).

        ``log_density`` takes codes, (n, K).
        """
        return self.survey(x, log_density)[2]

    def survey(
        self, x: Tensor | Inputs, log_density: Callable[[np.ndarray], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return mu (n, K), class logits (n, C) and :meth:`novelty_components` (n, 3), all of one pass."""
        found = self.apply(self._surveyed, x)
        losses, mu = found[:, :2].double().numpy(), found[:, 2:]
        novelty_components = [np.log(losses + 1e-12), -log_density(mu.double().numpy())]
        return mu.numpy(), self.classify(mu).numpy(), np.column_stack(novelty_components)

    def returned(
        self, z: Tensor, log_density: Callable[[np.ndarray], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return how strange codes are, and whether their decoded rows are read as the codes are.

        Returns
        -------
        novelty_components : (n, 2)
            log loss_latent between z and mu(G(z)), and -log_density(z).
        agrees : (n,) of bool
            Whether C decides for the same class at z and at mu(G(z)).
        """
        mu = self.apply(lambda part: self.vec.code(self.decoder(part)), z)
        distances = np.log(loss_latent(z, mu).double().numpy() + 1e-12)
        agrees = self.classify(z).argmax(dim=1) == self.classify(mu).argmax(dim=1)
        return np.column_stack([distances, -log_density(z.double().numpy())]), agrees.numpy()

    def class_loss(self, x: Tensor | Inputs, y: np.ndarray) -> float:
        """Mean loss_class of mu over the labelled inputs; NaN where none is labelled."""
        return float(nn.functional.cross_entropy(self.logits(x), torch.from_numpy(y), ignore_index=-1))

    def class_accuracy(self, x: Tensor | Inputs, y: np.ndarray) -> float:
        """Share of the labelled inputs whose class is read right; NaN where none is labelled."""
        right = (self.logits(x).argmax(dim=1).numpy() == y)[y >= 0]
        return float(right.mean()) if len(right) else float("nan")

    def decodes_to(self, c: int, codes: np.ndarray) -> np.ndarray:
        """Return the probability of class c that the VEC itself reads in what codes are decoded to, (n,)."""
        decoded = self.decode(torch.from_numpy(codes).float())
        return self.logits(decoded).softmax(dim=1)[:, c].numpy()

    def _surveyed(self, x: Tensor) -> Tensor:
        """Return loss_rec, loss_latent, and mu of each input, (n, 2 + K)."""
        mu, _, features = self.vec.read(x)
        mu_rec, _, features_rec = self.vec.read(self.decoder(mu))
        rec = loss_rec(features, features_rec, self.feature_weights)
        losses = torch.stack([rec, loss_latent(mu, mu_rec)], dim=1)
        return torch.cat([losses, mu], dim=1)

    def apply(self, function: Callable[[Tensor], Tensor], x: Tensor | Inputs) -> Tensor:
        """Apply a function batch by batch, in evaluation mode; the result is on the CPU, in float32."""
        device = next(self.vec.parameters()).device
        with frozen(self.vec), frozen(self.decoder), torch.no_grad():
            return torch.cat(
                [function(channels_last(part.to(device))).float().cpu() for part in x.split(BATCH)]
            )
