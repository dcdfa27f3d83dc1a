"""The stages of a training: each builds its optimisers, binds its step and runs the loop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor
from torch.optim import Optimizer

from ssavae._torch_state import (
    default_generator,
    deterministic,
    global_random_state,
    tf32_matrices,
    without_autocast,
)
from ssavae.algorithms import (
    decoder_step,
    feature_weights,
    frozen,
    latent_weight,
    student_step,
    vec_step,
)
from ssavae.consistency import Consistency, Teacher
from ssavae.detail import DetailLaw
from ssavae.inference.codes import Whitening
from ssavae.inference.predictor import Predictor
from ssavae.inference.samplers import fit_samplers
from ssavae.inference.threads import is_small, one_thread_if
from ssavae.networks import VEC
from ssavae.training.arguments import decoder_arguments, student_arguments, vec_arguments
from ssavae.training.augmentations import AUGMENTATIONS, STRONG, weak
from ssavae.training.batches import epoch_order, sample_inputs
from ssavae.training.distributed.context import Augmentation, context_of
from ssavae.training.distributed.fabric import AnyFabric
from ssavae.training.interrupts import Stopped
from ssavae.training.loop import STAGES, Schedule, Session, train
from ssavae.training.plan import Trained, TrainingPlan
from ssavae.training.progress import announce
from ssavae.training.stage import Stage, adam

LAW_ROWS = 20000  # rows from which the law of the detail in each class is computed
SCALE_ROWS = 2000  # rows from which variances and feature weights are computed
# Little memory of past gradients in step 2: each player meets another opponent in every batch.
ADVERSARIAL_BETAS = (0.5, 0.99)


def train_networks(plan: TrainingPlan, fabric: AnyFabric) -> Trained:
    """Train the networks of a plan, both steps or the second alone.

    A run of both steps in one process that a signal stops, and that cannot be resumed, ends with the networks
    as they are, unless a student has still to learn its codes.

    Raises
    ------
    FloatingPointError, KeyboardInterrupt
        As ``loop.train``.
    ValueError
        If there is nothing to resume, or the processes of the run differ in data or parameters.
    """
    session = _session(plan, fabric)
    if session.verbose and session.context.rank == 0:
        announce(cost(plan))
    stopped = ""
    with ExitStack() as stack:
        _set_up_torch(stack, plan, fabric.device)
        stack.enter_context(one_thread_if(is_small(plan.networks.vec.encoder, plan.settings.batch_size)))
        stack.callback(_end, session)
        try:
            if plan.train_vec:
                run_vec(plan, session, fabric)
                if plan.networks.vec.student is not None:
                    run_student(plan, session, fabric)
            run_decoder(plan, session, fabric)
        except Stopped as stop:
            if not _is_usable(plan, session):
                raise KeyboardInterrupt(*stop.args) from None
            stopped = f"stopped {stop.where}; the model has been trained so far, and can be used"
            _take_teacher(session, plan.networks.vec)
        if plan.verbose and fabric.is_global_zero:
            announce("calibrating: samplers, confidence, novelty")
        weights = _feature_weights(plan, fabric)
    return Trained(plan.networks, session.history, weights, stopped)


def _set_up_torch(stack: ExitStack, plan: TrainingPlan, device: torch.device) -> None:
    """Set what of torch a training needs, until the stack closes."""
    stack.enter_context(without_autocast(device))
    if plan.deterministic:
        stack.enter_context(deterministic(device, warn_only=plan.has_own_networks))
    if plan.precision == "tf32":
        stack.enter_context(tf32_matrices(device))
    if plan.has_own_networks:
        stack.enter_context(global_random_state())


def cost(plan: TrainingPlan) -> str:
    """Say how many updates each stage of a plan takes, and of how many rows.

    A run that is resumed, or that ends early, takes fewer.
    """
    settings = plan.settings
    stages = {"decoder": (settings.n_epochs_decoder, settings.batch_size_decoder)}
    if plan.train_vec and plan.networks.vec.student is not None:
        stages = {"student": (settings.n_epochs_student, settings.batch_size)} | stages
    if plan.train_vec:
        stages = {"vec": (settings.n_epochs, settings.batch_size)} | stages
    return "\n".join(_stage_cost(plan, name, *each) for name, each in stages.items())


def _stage_cost(plan: TrainingPlan, name: str, n_epochs: int, batch_size: int) -> str:
    n_batches, n_rows = epoch_order(plan.rows.y, batch_size, (plan.seed,)).shape
    return f"{STAGES[name]}: {n_epochs * n_batches:,} updates of {n_rows} rows, {n_epochs} epochs"


def _is_usable(plan: TrainingPlan, session: Session) -> bool:
    """Return whether a stopped run leaves networks that are worth more than a run to resume, or none."""
    if session.folder is not None or session.context.n_processes > 1 or not plan.train_vec:
        return False
    return plan.networks.vec.student is None or "vec" in session.done


def _end(session: Session) -> None:
    """Leave the networks ready to be applied, where they are; those of several processes are sent back."""
    for module in session.modules.values():
        module.eval()
        if session.context.n_processes > 1:
            module.to("cpu")


def _session(plan: TrainingPlan, fabric: AnyFabric) -> Session:
    """Set up a run; one of both steps saves its state in the checkpoint folder."""
    session = Session(
        plan.networks._asdict(),
        fabric.device,
        seed=plan.seed,
        context=context_of(fabric),
        verbose=plan.verbose,
        history=plan.history,
        fingerprint=plan.fingerprint,
        generator=_generator(plan, fabric.device),
    )
    session.context.check_same(plan.fingerprint)
    if plan.train_vec:
        session.folder = plan.folder
        session.checkpoint_every = 0 if plan.folder is None else plan.checkpoint_every
    if plan.resume:
        session.resume()
    if session.folder is not None:
        session.folder.mkdir(parents=True, exist_ok=True)
    if plan.pretrained is not None:
        plan.networks.vec.load_state_dict(plan.pretrained.weights)
        if "vec" not in session.done:
            session.done += ["vec", "student"]
            session.history += plan.pretrained.history
    return session


def _generator(plan: TrainingPlan, device: torch.device) -> torch.Generator:
    """Return a generator of the run's own, or torch's global one, from which a user's networks draw."""
    return default_generator(device) if plan.has_own_networks else torch.Generator(device)


def run_vec(plan: TrainingPlan, session: Session, fabric: AnyFabric) -> None:
    """Run step 1, Algorithm 1; where there is a teacher, its weights are what remains."""
    if "vec" in session.done:
        return
    settings = plan.settings
    stage = vec_stage(plan, session, fabric)
    schedule = Schedule(settings.n_epochs, settings.batch_size, plan.seed, settings.patience)
    train(session, stage, plan.rows, schedule)


def vec_stage(plan: TrainingPlan, session: Session, fabric: AnyFabric) -> Stage:
    """Bind ``algorithms.vec_step`` to the networks and settings of a plan, on the device."""
    settings = plan.settings
    vec = plan.networks.vec
    context = session.context
    consistency = _consistency(plan, session, fabric)
    vec_on_device = wrap_vec(fabric, vec)
    optimizer = adam(vec_on_device, settings.learning_rate)
    step = partial(
        vec_step,
        vec_on_device,
        optimizer=optimizer,
        backward=fabric.backward,
        weight_kl=settings.weight_kl,
        weight_detail=settings.weight_detail,
        weight_distill=settings.weight_distill,
        variance=mean_variance(sample_inputs(plan.rows, SCALE_ROWS)[0]),
        consistency=consistency,
    )
    augmentations = [AUGMENTATIONS[name] for name in settings.augment]
    strong = None if consistency is None else _augmentation(session, STRONG[plan.kind])
    arguments = partial(
        vec_arguments,
        context=context,
        latent_dim=plan.spec.latent_dim,
        generator=session.generator,
        augmentations=[_augmentation(session, each) for each in augmentations],
        strong=strong,
        dropout=settings.dropout,
        units=[plan.spec.n_members * width for width in plan.spec.member_widths],
    )
    measured = vec.bare() if consistency is None else consistency.teacher.vec
    measure = partial(_measure_vec, plan, measured)
    finish = partial(_take_teacher, session, vec)
    optimizers: dict[str, Optimizer] = {"vec": optimizer}
    return Stage("vec", step, arguments, optimizers, measure, finish, own_networks=plan.has_own_networks)


def _take_teacher(session: Session, vec: VEC) -> None:
    """Copy the teacher's weights into the VEC, where there is a teacher."""
    teacher = session.modules.pop("teacher", None)
    if isinstance(teacher, Teacher):
        teacher.copy_to(vec)


def _consistency(plan: TrainingPlan, session: Session, fabric: AnyFabric) -> Consistency | None:
    """Build the teacher of ``loss_consistency``, where that loss has a weight."""
    if plan.settings.weight_consistency == 0:
        return None
    with torch.device("cpu"):
        teacher = Teacher(plan.networks.vec, plan.spec.n_classes)
    session.add("teacher", teacher)
    teacher.to(fabric.device)
    on_device = wrap_vec(fabric, teacher.vec)
    weight = plan.settings.weight_consistency
    return Consistency(teacher, plan.networks.vec, on_device, weight, session.context.mean)


def run_student(plan: TrainingPlan, session: Session, fabric: AnyFabric) -> None:
    """Run the stage in which the student learns the codes of step 1."""
    settings = plan.settings
    vec = plan.networks.vec
    assert vec.student is not None
    with frozen(vec):  # so that processes expect no gradients of it
        vec_on_device = wrap_vec(fabric, vec)
    student = fabric.setup_module(vec.student)
    optimizer = adam(student, settings.learning_rate)
    encode = Predictor(vec.bare(), plan.networks.decoder).encode
    step = partial(
        student_step,
        vec_on_device,
        student,
        optimizer=optimizer,
        backward=fabric.backward,
        variance=mean_variance(encode(sample_inputs(plan.rows, SCALE_ROWS)[0])),
    )
    augmentation = _augmentation(session, partial(weak, kind=plan.kind))
    arguments = partial(student_arguments, augmentation=augmentation)
    measure = partial(_measure_vec, plan, vec)
    optimizers: dict[str, Optimizer] = {"student": optimizer}
    stage = Stage("student", step, arguments, optimizers, measure, own_networks=plan.has_own_networks)
    schedule = Schedule(settings.n_epochs_student, settings.batch_size, plan.seed, settings.patience)
    train(session, stage, plan.rows, schedule)


def _feature_weights(plan: TrainingPlan, fabric: AnyFabric) -> tuple[float, ...]:
    """Return w_l of ``loss_rec``."""
    vec = plan.networks.vec.to(fabric.device)
    return feature_weights(vec, sample_inputs(plan.rows, SCALE_ROWS)[0])


def run_decoder(plan: TrainingPlan, session: Session, fabric: AnyFabric) -> None:
    """Run step 2, Algorithm 2."""
    settings = plan.settings
    weights = _feature_weights(plan, fabric)
    predictor = Predictor(plan.networks.vec, plan.networks.decoder)
    weight_latent = latent_weight(predictor.encode(sample_inputs(plan.rows, SCALE_ROWS)[0]))
    detail_law = _detail_law(plan, predictor)
    stage = decoder_stage(plan, session, fabric, weights, weight_latent, detail_law)
    schedule = Schedule(settings.n_epochs_decoder, settings.batch_size_decoder, plan.seed, settings.patience)
    with frozen(plan.networks.vec):  # once, and not in every update
        train(session, stage, plan.rows, schedule)


def _detail_law(plan: TrainingPlan, predictor: Predictor) -> DetailLaw | None:
    """Return the law of the detail in each class, of a code in two parts whose details are exchanged."""
    spec = plan.spec
    if spec.n_map == spec.latent_dim or not plan.settings.has_prior:
        return None
    codes, labels = predictor.draws(*sample_inputs(plan.rows, LAW_ROWS), plan.seed)
    gaussians = fit_samplers(codes, labels, spec.n_classes, plan.seed, max_components=1)
    whitening = Whitening.of(gaussians, spec.n_classes, spec.n_map)
    means, roots = (torch.from_numpy(array).float() for array in (whitening.means, whitening.roots))
    return DetailLaw(means.to(predictor.device), roots.to(predictor.device))


def decoder_stage(
    plan: TrainingPlan,
    session: Session,
    fabric: AnyFabric,
    weights: tuple[float, ...],
    weight_latent: float,
    detail_law: DetailLaw | None = None,
) -> Stage:
    """Bind ``algorithms.decoder_step`` to the networks and settings of a plan, on the device."""
    settings = plan.settings
    with frozen(plan.networks.vec):  # so that processes expect no gradients of it
        vec = wrap_vec(fabric, plan.networks.vec)
    decoder = fabric.setup_module(plan.networks.decoder)
    discriminator = fabric.setup_module(plan.networks.discriminator)
    optimizers: dict[str, Optimizer] = {
        "decoder": adam(decoder, settings.learning_rate_decoder, ADVERSARIAL_BETAS),
        "discriminator": adam(discriminator, settings.learning_rate_disc, ADVERSARIAL_BETAS),
    }
    step = partial(
        decoder_step,
        vec,
        decoder,
        discriminator,
        detail_law=detail_law,
        optimizer=optimizers["decoder"],
        optimizer_disc=optimizers["discriminator"],
        backward=fabric.backward,
        beta=settings.beta,
        gamma=settings.gamma,
        weights=weights,
        weight_latent=weight_latent,
    )
    arguments = partial(
        decoder_arguments,
        context=session.context,
        latent_dim=plan.spec.latent_dim,
        generator=session.generator,
        with_prior=settings.has_prior,
    )
    if settings.beta == 0:  # the discriminator is not trained
        del optimizers["discriminator"]
    measure = partial(_measure_decoder, plan, weights)
    return Stage("decoder", step, arguments, optimizers, measure, own_networks=plan.has_own_networks)


def _augmentation(session: Session, function: Callable[..., Tensor]) -> Augmentation:
    """Bind an augmentation to the random numbers and the rows of this process."""
    return session.context.for_own_rows(partial(function, generator=session.generator))


# ------------------------------------------------------------------------------------- measures


def _measure_vec(plan: TrainingPlan, vec: VEC) -> dict[str, float]:
    """Return ``val_loss`` and ``eval_accuracy`` of step 1, where there are rows to measure them on."""
    predictor = Predictor(vec, plan.networks.decoder)
    measures = {}
    if plan.validation is not None:
        measures["val_loss"] = predictor.class_loss(*plan.validation)
    for i, eval_set in enumerate(plan.eval_sets, start=1):
        name = "eval_accuracy" if i == 1 else f"eval_accuracy_{i}"
        measures[name] = predictor.class_accuracy(*eval_set)
    return measures


def _measure_decoder(plan: TrainingPlan, weights: tuple[float, ...]) -> dict[str, float]:
    """Return ``val_loss`` of step 2: the mean ``loss_rec`` of the held-out rows."""
    if plan.validation is None:
        return {}
    predictor = Predictor(plan.networks.vec, plan.networks.decoder, weights)
    return {"val_loss": float(predictor.feature_loss(plan.validation[0]).mean())}


def wrap_vec(fabric: AnyFabric, vec: VEC) -> VEC:
    """Return a VEC on the device, less its student, each part wrapped for the chosen precision.

    It shares the weights.
    """
    detail = None if vec.detail is None else fabric.setup_module(vec.detail)
    auxiliary = None if vec.auxiliary is None else fabric.setup_module(vec.auxiliary)
    encoder, classifier = fabric.setup_module(vec.encoder), fabric.setup_module(vec.classifier)
    return VEC(encoder, classifier, detail, auxiliary=auxiliary).train(vec.training)


def mean_variance(x: Tensor) -> float:
    """Return the mean variance of an element of inputs or codes over the rows; 1 where nothing varies."""
    return float(torch.var(x, dim=0).mean()) or 1.0
