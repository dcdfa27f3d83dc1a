"""What is measured of every method: reconstructions, class-wise samples, samples of the prior, the codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from ours import Trained
from shared import Images, Seen, judge_of, measure_class_samples, measure_reconstructions
from torch import Tensor

from ssavae.inference.samplers import Mixture, fit_samplers, prior
from ssavae.metrics import latent
from ssavae.metrics.judge import Judge
from ssavae.networks import reparameterize
from ssavae.preprocessing.lazy import random_subset

N_TEST = 5000  # the first test rows: half of them, for speed
N_TRAIN = 20000  # training rows, spread over all, whose codes the mixtures and the neighbours are made of
N_SAMPLES = 5000


@dataclass(frozen=True)
class Yardstick:
    """What all methods are held against: the images, one judge, and what it sees in the test rows."""

    images: Images
    judge: Judge
    real: Seen

    @classmethod
    def of(cls, images: Images) -> Yardstick:
        """Read or train the judge."""
        judge = judge_of(images)
        return cls(images, judge, Seen(judge, images.x_test[:N_TEST], images.y_test[:N_TEST]))

    def best(self) -> dict[str, float]:
        """Return what real rows reach, which no method need surpass."""
        x = self.images.x[torch.from_numpy(random_subset(len(self.images.x), N_SAMPLES))]
        frechet = Seen(self.judge, x).distance(self.real)
        return {"agreement_real_test": self.real.agreement(), "frechet_real_training": frechet}

    def measure(self, trained: Trained, seed: int) -> dict[str, float]:
        """Measure a trained method."""
        some = random_subset(len(self.images.x), N_TRAIN)
        mu, logvar = trained.predictor.posterior(self.images.x[torch.from_numpy(some)])
        torch.manual_seed(seed)
        codes = reparameterize(mu, logvar) if trained.stochastic else mu
        mixtures = fit_samplers(codes.double().numpy(), self.images.y[some], self.images.n_classes, seed)
        mu_test = trained.predictor.encode(self.real.x)
        assert self.real.y is not None
        return {
            **measure_reconstructions(trained.predictor, self.judge, self.real),
            **self._class_samples(trained, mixtures, seed),
            **self._accepted_samples(trained, seed),
            "frechet_prior_samples": self._prior_samples(trained, seed),
            "knn_accuracy": latent.knn_accuracy(mu, self.images.y[some], mu_test, self.real.y),
        }

    def wanted(self) -> np.ndarray:
        """Return the classes to draw, in equal shares."""
        return np.repeat(np.arange(self.images.n_classes), N_SAMPLES // self.images.n_classes)

    def _class_samples(self, trained: Trained, mixtures: dict[str, Mixture], seed: int) -> dict[str, float]:
        """Draw from one mixture a class, the same for every method."""
        rng, wanted = np.random.default_rng(seed), self.wanted()
        drawn = [mixtures[f"class_{c}"].draw(int((wanted == c).sum()), rng) for c in np.unique(wanted)]
        made = trained.predictor.decode(torch.from_numpy(np.concatenate(drawn)).float())
        return measure_class_samples(Seen(self.judge, made, wanted), self.real)

    def _accepted_samples(self, trained: Trained, seed: int) -> dict[str, float]:
        """Sample as a user of SSAVAE would: it keeps what its own classifier reads as wanted."""
        if trained.model is None:
            return {}
        made = trained.model.sample(len(self.wanted()), y=self.wanted(), random_state=seed)
        inputs = torch.from_numpy(np.ascontiguousarray(np.moveaxis(made, -1, 1)))
        found = measure_class_samples(Seen(self.judge, inputs, self.wanted()), self.real)
        return {name.replace("class_samples", "accepted_samples"): value for name, value in found.items()}

    def _prior_samples(self, trained: Trained, seed: int) -> float:
        latent_dim = trained.predictor.encode(self.real.x[:2]).shape[1]
        codes: Tensor = torch.from_numpy(prior(latent_dim).draw(N_SAMPLES, np.random.default_rng(seed)))
        return Seen(self.judge, trained.predictor.decode(codes.float())).distance(self.real)
