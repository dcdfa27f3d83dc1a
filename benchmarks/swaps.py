r"""What a code in two parts holds: accuracy of its map, copies, swaps, samples, and sheets of pictures.

    ssavae train mnist --latent-dim 64 --set map_dim=2 --set n_epochs=24 --set n_epochs_decoder=10 \
        --out runs/mnist_two_part
    python benchmarks/swaps.py runs/mnist_two_part mnist --out benchmarks/results/two_part/mnist

The judge is a classifier of the real images (measured.py). A swap decodes the detail of one test row at the
place of another on the map, which the model reads as of some class: 100 rows lend their detail to a row of
each class. Stroke width, slant and size are measured on the swapped images and on the lenders, relative to
the mean of the lender's class, and correlated within each class of place.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from measured import Images, judge_for
from report import command, parser, plain_options, write_json
from split import Split
from two_part import SWAPPED, correlation_of_shapes, probe

from ssavae import SSAVAE, figures, load
from ssavae._serialize import JSONObject
from ssavae.app.runs.environment import machine
from ssavae.app.runs.pictures import shown
from ssavae.metrics import generation, latent
from ssavae.metrics.classification import agreement
from ssavae.metrics.judge import Judge, judge_features, judge_logits

PER_CLASS = 200  # class-wise samples, as `ssavae evaluate --judge` draws them
PROBE_ROWS = 10_000  # training rows that the network which reads the detail learns from
N_LINES = 10  # of a sheet


def measure_map(model: SSAVAE, split: Split) -> JSONObject:
    """Return accuracy of the classifier, of neighbours on the map, and of a network that reads the detail."""
    z, z_test = model.transform(split.x), model.transform(split.x_test)
    n_map = model.spec_.n_map
    some = np.random.default_rng(0).permutation(len(split.x))[:PROBE_ROWS]
    details = [model.transform(x, detail=True)[:, n_map:] for x in (split.x[some], split.x_test)]
    detail, detail_test = map(torch.from_numpy, details)
    return {
        "accuracy": model.score(split.x_test, split.classes[split.y_test]),
        "knn_accuracy_map": latent.knn_accuracy(z, split.y, z_test, split.y_test, 15),
        "probe_accuracy_detail": probe(detail, split.y[some], detail_test, split.y_test),
    }


def measure_copies(model: SSAVAE, judge: Judge, split: Split) -> JSONObject:
    """Return how far reconstructions are from test rows."""
    real = shown(model, split.x_test)
    copies = shown(model, model.reconstruct(split.x_test))
    features = [judge_features(judge, images) for images in (copies, real)]
    return {
        "pixel_error": generation.pixel_error(real, copies),
        "agreement_reconstructions": agreement(judge_logits(judge, copies), split.y_test),
        "frechet_reconstructions": generation.frechet_distance(*features),
    }


def swaps(model: SSAVAE, split: Split, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return indices of n lenders, and swapped images (classes, n, H, W, C)."""
    rng = np.random.default_rng(0)
    lenders = rng.choice(len(split.x_test), n, replace=False)
    z, predicted = model.transform(split.x_test), model.predict(split.x_test)
    places = [z[rng.choice(np.flatnonzero(predicted == c), n)] for c in split.classes]
    decoded = [shown(model, model.inverse_transform(each, like=split.x_test[lenders])) for each in places]
    return lenders, np.stack(decoded)


def measure_swaps(model: SSAVAE, judge: Judge, split: Split) -> JSONObject:
    """Return how often the judge sees the class of the place, and what follows the lender."""
    lenders, decoded = swaps(model, split, SWAPPED)
    flat = decoded.reshape(-1, *decoded.shape[2:])
    target = np.repeat(np.arange(len(decoded)), SWAPPED)
    is_other = target != np.tile(split.y_test[lenders], len(decoded))
    logits = judge_logits(judge, flat)
    real = shown(model, split.x_test)
    return {
        "agreement_swaps": agreement(logits, target),
        "agreement_swaps_of_other_classes": agreement(logits[is_other], target[is_other]),
        **{
            f"correlation_{k}": v for k, v in correlation_of_shapes(real, split.y_test, flat, lenders).items()
        },
    }


def measure_samples(model: SSAVAE, judge: Judge, split: Split) -> JSONObject:
    """Return how near samples are to test rows: by class, from N(0, I), N(0, I) detail at places of rows."""
    features_real = judge_features(judge, shown(model, split.x_test))
    variety_real = generation.variety(features_real, split.y_test)
    y = np.repeat(np.arange(len(split.classes)), PER_CLASS)
    normal = np.random.default_rng(0).standard_normal((len(y), model.spec_.latent_dim))
    some = np.random.default_rng(0).permutation(len(split.x))[: len(y)]
    normal[:, : model.spec_.n_map] = model.transform(split.x[some])  # places of training rows
    rows = {
        "class": model.sample(len(y), y=split.classes[y], random_state=0),
        "prior": model.sample(len(y), sampler="prior", random_state=0),
        "normal_detail": model.inverse_transform(normal),
    }
    result: JSONObject = {}
    for name, samples in rows.items():
        images = shown(model, samples)
        features = judge_features(judge, images)
        result[f"frechet_{name}_samples"] = generation.frechet_distance(features, features_real)
        if name == "class":
            result["agreement_class_samples"] = agreement(judge_logits(judge, images), y)
            result["variety_ratio"] = generation.variety(features, y) / variety_real
    return result


def draw_sheets(model: SSAVAE, split: Split, folder: Path) -> None:
    """Draw swaps, walks from one row to another, and class-wise samples."""
    lenders, decoded = swaps(model, split, N_LINES)
    names = ["detail of", *map(str, split.classes)]
    tiles = np.concatenate([shown(model, split.x_test[lenders])[:, None], decoded.swapaxes(0, 1)], axis=1)
    title = "the detail of a row at a place of each class"
    figures.save(figures.image_sheet(tiles, names, title=title), folder / "swaps.png")
    ends = np.random.default_rng(1).choice(len(split.x_test), (N_LINES, 2), replace=False)
    rows = [split.x_test[[a, b]] for a, b in ends]
    walks = [model.interpolate(pair[:1], pair[1:], 11) for pair in rows]
    tiles = [
        np.concatenate([shown(model, pair[:1]), shown(model, walk)])
        for pair, walk in zip(rows, walks, strict=True)
    ]
    figures.save(
        figures.image_sheet(np.stack(tiles), title="walks from one row to another"), folder / "walks.png"
    )
    y = np.repeat(np.arange(len(split.classes)), 10)
    samples = shown(model, model.sample(len(y), y=split.classes[y], random_state=0))
    figure = figures.class_samples(samples, y, names[1:], title="samples of each class")
    figures.save(figure, folder / "samples.png")


def parse_options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("model", type=Path, help="a model folder")
    options.add_argument("data", help="the images that it was trained on")
    options.add_argument("--out", type=Path, required=True)
    return options.parse_args()


def main() -> None:
    """Measure a model, write numbers and sheets."""
    options = parse_options()
    model, split = load(options.model), Split.load(options.data, kind="image")
    judge = judge_for(Images.load(options.data))
    options.out.mkdir(parents=True, exist_ok=True)
    draw_sheets(model, split, options.out)
    result: JSONObject = {
        "command": command(),
        **plain_options(options),
        "seed": model.seed_,
        "parameters": model.get_params(deep=False),
        "epochs": {step: sum(row["step"] == step for row in model.history_) for step in ("vec", "decoder")},
        **measure_swaps(model, judge, split),
        **measure_copies(model, judge, split),
        **measure_samples(model, judge, split),
        **measure_map(model, split),
        **machine(),
    }
    write_json(options.out / "measures.json", result)
    print({name: value for name, value in result.items() if isinstance(value, float)})


if __name__ == "__main__":
    main()
