"""SSAVAE and the ordinary VAE, trained for about so many seconds.

The schedules of their learning rates span all updates, so the number of updates has to be known
beforehand: a short probe, whose time does not count, estimates how many fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from ordinary_vae import fit_vae
from shared import BATCH, Images

from ssavae import SSAVAE
from ssavae.inference.predictor import Predictor
from ssavae.persistence.model_folder import HistoryRow

PROBE_UPDATES = 10


@dataclass(frozen=True)
class Trained:
    """A trained method: its networks, updates and seconds of the training, and the last losses."""

    predictor: Predictor
    updates: int
    seconds: float
    losses: dict[str, float]
    is_stochastic: bool = True  # whether codes are draws of q(z|x), or mu itself
    model: SSAVAE | None = None  # to sample as a user would
    steps: dict[str, float] = field(default_factory=dict)  # updates and seconds of each step of several


def epochs_for(n_updates: float, n_rows: int, seed: int, batch: int = BATCH) -> tuple[int, np.ndarray]:
    """Return a number of epochs, and the rows of each, that take about so many updates.

    A part of an epoch cannot be trained, so every epoch gets some rows twice instead; no row is left
    out unless the updates are fewer than one epoch has.
    """
    n_epochs = max(1, int(n_updates * batch / n_rows))
    n_batches = max(1, round(n_updates / n_epochs))
    order = np.random.default_rng(seed).permutation(n_rows)
    return n_epochs, np.resize(order, n_batches * batch)


def seconds_per_update(history: Sequence[HistoryRow], step: str, batch: int = BATCH) -> float:
    """Return the seconds of an update in the second epoch of a probe: the first one also warms up."""
    first, second = (float(row["seconds"]) for row in history if row["step"] == step)
    return (second - first) / (PROBE_UPDATES * BATCH // batch)


def last_losses(history: Sequence[HistoryRow]) -> dict[str, float]:
    """Return the losses of each step's last epoch."""
    last = {row["step"]: row for row in history}
    return {
        name: float(value) for row in last.values() for name, value in row.items() if name.startswith("loss_")
    }


def train_ssavae(images: Images, latent_dim: int, seconds: float, seed: int, fraction_vec: float) -> Trained:
    """Train both steps with the library's defaults; step 2 takes the seconds that step 1 leaves."""
    x = np.moveaxis(images.x.numpy(), 1, -1)
    y = images.y

    def new_model(n_epochs: int, n_epochs_decoder: int) -> SSAVAE:
        return SSAVAE(
            latent_dim,
            kind="image",
            n_epochs=n_epochs,
            n_epochs_decoder=n_epochs_decoder,
            device="cpu",
            random_state=seed,
        )

    n_probe = PROBE_UPDATES * BATCH
    probe = new_model(2, 2).fit(x[:n_probe], y[:n_probe]).history_
    n_updates = fraction_vec * seconds / seconds_per_update(probe, "vec")
    n_epochs, rows = epochs_for(n_updates, len(x), seed)
    model = new_model(n_epochs, 0).fit(x[rows], y[rows])
    updates_vec = n_epochs * len(rows) // BATCH
    seconds_vec = float(model.history_[-1]["seconds"])

    batch = model.batch_size_decoder
    n_updates = (seconds - seconds_vec) / seconds_per_update(probe, "decoder", batch)
    n_epochs, rows = epochs_for(n_updates, len(x), seed, batch)
    model.set_params(n_epochs_decoder=n_epochs).fit_decoder(x[rows])
    updates_decoder = n_epochs * len(rows) // batch
    seconds_decoder = float(model.history_[-1]["seconds"])
    return Trained(
        Predictor(model.vec_, model.decoder_),
        updates=updates_vec + updates_decoder,
        seconds=seconds_vec + seconds_decoder,
        losses=last_losses(model.history_),
        model=model,
        steps={
            "updates_vec": updates_vec,
            "seconds_vec": seconds_vec,
            "updates_decoder": updates_decoder,
            "seconds_decoder": seconds_decoder,
        },
    )


def train_ordinary(images: Images, latent_dim: int, seconds: float, seed: int) -> Trained:
    """Train the ordinary VAE with our networks."""
    _, probe = fit_vae(images.x[: PROBE_UPDATES * BATCH], latent_dim, 2, seed)
    n_epochs, rows = epochs_for(seconds / seconds_per_update(probe, "vec"), len(images.x), seed)
    predictor, history = fit_vae(images.x[rows], latent_dim, n_epochs, seed)
    updates = n_epochs * len(rows) // BATCH
    return Trained(predictor, updates, float(history[-1]["seconds"]), last_losses(history))
