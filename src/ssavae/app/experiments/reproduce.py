"""The figures of the paper by name: the call behind ``ssavae reproduce``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ssavae.app.experiments.database import DATABASES, FAST, FULL, Budget, Study
from ssavae.app.experiments.figure7 import figure7
from ssavae.app.experiments.figure9 import figure9

COLOUR = Budget(updates=20000, latent_dims=(128,), betas=(0.0, 0.01), judge_epochs=16)  # section 4.5


def reproduce_figures(
    experiment: str,
    root: Path,
    databases: Sequence[str] | None,
    *,
    fast: bool,
    updates: int | None,
    n_train: int | None,
    seed: int,
    device: str,
    judge: Path | None = None,
    judge_epochs: int | None = None,
    command: str,
    suffix: str = ".png",
) -> Iterator[Path]:
    """Run one of ``experiments.EXPERIMENTS``, or "all", and yield every file as it is written."""

    def study(data: str, budget: Budget) -> Study:
        budget = replace(budget, updates=updates or budget.updates, n_train=n_train or budget.n_train)
        return Study(data, root, budget, seed=seed, device=device, judge=judge)

    names = () if experiment == "cifar10" else databases or DATABASES
    studies = [study(name, FAST if fast else FULL) for name in names]
    if experiment in ("figure7", "all"):
        yield from figure7(studies, root, command, suffix)
    if experiment in ("figure9", "all"):
        for each in studies:
            yield from figure9(each, root, command, suffix)
    if experiment in ("cifar10", "all"):
        small = replace(FAST, n_train=1000, n_epochs=1, latent_dims=COLOUR.latent_dims, betas=COLOUR.betas)
        full = replace(COLOUR, judge_epochs=judge_epochs or COLOUR.judge_epochs)
        yield from figure9(study("cifar10", small if fast else full), root, command, suffix)
