"""SSAVAE: the two-step method as a scikit-learn estimator, and the only home of its defaults."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.utils import Tags
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from torch import Tensor, nn
from torch.utils.data import Dataset

from ssavae._checks import check
from ssavae._serialize import plain
from ssavae._torch_state import drawn_from
from ssavae.inference import SAMPLERS
from ssavae.inference.active_learning import suggest_rows
from ssavae.inference.calibration import Calibration, conformal_limit
from ssavae.inference.codes import Whitening, complete
from ssavae.inference.predictor import Predictor
from ssavae.inference.samplers import Mixture, draw_accepted, fit_samplers, log_density, prior
from ssavae.networks import Networks, Spec, build_networks, build_step2
from ssavae.persistence.hub import fetch, is_on_hub
from ssavae.persistence.model_document import ModelDocument, OwnNetwork
from ssavae.persistence.model_folder import (
    MODEL_FILE,
    WEIGHTS_FILE,
    FittedState,
    HistoryRow,
    check_storable,
    load_networks,
    network_weights,
)
from ssavae.persistence.parametrized import picklable, restored
from ssavae.persistence.schema import Classes, damaged, read_arguments
from ssavae.persistence.training_state import drop_state, saved_seed
from ssavae.preprocessing.columns import to_frame, warn_of_columns
from ssavae.preprocessing.inputs import Rows, check_finite, data_sha256, is_data_set, labels_in, open_rows
from ssavae.preprocessing.labels import (
    ClassWeight,
    Labels,
    check_labels,
    class_indices,
    encode_labels,
    is_labelled,
    labelled_rows,
    row_weights,
)
from ssavae.preprocessing.lazy import LazyArray, sample_rows
from ssavae.preprocessing.preprocessor import Preprocessor, detect_kind
from ssavae.preprocessing.splits import hold_out, label_folds, member_folds, member_weights
from ssavae.preprocessing.tensors import NetworkInputs, network_inputs, streamed_inputs
from ssavae.training.augmentations import check_augment, current_names
from ssavae.training.batches import TrainingRows, sample_inputs, training_rows
from ssavae.training.constraints import CONSTRAINTS
from ssavae.training.distributed.context import context_of
from ssavae.training.distributed.fabric import AnyFabric, find_device, launch_fabric, make_fabric
from ssavae.training.distributed.launcher import must_launch
from ssavae.training.distributed.remote import train_remotely
from ssavae.training.interrupts import StopRequest, handle_stop_signals
from ssavae.training.parameters import RUNTIME, check_params, model_params, pairs_of, seed_of
from ssavae.training.plan import (
    Labelled,
    Pretrained,
    Settings,
    Trained,
    TrainingPlan,
    resolve,
    resolve_validation_fraction,
)
from ssavae.training.steps import train_networks
from ssavae.training.warm_start import EarlierFit

if TYPE_CHECKING:
    import pandas as pd

Data = ArrayLike | LazyArray | Rows | Dataset[object]

SAMPLER_ROWS = 20000  # rows that the samplers are fitted to
NOVELTY_ROWS = 5000  # rows whose novelty sets the limits: a quantile of 5 % then has an error of 0.3 %
INFERENCE_ROWS = 10000  # rows turned into network inputs at once
INPUT_ATTRIBUTES = ("preprocess_", "n_features_in_", "feature_names_in_")  # of X, which a warm start keeps


class SSAVAE(ClassifierMixin, TransformerMixin, BaseEstimator):
    """Semi-Supervised Adversarial VAE (Zemouri 2020): a latent map that classifies, decodes and generates.

    Step 1 trains the Variational Encoder Classifier (encoder and classifier, with the KL to N(0, I)),
    step 2 freezes it and trains a decoder against its hidden features, a discriminator and the code.

    Parameters
    ----------
    latent_dim : int
        K, the size of the code; 2 gives a map to look at, 100 a code that keeps every detail.
    map_dim : int or None
        Divides the code in two: the classifier reads the first ``map_dim`` dimensions alone, the map; the
        others hold the detail, whitened class by class. None reads all of them, as the paper does.
    kind : {"table", "image", "signal"} or None
        What the rows are; None takes (n, d) for a table and (n, H, W[, C]) for images.
    beta : float
        Weight of the adversarial loss in step 2 (the paper's beta, not beta-VAE's).
    gamma : float
        Weight of the latent loss in step 2.
    weight_kl : float or None
        Weight of the KL in step 1. None takes 0.02; 0.001 where a code in two parts learns classes or
        ``loss_consistency`` is at work: the KL draws rows of which the teacher is not sure to the middle.
    weight_detail : float or None
        Weight of ``loss_detail`` in step 1, which makes the code keep more than the class; 0 is the paper's
        plain method, None 0.25 a dimension and at most 5: a tenth of it where ``weight_kl=None`` means 0.001.
    weight_consistency : float or None
        Weight of ``loss_consistency`` in step 1, by which unlabelled rows help to classify: changed at
        random, they keep the class that a teacher gives them, the average of the VEC over its updates. 0 is
        the paper's plain method; None takes 1 where under a quarter of the rows has a label, else 0.
    weight_distill : float or None
        Weight of ``loss_distill`` in step 1: an auxiliary classifier learns the labels from the last hidden
        features, and that of the code follows it on every row. 0 is the paper's way; None takes 1 where under
        a quarter of the rows has a label (of a table: if ``weight_consistency`` is 0), 0 for your encoder.
    class_weight : dict, "balanced" or None
        Weights of the classes in ``loss_class``, 1 for those that a dict does not name; "balanced" lets all
        classes weigh the same. The loss on held-out rows is not weighted.
    n_epochs, n_epochs_decoder, n_epochs_student : int or None
        Epochs of step 1, of step 2 and of the student; None takes 10, of the student 30, and more where that
        is under 2,000 updates, or of a table under one a row (300 to 3,000; of step 2 300 to 1,000). With
        ``n_epochs_decoder=0`` the VEC is trained alone, for :meth:`fit_decoder` to go on from.
    augment : tuple of {"translate", "flip", "erase", "noise", "mixup"}
        Random changes of the rows of step 1 that leave their class as it is: images are shifted, mirrored
        or in part covered, tables and signals get noise as large as their own spread, or move towards one
        another.
    batch_size, batch_size_decoder : int or None
        Rows in a batch of step 1 and of step 2, where many small ones are sooner good than few large ones;
        a last part batch is left out. None takes 128 and 32, or all rows where there are fewer.
    learning_rate, learning_rate_decoder, learning_rate_disc : float
        Peak learning rates of the VEC, the decoder and the discriminator (Adam, one cycle).
    widths : tuple of int or None
        Units or channels of the layers; None sizes them from the shape of a row.
    student_widths : tuple of int or None
        Units of the layers of a student: a small dense network that learns the map from the encoder after
        step 1 and codes rows in its place, at a fraction of the time and some accuracy. None does without.
    n_members : int or None
        Of a table: members of the encoder, an ensemble whose codes are averaged to one map; each has half the
        widths and learns alone. Where no rows are held out and ``loss_consistency`` is not at work, each
        does without the labels of another part of the rows, on which the confidence is calibrated. None
        takes 4 for tables, and 1 for images, signals and an encoder of yours.
    embedding_dim : int or None
        Of a table: values that the encoder makes of each number, itself among them; the others are linear
        maps of learned waves along its column (PBLD, Holzmueller 2024). 1 takes the numbers as they are. None
        takes 4 where the encoder has several members and there are under 1,000 columns of numbers, else 1.
    dropout : float or None
        Of a table: share of the encoder's hidden units that step 1 leaves out of each row, others in each
        batch. None looks at what the labels say, n_labelled log2(n_classes) bits, and takes 0.5 under 1,000
        bits, 0.3 under 2,000 and 0 from there on; 0.3 under 1,500 labels where ``loss_consistency`` is at
        work, and under 1,500 rows without labels; always 0 with one member or ``widths`` of yours.
    encoder, decoder : torch.nn.Module or None
        Your own networks: the encoder returns (mu, logvar, features), the decoder inputs from codes.
    validation_fraction : float or None
        Share of the rows, or of the groups where there are any, held out of training for ``val_loss`` and
        the calibration of the confidence. None takes 0.05 where 10,000 rows or more have a label, else 0.
    calibration_folds : int
        Where labels are few: train step 1 so many times more, each without the labels of a part of the
        rows, and calibrate on what those models say of that part; 0 does without.
    patience : int or None
        Epochs without a better ``val_loss`` after which a step ends; None trains all epochs.
    device, precision : str
        "auto", "cpu", "cuda", "cuda:1" or "mps", where the model is trained, and where it goes when it is
        applied; "32-true", "tf32" (matrices on a GPU, docs/gpu.md) or "bf16-mixed".
    deterministic : bool
        On a GPU, train with algorithms that give the same bits each time.
    devices, nodes : int
        Processes on each machine, one a GPU, and machines. They share out the rows of each batch by Fabric's
        DDP, and learn what one learns, to rounding. :meth:`fit` starts those of one machine, torchrun others.
    n_workers : int
        Worker processes that read rows which are not held in memory.
    checkpoint_folder : path or None
        Where the state of the training is written, for ``fit(..., resume=True)``; :meth:`save` removes it.
    checkpoint_every : int
        Batches between two such states.
    verbose : bool
        Say how many updates each step takes, and show progress with every loss and the time left.
    warm_start : bool
        Let :meth:`fit` go on from the networks of the last fit, or of a loaded model, with new rows or
        labels: scaling and columns stay, and the classifier begins anew where the classes have changed.
    random_state : int, Generator, RandomState or None
        Seed, or what it is drawn from; the same seed on the same machine gives the same weights, bit for bit.

    Attributes
    ----------
    vec_, decoder_, discriminator_ : torch.nn.Module
        The networks.
    classes_ : (n_classes,) ndarray
        The classes in order; empty if no row had a label.
    n_features_in_ : int
        Columns of X; the length of the first side of an image or a signal.
    feature_names_in_ : (n_features_in_,) ndarray
        Names of the columns; only where all of them are strings.
    n_iter_ : int
        Epochs that step 1 was trained.
    history_ : list of dict
        One row per epoch and step with every loss.
    beta_, gamma_ : float
        Weights that the decoder was trained with: the parameters, or those of :meth:`fit_decoder`.
    seed_ : int
        The seed drawn from ``random_state``.
    preprocess_ : Preprocessor
        Turns rows into network inputs, and back.
    spec_ : Spec
        Sizes of the networks.
    feature_weights_ : tuple of float
        Weights of the layers in ``loss_rec``.
    samplers_ : dict of Mixture
        Gaussian mixtures of the codes, of all and of each class; the detail is as the networks have it.
    whitening_ : Whitening or None
        Makes the detail's law N(0, I) in every class, where the code has two parts.
    class_shares_ : (n_classes,) ndarray
        Fraction of each class in the training rows, predicted where there is no label.
    calibration_ : Calibration
        Temperature, and the reference scores of :meth:`predict_set` and :meth:`novelty`.
    data_sha256_ : str
        Digest of training rows, labels and weights.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SSAVAE(n_epochs=20, n_epochs_decoder=20, random_state=0).fit(X, y)
    >>> model.transform(X).shape, model.inverse_transform([[0.0, 0.0]]).shape
    ((150, 2), (1, 4))
    """

    _parameter_constraints: ClassVar[dict[str, list[object]]] = CONSTRAINTS
    feature_names_in_: np.ndarray  # where X had column names
    history_: list[HistoryRow]
    feature_weights_: tuple[float, ...]

    def __init__(
        self,
        latent_dim: int = 2,
        *,
        map_dim: int | None = None,
        kind: str | None = None,
        beta: float = 0.005,
        gamma: float = 0.05,
        weight_kl: float | None = None,
        weight_detail: float | None = None,
        weight_consistency: float | None = None,
        weight_distill: float | None = None,
        class_weight: ClassWeight = None,
        n_epochs: int | None = None,
        n_epochs_decoder: int | None = None,
        n_epochs_student: int | None = None,
        augment: tuple[str, ...] = (),
        batch_size: int | None = None,
        batch_size_decoder: int | None = None,
        learning_rate: float = 2e-3,
        learning_rate_decoder: float = 2e-3,
        learning_rate_disc: float = 2e-3,
        widths: tuple[int, ...] | None = None,
        student_widths: tuple[int, ...] | None = None,
        n_members: int | None = None,
        embedding_dim: int | None = None,
        dropout: float | None = None,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
        validation_fraction: float | None = None,
        calibration_folds: int = 0,
        patience: int | None = None,
        device: str = "auto",
        precision: str = "32-true",
        deterministic: bool = True,
        devices: int = 1,
        nodes: int = 1,
        n_workers: int = 0,
        checkpoint_folder: str | Path | None = None,
        checkpoint_every: int = 500,
        verbose: bool = False,
        warm_start: bool = False,
        random_state: int | np.random.Generator | np.random.RandomState | None = None,
    ) -> None:
        self.latent_dim = latent_dim
        self.map_dim = map_dim
        self.kind = kind
        self.beta = beta
        self.gamma = gamma
        self.weight_kl = weight_kl
        self.weight_detail = weight_detail
        self.weight_consistency = weight_consistency
        self.weight_distill = weight_distill
        self.class_weight = class_weight
        self.n_epochs = n_epochs
        self.n_epochs_decoder = n_epochs_decoder
        self.n_epochs_student = n_epochs_student
        self.augment = augment
        self.batch_size = batch_size
        self.batch_size_decoder = batch_size_decoder
        self.learning_rate = learning_rate
        self.learning_rate_decoder = learning_rate_decoder
        self.learning_rate_disc = learning_rate_disc
        self.widths = widths
        self.student_widths = student_widths
        self.n_members = n_members
        self.embedding_dim = embedding_dim
        self.dropout = dropout
        self.encoder = encoder
        self.decoder = decoder
        self.validation_fraction = validation_fraction
        self.calibration_folds = calibration_folds
        self.patience = patience
        self.device = device
        self.precision = precision
        self.deterministic = deterministic
        self.devices = devices
        self.nodes = nodes
        self.n_workers = n_workers
        self.checkpoint_folder = checkpoint_folder
        self.checkpoint_every = checkpoint_every
        self.verbose = verbose
        self.warm_start = warm_start
        self.random_state = random_state

    # ------------------------------------------------------------------------------- training

    @torch.inference_mode(False)  # with gradients, whatever the caller has switched off
    def fit(
        self,
        X: Data,
        y: Labels | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        eval_set: tuple[Data, Labels] | list[tuple[Data, Labels]] | None = None,
        vec: SSAVAE | None = None,
        resume: bool = False,
    ) -> SSAVAE:
        """Train both steps.

        Parameters
        ----------
        X : (n, d), (n, H, W[, C]) or (n, T[, C]) array, DataFrame, map-style torch Dataset, or data set of
            Hugging Face
            A Dataset gives rows, or (row, class index) pairs, of the same shapes without n. Many rows of a
            ``np.memmap`` stay in their file and are read batch by batch: see ``preprocessing.lazy``.
        y : (n,) or None
            Labels of any type. A row has none where y is -1, None, NaN, NA, NaT or masked, or text that is
            empty or "nan".
        sample_weight : (n,) or None
            Weights of the rows in ``loss_class``, at least 0; only their ratios matter, and only where a row
            has a label. A row of weight 0 is still learned from as one without a label is.
        groups : (n,) or None
            The group of each row (a machine, a patient, a recording): all rows of a group are held out, or
            none is.
        eval_set : (X, y), list of (X, y), or None
            Rows whose ``eval_accuracy`` is recorded after each epoch of step 1; nothing is chosen by it.
            Of several pairs, the second and later ones get ``eval_accuracy_2``, ...
        vec : SSAVAE or None
            A model of the same rows, seed and parameters of step 1, whose VEC is taken in place of training
            it again: the result is the same to the bit.
        resume : bool
            Go on with the unfinished run in ``checkpoint_folder``.

        Raises
        ------
        ValueError
            If a parameter, X or y is not valid, or there is nothing to resume.
        FloatingPointError
            If a loss becomes NaN or infinite.
        KeyboardInterrupt
            After Ctrl-C. With a ``checkpoint_folder`` the run can be resumed; without one, the model has been
            trained as far as the message says, and can be used.
        """
        self._check_params()
        earlier = self._earlier() if self.warm_start else None
        self._forget(but=() if earlier is None else INPUT_ATTRIBUTES)
        y = labels_in(X) if y is None else y
        rows = self._open(X, reset=earlier is None)
        labels = self._fit_preprocessing(rows, y)
        fabric = self._fabric()
        seed = self._choose_seed(resume)
        self.seed_ = seed if fabric is None else context_of(fabric).broadcast(seed)
        held_out = self._hold_out(labels, groups)
        in_training = np.setdiff1d(np.arange(len(labels)), held_out)
        validation = (self._inputs(rows.take(held_out)), labels[held_out]) if len(held_out) else None
        folds = self._folds(labels, groups) if validation is None else []
        weights = row_weights(labels, self.classes_, self.class_weight, sample_weight, in_training)
        self.data_sha256_ = data_sha256(rows, labels, in_training, weights)
        settings = self._resolve(labels[in_training])
        if earlier is not None:
            sizes = {name: getattr(earlier.spec, name) for name in ("n_members", "embedding_dim")}
            undecided = {name: size for name, size in sizes.items() if getattr(self, name) is None}
            settings = replace(settings, **undecided)
        is_whole = validation is None and not folds
        unseen = self._unseen_by_members(labels, weights, groups, settings) if is_whole else []
        of_members = member_weights(len(labels), unseen, weights) if unseen else weights
        training = self._training_rows(rows.take(in_training), labels[in_training], fabric, of_members)
        self._build(settings)
        if earlier is not None:
            earlier.copy_to(self._networks, self.spec_, self.classes_)
        plan = self._plan(training, settings, self._networks)
        plan.resume = resume
        plan.validation = validation
        plan.eval_sets = [self._eval_set(*pair) for pair in pairs_of(eval_set)]
        plan.pretrained = None if vec is None else self._pretrained(vec)
        trained = self._train(plan, fabric)
        self._take(trained, settings)
        self.vec_.drop_auxiliary()
        stop = StopRequest()
        with handle_stop_signals(stop):
            self._fit_samplers(training)
            if validation is not None:
                self._calibrate(*validation)
            else:
                is_stopped = bool(trained.stopped) or stop.is_made
                logits_without = partial(self._logits_without, rows, labels, weights)
                if unseen:
                    folds, logits_without = unseen, partial(self._member_logits, rows)
                self._cross_calibrate(training, labels, [] if is_stopped else folds, logits_without)
        if trained.stopped or stop.is_made:
            raise KeyboardInterrupt(trained.stopped or "stopped after the training; the model can be used")
        return self

    @torch.inference_mode(False)
    def fit_decoder(self, X: Data, *, beta: float | None = None, gamma: float | None = None) -> SSAVAE:
        """Train step 2 again, with new networks, on the same VEC.

        If it fails or is stopped, the model is as it was before.

        Parameters
        ----------
        X : rows as in :meth:`fit`
        beta, gamma : float or None
            Weights in place of the model's parameters, which stay as they are: see ``beta_`` and ``gamma_``.
        """
        rows = self._checked(X)
        weights = {
            "beta": self.beta if beta is None else beta,
            "gamma": self.gamma if gamma is None else gamma,
        }
        check_params(self.get_params(deep=False) | weights)
        fabric = self._fabric()
        with drawn_from(self.seed_):
            networks = Networks(self.vec_, *build_step2(self.spec_, self.decoder))
        unlabelled = np.full(len(rows), -1)
        training = self._training_rows(rows, unlabelled, fabric)
        settings = replace(self._resolve(unlabelled), **weights)
        plan = self._plan(training, settings, networks)
        plan.train_vec = False
        plan.history = [row for row in self.history_ if row["step"] != "decoder"]
        trained = self._train(plan, fabric)
        predictor = self._predictor_of(trained.networks.decoder, trained.feature_weights)
        components = predictor.novelty_components(sample_inputs(training, NOVELTY_ROWS)[0], self._log_density)
        self._take(trained, settings, self.calibration_.fit_novelty(components, held_out=False))
        return self

    def calibrate(self, X: Data, y: Labels | None = None) -> SSAVAE:
        """Calibrate again on rows that were not trained on.

        Sets the temperature of :meth:`predict_proba` and the limits of :meth:`predict_set` and
        :meth:`is_novel`, as :meth:`fit` does with the rows that it holds out: see
        ``ssavae.inference.calibration``.

        Parameters
        ----------
        X : rows as in :meth:`fit`
        y : (n,) or None
            Their labels; without any the temperature is 1 again and :meth:`predict_set` has no limit.

        Raises
        ------
        ValueError
            If X and y differ in length.
        """
        inputs = self._inputs(self._checked(X))
        labels = np.full(len(inputs), -1) if y is None else self._encode(y)
        check(len(labels) == len(inputs), f"y has {len(labels)} labels, X has {len(inputs)} rows")
        self._calibrate(inputs, labels)
        return self

    def _calibrate(self, inputs: NetworkInputs, labels: np.ndarray) -> None:
        """Calibrate on rows that were not trained on."""
        logits = self.predictor_.logits(inputs).double().numpy()
        self.calibration_ = Calibration.fit(logits, labels, self._novelty_components(inputs), held_out=True)

    def _cross_calibrate(
        self,
        training: TrainingRows,
        labels: np.ndarray,
        folds: list[np.ndarray],
        logits_without: Callable[[int, np.ndarray], np.ndarray],
    ) -> None:
        """Calibrate novelty on training rows, then the classifier by cross-validation over the labels."""
        components = self._novelty_components(sample_inputs(training, NOVELTY_ROWS)[0])
        none = np.empty((0, self.spec_.n_classes))
        self.calibration_ = Calibration.fit(none, np.empty(0, dtype=np.int64), components, held_out=False)
        if not folds:
            return
        try:
            logits = np.concatenate([logits_without(i, fold) for i, fold in enumerate(folds)])
        except KeyboardInterrupt as stop:
            message = "stopped in calibration_folds; the model can be used, its confidence is not calibrated"
            raise KeyboardInterrupt(message) from stop
        y = labels[np.concatenate(folds)]
        self.calibration_ = Calibration.fit(logits, y, components, held_out=False)

    def _folds(self, labels: np.ndarray, groups: ArrayLike | None) -> list[np.ndarray]:
        return label_folds(labels, self.calibration_folds, self.seed_, groups)

    def _unseen_by_members(
        self,
        labels: np.ndarray,
        weights: np.ndarray | None,
        groups: ArrayLike | None,
        settings: Settings,
    ) -> list[np.ndarray]:
        """Return the rows whose labels each member of the encoder does not see, for the calibration."""
        if settings.weight_consistency > 0:
            return []
        heeded = labels if weights is None else np.where(weights > 0, labels, -1)
        return member_folds(heeded, settings.n_members, self.seed_, groups)

    def _member_logits(self, rows: Rows, member: int, fold: np.ndarray) -> np.ndarray:
        """Return the logits of a member of the encoder for rows whose labels it has not seen."""
        return self.predictor_.member_logits(self._inputs(rows.take(fold)), member).double().numpy()

    def _logits_without(
        self, rows: Rows, labels: np.ndarray, weights: np.ndarray | None, _: int, fold: np.ndarray
    ) -> np.ndarray:
        """Train another VEC without the labels of a fold, and return its logits of these rows."""
        step_1 = {"n_epochs_decoder": 0, "calibration_folds": 0, "validation_fraction": 0.0}
        other = cast(SSAVAE, clone(self))
        other.set_params(**step_1, checkpoint_folder=None, random_state=self.seed_, class_weight=None)
        remaining = labels.copy()
        remaining[fold] = -1
        other.fit(rows, remaining, sample_weight=weights)
        return other.predictor_.logits(other._inputs(rows.take(fold))).double().numpy()

    def _forget(self, but: tuple[str, ...]) -> None:
        """Delete what an earlier fit has learned, so that a failed fit leaves no mixture of both."""
        learned = [name for name in vars(self) if name.endswith("_") and not name.startswith("_")]
        for name in learned:
            if name not in but:
                delattr(self, name)

    def _earlier(self) -> EarlierFit | None:
        """Return what a warm start goes on from; None before the first fit."""
        if not hasattr(self, "calibration_"):
            return None
        return EarlierFit(self._networks, self.spec_, self.classes_)

    def _fit_preprocessing(self, rows: Rows, y: Labels | None) -> np.ndarray:
        """Learn the scaling of the rows and the classes; return the class indices (n,)."""
        goes_on = hasattr(self, "preprocess_")
        kind = self.preprocess_.kind if goes_on else detect_kind(rows.shape, self.kind)
        check_finite(rows, missing_allowed=kind == "table")
        if not goes_on:
            self.preprocess_ = Preprocessor.fit(rows, kind)
        check_augment(self.augment, kind)
        if kind == "table":
            warn_of_columns(sample_rows(rows.values), self.preprocess_.names)
        labels, self.classes_ = check_labels(y, len(rows))
        return labels

    def _fabric(self) -> AnyFabric | None:
        """Return where to train; None where :meth:`fit` has to start processes for it."""
        if must_launch(self.devices, self.nodes):
            make_fabric(self.device, self.precision, self.devices)  # raises what they would
            return None
        return launch_fabric(self.device, self.precision, self.devices, self.nodes)

    def _choose_seed(self, resume: bool) -> int:
        """Return the user's seed, else that of the run to resume, else a new one."""
        if resume and self.random_state is None and self.checkpoint_folder is not None:
            return saved_seed(Path(self.checkpoint_folder))
        return seed_of(self.random_state)

    def _hold_out(self, labels: np.ndarray, groups: ArrayLike | None) -> np.ndarray:
        """Return the indices of the rows that are not trained on."""
        params = self.get_params(deep=False)
        fraction = resolve_validation_fraction(params, int((labels >= 0).sum()))
        return hold_out(labels, fraction, self.seed_, groups)

    def _training_rows(
        self, rows: Rows, labels: np.ndarray, fabric: AnyFabric | None, weights: np.ndarray | None = None
    ) -> TrainingRows:
        device = torch.device("cpu") if fabric is None else fabric.device
        return training_rows(self.preprocess_, rows, labels, weights, device=device, n_workers=self.n_workers)

    def _resolve(self, labels: np.ndarray) -> Settings:
        return resolve(
            self.get_params(deep=False),
            kind=self.preprocess_.kind,
            n_numbers=len(self.preprocess_.number_inputs),
            n_rows=len(labels),
            n_labelled=int((labels >= 0).sum()),
            n_classes=len(self.classes_),
        )

    def _build(self, settings: Settings) -> None:
        """Build the networks, with an auxiliary decoder where ``loss_detail`` has a weight."""
        widths, student_widths = (tuple(plain(each) or ()) for each in (self.widths, self.student_widths))
        self.spec_ = Spec(
            self.preprocess_.input_shape,
            int(self.latent_dim),
            max(1, len(self.classes_)),
            self.preprocess_.bounded,
            widths,
            student_widths,
            map_dim=None if self.map_dim is None else int(self.map_dim),
            n_members=settings.n_members,
            embedded=self.preprocess_.number_inputs if settings.embedding_dim > 1 else (),
            embedding_dim=settings.embedding_dim,
        )
        self._build_networks(settings.weight_detail > 0, settings.weight_distill > 0)
        self.whitening_: Whitening | None = None  # until there are samplers

    def _check_params(self) -> None:
        check_params(self.get_params(deep=False))
        for name in self._custom:
            check_storable(getattr(self, name), name)

    def _build_networks(self, with_detail: bool = False, with_auxiliary: bool = False) -> None:
        own = self.encoder, self.decoder
        with drawn_from(self.seed_):
            networks = build_networks(self.spec_, with_detail, *own, with_auxiliary)
        self.vec_, self.decoder_, self.discriminator_ = networks

    def _plan(self, training: TrainingRows, settings: Settings, networks: Networks) -> TrainingPlan:
        identity = json.dumps([self._model_params(), self.seed_, self.data_sha256_], sort_keys=True)
        return TrainingPlan(
            networks=networks,
            spec=self.spec_,
            kind=self.preprocess_.kind,
            settings=settings,
            rows=training,
            seed=self.seed_,
            fingerprint=hashlib.sha256(identity.encode()).hexdigest(),
            folder=None if self.checkpoint_folder is None else Path(self.checkpoint_folder),
            checkpoint_every=self.checkpoint_every,
            verbose=self.verbose,
            has_own_networks=bool(self._custom),
            deterministic=bool(self.deterministic),
            precision=self.precision,
        )

    def _take(self, trained: Trained, settings: Settings, calibration: Calibration | None = None) -> None:
        """Take over what was trained, and the calibration that belongs to it, all at once."""
        vars(self).update(
            decoder_=trained.networks.decoder,
            discriminator_=trained.networks.discriminator,
            history_=trained.history,
            feature_weights_=trained.feature_weights,
            beta_=settings.beta,
            gamma_=settings.gamma,
            **({} if calibration is None else {"calibration_": calibration}),
        )

    def _train(self, plan: TrainingPlan, fabric: AnyFabric | None) -> Trained:
        if fabric is not None:
            return train_networks(plan, fabric)
        return train_remotely(plan, devices=self.devices, device=self.device, precision=self.precision)

    def _eval_set(self, X: Data, y: Labels) -> Labelled:
        inputs = self._inputs(self._checked(X, fitted="classes_"))
        labels = self._encode(y)
        check(len(inputs) == len(labels), f"eval_set has {len(inputs)} rows and {len(labels)} labels")
        return inputs, labels

    def _encode(self, y: Labels) -> np.ndarray:
        return encode_labels(y, self.classes_)[0]

    def _pretrained(self, other: SSAVAE) -> Pretrained:
        """Return step 1 of another model, if it is that of this one."""
        same = (other.data_sha256_, other.seed_, other.spec_) == (self.data_sha256_, self.seed_, self.spec_)
        check(same, "vec=... was trained on other rows, with another seed or with other networks")
        self.vec_.drop_auxiliary()  # only now: the networks are drawn as if step 1 had been trained here
        step_1 = [row for row in other.history_ if row["step"] != "decoder"]
        return Pretrained(other.vec_.state_dict(), step_1)

    def _fit_samplers(self, training: TrainingRows) -> None:
        """Fit the mixtures to codes z ~ q(z|x) of training rows; only the VEC is needed for it."""
        inputs, labels = sample_inputs(training, SAMPLER_ROWS)
        codes, labels = self.predictor_.draws(inputs, labels, self.seed_)
        self._take_samplers(fit_samplers(codes, labels, len(self.classes_), self.seed_))
        self.class_shares_ = np.bincount(labels, minlength=len(self.classes_)) / len(labels)

    def _take_samplers(self, samplers: dict[str, Mixture]) -> None:
        """Take over the mixtures, and the whitening of a code in two parts that follows from them."""
        self.samplers_ = samplers
        is_divided = self.spec_.n_map < self.spec_.latent_dim
        self.whitening_ = Whitening.of(samplers, len(self.classes_), self.spec_.n_map) if is_divided else None

    # ------------------------------------------------------------------------------ inference

    def transform(self, X: Data, *, detail: bool = False) -> np.ndarray:
        """Return the codes mu, (n, latent_dim); the code of a row depends on that row alone.

        Of a code in two parts it is the map, (n, map_dim), or with ``detail`` all of it. Columns that
        :meth:`set_output` names are those of the map: with ``detail`` that is a ValueError.
        """
        if not detail:
            return self._infer(X, Predictor.mu)[:, : self.spec_.n_map]
        is_array = _get_output_config("transform", self)["dense"] == "default"
        is_named = is_array or self.whitening_ is None
        check(is_named, 'detail=True returns an array: call set_output(transform="default") first')
        return self._infer(X, Predictor.encode)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the columns of :meth:`transform`: z0, z1, ..., whatever ``input_features``."""
        check_is_fitted(self, "calibration_")
        return np.array([f"z{k}" for k in range(self.spec_.n_map)], dtype=object)

    def predict_proba(self, X: Data) -> np.ndarray:
        """Return the class probabilities read from mu, (n, n_classes)."""
        return self._proba(self._checked(X))

    def _proba(self, rows: Rows) -> np.ndarray:
        check(len(self.classes_) > 0, "this model was trained without labels: it has no classes to predict")
        temperature = self.calibration_.temperature
        return self._apply(lambda predictor, x: (predictor.logits(x) / temperature).softmax(dim=1), rows)

    def predict(self, X: Data) -> np.ndarray:
        """Return the most probable class of each row, (n,)."""
        probs = self.predict_proba(X)
        return self.classes_[probs.argmax(axis=1)]

    def score(self, X: Data, y: Labels, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy over the rows that have a label; a class the model does not know is an error.

        Raises
        ------
        ValueError
            If X, y and sample_weight differ in length, or no row has a label.
        """
        rows = self._checked(X)
        labelled = labelled_rows(y, len(rows))
        correct = self._proba(rows.take(labelled)).argmax(axis=1) == self._encode(y)[labelled]
        if sample_weight is None:
            return float(correct.mean())
        weights = _check_sample_weight(sample_weight, np.empty((len(rows), 0)))[labelled]
        return float(np.average(correct, weights=weights))

    def network_inputs(self, X: Data) -> Tensor:
        """Return rows as the networks take them: scaled, float32, channels first."""
        inputs = self._inputs(self._checked(X))
        return torch.cat(list(inputs.split(INFERENCE_ROWS)))

    def reconstruct(self, X: Data) -> np.ndarray | pd.DataFrame:
        """Return G(mu(x)), in the shape and units of X."""
        return self._rows(self._infer(X, Predictor.reconstruct))

    def inverse_transform(self, X: ArrayLike, *, like: Data | None = None) -> np.ndarray | pd.DataFrame:
        """Decode codes (n, latent_dim) to rows in the shape and units of the training rows.

        Points (n, map_dim) of the map of a code in two parts get the mean detail, or that of ``like``, one
        row or n: these are decoded as they would be at those points.
        """
        return self._rows(self.predictor_.decode(self._codes(X, like)).numpy())

    def interpolate(self, a: Data, b: Data, n: int = 10) -> np.ndarray | pd.DataFrame:
        """Return n rows on the way from one row a to another b, decoded from codes on the straight line."""
        start, end = (self._infer(row, Predictor.encode) for row in (a, b))
        check(len(start) == len(end) == 1, f"a and b must be one row each, found {len(start)} and {len(end)}")
        check(n >= 2, f"n={n} must be at least 2: a and b are the first and the last row")
        return self.inverse_transform(start + np.linspace(0.0, 1.0, n)[:, None] * (end - start))

    def _rows(self, inputs: np.ndarray) -> np.ndarray | pd.DataFrame:
        """Turn network inputs into rows; a table with text that was passed as a DataFrame is one again."""
        return to_frame(self.preprocess_.inverse(inputs), getattr(self, "feature_names_in_", None))

    def _codes(self, values: ArrayLike, like: Data | None = None) -> Tensor:
        """Return whole codes: points of the map get the mean detail, which is 0, or that of rows."""
        check_is_fitted(self, "calibration_")
        codes = np.asarray(values, dtype=np.float32)
        n_map = self.spec_.n_map
        if like is None:
            return torch.from_numpy(complete(codes, np.zeros((1, self.spec_.latent_dim)), n_map))
        valid = codes.ndim == 2 and codes.shape[1] == n_map < self.spec_.latent_dim
        check(
            valid,
            f"like=... takes points (n, {n_map}) of the map of a code in two parts, found {codes.shape}",
        )
        lent = self._infer(like, Predictor.encode)
        check(len(lent) in (1, len(codes)), f"like=... has {len(lent)} rows, wanted is one or {len(codes)}")
        return torch.from_numpy(complete(codes, lent, n_map))

    def predict_set(self, X: Data, alpha: float = 0.1) -> np.ndarray:
        """Return for each row the classes that it may have, (n, n_classes) of bool.

        The true class is among them with a probability of 1 - alpha (split conformal prediction,
        Sadinle 2019); the set of a row may be empty, where every class is too improbable.

        Raises
        ------
        ValueError
            If no labelled rows were held out of training: see ``validation_fraction`` and :meth:`calibrate`.
        """
        check_is_fitted(self, "calibration_")
        return self.calibration_.sets(self.predict_proba(X), alpha)

    def novelty(self, X: Data) -> np.ndarray:
        """Return the novelty of each row, (n,); about 1 is the 0.95 quantile of the reference rows.

        It is the largest of three components: the loss of its features on reconstruction, the distance of
        its code to that of its reconstruction, both as logarithms, and minus the log density of its code.
        Each is scaled so that half of the reference rows are below 0 and 0.95 of them below 1.
        """
        check_is_fitted(self, "calibration_")
        novelty = self.calibration_.novelty
        return self._infer(X, lambda _, x: torch.from_numpy(novelty(self._novelty_components(x))))

    def score_samples(self, X: Data) -> np.ndarray:
        """Return minus the novelty of each row, (n,) float32: as in scikit-learn, higher is more ordinary.

        There is no ``decision_function``: of a classifier it would be the scores of the classes.
        """
        return -self.novelty(X).astype(np.float32)

    def is_novel(self, X: Data, alpha: float = 0.05) -> np.ndarray:
        """Return which rows are novel, (n,) of bool: of rows like the reference rows a fraction ``alpha`` is.

        The limit is a conformal one where rows were held out (``validation_fraction``, :meth:`calibrate`);
        else it is taken from training rows, whose novelty is lower than that of new rows: more of these then
        exceed it (0.2 for 0.05 on the 1,400 embedded digits).
        """
        return self.novelty(X) > conformal_limit(self.calibration_.novelty_scores, alpha)

    def suggest(self, X: Data, n: int = 20, *, y: Labels | None = None) -> np.ndarray:
        """Return the indices of rows to label next, best first, (n,); fewer where there are fewer.

        They are uncertain, and far from one another and from labelled rows in the encoder's last hidden
        layer: see ``ssavae.inference.active_learning``.

        Parameters
        ----------
        X : rows as in :meth:`fit`
        n : int
        y : (rows,) or None
            Labels as in :meth:`fit`: only rows that have none yet are suggested.
        """
        rows = self._checked(X)
        probs = self._proba(rows)
        labelled = np.zeros(len(probs), dtype=bool) if y is None else is_labelled(y)
        check(len(labelled) == len(probs), f"y has {len(labelled)} labels, X has {len(probs)} rows")
        return suggest_rows(probs, labelled, partial(self._features, rows), n)

    def _features(self, rows: Rows, indices: np.ndarray) -> np.ndarray:
        return self._apply(Predictor.hidden, rows.take(indices))

    def is_trusted(self, Z: ArrayLike, alpha: float = 0.05) -> np.ndarray:
        """Return at which codes, or points of the map, the map can be trusted, (n,) of bool.

        There the decoded row is encoded near the code and as the same class, and the density of codes is not
        lower than that of known rows: both are compared with the limit of :meth:`is_novel` at ``alpha``.
        """
        codes = self._codes(Z)
        limit = conformal_limit(self.calibration_.novelty_scores, alpha)
        components, agrees = self.predictor_.round_trip(codes, self._log_density)
        median, scale = self.calibration_.novelty_scale[:, 1:]
        return (((components - median) / scale).max(axis=1) <= limit) & agrees

    def _novelty_components(self, inputs: NetworkInputs) -> np.ndarray:
        return self.predictor_.novelty_components(inputs, self._log_density)

    def _log_density(self, codes: np.ndarray) -> np.ndarray:
        return log_density(self.samplers_, self.class_shares_, codes)

    def sample(
        self,
        n: int,
        y: Labels | None = None,
        sampler: str = "class",
        random_state: int | np.random.Generator | None = None,
    ) -> np.ndarray | pd.DataFrame:
        """Generate n rows, in the shape and units of X.

        Parameters
        ----------
        n : int
        y : class name, n class names, or None
            Classes to draw; None draws them in proportion to the training rows.
        sampler : {"class", "aggregate", "prior"}
            One mixture per class, one mixture over all codes, or N(0, I); only "class" takes ``y``.
            A "class" code is accepted if the VEC predicts the class for the decoded row; where five
            rounds of draws do not give enough such codes, the most probable ones fill the rest.
        random_state : int, Generator or None
        """
        check_is_fitted(self, "calibration_")
        if sampler not in SAMPLERS:
            raise ValueError(f"sampler={sampler!r} is unknown: choose one of {', '.join(SAMPLERS)}")
        rng = np.random.default_rng(random_state)
        if sampler == "class" and len(self.classes_):
            return self._decoded(self._class_codes(n, y, rng))
        if y is not None:
            raise ValueError(f"y={y!r} needs sampler='class' and a model that was trained with labels")
        if sampler == "prior":
            return self.inverse_transform(prior(self.spec_.latent_dim).draw(n, rng))
        return self._decoded(self.samplers_["aggregate"].draw(n, rng))

    def _decoded(self, draws: np.ndarray) -> np.ndarray | pd.DataFrame:
        return self._rows(self.predictor_.decode_draws(torch.from_numpy(draws.astype(np.float32))).numpy())

    def _class_codes(self, n: int, y: Labels | None, rng: np.random.Generator) -> np.ndarray:
        if y is None:
            classes = rng.choice(len(self.classes_), size=n, p=self.class_shares_)
        else:
            classes = class_indices(y, self.classes_, n)
        codes = np.empty((n, self.spec_.latent_dim))
        for c in np.unique(classes):
            score = partial(self.predictor_.decodes_to, int(c))
            n_codes = int((classes == c).sum())
            codes[classes == c] = draw_accepted(self.samplers_[f"class_{c}"], n_codes, score, rng)
        return codes

    @property
    def n_iter_(self) -> int:
        """Epochs that step 1 was trained."""
        check_is_fitted(self, "history_")
        return sum(row["step"] == "vec" for row in self.history_)

    @property
    def _networks(self) -> Networks:
        return Networks(self.vec_, self.decoder_, self.discriminator_)

    @property
    def predictor_(self) -> Predictor:
        """The networks where ``device`` says, ready to be applied to network inputs and codes."""
        return self._predictor_of(self.decoder_, self.feature_weights_)

    def _predictor_of(self, decoder: nn.Module, feature_weights: tuple[float, ...]) -> Predictor:
        return Predictor(self.vec_, decoder, feature_weights, self.whitening_).on(find_device(self.device))

    # ------------------------------------------------------------------------------- the door for X

    def _open(self, X: Data, *, reset: bool) -> Rows:
        """Open X, and learn or check the names and the number of its columns."""
        rows = open_rows(X, min_samples=2 if reset else 1)
        if not is_data_set(X):
            validate_data(self, cast(Any, X), reset=reset, skip_check_array=True)
        elif reset:
            self.n_features_in_ = rows.shape[1]
            if rows.names is not None:
                self.feature_names_in_ = np.array(rows.names, dtype=object)
        else:
            expected = tuple(getattr(self, "feature_names_in_", rows.names or ()))
            check(
                rows.names is None or rows.names == expected,
                "The feature names should match those that were passed during fit, in the same order",
            )
        return rows

    def _checked(self, X: Data, fitted: str = "calibration_") -> Rows:
        """Open X and compare it with the rows trained on; rows that are expensive to read are not scanned."""
        check_is_fitted(self, fitted)
        rows = self._open(X, reset=False)
        if not isinstance(rows.values, LazyArray) or rows.values.is_cheap_to_scan:
            check_finite(rows, missing_allowed=self.preprocess_.kind == "table")
            self.preprocess_.warn_of_range(rows.values)
        return rows

    def _inputs(self, rows: Rows) -> NetworkInputs:
        return network_inputs(self.preprocess_, rows)

    def _infer(self, X: Data, function: Callable[[Predictor, NetworkInputs], Tensor]) -> np.ndarray:
        return self._apply(function, self._checked(X))

    def _apply(self, function: Callable[[Predictor, NetworkInputs], Tensor], rows: Rows) -> np.ndarray:
        """Apply a function of the predictor to the inputs of all rows, in portions."""
        portions = (rows.take(slice(i, i + INFERENCE_ROWS)) for i in range(0, len(rows), INFERENCE_ROWS))
        inputs = (streamed_inputs(self.preprocess_, portion) for portion in portions)
        return np.concatenate([function(self.predictor_, part).numpy() for part in inputs])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.target_tags.required = False
        if tags.transformer_tags is not None:
            tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    # ---------------------------------------------------------------------------------- files

    def __getstate__(self) -> dict[str, Any]:
        """Return all attributes, networks with spectral or weight norm in a form that can be pickled."""
        state = cast(dict[str, Any], super().__getstate__())
        return {name: picklable(value) for name, value in state.items()}

    @torch.inference_mode(False)
    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({name: restored(value) for name, value in state.items()})

    @property
    def _custom(self) -> tuple[OwnNetwork, ...]:
        """Names of the networks that are the user's own."""
        return tuple(name for name in get_args(OwnNetwork) if getattr(self, name) is not None)

    def _model_params(self) -> dict[str, Any]:
        return model_params(self.get_params(deep=False), self.seed_)

    def save(self, folder: str | Path) -> None:
        """Write the model folder: model.json, weights.safetensors and history.csv.

        The state of the training in ``checkpoint_folder`` is removed afterwards: until then
        ``fit(X, y, resume=True)`` brings the model back.
        """
        check_is_fitted(self, "calibration_")
        document = ModelDocument(
            params=self._model_params() | {"beta": plain(self.beta_), "gamma": plain(self.gamma_)},
            custom=self._custom,
            spec=self.spec_,
            preprocess=self.preprocess_,
            classes=Classes.of(self.classes_),
            feature_names=tuple(getattr(self, "feature_names_in_", ())),
            n_features_in=self.n_features_in_,
            seed=self.seed_,
            data_sha256=self.data_sha256_,
            feature_weights=self.feature_weights_,
            class_shares=tuple(self.class_shares_.tolist()),
            temperature=self.calibration_.temperature,
            novelty_held_out=self.calibration_.held_out,
        )
        weights = network_weights(self._networks)
        FittedState(document, self.calibration_, self.samplers_, weights, self.history_).save(Path(folder))
        if self.checkpoint_folder is not None:
            drop_state(Path(self.checkpoint_folder))

    def _restore(self, state: FittedState) -> None:
        """Take over all that a model folder holds."""
        document = state.document
        self.preprocess_ = document.preprocess
        self.classes_ = document.classes.array()
        if document.feature_names:
            self.feature_names_in_ = np.array(document.feature_names, dtype=object)
        self.n_features_in_ = document.n_features_in
        self.seed_ = document.seed
        self.data_sha256_ = document.data_sha256
        self.spec_ = document.spec
        self.feature_weights_ = document.feature_weights
        self.class_shares_ = np.array(document.class_shares)
        self.calibration_ = state.calibration
        self._take_samplers(state.samplers)
        self.history_ = state.history
        self.beta_ = self.beta
        self.gamma_ = self.gamma
        self._build_networks()
        load_networks(self._networks, state.weights, document.custom)


@torch.inference_mode(False)
def load(
    folder: str | Path,
    *,
    revision: str | None = None,
    encoder: nn.Module | None = None,
    decoder: nn.Module | None = None,
) -> SSAVAE:
    """Read a model folder written by :meth:`SSAVAE.save`; runs no code from it.

    Parameters
    ----------
    folder : path, or ``"hf://user/name"`` on the Hugging Face hub
    revision : str or None
        Branch, tag or commit on the hub.
    encoder, decoder : torch.nn.Module or None
        The networks of your own that the model was trained with, if it was.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ModelFolderError
        If a file is damaged or from another schema version, or a network does not fit: a ValueError that
        names the file and the place in it.
    ValueError
        If a network of your own is missing.
    """
    on_hub = is_on_hub(folder)
    check(revision is None or on_hub, f"revision={revision!r} needs a model on the hub, hf://user/name")
    local = fetch(str(folder), revision) if on_hub else Path(folder)
    with torch.device("cpu"):
        state = FittedState.load(local)
    own: dict[str, Any] = {"encoder": encoder, "decoder": decoder}
    missing = [name for name in state.document.custom if own[name] is None]
    if missing:
        raise ValueError(
            f"{folder} was trained with your own {missing[0]}: pass it as load(folder, {missing[0]}=...)"
        )
    with damaged(local / MODEL_FILE):
        model = SSAVAE(**_model_arguments(state.document.params), **own)
    with damaged(local / WEIGHTS_FILE, "does not fit the networks"):
        model._restore(state)
    return model


def _model_arguments(params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a model folder, checked as those of a user are."""
    runtime = sorted(params.keys() & set(RUNTIME))
    check(not runtime, f"model.params must hold what defines a model, found {', '.join(runtime)}")
    arguments = read_arguments(SSAVAE.__init__, params, "model.params")
    arguments["augment"] = current_names(arguments.get("augment", ()))
    arguments.setdefault("n_members", 1)  # of models that were saved before there were several
    arguments.setdefault("embedding_dim", 1)
    arguments.setdefault("dropout", 0.0)  # or before there was any
    check_params(arguments)
    return arguments
