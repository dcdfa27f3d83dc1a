"""What unlabelled rows add to Algorithm 1: five ways, the same labels, networks and number of updates.

    python benchmarks/compare_consistency.py mnist --per-class 10 --updates 2000 \
        --out benchmarks/results/consistency_mnist.json

- none: labels and KL alone, the paper's plain method;
- fixmatch: a changed row keeps the class that a teacher average is sure of (what the library does);
- mean_teacher: the probabilities of a changed row follow the teacher's, sure or not (Tarvainen 2017);
- vat: the probabilities of a row shifted in the direction that changes them most stay (Miyato 2018);
- entropy: the classifier is to be sure of unlabelled rows (Grandvalet 2004).

loss_detail is left out, since it is the same for all.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from ssavae.algorithms import Batches, Losses, frozen, step
from ssavae.app.runs.environment import machine
from ssavae.consistency import Teacher
from ssavae.data.label_budget import draw_labelled
from ssavae.data.loading import load_dataset
from ssavae.inference.predictor import Predictor
from ssavae.losses import loss_class, loss_consistency, loss_kl
from ssavae.networks import VEC, Decoder, Spec, build_vec, reparameterize
from ssavae.persistence.model_folder import write_atomically
from ssavae.preprocessing.preprocessor import Preprocessor
from ssavae.training.augmentations import STRONG
from ssavae.training.batches import TensorRows, epoch_order
from ssavae.training.loop import one_cycle

BATCH, LEARNING_RATE = 128, 2e-3
FIXED = ("per_class", "updates", "latent_dim", "radius", "weight_kl")
Term = Callable[[VEC, Teacher, Tensor, Tensor, Tensor], Tensor]  # vec, teacher, x, y, logits -> loss


def reading(vec: VEC, x: Tensor) -> Tensor:
    """Read classes from a draw of the code, as step 1 does."""
    return vec.classifier(reparameterize(*vec.encoder(x)[:2]))


def teachers(teacher: Teacher, x: Tensor) -> Tensor:
    """Return the teacher's probabilities."""
    with torch.no_grad():
        return teacher.vec.eval()(x)[1].softmax(dim=1)


def fixmatch(kind: str, vec: VEC, teacher: Teacher, x: Tensor, y: Tensor, logits: Tensor) -> Tensor:
    """Return the library's term."""
    changed = reading(vec, STRONG[kind](x))
    return loss_consistency(changed, teachers(teacher, x), y, torch.full(changed.shape[1:], 0.95)).mean()


def mean_teacher(kind: str, vec: VEC, teacher: Teacher, x: Tensor, y: Tensor, logits: Tensor) -> Tensor:
    """Return the squared distance of probabilities, summed over classes."""
    changed = reading(vec, STRONG[kind](x)).softmax(dim=1)
    return (changed - teachers(teacher, x)).square().sum(dim=1).mean()


def vat(radius: float, vec: VEC, teacher: Teacher, x: Tensor, y: Tensor, logits: Tensor) -> Tensor:
    """Return the divergence at the adversarial shift of this length, found by one power iteration."""
    probs = logits.detach().softmax(dim=1)

    def divergence(shift: Tensor) -> Tensor:
        return F.kl_div(vec(x + shift)[1].log_softmax(dim=1), probs, reduction="batchmean")

    with frozen(vec):
        probe = _of_length(torch.randn_like(x), 1e-2).requires_grad_()
        (direction,) = torch.autograd.grad(divergence(probe), probe)
    return divergence(_of_length(direction, radius))


def _of_length(x: Tensor, length: float) -> Tensor:
    flat = x.flatten(1)
    return (length * flat / flat.norm(dim=1, keepdim=True).clamp(min=1e-12)).view_as(x)


def entropy(vec: VEC, teacher: Teacher, x: Tensor, y: Tensor, logits: Tensor) -> Tensor:
    """Return the entropy of unlabelled rows."""
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


def train_with(
    vec: VEC,
    teacher: Teacher,
    batches: Batches,
    optimizer: Adam,
    term: Term | None,
    *,
    weight: float,
    weight_kl: float,
) -> Iterator[Losses]:
    """Algorithm 1 with one of the terms."""
    vec.train()
    for x, y in batches:
        mu, logvar, _ = vec.encoder(x)
        logits = vec.classifier(reparameterize(mu, logvar))
        total = loss_class(logits, y).sum() / (y >= 0).sum().clamp(min=1)
        total = total + weight_kl * loss_kl(mu, logvar).mean()
        if term is not None:
            total = total + weight * term(vec, teacher, x, y, logits)
        step(total, optimizer, Tensor.backward)
        teacher.follow(vec)
        yield {"total": total.detach()}


def measured(name: str, chosen: argparse.Namespace, seed: int, weight: float) -> dict[str, Any]:
    """Train with one term and seed; return test accuracy of the last weights and of their average."""
    loaded = load_dataset(chosen.data)
    assert loaded.y_train is not None and loaded.x_test is not None and loaded.y_test is not None
    prepare = Preprocessor.fit(loaded.x_train, loaded.kind)
    x, x_test = (torch.from_numpy(prepare.forward(part)) for part in (loaded.x_train, loaded.x_test))
    y = np.full(len(x), -1)
    labelled = draw_labelled(loaded.y_train, seed, per_class=chosen.per_class)
    y[labelled] = loaded.y_train[labelled]
    torch.manual_seed(seed)
    n_classes = int(loaded.y_train.max()) + 1
    spec = Spec(prepare.input_shape, chosen.latent_dim, n_classes, prepare.bounded)
    vec = build_vec(spec, with_detail=False)
    teacher, term = Teacher(vec, n_classes), terms(prepare.kind, chosen.radius)[name]
    optimizer = Adam(vec.parameters(), lr=LEARNING_RATE, fused=True)
    course = LambdaLR(optimizer, lambda i: one_cycle((i + 1) / chosen.updates))
    rows, begin, left, epoch = TensorRows(x, y, x.device), time.process_time(), chosen.updates, 0
    while left > 0:
        order = epoch_order(y, BATCH, (seed, epoch))[:left]
        batches, weights = rows.batches(order), {"weight": weight, "weight_kl": chosen.weight_kl}
        for _ in train_with(vec, teacher, batches, optimizer, term, **weights):
            course.step()
        left, epoch = left - len(order), epoch + 1
    seconds = time.process_time() - begin
    found = {"seconds": seconds}
    for which, each in (("last", vec), ("average", teacher.vec)):
        found[f"accuracy_{which}"] = Predictor(each, Decoder(spec)).class_accuracy(x_test, loaded.y_test)
    return found


def main() -> None:
    """Train what the file lacks."""
    as_it_is = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_it_is)
    parser.add_argument("data")
    parser.add_argument("--per-class", type=int, default=10)
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--latent-dim", type=int, default=10)
    parser.add_argument("--weight-kl", type=float, default=0.001)
    parser.add_argument("--radius", type=float, default=2.0, help="of vat, in units of the inputs")
    parser.add_argument("--weights", type=float, nargs="+", default=[1.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--terms", nargs="+", default=list(terms("image", 1.0)))
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    results = json.loads(chosen.out.read_text())["results"] if chosen.out.is_file() else []
    fixed = {name: getattr(chosen, name) for name in FIXED}
    for seed, name, weight in ((s, t, w) for s in chosen.seeds for t in chosen.terms for w in chosen.weights):
        about = {"term": name, "seed": seed, "weight": weight, **fixed}
        if any(about.items() <= result.items() for result in results):
            continue
        results.append({**about, **measured(name, chosen, seed, weight), **machine()})
        whole = {"command": " ".join(["python", *sys.argv]), "data": chosen.data, "results": results}
        write_atomically(chosen.out, json.dumps(whole, indent=1).encode())
        print({**about, **{k: v for k, v in results[-1].items() if k[:3] in ("acc", "sec")}}, flush=True)


if __name__ == "__main__":
    main()
