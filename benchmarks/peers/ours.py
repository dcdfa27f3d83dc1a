"""SSAVAE and the ordinary VAE, trained for about so many seconds.

Their learning rates follow a course over all updates, so the number of updates has to be known
before: a short probe, whose time does not count, tells how many fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ordinary_vae import fit_vae
from shared import BATCH, Images

from ssavae import SSAVAE
from ssavae.inference.predictor import Predictor

PROBED = 10  # updates


@dataclass(frozen=True)
class Trained:
    """A trained method: its networks, what the training took, and how its losses ended."""

    predictor: Predictor
    updates: int
    seconds: float
    losses: dict[str, float]
    stochastic: bool = True  # whether codes are draws of q(z|x), or mu itself
    model: SSAVAE | None = None  # to sample as a user would
    steps: dict[str, float] = field(default_factory=dict)  # updates and seconds of each step of several


def portion(n_updates: float, n_rows: int, seed: int, batch: int = BATCH) -> tuple[int, np.ndarray]:
    """Return epochs and the rows of each that make about so many updates.

    A part of an epoch cannot be trained, so every epoch gets some rows twice instead; no row is left
    out unless the updates are fewer than one epoch has.
    """
    n_epochs = max(1, int(n_updates * batch / n_rows))
    n_batches = max(1, round(n_updates / n_epochs))
    order = np.random.default_rng(seed).permutation(n_rows)
    return n_epochs, np.resize(order, n_batches * batch)


def second_epoch(history: Sequence[dict[str, Any]], name: str, batch: int = BATCH) -> float:
    """Seconds of an update in a probe of two epochs: the first one also warms up."""
    first, second = (row["seconds"] for row in history if row["step"] == name)
    return (second - first) / (PROBED * BATCH // batch)


def ending(history: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Last epoch's losses of each step."""
    last = {row["step"]: row for row in history}
    return {name: value for row in last.values() for name, value in row.items() if name.startswith("loss_")}


def train_ssavae(images: Images, latent_dim: int, seconds: float, seed: int, share_vec: float) -> Trained:
    """Train both steps with the defaults of the library; step 2 has what step 1 left of the seconds."""
    x, y = np.moveaxis(images.x.numpy(), 1, -1), images.y

    def fresh(n_epochs: int, n_epochs_decoder: int) -> SSAVAE:
        lengths = {"n_epochs": n_epochs, "n_epochs_decoder": n_epochs_decoder}
        return SSAVAE(latent_dim, kind="image", device="cpu", random_state=seed, **lengths)

    probed = slice(PROBED * BATCH)
    paces = fresh(2, 2).fit(x[probed], y[probed]).history_
    n_epochs, rows = portion(share_vec * seconds / second_epoch(paces, "vec"), len(x), seed)
    model = fresh(n_epochs, 0).fit(x[rows], y[rows])
    steps = {"updates_vec": n_epochs * len(rows) // BATCH, "seconds_vec": model.history_[-1]["seconds"]}

    left, batch = seconds - steps["seconds_vec"], model.batch_size_decoder
    n_epochs, rows = portion(left / second_epoch(paces, "decoder", batch), len(x), seed, batch)
    model.set_params(n_epochs_decoder=n_epochs).fit_decoder(x[rows])
    steps["updates_decoder"] = n_epochs * len(rows) // batch
    steps["seconds_decoder"] = model.history_[-1]["seconds"]
    return Trained(
        Predictor(model.vec_, model.decoder_),
        updates=steps["updates_vec"] + steps["updates_decoder"],
        seconds=steps["seconds_vec"] + steps["seconds_decoder"],
        losses=ending(model.history_),
        model=model,
        steps=steps,
    )


def train_ordinary(images: Images, latent_dim: int, seconds: float, seed: int) -> Trained:
    """Train the ordinary VAE of our parts."""
    _, paces = fit_vae(images.x[: PROBED * BATCH], latent_dim, 2, seed)
    n_epochs, rows = portion(seconds / second_epoch(paces, "vec"), len(images.x), seed)
    predictor, history = fit_vae(images.x[rows], latent_dim, n_epochs, seed)
    return Trained(predictor, n_epochs * len(rows) // BATCH, history[-1]["seconds"], ending(history))
