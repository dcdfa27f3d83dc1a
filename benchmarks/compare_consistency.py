"""Gain of Algorithm 1 from unlabelled rows: five terms, the same labels, networks and number of updates.

    python benchmarks/compare_consistency.py mnist --per-class 10 --updates 2000 \
        --out benchmarks/results/consistency_mnist.json

- none: labels and KL alone, the paper's plain method;
- fixmatch: an augmented row keeps the class of which a teacher average is confident, as in the library;
- mean_teacher: the probabilities of an augmented row follow the teacher's, confident or not (Tarvainen 2017);
- vat: probabilities stay where a row is perturbed in the direction that changes them most (Miyato 2018);
- entropy: the classifier's entropy on unlabelled rows is minimised (Grandvalet 2004).

loss_detail is left out, since it is the same for all.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from report import Task, parser, run_missing
from split import Split, few_labels
from torch import Tensor
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from ssavae._serialize import JSONObject
from ssavae.algorithms import frozen, update
from ssavae.consistency import Teacher
from ssavae.inference.predictor import Predictor
from ssavae.losses import loss_class, loss_consistency, loss_kl
from ssavae.networks import VEC, Decoder, Spec, build_vec, reparameterize
from ssavae.preprocessing.preprocessor import Preprocessor
from ssavae.training.augmentations import STRONG
from ssavae.training.batches import TensorRows, epoch_order
from ssavae.training.stage import one_cycle

BATCH = 128
LEARNING_RATE = 2e-3
COMMON = ("per_class", "updates", "latent_dim", "radius", "weight_kl")
Term = Callable[[VEC, Teacher, Tensor, Tensor, Tensor], Tensor]  # vec, teacher, x, y, logits -> loss


def draw_logits(vec: VEC, x: Tensor) -> Tensor:
    """Return class logits of a draw from q(z|x), as in step 1."""
    mu, logvar, _ = vec.encoder(x)
    return vec.classifier(reparameterize(mu, logvar, torch.randn_like(mu)))


def teacher_probs(teacher: Teacher, x: Tensor) -> Tensor:
    with torch.no_grad():
        return teacher.vec.eval()(x)[1].softmax(dim=1)


def fixmatch(kind: str, vec: VEC, teacher: Teacher, x: Tensor, y: Tensor, logits: Tensor) -> Tensor:
    """Return the library's term, with a fixed threshold."""
    strong = draw_logits(vec, STRONG[kind](x))
    return loss_consistency(strong, teacher_probs(teacher, x), y, torch.full(strong.shape[1:], 0.95)).mean()


def mean_teacher(kind: str, vec: VEC, teacher: Teacher, x: Tensor, y: Tensor, logits: Tensor) -> Tensor:
    """Return the squared distance of the probabilities, summed over classes."""
    probs = draw_logits(vec, STRONG[kind](x)).softmax(dim=1)
    return (probs - teacher_probs(teacher, x)).square().sum(dim=1).mean()


def vat(radius: float, vec: VEC, teacher: Teacher, x: Tensor, y: Tensor, logits: Tensor) -> Tensor:
    """Return the KL divergence at the adversarial perturbation, from one power iteration."""
    probs = logits.detach().softmax(dim=1)

    def divergence(perturbation: Tensor) -> Tensor:
        return F.kl_div(vec(x + perturbation)[1].log_softmax(dim=1), probs, reduction="batchmean")

    with frozen(vec):
        probe = _scaled(torch.randn_like(x), 1e-2).requires_grad_()
        (direction,) = torch.autograd.grad(divergence(probe), probe)
    return divergence(_scaled(direction, radius))


def _scaled(x: Tensor, norm: float) -> Tensor:
    """Scale each row to a norm."""
    flat = x.flatten(1)
    return (norm * flat / flat.norm(dim=1, keepdim=True).clamp(min=1e-12)).view_as(x)


def entropy(vec: VEC, teacher: Teacher, x: Tensor, y: Tensor, logits: Tensor) -> Tensor:
    """Return the mean entropy of unlabelled rows."""
    rows = logits[y < 0]
    return -(rows.softmax(dim=1) * rows.log_softmax(dim=1)).sum(dim=1).mean()


def terms(kind: str, radius: float) -> dict[str, Term | None]:
    """Return all terms by name."""
    return {
        "none": None,
        "fixmatch": partial(fixmatch, kind),
        "mean_teacher": partial(mean_teacher, kind),
        "vat": partial(vat, radius),
        "entropy": entropy,
    }


def step(
    vec: VEC,
    teacher: Teacher,
    x: Tensor,
    y: Tensor,
    *,
    optimizer: Adam,
    term: Term | None,
    weight: float,
    weight_kl: float,
) -> None:
    """Take one step of Algorithm 1 with one of the terms."""
    vec.train()
    mu, logvar, _ = vec.encoder(x)
    logits = vec.classifier(reparameterize(mu, logvar, torch.randn_like(mu)))
    total = loss_class(logits, y).sum() / (y >= 0).sum().clamp(min=1)
    total = total + weight_kl * loss_kl(mu, logvar).mean()
    if term is not None:
        total = total + weight * term(vec, teacher, x, y, logits)
    update(total, optimizer, Tensor.backward)
    teacher.update(vec)


def batches(rows: TensorRows, n_updates: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of as many epochs as the updates take."""
    epoch = 0
    while n_updates > 0:
        order = epoch_order(rows.y, BATCH, (seed, epoch))[:n_updates]
        yield from rows.batches(order)
        n_updates -= len(order)
        epoch += 1


def measure(name: str, options: argparse.Namespace, seed: int, weight: float) -> JSONObject:
    """Train with one term and seed; return test accuracy of the last weights and of their average."""
    split = Split.load(options.data)
    preprocessor = Preprocessor.fit(split.x, split.kind)
    x, x_test = (torch.from_numpy(preprocessor.forward(rows)) for rows in (split.x, split.x_test))
    y = few_labels(split.y, options.per_class, seed)
    torch.manual_seed(seed)
    n_classes = int(split.y.max()) + 1
    spec = Spec(preprocessor.input_shape, options.latent_dim, n_classes, preprocessor.bounded)
    vec = build_vec(spec, with_detail=False)
    teacher = Teacher(vec, n_classes)
    term = terms(preprocessor.kind, options.radius)[name]
    optimizer = Adam(vec.parameters(), lr=LEARNING_RATE, fused=True)
    scheduler = LambdaLR(optimizer, lambda i: one_cycle((i + 1) / options.updates))
    begin = time.process_time()
    for x_batch, y_batch in batches(TensorRows(x, y, x.device), options.updates, seed):
        weights = {"weight": weight, "weight_kl": options.weight_kl}
        step(vec, teacher, x_batch, y_batch, optimizer=optimizer, term=term, **weights)
        scheduler.step()
    seconds = time.process_time() - begin
    decoder = Decoder(spec)
    return {
        "seconds": seconds,
        "accuracy_last": Predictor(vec, decoder).class_accuracy(x_test, split.y_test),
        "accuracy_average": Predictor(teacher.vec, decoder).class_accuracy(x_test, split.y_test),
    }


def tasks(options: argparse.Namespace) -> Iterator[Task]:
    """Yield what to train, with the options that identify it."""
    common = {name: getattr(options, name) for name in COMMON}
    for seed in options.seeds:
        for name in options.terms:
            for weight in options.weights:
                identity = {"term": name, "seed": seed, "weight": weight, **common}
                yield identity, partial(measure, name, options, seed, weight)


def main() -> None:
    """Train what the file lacks."""
    options = parser(__doc__)
    options.add_argument("data")
    options.add_argument("--per-class", type=int, default=10)
    options.add_argument("--updates", type=int, default=2000)
    options.add_argument("--latent-dim", type=int, default=10)
    options.add_argument("--weight-kl", type=float, default=0.001)
    options.add_argument("--radius", type=float, default=2.0, help="of vat, in units of the inputs")
    options.add_argument("--weights", type=float, nargs="+", default=[1.0])
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--terms", nargs="+", default=list(terms("image", 1.0)))
    options.add_argument("--out", type=Path, required=True)
    parsed = options.parse_args()
    run_missing(parsed.out, tasks(parsed), lambda results: {"data": parsed.data})


if __name__ == "__main__":
    main()
