"""Ways to keep the class out of the detail of a two-part code: the same networks, rows and updates.

    python benchmarks/two_part.py mnist --seed 0 --rows 12000 --ways none adversary \
        --out benchmarks/results/two_part/ways_mnist.json

The code is a map of ``map_dim`` dimensions, which the classifier reads, and a detail. Ways, each a term of
step 1 that is added to its losses with a weight (``adversary=1``, joined by ``+``):

- none: loss_class, loss_kl and loss_detail alone;
- kl: so many times more KL on the detail;
- adversary: a network reads the class from the detail, and the encoder learns against it (gradient reversal);
- hsic: HSIC of detail and class, with a Gaussian kernel;
- mmd: the detail of each class is drawn to N(0, I), by MMD with a Gaussian kernel;
- moments: mean and covariance of the detail of each class are drawn to 0 and I;
- conditional: the auxiliary decoder gets class probabilities in place of the map;
- swap: the auxiliary decoder also decodes the map of one row with the detail of another, and the frozen
  encoder has to read both parts back.

Rows without a label count with the class that the classifier gives them. Swaps are measured with the detail
as it is and whitened class by class, as the library does. In step 2 the codes from the prior stay ("prior"),
or are the map of rows with the detail of others ("swap"), of the prior ("normal") or of the prior in the
law of their class ("white"), or with the whitened detail of others ("exchange"), as the library has it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from measured import CACHE
from report import Task, parser, run_missing
from scipy.ndimage import distance_transform_edt
from split import few_labels
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from ssavae._serialize import JSONObject
from ssavae.algorithms import decoder_step, feature_weights, frozen, latent_weight, update
from ssavae.app.runs.settings import plan_reading
from ssavae.data.loading import load_dataset
from ssavae.detail import DetailLaw
from ssavae.inference.codes import Whitening
from ssavae.inference.predictor import Predictor
from ssavae.inference.samplers import fit_samplers
from ssavae.losses import loss_class, loss_detail, loss_kl
from ssavae.metrics import generation, latent
from ssavae.metrics.classification import agreement, macro_f1
from ssavae.metrics.judge import Judge, judge_features, judge_logits, load_judge, save_judge, train_judge
from ssavae.networks import VEC, Decoder, Spec, build_step2, build_vec, reparameterize, to_memory_format
from ssavae.preprocessing.preprocessor import Preprocessor
from ssavae.training.batches import TensorRows, epoch_order
from ssavae.training.stage import one_cycle
from ssavae.training.steps import ADVERSARIAL_BETAS, mean_variance

BATCH = 128
BATCH_DECODER = 32
LEARNING_RATE = 2e-3
PER_CLASS = 100  # class-wise samples
SWAPPED = 100  # rows whose details are carried to the map's place of each class
Term = Callable[["Batch"], Tensor]


class Data(NamedTuple):
    """Network inputs and class indices, and a judge of them."""

    kind: str
    x: Tensor
    y: np.ndarray
    x_test: Tensor
    y_test: np.ndarray
    bounded: bool
    judge: Judge


class Batch(NamedTuple):
    """What a term reads: networks, rows, and the code in two parts."""

    vec: VEC
    x: Tensor
    place: Tensor
    detail: Tensor
    mu_detail: Tensor
    logvar_detail: Tensor
    classes: Tensor  # (B, C) probabilities


# ------------------------------------------------------------------------------------------ terms


class Reversed(torch.autograd.Function):
    """The identity, whose gradient is turned round."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:  # pyright: ignore
        return values.view_as(values)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # pyright: ignore
        return -gradient


def adversary_term(adversary: nn.Module, batch: Batch) -> Tensor:
    logits = adversary(Reversed.apply(batch.detail))
    return F.cross_entropy(logits, batch.classes)


def kl_term(batch: Batch) -> Tensor:
    return 0.02 * loss_kl(batch.mu_detail, batch.logvar_detail).mean()


def _gaussian(a: Tensor, b: Tensor, variance: float) -> Tensor:
    return (-torch.cdist(a, b).square() / (2 * variance)).exp()


def hsic_term(batch: Batch) -> Tensor:
    """Return the biased HSIC, scaled so that it is 1 where the detail is the class."""
    n = len(batch.detail)
    centred = torch.eye(n) - 1 / n
    k = centred @ _gaussian(batch.detail, batch.detail, batch.detail.shape[1]) @ centred
    target = centred @ (batch.classes @ batch.classes.T) @ centred
    return (k * target).sum() / (k.square().sum() * target.square().sum()).sqrt().clamp(min=1e-12)


def mmd_term(batch: Batch) -> Tensor:
    """Return the mean over rows of MMD^2 between the details of their class and N(0, I), unbiased."""
    z = batch.detail
    k = z.shape[1]
    variance = float(k)
    same = batch.classes @ batch.classes.T
    same = same - torch.diag(same.diagonal())
    pairs = (same * _gaussian(z, z, variance)).sum() / same.sum().clamp(min=1)
    normal = (variance / (1 + variance)) ** (k / 2) * (-z.square().sum(dim=1) / (2 * (1 + variance))).exp()
    constant = (variance / (2 + variance)) ** (k / 2)
    return k * (pairs - 2 * normal.mean() + constant)


def moments_term(batch: Batch) -> Tensor:
    """Return |mean|^2 + |covariance - I|^2 / K of each class, without bias, from pairs of its rows."""
    z = batch.detail
    k = z.shape[1]
    same = batch.classes @ batch.classes.T
    same = same - torch.diag(same.diagonal())
    weights = same / same.sum().clamp(min=1)
    gram = z @ z.T
    means = (weights * gram).sum()
    squares = (weights * gram.square()).sum() - 2 * z.square().sum(dim=1).mean() + k
    return means + squares / k


def swap_term(batch: Batch) -> Tensor:
    """Return how far map and detail of a decoded pair are from those of the rows they are taken from."""
    n = batch.place.shape[1]
    detail = batch.detail.roll(1, dims=0)
    assert batch.vec.detail is not None
    is_conditional = batch.vec.detail.start.linear.in_features > n + detail.shape[1]
    place = batch.classes if is_conditional else batch.place.detach()
    decoded = batch.vec.detail(torch.cat([place, detail], dim=1))
    with frozen(batch.vec.encoder), frozen(batch.vec.classifier):
        mu = batch.vec.encoder(decoded)[0]
        loss_place = F.cross_entropy(batch.vec.classifier(mu), batch.classes)
        return loss_place + (mu[:, n:] - detail.detach()).square().mean()


def parse_way(text: str) -> dict[str, float]:
    """Return terms and their weights, such as adversary=0.5+swap."""
    pairs = (part.partition("=") for part in text.split("+") if part != "none")
    return {name: float(weight or 1) for name, _, weight in pairs}


def build_terms(
    way: dict[str, float], spec: Spec
) -> tuple[dict[str, tuple[Term, float]], list[nn.Parameter]]:
    """Return the terms of a way, and the weights of networks that it needs."""
    n_detail = spec.latent_dim - spec.n_map
    adversary = nn.Sequential(
        nn.Linear(n_detail, 256),
        nn.LeakyReLU(0.1),
        nn.Linear(256, 128),
        nn.LeakyReLU(0.1),
        nn.Linear(128, spec.n_classes),
    )
    known: dict[str, Term] = {
        "adversary": partial(adversary_term, adversary),
        "kl": kl_term,
        "hsic": hsic_term,
        "mmd": mmd_term,
        "moments": moments_term,
        "swap": swap_term,
    }
    terms = {name: (known[name], weight) for name, weight in way.items() if name in known}
    return terms, list(adversary.parameters())


# --------------------------------------------------------------------------------------- training


def conditional_decoder(spec: Spec) -> nn.Module:
    """Build an auxiliary decoder that gets class probabilities in place of the map."""
    widths = tuple(max(1, width // 2) for width in spec.layer_widths)
    latent_dim = spec.n_classes + spec.latent_dim - spec.n_map
    wide = replace(spec, latent_dim=latent_dim, widths=widths, map_dim=None)
    return to_memory_format(Decoder(wide), spec)


def classes_of(logits: Tensor, y: Tensor) -> Tensor:
    """Return the class of each row as probabilities; of rows without a label, the classifier's."""
    given = F.one_hot(y.clamp(min=0), logits.shape[1]).float()
    return torch.where(y[:, None] >= 0, given, logits.detach().softmax(dim=1))


def train_vec(
    data: Data, y: np.ndarray, spec: Spec, options: argparse.Namespace, way: dict[str, float]
) -> VEC:
    """Run step 1 with the terms of a way."""
    torch.manual_seed(options.seed)
    vec = build_vec(spec, with_detail=True)
    if "conditional" in way:
        vec.detail = conditional_decoder(spec)
    assert vec.detail is not None
    terms, more = build_terms(way, spec)
    optimizer = Adam([*vec.parameters(), *more], lr=LEARNING_RATE, fused=True)
    rows = TensorRows(data.x, y, torch.device("cpu"))
    variance = mean_variance(data.x[:2000])
    n_batches = len(epoch_order(y, BATCH, (0, 0)))
    schedule = LambdaLR(optimizer, lambda i: one_cycle((i + 1) / (n_batches * options.n_epochs)))
    for epoch in range(options.n_epochs):
        for x, labels in rows.batches(epoch_order(y, BATCH, (options.seed, epoch))):
            vec.train()
            mu, logvar, _ = vec.encoder(x)
            z = reparameterize(mu, logvar, torch.randn_like(mu))
            logits = vec.classifier(z)
            n = spec.n_map
            batch = Batch(vec, x, z[:, :n], z[:, n:], mu[:, n:], logvar[:, n:], classes_of(logits, labels))
            read = torch.cat([batch.classes if "conditional" in way else batch.place, batch.detail], dim=1)
            total = (
                loss_class(logits, labels).sum() / (labels >= 0).sum().clamp(min=1)
                + options.weight_kl * loss_kl(mu, logvar).mean()
                + options.weight_detail * loss_detail(x, vec.detail(read), variance).mean()
            )
            for term, weight in terms.values():
                total = total + weight * term(batch)
            update(total, optimizer, Tensor.backward)
            schedule.step()
    return vec.eval()


def prior_codes(vec: VEC, n_map: int, x: Tensor, noise: Tensor, step2: str, whitening: Whitening) -> Tensor:
    """Return codes from the prior, or of the map of rows with the detail of the next ones or of the prior."""
    if step2 == "prior":
        return noise
    with frozen(vec), torch.no_grad():
        mu, logvar, _ = vec.encoder(x)
        z = reparameterize(mu, logvar, noise)
        if step2 == "white":
            white = torch.cat([z[:, :n_map], torch.randn_like(z[:, n_map:])], dim=1)
            q = vec.classifier(z).softmax(dim=1).numpy()
            return torch.from_numpy(whitening.colour(white.numpy(), q))
        detail = noise[:, n_map:] if step2 == "normal" else z[:, n_map:].roll(1, dims=0)
        return torch.cat([z[:, :n_map], detail], dim=1)


def train_decoder(
    data: Data, spec: Spec, vec: VEC, options: argparse.Namespace, step2: str, whitening: Whitening
) -> Predictor:
    """Run step 2 as the library does, with codes of the prior or with pairs."""
    torch.manual_seed(options.seed)
    decoder, discriminator = build_step2(spec)
    optimizers = [
        Adam(network.parameters(), lr=LEARNING_RATE, betas=ADVERSARIAL_BETAS, fused=True)
        for network in (decoder, discriminator)
    ]
    weights = feature_weights(vec, data.x[:2000])
    step = partial(
        decoder_step,
        vec,
        decoder,
        discriminator,
        optimizer=optimizers[0],
        optimizer_disc=optimizers[1],
        backward=Tensor.backward,
        beta=options.beta,
        gamma=options.gamma,
        weights=weights,
        weight_latent=latent_weight(Predictor(vec, decoder).encode(data.x[:2000])),
    )
    y = np.zeros(len(data.x), dtype=np.int64)
    rows = TensorRows(data.x, y, torch.device("cpu"))
    law = DetailLaw(torch.from_numpy(whitening.means).float(), torch.from_numpy(whitening.roots).float())
    n_steps = options.n_epochs_decoder * (len(y) // BATCH_DECODER)
    schedules = [LambdaLR(each, lambda i: one_cycle((i + 1) / n_steps)) for each in optimizers]
    for epoch in range(options.n_epochs_decoder):
        for x, _ in rows.batches(epoch_order(y, BATCH_DECODER, (options.seed, 1, epoch))):
            eps, noise = torch.randn(2, len(x), spec.latent_dim)
            if step2 == "exchange":
                step(x, eps, noise, detail_law=law)
            else:
                step(x, eps, prior_codes(vec, spec.n_map, x, noise, step2, whitening))
            for schedule in schedules:
                schedule.step()
    return Predictor(vec, decoder.eval(), weights)


# --------------------------------------------------------------------------------------- measures


def probe(z: Tensor, y: np.ndarray, z_test: Tensor, y_test: np.ndarray) -> float:
    """Return the test accuracy of a network that is trained to read the class from codes."""
    torch.manual_seed(0)
    target = torch.from_numpy(y)
    net = nn.Sequential(nn.Linear(z.shape[1], 256), nn.ReLU(), nn.Linear(256, int(y.max()) + 1))
    optimizer = Adam(net.parameters(), lr=2e-3, weight_decay=1e-4)
    for _ in range(15):
        for rows in torch.randperm(len(z)).split(256):
            update(F.cross_entropy(net(z[rows]), target[rows]), optimizer, Tensor.backward)
    with torch.no_grad():
        return float((net(z_test).argmax(dim=1).numpy() == y_test).mean())


def shown(data: Data, x: Tensor) -> np.ndarray:
    """Return network inputs as the judge takes them."""
    rows = np.moveaxis(x.numpy(), 1, -1)
    return rows.clip(0, 1) if data.bounded else rows


def shapes(images: np.ndarray) -> dict[str, np.ndarray]:
    """Return stroke width, slant and size of what is drawn in images (n, H, W, 1), (n,) each."""
    grey = images[..., 0].astype(np.float64)
    mass = grey.sum(axis=(1, 2)) + 1e-9
    ys, xs = np.mgrid[: grey.shape[1], : grey.shape[2]]
    my, mx = ((grey * each).sum(axis=(1, 2)) / mass for each in (ys, xs))
    dy, dx = ys - my[:, None, None], xs - mx[:, None, None]
    yy, xx, xy = ((grey * each).sum(axis=(1, 2)) / mass for each in (dy * dy, dx * dx, dy * dx))
    # the mean distance to the border of a stripe is a quarter of its width
    width = [
        4 * distance_transform_edt(each > 0.5)[each > 0.5].mean() if (each > 0.5).any() else 0.0
        for each in grey
    ]
    return {"stroke_width": np.array(width), "slant": -xy / (yy + 1e-9), "size": np.sqrt(yy + xx)}


def measure_swaps(
    data: Data,
    spec: Spec,
    z: Tensor,
    decode: Callable[[Tensor], Tensor],
    draws: np.ndarray,
    y: np.ndarray,
    predicted: np.ndarray,
) -> JSONObject:
    """Carry the details of test rows to the place of a row of each class, as they are or whitened."""
    rng = np.random.default_rng(0)
    n = spec.n_map
    lenders = rng.choice(len(z), SWAPPED, replace=False)
    classes = np.arange(spec.n_classes)
    places = np.stack([rng.choice(np.flatnonzero(data.y_test == c), SWAPPED) for c in classes])
    codes = torch.cat([z[places.ravel()][:, :n], z[np.tile(lenders, len(classes))][:, n:]], dim=1)
    target = np.repeat(classes, SWAPPED)
    own = np.tile(data.y_test[lenders], len(classes)) == target
    # the classes that the model itself sees, in the row that lends and at the place
    of_lender = np.tile(predicted[lenders], len(classes))
    of_place = predicted[places.ravel()]
    whitening = Whitening.of(fit_samplers(draws, y, spec.n_classes), spec.n_classes, n)
    white = whitening.whiten(codes.numpy(), np.eye(spec.n_classes)[of_lender])
    moved = torch.from_numpy(whitening.colour(white, np.eye(spec.n_classes)[of_place]))
    result: JSONObject = {}
    for name, each in {"swap": codes, "whitened": moved}.items():
        decoded = shown(data, decode(each))
        logits = judge_logits(data.judge, decoded)
        result[f"{name}_agreement"] = agreement(logits, target)
        result[f"{name}_agreement_other_class"] = agreement(logits[~own], target[~own])
        if data.kind == "image" and decoded.shape[-1] == 1:
            shape = correlation_of_shapes(shown(data, data.x_test), data.y_test, decoded, lenders)
            result |= {f"{name}_{key}": value for key, value in shape.items()}
    return result


def correlation_of_shapes(
    real: np.ndarray, y: np.ndarray, decoded: np.ndarray, lenders: np.ndarray
) -> dict[str, float]:
    """Return by how much shapes follow the lender's, beyond those of its class: mean over all classes."""
    swapped = shapes(decoded)
    result = {}
    for name, values in shapes(real).items():
        means = np.array([values[y == c].mean() for c in range(int(y.max()) + 1)])
        own = (values - means[y])[lenders]
        of_class = swapped[name].reshape(-1, len(lenders))
        result[name] = float(np.mean([np.corrcoef(own, row)[0, 1] for row in of_class]))
    return result


def measure_map(data: Data, spec: Spec, predictor: Predictor, some: np.ndarray) -> JSONObject:
    """Measure classifier, map and what the detail says of the class."""
    n = spec.n_map
    mu, mu_test = predictor.encode(data.x[some]), predictor.encode(data.x_test)
    y, y_test = data.y[some], data.y_test
    predicted = predictor.classify(mu_test).argmax(dim=1).numpy()
    kl = [
        loss_kl(*(part[:, s] for part in predictor.posterior(data.x_test[:2000]))).mean()
        for s in (slice(n), slice(n, None))
    ]
    return {
        "accuracy": float((predicted == y_test).mean()),
        "macro_f1": macro_f1(y_test, predicted, spec.n_classes),
        "knn_map": latent.knn_accuracy(mu[:, :n].numpy(), y, mu_test[:, :n].numpy(), y_test, 15),
        "probe_detail": probe(mu[:, n:], y, mu_test[:, n:], y_test) if n < spec.latent_dim else float("nan"),
        "kl_map": float(kl[0]),
        "kl_detail": float(kl[1]),
        "deviation_detail": float(mu_test[:, n:].std(dim=0).mean()),
    }


def measure_decoded(
    data: Data, spec: Spec, predictor: Predictor, decode: Callable[[Tensor], Tensor], z: np.ndarray
) -> JSONObject:
    """Measure reconstructions, swaps and samples of a decoder; z are draws of q(z|x) of training rows."""
    mu_test = predictor.encode(data.x_test)
    real, rec = shown(data, data.x_test), shown(data, decode(mu_test))
    features_real = judge_features(data.judge, real)
    rng = np.random.default_rng(0)
    predicted = predictor.classify(mu_test).argmax(dim=1).numpy()
    labels = predictor.classify(torch.from_numpy(z).float()).argmax(dim=1).numpy()
    mixtures = fit_samplers(z, labels, spec.n_classes)
    y_sampled = np.repeat(np.arange(spec.n_classes), PER_CLASS)
    joint = np.concatenate([mixtures[f"class_{c}"].draw(PER_CLASS, rng) for c in range(spec.n_classes)])
    parts = joint.copy()
    parts[:, spec.n_map :] = rng.standard_normal((len(parts), spec.latent_dim - spec.n_map))
    codes = {"class": joint, "class_normal": parts, "prior": rng.standard_normal(joint.shape)}
    result: JSONObject = {
        "pixel_error": generation.pixel_error(real, rec),
        "agreement": agreement(judge_logits(data.judge, rec), data.y_test),
        "frechet": generation.frechet_distance(features_real, judge_features(data.judge, rec)),
        **measure_swaps(data, spec, mu_test, decode, z, labels, predicted),
    }
    for name, each in codes.items():
        samples = shown(data, decode(torch.from_numpy(each).float()))
        features = judge_features(data.judge, samples)
        result[f"frechet_{name}"] = generation.frechet_distance(features_real, features)
        if name != "prior":
            result[f"agreement_{name}"] = agreement(judge_logits(data.judge, samples), y_sampled)
            variety = generation.variety(features, y_sampled) / generation.variety(features_real, data.y_test)
            result[f"variety_{name}"] = variety
    return result


def decode_conditional(predictor: Predictor, spec: Spec, z: Tensor) -> Tensor:
    """Decode codes by an auxiliary decoder that gets class probabilities in place of the map."""
    probs = predictor.classify(z).softmax(dim=1)
    return predictor.decode(torch.cat([probs, z[:, spec.n_map :]], dim=1))


def measure(data: Data, options: argparse.Namespace, way: str) -> JSONObject:
    """Train both steps with a way; measure the auxiliary decoder after step 1, and the decoder."""
    parsed = parse_way(way)
    y = data.y
    if options.per_class:
        y = few_labels(y, options.per_class, options.seed)
    n_classes = int(data.y.max()) + 1
    widths = tuple(options.widths)
    spec = Spec(
        tuple(data.x.shape[1:]), options.latent_dim, n_classes, data.bounded, widths, map_dim=options.map_dim
    )
    begin = time.perf_counter()
    vec = train_vec(data, y, spec, options, parsed)
    seconds = time.perf_counter() - begin
    assert vec.detail is not None
    detail, vec.detail = vec.detail.eval(), None
    predictor = Predictor(vec, detail)
    some = np.random.default_rng(0).permutation(len(data.x))[:10000]
    torch.manual_seed(0)
    mu, logvar = predictor.posterior(data.x[some])
    z = reparameterize(mu, logvar, torch.randn_like(mu)).double().numpy()
    result: JSONObject = {"step_1": measure_map(data, spec, predictor, some), "seconds_step_1": seconds}
    decode = partial(decode_conditional, predictor, spec) if "conditional" in parsed else predictor.decode
    result["auxiliary"] = measure_decoded(data, spec, predictor, decode, z)
    if options.n_epochs_decoder:
        labels = predictor.classify(torch.from_numpy(z).float()).argmax(dim=1).numpy()
        whitening = Whitening.of(fit_samplers(z, labels, n_classes), n_classes, spec.n_map)
        for step2 in options.step_2:
            predictor = train_decoder(data, spec, vec, options, step2, whitening)
            result[f"step_2_{step2}"] = measure_decoded(data, spec, predictor, predictor.decode, z)
    return result


def load(name: str, n_rows: int | None, n_test: int | None) -> Data:
    """Read a data set as its preset does, and the judge of all its training rows."""
    loaded = load_dataset(name, plan_reading(name))
    assert loaded.x_test is not None and loaded.y_train is not None and loaded.y_test is not None
    kind = loaded.kind or "image"
    x, x_test = (np.asarray(part) for part in (loaded.x_train, loaded.x_test))
    preprocessor = Preprocessor.fit(x, kind)
    inputs, inputs_test = (torch.from_numpy(preprocessor.forward(rows)) for rows in (x, x_test))
    path = CACHE / f"judge_{name}.safetensors"
    bounded = preprocessor.bounded
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        n_epochs = max(6, 500 * BATCH // len(x))
        save_judge(train_judge(np.moveaxis(inputs.numpy(), 1, -1), loaded.y_train, n_epochs=n_epochs), path)
    order = np.arange(len(x)) if n_rows is None else np.arange(min(n_rows, len(x)))
    y, y_test = loaded.y_train[order], loaded.y_test[:n_test]
    return Data(kind, inputs[order], y, inputs_test[:n_test], y_test, bounded, load_judge(path))


def flat(result: JSONObject) -> JSONObject:
    """Return the numbers of a result with dotted names."""
    return {
        f"{part}.{name}": value
        for part, values in result.items()
        if isinstance(values, dict)
        for name, value in values.items()
    }


def main() -> None:
    """Measure every way that the file lacks."""
    options = parser(__doc__)
    options.add_argument("data")
    options.add_argument("--ways", nargs="+", required=True)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--rows", type=int, help="train on the first so many only")
    options.add_argument("--per-class", type=int, help="labels of each class [default: all]")
    options.add_argument("--latent-dim", type=int, default=34)
    options.add_argument("--map-dim", type=int, default=2)
    options.add_argument(
        "--widths", type=int, nargs="+", default=[], help="of the layers [default: the library's]"
    )
    options.add_argument("--test-rows", type=int, help="measure the first so many only")
    options.add_argument("--n-epochs", type=int, default=5)
    options.add_argument("--n-epochs-decoder", type=int, default=0)
    options.add_argument(
        "--step-2", nargs="+", default=["swap"], choices=("swap", "prior", "normal", "white", "exchange")
    )
    options.add_argument("--weight-kl", type=float, default=0.02)
    options.add_argument("--weight-detail", type=float, default=5.0)
    options.add_argument("--beta", type=float, default=0.005)
    options.add_argument("--gamma", type=float, default=0.05)
    options.add_argument("--out", type=Path, required=True)
    parsed = options.parse_args()
    data = load(parsed.data, parsed.rows, parsed.test_rows)
    names = (
        "data",
        "seed",
        "rows",
        "per_class",
        "latent_dim",
        "map_dim",
        "n_epochs",
        "n_epochs_decoder",
        "step_2",
        "weight_kl",
        "weight_detail",
        "beta",
        "gamma",
        "widths",
        "test_rows",
    )
    identity = {name: getattr(parsed, name) for name in names}

    def measured(way: str) -> JSONObject:
        result = measure(data, parsed, way)
        print(way, {name: round(value, 4) for name, value in flat(result).items()}, flush=True)
        return result

    tasks: list[Task] = [({"way": way, **identity}, partial(measured, way)) for way in parsed.ways]
    run_missing(parsed.out, tasks, lambda results: {})


if __name__ == "__main__":
    main()
