"""A plan of one training: networks, rows and settings go in, a :class:`Trained` comes out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from torch import Tensor

from ssavae._checks import check
from ssavae.networks import Networks, Spec
from ssavae.preprocessing.tensors import NetworkInputs
from ssavae.training.batches import MIN_LABELLED_FRACTION, TrainingRows, batch_counts
from ssavae.training.parameters import BATCH_SIZES, Params
from ssavae.training.progress import HistoryRow

T = TypeVar("T")

MANY_LABELS = 10000  # from which rows are held out without being asked for
MIN_UPDATES = 2000  # of a stage, at least, where n_epochs is None: few rows need more epochs
MEMBERS = 4  # of the encoder of a table
DROPOUT = 0.3  # of hidden units of an ensemble, where a table says so little that it is learnt by heart
MORE_DROPOUT = 0.5  # where its labels say less still
EMBEDDING_DIM = 4  # values that an ensemble makes of each number of a table (docs/decisions.md)
MANY_NUMBERS = 1000  # from which on they stay as they are: memory and time grow with them
FEW_BITS, FEWEST_BITS = 2000, 1000  # of all labels, below which there is dropout, and more of it
FEW_ROWS = 1500  # the same bound where there are no classes; with consistency, of rows that have a label
LEAST_UPDATES = 300  # of a stage of the smallest tables
MOST_UPDATES = 3000  # of step 1 of larger ones, which have one a row between these (docs/decisions.md)
MOST_UPDATES_DECODER = 1000  # of step 2
EPOCHS = 10  # of step 1 and of step 2, where that is as many updates

Labelled = tuple[NetworkInputs, np.ndarray]  # network inputs, and their class indices (n,)


@dataclass(frozen=True)
class Settings:
    """Parameters of :class:`ssavae.SSAVAE` that training needs, with a value for each None."""

    weight_kl: float
    weight_detail: float
    weight_consistency: float
    weight_distill: float
    beta: float
    gamma: float
    augment: tuple[str, ...]
    n_epochs: int
    n_epochs_student: int
    n_epochs_decoder: int
    batch_size: int
    batch_size_decoder: int
    learning_rate: float
    learning_rate_decoder: float
    learning_rate_disc: float
    patience: int | None
    n_members: int
    embedding_dim: int
    dropout: float

    @property
    def has_prior(self) -> bool:
        """Whether step 2 decodes more than the codes of rows: with beta = gamma = 0 nothing would use it."""
        return self.beta > 0 or self.gamma > 0


@dataclass(frozen=True)
class Pretrained:
    """Step 1 of another model of the same rows, seed and networks: the weights of its VEC, its history."""

    weights: Mapping[str, Tensor]
    history: list[HistoryRow]


@dataclass
class TrainingPlan:
    """All that a training needs.

    Parameters
    ----------
    networks : Networks
        Trained in place.
    spec : Spec
    kind : str
        "table", "image" or "signal".
    settings : Settings
    rows : TrainingRows
    seed : int
    fingerprint : str
        Digest of data, parameters and seed, by which a resumed run is recognised.
    validation : (inputs, y) or None
        The held-out part, of which ``val_loss`` is recorded.
    eval_sets : list of (inputs, y)
        Rows of which ``eval_accuracy``, ``eval_accuracy_2``, ... are recorded.
    train_vec : bool
        False trains step 2 alone, on the VEC as it is.
    pretrained : Pretrained or None
        Takes the place of step 1.
    history : list
        Rows that the history begins with.
    resume : bool
    folder : Path or None
        Where the state of an unfinished run is saved.
    checkpoint_every : int
        Batches between two such states.
    verbose : bool
    has_own_networks : bool
        Whether an encoder or a decoder is the user's own, which cannot be rebuilt from ``spec``.
    deterministic : bool
        Whether a GPU computes the same bits each time.
    precision : str
        One of ``distributed.fabric.PRECISIONS``.
    """

    networks: Networks
    spec: Spec
    kind: str
    settings: Settings
    rows: TrainingRows
    seed: int
    fingerprint: str
    validation: Labelled | None = None
    eval_sets: list[Labelled] = field(default_factory=list)
    train_vec: bool = True
    pretrained: Pretrained | None = None
    history: list[HistoryRow] = field(default_factory=list)
    resume: bool = False
    folder: Path | None = None
    checkpoint_every: int = 0
    verbose: bool = False
    has_own_networks: bool = False
    deterministic: bool = True
    precision: str = "32-true"


@dataclass(frozen=True)
class Trained:
    """Trained networks, their history, w_l of ``loss_rec``, and where a signal has stopped the training."""

    networks: Networks
    history: list[HistoryRow]
    feature_weights: tuple[float, ...]
    stopped: str = ""


def resolve(
    params: Params, *, kind: str, n_numbers: int, n_rows: int, n_labelled: int, n_classes: int
) -> Settings:
    """Give every parameter that is None its value: the only place that knows what None means.

    Parameters
    ----------
    params : mapping
        Parameters of :class:`ssavae.SSAVAE`.
    kind : {"table", "image", "signal"}
    n_numbers : int
        Columns of numbers, of a table.
    n_rows, n_labelled : int
        Training rows, and how many of them have a label.
    n_classes : int
        0 without labels.

    Raises
    ------
    ValueError
        If there are fewer rows than processes, or rows or an encoder that a parameter is not for.
    """
    is_few = n_labelled < MIN_LABELLED_FRACTION * n_rows
    weight_consistency = _weight_consistency(params, is_few, n_classes)
    is_consistent = weight_consistency > 0
    is_helped = is_few and not (is_consistent and kind == "table")  # by loss_distill (docs/decisions.md)
    is_divided = n_classes > 0 and params["map_dim"] not in (None, params["latent_dim"])
    is_light = is_consistent or is_divided  # other losses hardly get through what keeps detail
    most_detail = min(5.0, 0.25 * params["latent_dim"]) * (0.1 if is_light else 1.0)
    n_processes = params["devices"] * params["nodes"]
    batch_size = _batch_size("batch_size", params, n_rows, n_processes)
    batch_size_decoder = _batch_size("batch_size_decoder", params, n_rows, n_processes)
    enough = partial(_enough_epochs, kind, n_rows, n_labelled)
    is_own_table = kind == "table" and params["encoder"] is None
    n_members = _default(params["n_members"], MEMBERS if is_own_table else 1)
    most_embedded = EMBEDDING_DIM if n_members > 1 and n_numbers < MANY_NUMBERS else 1
    embedding_dim = _default(params["embedding_dim"], most_embedded)
    is_wide = is_own_table and params["widths"] is None  # fewer units than the library's can spare none
    is_left_out = is_wide and n_members > 1
    rate = dropout_rate(n_rows, n_labelled, n_classes, is_consistent=is_consistent) if is_left_out else 0.0
    dropout = _default(params["dropout"], rate)
    for name, value in (("embedding_dim", embedding_dim > 1 and embedding_dim), ("dropout", dropout)):
        check(is_own_table or not value, f"{name}={value} is for tables, with an encoder of ssavae's")
    return Settings(
        weight_kl=_default(params["weight_kl"], 0.001 if is_light else 0.02),
        weight_detail=float(_default(params["weight_detail"], most_detail)),
        weight_consistency=weight_consistency,
        weight_distill=_weight_distill(params, is_helped, n_classes),
        beta=params["beta"],
        gamma=params["gamma"],
        augment=tuple(params["augment"]),
        n_epochs=_default(params["n_epochs"], enough(EPOCHS, batch_size, MOST_UPDATES)),
        n_epochs_student=_default(params["n_epochs_student"], enough(30, batch_size, MOST_UPDATES)),
        n_epochs_decoder=_default(
            params["n_epochs_decoder"], enough(EPOCHS, batch_size_decoder, MOST_UPDATES_DECODER)
        ),
        batch_size=batch_size,
        batch_size_decoder=batch_size_decoder,
        learning_rate=params["learning_rate"],
        learning_rate_decoder=params["learning_rate_decoder"],
        learning_rate_disc=params["learning_rate_disc"],
        patience=params["patience"],
        n_members=n_members,
        embedding_dim=embedding_dim,
        dropout=dropout,
    )


def resolve_validation_fraction(params: Params, n_labelled: int) -> float:
    """Return the fraction of rows to hold out; None takes 0.05 where labels are many."""
    return _default(params["validation_fraction"], 0.05 if n_labelled >= MANY_LABELS else 0.0)


def _weight_consistency(params: Params, is_few: bool, n_classes: int) -> float:
    """Return the weight of ``loss_consistency``, which needs classes."""
    weight = float(_default(params["weight_consistency"], 1.0 if is_few else 0.0))
    return weight if n_classes else 0.0


def _weight_distill(params: Params, is_helped: bool, n_classes: int) -> float:
    """Return the weight of ``loss_distill``, which needs classes, and features whose size is known."""
    is_own = params["encoder"] is not None
    weight = float(_default(params["weight_distill"], 1.0 if is_helped and not is_own else 0.0))
    check(not (weight and is_own), f"weight_distill={weight} is not for an encoder of your own: leave it out")
    return weight if n_classes else 0.0


def _batch_size(name: str, params: Params, n_rows: int, n_processes: int) -> int:
    """Return the largest batch size for so many rows that the processes can divide equally."""
    batch_size = _default(params[name], BATCH_SIZES[name])
    divisible = min(batch_size, n_rows) // n_processes * n_processes
    check(divisible > 0, f"{n_rows} rows cannot be divided among {n_processes} processes")
    return divisible


def _enough_epochs(kind: str, n_rows: int, n_labelled: int, least: int, batch_size: int, most: int) -> int:
    """Return the epochs of a stage: ``least``, and more where these are fewer than :func:`min_updates`."""
    # Images and signals take more than that where few rows have a label, and batches are filled with them.
    n_batches, _ = batch_counts(n_rows, n_labelled if kind == "table" else n_rows, batch_size)
    return max(least, math.ceil(min_updates(kind, n_rows, most) / n_batches))


def min_updates(kind: str, n_rows: int, most: int) -> int:
    """Return how many updates a stage takes at least: of a table one a row, in bounds.

    More of them learn a small table by heart.

    Examples
    --------
    >>> min_updates("table", 100, 3000), min_updates("table", 800, 3000), min_updates("image", 100, 3000)
    (300, 800, 2000)
    """
    return min(most, max(LEAST_UPDATES, n_rows)) if kind == "table" else MIN_UPDATES


def dropout_rate(n_rows: int, n_labelled: int, n_classes: int, *, is_consistent: bool) -> float:
    """Return the share of hidden units that a table's ensemble leaves out unless the user says another.

    Labels of n_labelled rows hold at most n_labelled log2(n_classes) bits: the fewer, the easier they are
    learned by heart. Where ``loss_consistency`` is at work or there are no classes, rows are counted instead.

    Examples
    --------
    >>> rows_of_two, rows_of_eleven = (600, 600, 2), (792, 792, 11)
    >>> dropout_rate(*rows_of_two, is_consistent=False), dropout_rate(*rows_of_eleven, is_consistent=False)
    (0.5, 0.0)
    """
    if is_consistent or n_classes == 0:
        return DROPOUT if (n_labelled if is_consistent else n_rows) < FEW_ROWS else 0.0
    bits = n_labelled * math.log2(n_classes)
    if bits < FEWEST_BITS:
        return MORE_DROPOUT
    return DROPOUT if bits < FEW_BITS else 0.0


def _default(value: T | None, default: T) -> T:
    return default if value is None else value
