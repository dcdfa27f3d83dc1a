"""SSAVAE: the two-step method with scikit-learn's face, and the only home of its defaults."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn
from torch.utils.data import Dataset

from ssavae._checks import check
from ssavae._serialize import lists_to_tuples, plain
from ssavae._version import __version__
from ssavae.inference.active_learning import candidates, choose_rows, uncertainty
from ssavae.inference.calibration import Calibration, conformal_limit
from ssavae.inference.predictor import Predictor
from ssavae.inference.samplers import SAMPLERS, draw_accepted, fit_samplers, log_density, prior
from ssavae.networks import Decoder, Discriminator, Spec, build_vec, reparameterize, to_memory_format
from ssavae.persistence import model_folder, training_state
from ssavae.persistence.fitted import described, restore, restore_weights, tensors_of
from ssavae.persistence.hub import fetch, is_on_hub
from ssavae.preprocessing.columns import object_cells, to_frame, warn_of_columns
from ssavae.preprocessing.inputs import Inputs, labels_of, source_of
from ssavae.preprocessing.labels import check_labels, class_indices, encode_labels
from ssavae.preprocessing.lazy import LazyArray, load_if_small, sample_rows
from ssavae.preprocessing.preprocessor import Preprocessor, check_finite
from ssavae.preprocessing.splits import hold_out, label_folds
from ssavae.training.augmentations import check_augment
from ssavae.training.batches import Rows, SourceRows, TensorRows, some_inputs
from ssavae.training.distributed.context import context_of
from ssavae.training.distributed.fabric import launch_fabric, make_fabric
from ssavae.training.distributed.launcher import must_launch
from ssavae.training.distributed.remote import Job, train_elsewhere
from ssavae.training.parameters import check_params, seed_of
from ssavae.training.steps import choose_consistency, choose_detail, train_networks

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SAMPLER_ROWS = 20000  # rows from which samplers are made
MANY_LABELS = 10000  # from which rows are held out without being asked for
NOVELTY_ROWS = 5000  # rows whose novelty sets the limits: a quantile of 5 % is then good to 0.3 %
INFERENCE_ROWS = 10000  # rows turned into network inputs at once


class SSAVAE(ClassifierMixin, TransformerMixin, BaseEstimator):
    """Semi-Supervised Adversarial VAE (Zemouri 2020): a latent map that classifies, decodes and generates.

    Step 1 trains the Variational Encoder Classifier (encoder and classifier, with the KL to N(0, I)),
    step 2 freezes it and trains a decoder against its hidden features, a discriminator and the code.

    Parameters
    ----------
    latent_dim : int
        K, the size of the code; 2 gives a map to look at, 100 a code that keeps every detail.
    kind : {"table", "image", "signal"} or None
        What the rows are; None takes (n, d) for a table and (n, H, W[, C]) for images.
    beta : float
        Weight of the adversarial loss in step 2 (the paper's beta, not beta-VAE's).
    gamma : float
        Weight of the latent loss in step 2.
    weight_kl : float or None
        Weight of the KL in step 1. None takes 0.02, and 0.001 where ``loss_consistency`` is at work: the KL
        draws rows without a label to the middle of the map, where the teacher is never sure of them.
    weight_detail : float or None
        Weight of ``loss_detail`` in step 1, which makes the code keep more than the class; 0 is the
        plain reading of the paper, None takes 0.25 for each dimension of the code and at most 5, and a tenth
        of that where ``loss_consistency`` is at work, which else hardly gets through.
    weight_consistency : float or None
        Weight of ``loss_consistency`` in step 1, by which unlabelled rows help to classify: changed at
        random, they keep the class that a teacher gives them, the average of the VEC over its updates. 0 is
        the paper's plain method; None takes 1 where under a quarter of the rows has a label, else 0.
    n_epochs, n_epochs_decoder, n_epochs_student : int or None
        Epochs of step 1, of step 2 and of the student; None takes 10, of the student 30, and more where that
        is under 2,000 updates. ``n_epochs_decoder=0`` trains the VEC alone, for :meth:`fit_decoder` to go on
        from.
    augment : tuple of {"translate", "flip", "erase", "noise", "mixup"}
        Random changes of the rows of step 1 that leave their class as it is: images are shifted, mirrored
        or in part covered, tables and signals get noise as large as their own spread, or move towards one
        another.
    batch_size, batch_size_decoder : int
        Rows in a batch of step 1 and of step 2, where many small ones are sooner good than few large ones;
        a last part batch is left out.
    learning_rate, learning_rate_decoder, learning_rate_disc : float
        Peak learning rates of the VEC, the decoder and the discriminator (Adam, one cycle).
    widths : tuple of int or None
        Units or channels of the layers; None sizes them from the shape of a row.
    student_widths : tuple of int or None
        Units of the layers of a student: a small dense network that learns the map from the encoder after
        step 1 and codes rows in its place, at a fraction of the time and some accuracy. None does without.
    encoder, decoder : torch.nn.Module or None
        Your own networks: the encoder returns (mu, logvar, features), the decoder inputs from codes.
    validation_fraction : float or None
        Share of the rows, or of the groups where there are any, held out of training: ``val_loss`` and the
        confidence (temperature, :meth:`predict_set`, :meth:`is_novel`) are measured on them. None takes
        0.05 where 10,000 rows or more have a label, else 0.
    calibration_folds : int
        Where labels are few: train step 1 so many times more, each without the labels of a part of the
        rows, and calibrate on what those models say of that part; 0 does without.
    patience : int or None
        Epochs without a better ``val_loss`` after which a step ends; None trains all epochs.
    device, precision : str
        "auto", "cpu", "cuda", "cuda:1", "mps"; "32-true" or "bf16-mixed".
    devices, nodes : int
        Processes on each machine, one a GPU, and machines, that share out the rows of each batch by Fabric's
        DDP. They learn what one process learns, to rounding. On one machine :meth:`fit` starts them itself;
        a program that torchrun starts on several joins them.
    n_workers : int
        Worker processes that read rows which are not held in memory.
    checkpoint_folder : path or None
        Where the state of an unfinished run is kept, for ``fit(..., resume=True)``.
    checkpoint_every : int
        Batches between two such states.
    verbose : bool
        Show progress with every loss and the time left.
    random_state : int or None
        Seed; on CPU, the same seed on the same machine gives the same weights, bit for bit.

    Attributes
    ----------
    vec_, decoder_, discriminator_ : torch.nn.Module
    classes_ : ndarray of the class names; empty if no row had a label
    history_ : list of dict
        One row per epoch and step with every loss.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SSAVAE(n_epochs=20, n_epochs_decoder=20, random_state=0).fit(X, y)
    >>> model.transform(X).shape, model.inverse_transform([[0.0, 0.0]]).shape
    ((150, 2), (1, 4))
    """

    feature_names_in_: np.ndarray  # where X had column names
    history_: list[dict[str, Any]]
    feature_weights_: tuple[float, ...]

    def __init__(
        self,
        latent_dim: int = 2,
        *,
        kind: str | None = None,
        beta: float = 0.005,
        gamma: float = 0.05,
        weight_kl: float | None = None,
        weight_detail: float | None = None,
        weight_consistency: float | None = None,
        n_epochs: int | None = None,
        n_epochs_decoder: int | None = None,
        n_epochs_student: int | None = None,
        augment: tuple[str, ...] = (),
        batch_size: int = 128,
        batch_size_decoder: int = 32,
        learning_rate: float = 2e-3,
        learning_rate_decoder: float = 2e-3,
        learning_rate_disc: float = 2e-3,
        widths: tuple[int, ...] | None = None,
        student_widths: tuple[int, ...] | None = None,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
        validation_fraction: float | None = None,
        calibration_folds: int = 0,
        patience: int | None = None,
        device: str = "auto",
        precision: str = "32-true",
        devices: int = 1,
        nodes: int = 1,
        n_workers: int = 0,
        checkpoint_folder: str | Path | None = None,
        checkpoint_every: int = 500,
        verbose: bool = False,
        random_state: int | None = None,
    ) -> None:
        self.latent_dim = latent_dim
        self.kind = kind
        self.beta = beta
        self.gamma = gamma
        self.weight_kl = weight_kl
        self.weight_detail = weight_detail
        self.weight_consistency = weight_consistency
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
        self.encoder = encoder
        self.decoder = decoder
        self.validation_fraction = validation_fraction
        self.calibration_folds = calibration_folds
        self.patience = patience
        self.device = device
        self.precision = precision
        self.devices = devices
        self.nodes = nodes
        self.n_workers = n_workers
        self.checkpoint_folder = checkpoint_folder
        self.checkpoint_every = checkpoint_every
        self.verbose = verbose
        self.random_state = random_state

    # ------------------------------------------------------------------------------- training

    def fit(
        self,
        X: ArrayLike | Dataset[Any],
        y: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        eval_set: tuple[ArrayLike, ArrayLike] | None = None,
        vec: SSAVAE | None = None,
        resume: bool = False,
    ) -> SSAVAE:
        """Train both steps.

        Parameters
        ----------
        X : (n, d), (n, H, W[, C]) or (n, T[, C]) array, DataFrame, map-style torch Dataset, or data set of
            Hugging Face
            A Dataset gives rows, or (row, class index) pairs, of the same shapes without n. Many rows of a
            ``np.memmap`` stay in their file and are read batch by batch: see ``sources.opened``.
        y : (n,) or None
            Labels of any type; -1, None or NaN where unlabelled.
        groups : (n,) or None
            What rows belong together (a machine, a patient, a recording): rows of one group are all held
            out or none is.
        eval_set : (X, y) or None
            Rows whose ``eval_accuracy`` is recorded after each epoch of step 1; nothing is chosen by it.
        vec : SSAVAE or None
            A model of the same rows, seed and parameters of step 1, whose VEC is taken in place of training
            it again: the result is the same to the bit.
        resume : bool
            Go on with the unfinished run in ``checkpoint_folder``.
        """
        check_params(self.get_params(deep=False))
        self._forget()
        rows, labels = self._prepare(X, y)
        fabric = self._launched()
        seed = self._choose_seed(resume)
        self.seed_ = seed if fabric is None else context_of(fabric).first(seed)
        held_out = hold_out(labels, self._share_held_out(labels), self.seed_, groups)
        kept = np.setdiff1d(np.arange(len(labels)), held_out)
        held = (self._inputs(rows, held_out), labels[held_out]) if len(held_out) else None
        watched = None if eval_set is None else self._watched(*eval_set)
        with _own_random_state(self.seed_):
            training = self._training_rows(rows, labels, kept, fabric)
            self.data_sha256_ = training.digest()
            self._build(with_detail=choose_detail(self, choose_consistency(self, training.y)) > 0)
            job = Job(training, held, watched, resume, vec=vec)
            if fabric is None:
                train_elsewhere(self, job)
            else:
                train_networks(self, fabric, job)
            self._learn_samplers(training)
        self.vec_.detail = None  # the auxiliary decoder has done its work in step 1
        if held is not None:
            self._calibrate(*held)
        else:
            folds = label_folds(
                labels, self.calibration_folds, self.seed_, None if groups is None else np.asarray(groups)
            )
            self._calibrate_crosswise(some_inputs(training, NOVELTY_ROWS)[0], X, labels, folds)
        if self.checkpoint_folder is not None and (fabric is None or fabric.is_global_zero):
            training_state.drop_state(Path(self.checkpoint_folder))
        return self

    def _launched(self) -> Fabric | None:
        """Return where to train; None where processes have yet to be started for it."""
        if must_launch(self.devices, self.nodes):
            make_fabric(self.device, self.precision, self.devices)
            return None
        return launch_fabric(self.device, self.precision, self.devices, self.nodes)

    def fit_decoder(
        self, X: ArrayLike | Dataset[Any], *, beta: float | None = None, gamma: float | None = None
    ) -> SSAVAE:
        """Train step 2 again, with fresh networks, on the same VEC; ``None`` keeps beta or gamma as it is."""
        rows = self._checked(X)
        self.beta, self.gamma = self.beta if beta is None else beta, self.gamma if gamma is None else gamma
        check_params(self.get_params(deep=False))
        fabric = self._launched()
        self.history_ = [row for row in self.history_ if row["step"] != "decoder"]
        with _own_random_state(self.seed_):
            self._build_decoder()
            every = np.arange(len(rows))
            training = self._training_rows(rows, np.full(len(rows), -1), every, fabric)
            if fabric is None:
                train_elsewhere(self, Job(training, vec_too=False))
            else:
                train_networks(self, fabric, Job(training, vec_too=False))
        known = self._novelty_components(some_inputs(training, NOVELTY_ROWS)[0])
        self.calibration_ = self.calibration_.knowing(known, held_out=False)
        return self

    def calibrate(self, X: ArrayLike | Dataset[Any], y: Any = None) -> SSAVAE:
        """Learn confidence anew from rows that were not trained on.

        Sets the temperature of :meth:`predict_proba` and the limits of :meth:`predict_set` and
        :meth:`is_novel`, as :meth:`fit` does with the rows that it holds out; see ``ssavae.inference.calibration``.

        Parameters
        ----------
        X : rows as in :meth:`fit`
        y : (n,) or None
            Their labels; without any the temperature is 1 again and :meth:`predict_set` has no limit.

        Raises
        ------
        ValueError
            If X and y do not fit together.
        """
        inputs = self._inputs(self._checked(X))
        labels = np.full(len(inputs), -1) if y is None else encode_labels(y, self.classes_)[0]
        check(len(labels) == len(inputs), f"y has {len(labels)} labels, X has {len(inputs)} rows")
        self._calibrate(inputs, labels)
        return self

    def _calibrate(self, inputs: Tensor | Inputs, labels: np.ndarray) -> None:
        """Calibrate on rows that were not trained on."""
        logits = self._predictor.logits(inputs).double().numpy()
        self.calibration_ = Calibration.fit(logits, labels, self._novelty_components(inputs), held_out=True)

    def _calibrate_crosswise(
        self, inputs: Tensor, X: Any, labels: np.ndarray, folds: list[np.ndarray]
    ) -> None:
        """Calibrate novelty on training rows, and the classifier by models that saw a part of the labels."""
        logits = [self._sibling_logits(X, labels, fold) for fold in folds]
        logits.append(np.empty((0, self.spec_.n_classes)))
        known = labels[np.concatenate([*folds, np.empty(0, dtype=np.int64)])]
        novelty_components = self._novelty_components(inputs)
        self.calibration_ = Calibration.fit(np.concatenate(logits), known, novelty_components, held_out=False)

    def _sibling_logits(self, X: Any, labels: np.ndarray, fold: np.ndarray) -> np.ndarray:
        """Train another VEC to which these labels are not shown, and return its logits of their rows."""
        alone = {"n_epochs_decoder": 0, "calibration_folds": 0, "validation_fraction": 0.0}
        sibling: Any = clone(self)
        sibling.set_params(**alone, checkpoint_folder=None, random_state=self.seed_)
        shown = labels.copy()
        shown[fold] = -1
        sibling.fit(X, shown)
        return sibling._predictor.logits(sibling._inputs(sibling._validated(X), fold)).double().numpy()

    def _share_held_out(self, labels: np.ndarray) -> float:
        """Rows are held out without being asked for where labels are so many that none is missed."""
        if self.validation_fraction is not None:
            return self.validation_fraction
        return 0.05 if (labels >= 0).sum() >= MANY_LABELS else 0.0

    def _forget(self) -> None:
        """Drop what an earlier fit learned, which would be mixed with this one's if this one failed."""
        for name in [name for name in vars(self) if name.endswith("_") and not name.startswith("_")]:
            delattr(self, name)

    def _choose_seed(self, resume: bool) -> int:
        """Take the user's seed, else that of the run to resume, else a new one."""
        if resume and self.random_state is None and self.checkpoint_folder is not None:
            return training_state.load_state(Path(self.checkpoint_folder))["seed"]
        return seed_of(self.random_state)

    def _prepare(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        """Check rows and labels; learn the rows' scaling and the classes."""
        y = labels_of(X) if y is None else y
        rows = self._opened(X, reset=True)
        names = getattr(self, "feature_names_in_", None)
        self.preprocess_ = Preprocessor.fit(rows, self.kind, names)
        check_finite(rows, names, missing_allowed=self.preprocess_.kind == "table")
        check_augment(self.augment, self.preprocess_.kind)
        if self.preprocess_.kind == "table":
            warn_of_columns(sample_rows(rows), self.preprocess_.names)
        labels, self.classes_ = check_labels(y, len(rows))
        return rows, labels

    def _build(self, with_detail: bool) -> None:
        shape, bounded = self.preprocess_.input_shape, self.preprocess_.bounded
        widths, student_widths = (tuple(plain(each) or ()) for each in (self.widths, self.student_widths))
        n_classes = max(1, len(self.classes_))
        self.spec_ = Spec(shape, int(self.latent_dim), n_classes, bounded, widths, student_widths)
        self._build_networks(with_detail)

    def _build_networks(self, with_detail: bool) -> None:
        self.vec_ = build_vec(self.spec_, with_detail, copy.deepcopy(self.encoder))
        self._build_decoder()

    def _build_decoder(self) -> None:
        decoder = Decoder(self.spec_) if self.decoder is None else copy.deepcopy(self.decoder)
        self.decoder_ = to_memory_format(decoder, self.spec_)
        self.discriminator_ = to_memory_format(Discriminator(self.spec_), self.spec_)

    def _training_rows(self, rows: Any, labels: np.ndarray, kept: np.ndarray, fabric: Fabric | None) -> Rows:
        device = torch.device("cpu") if fabric is None else fabric.device
        to_inputs = self.preprocess_.forward
        if isinstance(rows, LazyArray):
            return SourceRows(rows.take(kept), labels[kept], to_inputs, device, self.n_workers)
        return TensorRows(torch.from_numpy(to_inputs(rows[kept])), labels[kept], device)

    def _watched(self, X: Any, y: Any) -> tuple[Tensor | Inputs, np.ndarray]:
        inputs, labels = self._inputs(self._validated(X)), encode_labels(y, self.classes_)[0]
        if len(inputs) != len(labels):
            raise ValueError(f"eval_set has {len(inputs)} rows and {len(labels)} labels")
        return inputs, labels

    def _learn_samplers(self, rows: Rows) -> None:
        """Fit the mixtures to codes z ~ q(z|x) of training rows; only the VEC has a part in them."""
        inputs, labels = some_inputs(rows, SAMPLER_ROWS)
        predictor = Predictor(self.vec_, self.decoder_)
        mu, logvar = predictor.posterior(inputs)
        labels = np.where(labels >= 0, labels, predictor.classify(mu).argmax(dim=1).numpy())
        with _own_random_state(self.seed_):  # the same draws in a run that was resumed in step 2
            codes = reparameterize(mu, logvar).double().numpy()
        self.samplers_ = fit_samplers(codes, labels, len(self.classes_), self.seed_)
        self.class_shares_ = np.bincount(labels, minlength=len(self.classes_)) / len(labels)

    # ------------------------------------------------------------------------------ inference

    def transform(self, X: ArrayLike | Dataset[Any]) -> np.ndarray:
        """Return the codes mu, (n, latent_dim); a row's code depends on that row alone."""
        return self._infer(X, Predictor.encode)

    def predict_proba(self, X: ArrayLike | Dataset[Any]) -> np.ndarray:
        """Return the class probabilities read from mu, (n, n_classes)."""
        check_is_fitted(self, "calibration_")
        if len(self.classes_) == 0:
            raise ValueError("this model was trained without labels: it has no classes to predict")
        temperature = self.calibration_.temperature
        return self._infer(X, lambda predictor, x: (predictor.logits(x) / temperature).softmax(dim=1))

    def predict(self, X: ArrayLike | Dataset[Any]) -> np.ndarray:
        """Return the most probable class of each row, (n,)."""
        probs = self.predict_proba(X)
        return self.classes_[probs.argmax(axis=1)]

    def network_inputs(self, X: ArrayLike | Dataset[Any]) -> Tensor:
        """Return rows as the networks take them: scaled, float32, channels first."""
        inputs = self._inputs(self._checked(X))
        return torch.cat(list(inputs.split(INFERENCE_ROWS)))

    def reconstruct(self, X: ArrayLike | Dataset[Any]) -> np.ndarray:
        """Return G(mu(x)), in the shape and units of X."""
        return self._rows(self._infer(X, Predictor.reconstruct))

    def inverse_transform(self, Z: ArrayLike) -> np.ndarray:
        """Decode codes (n, latent_dim) to rows in the shape and units of X."""
        return self._rows(self._predictor.decode(self._codes(Z)).numpy())

    def _rows(self, inputs: np.ndarray) -> Any:
        """Turn network inputs into rows; a table with texts that came as a DataFrame is one again."""
        return to_frame(self.preprocess_.inverse(inputs), getattr(self, "feature_names_in_", None))

    def _codes(self, Z: ArrayLike) -> Tensor:
        check_is_fitted(self, "calibration_")
        codes = np.asarray(Z, dtype=np.float32)
        if codes.ndim != 2 or codes.shape[1] != self.spec_.latent_dim:
            raise ValueError(
                f"Z has shape {codes.shape}: codes of this model are (n, {self.spec_.latent_dim})"
            )
        return torch.from_numpy(codes)

    def predict_set(self, X: ArrayLike | Dataset[Any], alpha: float = 0.1) -> np.ndarray:
        """Return for each row the classes that it may have, (n, n_classes) of bool.

        The true class is among them with a probability of 1 - alpha (split conformal prediction,
        Sadinle 2019); a row may have none, where every class is too improbable.

        Raises
        ------
        ValueError
            If no labelled rows were kept from training: see ``validation_fraction`` and :meth:`calibrate`.
        """
        return self._calibration().sets(self.predict_proba(X), alpha)

    def novelty(self, X: ArrayLike | Dataset[Any]) -> np.ndarray:
        """Return how strange each row is, (n,); about 1 where the strangest of the known rows begin.

        It is the largest of three: the loss of its features on reconstruction, the distance of its code to
        that of its reconstruction, both as logarithms, and minus the log density of its code; each in units
        in which half of the known rows are below 0 and 0.95 of them below 1.
        """
        novelty = self._calibration().novelty
        return self._infer(X, lambda predictor, x: torch.from_numpy(novelty(self._novelty_components(x))))

    def is_novel(self, X: ArrayLike | Dataset[Any], alpha: float = 0.05) -> np.ndarray:
        """Say which rows are too strange, (n,): of rows like the known ones a share ``alpha`` is called so.

        The limit is a conformal one where rows were held out (``validation_fraction``, :meth:`calibrate`);
        else it is taken from training rows, which look less strange than new ones: more of these are then
        called so (0.2 for 0.05 on the 1,400 embedded digits).
        """
        return self.novelty(X) > conformal_limit(self._calibration().novelty_scores, alpha)

    def suggest(self, X: ArrayLike | Dataset[Any], n: int = 20, *, y: Any = None) -> np.ndarray:
        """Return which rows to label next, best first, (n,); fewer where there are fewer.

        Unsure ones, far from one another and from labelled ones in the encoder's last hidden layer: see
        ``ssavae.inference.active_learning``.

        Parameters
        ----------
        X : rows as in :meth:`fit`
        n : int
        y : (rows,) or None
            Labels, -1 or None where there is none yet: only such rows are suggested.
        """
        probs, features = self.predict_proba(X), partial(self._apply, Predictor.hidden, self._checked(X))
        labelled = np.zeros(len(probs), dtype=bool) if y is None else encode_labels(y, self.classes_)[0] >= 0
        check(len(labelled) == len(probs), f"y has {len(labelled)} labels, X has {len(probs)} rows")
        uncertain, width = uncertainty(probs), features([slice(1)]).shape[1]
        free = candidates(uncertain, np.flatnonzero(~labelled), width, n)
        known = (features([portion]) for portion in _portions(np.flatnonzero(labelled)))
        return free[choose_rows(uncertain[free], features(_portions(free)), known, n)] if len(free) else free

    def is_trusted(self, Z: ArrayLike, alpha: float = 0.05) -> np.ndarray:
        """Say at which codes (n, latent_dim) the map may be read, (n,) of bool.

        There the decoded row comes back to about where it started and to the same class, and the density of
        codes is not lower than known rows have it: both are held to the limit of :meth:`is_novel`.
        """
        codes = self._codes(Z)
        limit = conformal_limit(self.calibration_.novelty_scores, alpha)
        novelty_components, agrees = self._predictor.returned(codes, self._log_density)
        middle, scale = self.calibration_.novelty_scale[:, 1:]
        return (((novelty_components - middle) / scale).max(axis=1) <= limit) & agrees

    def _calibration(self) -> Calibration:
        check_is_fitted(self, "calibration_")
        return self.calibration_

    def _novelty_components(self, inputs: Tensor | Inputs) -> np.ndarray:
        return self._predictor.novelty_components(inputs, self._log_density)

    def _log_density(self, codes: np.ndarray) -> np.ndarray:
        return log_density(self.samplers_, self.class_shares_, codes)

    def sample(
        self, n: int, y: Any = None, sampler: str = "class", random_state: int | None = None
    ) -> np.ndarray:
        """Generate n rows, in the shape and units of X.

        Parameters
        ----------
        n : int
        y : class name, n class names, or None
            Classes to draw; None draws them in proportion to the training rows.
        sampler : {"class", "aggregate", "prior"}
            One mixture per class, one mixture over all codes, or N(0, I); only "class" takes ``y``.
            A "class" code is kept if the VEC reads the class in what it is decoded to; where five
            rounds of draws do not give enough such codes, those that come nearest fill the rest.
        random_state : int or None
        """
        check_is_fitted(self, "calibration_")
        if sampler not in SAMPLERS:
            raise ValueError(f"sampler={sampler!r} is unknown: choose one of {', '.join(SAMPLERS)}")
        rng = np.random.default_rng(random_state)
        if sampler == "class" and len(self.classes_):
            return self.inverse_transform(self._class_codes(n, y, rng))
        if y is not None:
            raise ValueError(f"y={y!r} needs sampler='class' and a model that was trained with labels")
        mixture = prior(self.spec_.latent_dim) if sampler == "prior" else self.samplers_["aggregate"]
        return self.inverse_transform(mixture.draw(n, rng))

    def _class_codes(self, n: int, y: Any, rng: np.random.Generator) -> np.ndarray:
        if y is None:
            wanted = rng.choice(len(self.classes_), size=n, p=self.class_shares_)
        else:
            wanted = class_indices(y, self.classes_, n)
        codes = np.empty((n, self.spec_.latent_dim))
        for c in np.unique(wanted):
            score = partial(self._predictor.decodes_to, int(c))
            codes[wanted == c] = draw_accepted(
                self.samplers_[f"class_{c}"], int((wanted == c).sum()), score, rng
            )
        return codes

    @property
    def _predictor(self) -> Predictor:
        return Predictor(self.vec_, self.decoder_, self.feature_weights_)

    def _checked(self, X: Any) -> Any:
        """Check rows against the ones trained on; those that are dear to read are not looked through."""
        check_is_fitted(self, "calibration_")
        return self._validated(X)

    def _validated(self, X: Any) -> Any:
        rows = self._opened(X, reset=False)
        names = getattr(self, "feature_names_in_", None)
        if not isinstance(rows, LazyArray) or rows.is_cheap_to_scan:
            check_finite(rows, names, missing_allowed=self.preprocess_.kind == "table")
        return rows

    def _opened(self, X: Any, reset: bool) -> Any:
        """Return checked rows: an array, or a Source of rows that stay where they are."""
        source = source_of(X)
        if not isinstance(source, LazyArray):
            return load_if_small(self._cells(X, reset))
        if reset:
            self.n_features_in_ = source.shape[1]
            if source.names is not None:
                self.feature_names_in_ = np.array(source.names, dtype=object)
        same = source.names is None or source.names == tuple(getattr(self, "feature_names_in_", source.names))
        check(same, "The feature names should match those that were passed during fit, in the same order")
        return load_if_small(source)

    def _cells(self, X: Any, reset: bool) -> Any:
        """Check rows as scikit-learn does; a table with texts becomes objects."""
        cells = object_cells(X)
        checks: dict[str, Any] = {"reset": reset, "skip_check_array": cells is not None}
        if cells is None:
            checks |= {"dtype": "numeric", "allow_nd": True, "ensure_all_finite": False}
            checks |= {"ensure_min_samples": 2 if reset else 1}
        found: Any = validate_data(self, X, **checks)
        return found if cells is None else cells

    def _inputs(self, rows: Any, indices: slice | np.ndarray = slice(None)) -> Tensor | Inputs:
        """Turn rows, all or some, into network inputs."""
        if isinstance(rows, LazyArray):
            return Inputs(rows.take(indices), self.preprocess_.forward)
        return torch.from_numpy(self.preprocess_.forward(rows[indices]))

    def _unread(self, rows: Any, indices: slice | np.ndarray) -> Tensor | Inputs:
        """Leave it to the networks to turn rows into inputs, batch by batch: each then stays in the cache.

        Tables are turned column by column, which is dear for few rows.
        """
        if isinstance(rows, LazyArray) or self.preprocess_.kind == "table":
            return self._inputs(rows, indices)
        return Inputs(rows[indices], self.preprocess_.forward)

    def _infer(self, X: Any, function: Callable[[Predictor, Any], Tensor]) -> np.ndarray:
        rows = self._checked(X)
        return self._apply(function, rows, _slices(len(rows)))

    def _apply(
        self, function: Callable[[Predictor, Any], Tensor], rows: Any, portions: Sequence[slice | np.ndarray]
    ) -> np.ndarray:
        parts = (self._unread(rows, portion) for portion in portions)
        return np.concatenate([function(self._predictor, part).numpy() for part in parts])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = tags.input_tags.allow_nan = tags.input_tags.categorical = True
        if tags.transformer_tags is not None:
            tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    # ---------------------------------------------------------------------------------- files

    def __getstate__(self) -> dict[str, Any]:
        """Hand out the discriminator's weights alone: torch's spectral norm refuses to be pickled."""
        state = dict(super().__getstate__())
        if "discriminator_" in state:
            state["discriminator_"] = state["discriminator_"].state_dict()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "discriminator_" in state:
            with _own_random_state(0):
                self.discriminator_ = to_memory_format(Discriminator(self.spec_), self.spec_).eval()
            self.discriminator_.load_state_dict(state["discriminator_"])

    def save(self, folder: str | Path) -> None:
        """Write the model folder: model.json, weights.safetensors and history.csv."""
        check_is_fitted(self, "calibration_")
        model_folder.save_model(Path(folder), described(self, __version__), tensors_of(self))
        model_folder.save_history(Path(folder), self.history_)


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
    ValueError
        If a file is damaged or from another schema version, or a network does not fit.
    """
    check(
        revision is None or is_on_hub(folder),
        f"revision={revision!r} needs a model on the hub, hf://user/name",
    )
    local = fetch(str(folder), revision) if is_on_hub(folder) else Path(folder)
    model, tensors = model_folder.load_model(local)
    given: dict[str, Any] = {"encoder": encoder, "decoder": decoder}
    missing = [name for name in model["custom"] if given[name] is None]
    if missing:
        raise ValueError(
            f"{folder} was trained with your own {missing[0]}: pass it as load(folder, {missing[0]}=...)"
        )
    loaded = SSAVAE(**lists_to_tuples(model["params"]), **given)
    restore(loaded, model)
    with _own_random_state(loaded.seed_):
        loaded._build_networks(with_detail=False)
    restore_weights(loaded, tensors)
    loaded.history_ = model_folder.load_history(local)
    return loaded


def _slices(n: int) -> list[slice]:
    """Divide n rows into such as are turned into network inputs at once."""
    return [slice(i, i + INFERENCE_ROWS) for i in range(0, n, INFERENCE_ROWS)]


def _portions(numbers: np.ndarray) -> list[np.ndarray]:
    """Divide row numbers likewise."""
    return [numbers[each] for each in _slices(len(numbers))]


@contextmanager
def _own_random_state(seed: int) -> Iterator[None]:
    """Seed torch, and give the caller's random state back afterwards, on every GPU: all are seeded."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
