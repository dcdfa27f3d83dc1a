"""How a model's networks are trained: what each step is given follows from the parameters and the rows."""

from __future__ import annotations

import hashlib
import json
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ssavae._checks import check
from ssavae.algorithms import feature_weights, latent_weight
from ssavae.consistency import Teacher
from ssavae.inference.predictor import Predictor
from ssavae.networks import VEC
from ssavae.persistence.fitted import plain_params
from ssavae.training.augmentations import STRONG
from ssavae.training.batches import MIN_LABELLED_FRACTION, Rows, some_inputs
from ssavae.training.distributed.context import context_of
from ssavae.training.distributed.remote import Job
from ssavae.training.loop import Session, Settings, Stage, train
from ssavae.training.progress import recording, showing_progress
from ssavae.training.stages import decoder_stage, measured_variance, student_stage, vec_stage

if TYPE_CHECKING:
    from lightning_fabric import Fabric

MIN_STEPS = 2000  # updates in a step, at least, where n_epochs is None: small tables need more epochs
SCALE_ROWS = 2000  # rows from which variances and feature weights are measured
WEIGHT_KL, SHARE_DETAIL = (0.02, 0.001), (1.0, 0.1)  # without and with loss_consistency


def train_networks(model: Any, fabric: Fabric, job: Job) -> None:
    """Train the networks of a model, both steps or the second alone.

    Parameters
    ----------
    model : SSAVAE
        With its networks built; they, ``history_`` and ``feature_weights_`` change.
    fabric : lightning_fabric.Fabric
    job : Job
    """
    session = _session(model, fabric, job)
    if job.vec is not None:
        _take_vec(model, session, job.vec)
    if job.vec_too:
        measure = partial(_measure_vec, model, job.held, job.watched)
        _run_vec(model, session, fabric, job.rows, measure)
        if model.vec_.student is not None:
            _run_student(model, session, fabric, job.rows, partial(measure, model.vec_))
    _run_decoder(model, session, fabric, job.rows, partial(_measure_decoder, model, job.held))


def choose_consistency(model: Any, labels: np.ndarray) -> float:
    """Unlabelled rows are asked where labels are few, and can be where there are classes."""
    few = (labels >= 0).sum() < MIN_LABELLED_FRACTION * len(labels)
    weight = float(few) if model.weight_consistency is None else model.weight_consistency
    return float(weight) if len(model.classes_) else 0.0


def choose_detail(model: Any, weight_consistency: float) -> float:
    """Ask more of a code that has more room: two dimensions hold little beside the class."""
    most = min(5.0, 0.25 * model.latent_dim) * SHARE_DETAIL[weight_consistency > 0]
    return float(most if model.weight_detail is None else model.weight_detail)


def _session(model: Any, fabric: Fabric, job: Job) -> Session:
    """Set a run up; one of both steps keeps its state in the checkpoint folder."""
    modules = {"vec": model.vec_, "decoder": model.decoder_, "discriminator": model.discriminator_}
    session = Session(modules, fabric.device, seed=model.seed_, share=context_of(fabric))
    told = json.dumps([plain_params(model), model.seed_, model.data_sha256_], sort_keys=True)
    session.share.agree(told)
    if not job.vec_too:
        session.history = model.history_
    elif model.checkpoint_folder is not None:
        session.folder, session.checkpoint_every = Path(model.checkpoint_folder), model.checkpoint_every
        session.fingerprint = hashlib.sha256(told.encode()).hexdigest()
    if job.resume:
        session.resume()
    return session


def _take_vec(model: Any, session: Session, other: Any) -> None:
    """Put another model's VEC in the place of step 1."""
    same = (other.data_sha256_, other.seed_, other.spec_) == (model.data_sha256_, model.seed_, model.spec_)
    check(same, "vec=... was trained on other rows, with another seed or with other networks")
    model.vec_.detail = None  # after the networks are built: they are drawn as if step 1 had run here
    model.vec_.load_state_dict(other.vec_.state_dict())
    if "vec" not in session.done:
        session.done.extend(["vec", "student"])
        session.history.extend(row for row in other.history_ if row["step"] != "decoder")


def _run_vec(model: Any, session: Session, fabric: Fabric, rows: Rows, measure: Any) -> None:
    """Step 1, Algorithm 1; where there is a teacher, it is what remains."""
    weight_consistency = choose_consistency(model, rows.y)
    asked = weight_consistency > 0 and "vec" not in session.done
    teacher = Teacher(model.vec_, model.spec_.n_classes) if asked else None
    if teacher is not None:
        session.add("teacher", teacher)
    stage = vec_stage(
        fabric,
        session.share,
        model.vec_,
        learning_rate=model.learning_rate,
        weight_kl=WEIGHT_KL[weight_consistency > 0] if model.weight_kl is None else model.weight_kl,
        weight_detail=choose_detail(model, weight_consistency),
        variance=measured_variance(some_inputs(rows, SCALE_ROWS)[0]),
        augment=model.augment,
        teacher=teacher,
        weight_consistency=weight_consistency,
        change=STRONG[model.preprocess_.kind],
        measure=partial(measure, model.vec_.bare() if teacher is None else teacher.vec),
    )
    _run(model, session, stage, rows, model.n_epochs, model.batch_size)
    if teacher is not None:
        teacher.hand_over(model.vec_)
        del session.modules["teacher"]


def _run_student(model: Any, session: Session, fabric: Fabric, rows: Rows, measure: Any) -> None:
    """Let the student learn the map of step 1."""
    encode = Predictor(model.vec_.bare(), model.decoder_).encode
    stage = student_stage(
        fabric,
        session.share,
        model.vec_,
        learning_rate=model.learning_rate,
        kind=model.preprocess_.kind,
        variance=measured_variance(encode(some_inputs(rows, SCALE_ROWS)[0])),
        measure=measure,
    )
    _run(model, session, stage, rows, model.n_epochs_student, model.batch_size, least=30)


def _run_decoder(model: Any, session: Session, fabric: Fabric, rows: Rows, measure: Any) -> None:
    """Step 2, Algorithm 2."""
    model.vec_.to(fabric.device)
    inputs = some_inputs(rows, SCALE_ROWS)[0]
    model.feature_weights_ = feature_weights(model.vec_, inputs)
    stage = decoder_stage(
        fabric,
        session.share,
        model.vec_,
        model.decoder_,
        model.discriminator_,
        learning_rate=model.learning_rate_decoder,
        learning_rate_disc=model.learning_rate_disc,
        beta=model.beta,
        gamma=model.gamma,
        weights=model.feature_weights_,
        weight_latent=latent_weight(Predictor(model.vec_, model.decoder_).encode(inputs)),
        measure=measure,
    )
    _run(model, session, stage, rows, model.n_epochs_decoder, model.batch_size_decoder)


def _run(
    model: Any,
    session: Session,
    stage: Stage,
    rows: Rows,
    n_epochs: int | None,
    batch_size: int,
    least: int = 10,
) -> None:
    n = session.share.n_processes
    batch_size = min(batch_size, len(rows.y)) // n * n
    check(batch_size > 0, f"{len(rows.y)} rows cannot be shared out among {n} processes")
    enough = max(least, -(-MIN_STEPS // (len(rows.y) // batch_size)))
    settings = Settings(enough if n_epochs is None else n_epochs, batch_size, model.seed_, model.patience)
    model.history_ = session.history
    first = session.share.rank == 0
    shown = (
        showing_progress(session, stage.name, settings.n_epochs) if model.verbose and first else nullcontext()
    )
    with shown, recording(session.folder if first else None) as session.record:
        try:
            train(session, stage, rows, settings)
        finally:
            for module in session.modules.values():
                module.to("cpu").eval()


def _measure_vec(model: Any, held: Any, watched: Any, vec: VEC) -> dict[str, float]:
    predictor = Predictor(vec, model.decoder_)
    measured = {} if held is None else {"val_loss": predictor.class_loss(*held)}
    return measured if watched is None else measured | {"eval_accuracy": predictor.class_accuracy(*watched)}


def _measure_decoder(model: Any, held: Any) -> dict[str, float]:
    predictor = Predictor(model.vec_, model.decoder_, model.feature_weights_)
    return {} if held is None else {"val_loss": float(predictor.feature_loss(held[0]).mean())}
