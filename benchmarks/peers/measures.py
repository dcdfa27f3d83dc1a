"""Measures of every method: reconstructions, class-wise samples, samples of the prior, the codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from ours import Trained
from shared import Images, JudgedImages, judge_for, measure_class_samples, measure_reconstructions
from torch import Tensor

from ssavae.inference.samplers import Mixture, fit_samplers, prior
from ssavae.metrics import latent
from ssavae.metrics.judge import Judge
from ssavae.networks import reparameterize
from ssavae.preprocessing.lazy import random_subset

N_TEST = 5000  # the first test rows: half of them, for speed
N_TRAIN = 20000  # random training rows, for mixtures and neighbours
N_SAMPLES = 5000


@dataclass(frozen=True)
class Reference:
    """The common reference of all methods: images, one judge, and the test images as it sees them."""

    images: Images
    judge: Judge
    real: JudgedImages

    @classmethod
    def of(cls, images: Images) -> Reference:
        """Read or train the judge."""
        judge = judge_for(images)
        return cls(images, judge, JudgedImages(judge, images.x_test[:N_TEST], images.y_test[:N_TEST]))

    def best(self) -> dict[str, float]:
        """Return the measures of real rows, which no method need surpass."""
        x = self.images.x[torch.from_numpy(random_subset(len(self.images.x), N_SAMPLES))]
        frechet = JudgedImages(self.judge, x).distance(self.real)
        return {"agreement_real_test": self.real.agreement(), "frechet_real_training": frechet}

    def measure(self, trained: Trained, seed: int) -> dict[str, float]:
        """Measure a trained method."""
        subset = random_subset(len(self.images.x), N_TRAIN)
        y = self.images.y[subset]
        mu, logvar = trained.predictor.posterior(self.images.x[torch.from_numpy(subset)])
        torch.manual_seed(seed)
        codes = reparameterize(mu, logvar, torch.randn_like(mu)) if trained.is_stochastic else mu
        mixtures = fit_samplers(codes.double().numpy(), y, self.images.n_classes, seed)
        mu_test = trained.predictor.encode(self.real.x)
        assert self.real.y is not None
        return {
            **measure_reconstructions(trained.predictor, self.judge, self.real),
            **self._class_samples(trained, mixtures, seed),
            **self._accepted_samples(trained, seed),
            "frechet_prior_samples": self._prior_samples(trained, seed),
            "knn_accuracy": latent.knn_accuracy(mu, y, mu_test, self.real.y),
        }

    def classes(self) -> np.ndarray:
        """Return the classes to sample, equally often."""
        return np.repeat(np.arange(self.images.n_classes), N_SAMPLES // self.images.n_classes)

    def _class_samples(self, trained: Trained, mixtures: dict[str, Mixture], seed: int) -> dict[str, float]:
        """Draw from one mixture per class, the same for every method."""
        rng = np.random.default_rng(seed)
        classes = self.classes()
        codes = [mixtures[f"class_{c}"].draw(int((classes == c).sum()), rng) for c in np.unique(classes)]
        decoded = trained.predictor.decode(torch.from_numpy(np.concatenate(codes)).float())
        return measure_class_samples(JudgedImages(self.judge, decoded, classes), self.real)

    def _accepted_samples(self, trained: Trained, seed: int) -> dict[str, float]:
        """Sample as a user of SSAVAE would: its own classifier accepts or rejects each sample."""
        if trained.model is None:
            return {}
        classes = self.classes()
        samples = np.asarray(trained.model.sample(len(classes), y=classes, random_state=seed))
        inputs = torch.from_numpy(np.ascontiguousarray(np.moveaxis(samples, -1, 1)))
        measures = measure_class_samples(JudgedImages(self.judge, inputs, classes), self.real)
        return {name.replace("class_samples", "accepted_samples"): value for name, value in measures.items()}

    def _prior_samples(self, trained: Trained, seed: int) -> float:
        latent_dim = trained.predictor.encode(self.real.x[:2]).shape[1]
        codes: Tensor = torch.from_numpy(prior(latent_dim).draw(N_SAMPLES, np.random.default_rng(seed)))
        return JudgedImages(self.judge, trained.predictor.decode(codes.float())).distance(self.real)
