from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from ssavae.metrics.classification import agreement
from ssavae.metrics.judge import (
    Judge,
    judge_features,
    judge_logits,
    load_judge,
    perceptual_distance,
    save_judge,
    train_judge,
)
from ssavae.metrics.judge_networks import photograph_body, whiten
from ssavae.metrics.judge_photographs import orthogonalize, random_crops

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, ...]:
    data: Any = load_digits()
    images = (data.images / 16).astype(np.float32)
    parts = train_test_split(images, data.target, test_size=0.3, random_state=0)
    return tuple(np.asarray(part) for part in parts)


@pytest.fixture(scope="module")
def judge(digits: tuple[np.ndarray, ...]) -> Judge:
    x, _, y, _ = digits
    return train_judge(x, y, n_epochs=12, batch_size=64)


def test_judge_classifies_unseen_digits(judge: Judge, digits: tuple[np.ndarray, ...]) -> None:
    _, x, _, y = digits
    assert agreement(judge_logits(judge, x), y) >= 0.96


def test_judge_disagrees_with_wrong_classes(judge: Judge, digits: tuple[np.ndarray, ...]) -> None:
    _, x, _, y = digits
    assert agreement(judge_logits(judge, x), (y + 1) % 10) < 0.05


def test_judge_training_is_repeatable_and_leaves_the_global_state_alone(
    digits: tuple[np.ndarray, ...],
) -> None:
    x, _, y, _ = digits
    before = torch.get_rng_state()
    logits = [
        judge_logits(train_judge(x[:200], y[:200], n_epochs=1, random_state=seed), x) for seed in (0, 0, 1)
    ]
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(logits[0], logits[1])
    assert not np.allclose(logits[0], logits[2])


def test_judge_rows_do_not_depend_on_each_other(judge: Judge, digits: tuple[np.ndarray, ...]) -> None:
    x = digits[1][:20]
    judge.train()
    together = judge_features(judge, x)
    apart = judge_features(judge, x, batch_size=1)
    assert together.shape == (20, 128)
    assert (together >= 0).all()
    np.testing.assert_allclose(together, apart, atol=1e-5)


def test_judge_ignores_unlabelled_rows(digits: tuple[np.ndarray, ...]) -> None:
    x, _, y, _ = digits
    labelled = train_judge(x[:100], y[:100], n_epochs=1)
    mixed = train_judge(x[:150], np.r_[y[:100], np.full(50, -1)], n_epochs=1)
    assert np.array_equal(judge_logits(labelled, x), judge_logits(mixed, x))


@pytest.mark.parametrize("shape", [(8, 8), (9, 13, 3), (28, 28, 1), (5,), (64, 2), (3, 40)])
def test_judge_takes_any_row(shape: tuple[int, ...]) -> None:
    x = RNG.random((33, *shape)).astype(np.float32)
    judge = train_judge(x, np.arange(33) % 3, n_epochs=1, batch_size=32)
    assert judge_logits(judge, x[:1]).shape == (1, 3)
    assert judge.is_image == (len(shape) > 1 and min(shape[:2]) >= 8)


def test_judge_takes_grey_images_with_and_without_channel(judge: Judge) -> None:
    x = RNG.random((4, 8, 8))
    assert np.array_equal(judge_logits(judge, x), judge_logits(judge, x[..., None]))


def test_judge_learns_a_table_of_any_scale() -> None:
    y = np.arange(300) % 2
    x = 1e4 + 1e3 * RNG.standard_normal((300, 6)) + 3e3 * y[:, None]
    judge = train_judge(x, y, n_epochs=15, batch_size=32)
    assert agreement(judge_logits(judge, x), y) > 0.95


def test_saved_judge_gives_the_same_logits(
    judge: Judge, digits: tuple[np.ndarray, ...], tmp_path: Path
) -> None:
    path = tmp_path / "judge.safetensors"
    save_judge(judge, path)
    again = load_judge(path)
    assert not again.training
    assert [file.name for file in tmp_path.iterdir()] == ["judge.safetensors"]
    assert np.array_equal(judge_logits(judge, digits[1]), judge_logits(again, digits[1]))


def test_load_judge_refuses_other_files(judge: Judge, tmp_path: Path) -> None:
    path = tmp_path / "judge.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="path must name a judge's file"):
        load_judge(path)
    wrong = {"ssavae_judge": json.dumps({"sample_shape": [8, 8], "n_classes": 9, "feature_dim": 128})}
    save_file({k: v.contiguous() for k, v in judge.state_dict().items()}, path, metadata=wrong)
    with pytest.raises(ValueError, match="path must name a judge's file"):
        load_judge(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="path must name a judge's file"):
        load_judge(path)


def test_judge_refuses_rows_of_another_shape(judge: Judge) -> None:
    with pytest.raises(ValueError, match=r"a row of x must have shape \(8, 8\), found \(9, 9\)"):
        judge_logits(judge, np.zeros((2, 9, 9)))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.full((4, 8, 8), 255), [0, 1, 0, 1], r"x must lie in \[0, 1\], found 255 to 255"),
        (np.zeros((4, 8, 8)), [0, 0, 0, 0], "y must hold two classes or more, found only 0"),
        (np.zeros((4, 8, 8)), [-1, -1, -1, -1], "y must have a labelled row, found none in 4"),
    ],
)
def test_train_judge_refuses(x: np.ndarray, y: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_judge(x, y)


def test_perceptual_distance_follows_its_equation(judge: Judge) -> None:
    x, other = RNG.random((2, 5, 8, 8)).astype(np.float32)
    blocks = [judge.body[:end] for end in (3, 6, 9)]
    expected = 0.0
    with torch.no_grad():
        for block in blocks:
            a, b = (block(torch.from_numpy(images[:, None])).numpy() for images in (x, other))
            units = [act / np.maximum(np.linalg.norm(act, axis=1, keepdims=True), 1e-12) for act in (a, b)]
            expected += np.mean(np.sum((units[0] - units[1]) ** 2, axis=1))
    assert 0.1 < expected < 6
    assert perceptual_distance(judge, x, other) == pytest.approx(expected, rel=1e-4)
    assert perceptual_distance(judge, other, x) == pytest.approx(expected, rel=1e-4)


def test_perceptual_distance_is_zero_for_equal_images(judge: Judge, digits: tuple[np.ndarray, ...]) -> None:
    assert perceptual_distance(judge, digits[1], digits[1]) == 0
    assert perceptual_distance(judge, digits[1], digits[1][..., None]) == 0


def test_perceptual_distance_grows_with_blur_shift_and_noise(
    judge: Judge, digits: tuple[np.ndarray, ...]
) -> None:
    x = digits[1]
    noise = RNG.standard_normal(x.shape)
    changed = {
        "blur": [gaussian_filter(x, (0, s, s)) for s in (0.4, 0.7, 1, 2)],
        "shift": [np.roll(x, steps, axis=2) for steps in (1, 2, 3)],
        "noise": [(x + s * noise).clip(0, 1) for s in (0.02, 0.1, 0.3)],
    }
    for name, series in changed.items():
        distances = [perceptual_distance(judge, x, x_rec) for x_rec in series]
        assert distances == sorted(distances) and distances[0] > 0 and distances[-1] > 0.5, (name, distances)


def test_perceptual_distance_does_not_depend_on_batches(judge: Judge, digits: tuple[np.ndarray, ...]) -> None:
    x, other = digits[1][:50], digits[1][50:100]
    judge.train()
    whole = perceptual_distance(judge, x, other)
    assert perceptual_distance(judge, x, other, batch_size=7) == pytest.approx(whole, rel=1e-5)
    apart = [perceptual_distance(judge, a[None], b[None]) for a, b in zip(x, other, strict=True)]
    assert np.mean(apart) == pytest.approx(whole, rel=1e-5)


def test_perceptual_distance_sees_colour() -> None:
    x = RNG.random((40, 9, 13, 3)).astype(np.float32)
    judge = train_judge(x, np.arange(40) % 2, n_epochs=1, batch_size=20)
    assert perceptual_distance(judge, x, x[..., ::-1]) > 0.01


def test_perceptual_distance_needs_images_of_the_judge_s_shape(judge: Judge) -> None:
    x, table = np.zeros((4, 8, 8)), RNG.random((8, 5))
    with pytest.raises(ValueError, match=r"judge must be one of images, found one of rows of shape \(5,\)"):
        perceptual_distance(train_judge(table, np.arange(8) % 2, n_epochs=1), table, table)
    with pytest.raises(ValueError, match=r"a row of x_rec must have shape \(8, 8\), found \(9, 9\)"):
        perceptual_distance(judge, x, np.zeros((4, 9, 9)))
    with pytest.raises(ValueError, match=r"x_rec must have shape \(4, 8, 8\), found \(3, 8, 8\)"):
        perceptual_distance(judge, x, x[:3])
    with pytest.raises(ValueError, match="x_rec must be finite, found 256 NaN"):
        perceptual_distance(judge, x, x + np.nan)
    with pytest.raises(ValueError, match=r"x must lie in \[0, 1\], found 2 to 2"):
        perceptual_distance(judge, x + 2, x)


@pytest.fixture(scope="module")
def photographs() -> tuple[np.ndarray, np.ndarray]:
    """Coloured stripes with noise, (n, 16, 20, 3); the class is the direction, the same in a mirror."""
    rng = np.random.default_rng(1)
    y = np.arange(240) % 2
    waves = np.sin(rng.uniform(0, 6, (240, 1)) + np.arange(20) * 1.3)
    stripes = np.where(y[:, None, None] == 0, waves[:, None, :], waves[:, :16, None])
    x = 0.5 + 0.2 * stripes[..., None] * rng.uniform(0.3, 1, (240, 1, 1, 3))
    return (x + 0.1 * rng.standard_normal((240, 16, 20, 3))).clip(0, 1).astype(np.float32), y


@pytest.fixture(scope="module")
def reader(photographs: tuple[np.ndarray, np.ndarray]) -> Judge:
    x, y = photographs
    return train_judge(x[:160], y[:160], n_epochs=4, batch_size=20, network="photograph")


def test_photograph_network_classifies_unseen_photographs(
    reader: Judge, photographs: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = photographs
    assert agreement(judge_logits(reader, x[160:]), y[160:]) > 0.95
    assert agreement(judge_logits(reader, x[160:]), 1 - y[160:]) < 0.05


def test_photograph_network_sees_an_image_and_its_mirror_image_alike(
    reader: Judge, photographs: tuple[np.ndarray, np.ndarray]
) -> None:
    x = photographs[0][:9]
    features = judge_features(reader, x)
    assert features.shape == (9, 256)
    assert (features >= 0).all() and features.std() > 0
    np.testing.assert_allclose(features, judge_features(reader, x[:, :, ::-1]), atol=1e-5)
    logits = judge_logits(reader, x, batch_size=2)
    weight, bias = (p.detach().numpy() for p in reader.head.parameters())
    np.testing.assert_allclose(logits, features @ weight.T + bias, atol=1e-4)


def test_first_layer_of_the_photograph_network_whitens_patches(
    photographs: tuple[np.ndarray, np.ndarray],
) -> None:
    images = torch.from_numpy(photographs[0]).permute(0, 3, 1, 2)
    body = photograph_body(3, 24)
    whiten(body[0], images)
    with torch.no_grad():
        rows = body[0](images).permute(0, 2, 3, 1).reshape(-1, 24)
    assert torch.equal(rows[:, :12], -rows[:, 12:])
    cov = torch.cov(rows[:, :12].T)
    assert torch.allclose(cov, torch.diag(cov.diag()), atol=1e-3)
    assert (cov.diag() <= 1).all() and cov.diag()[-1] > 0.9  # 1, but for the directions of little variance
    assert not body[0].weight.requires_grad


@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (5, 5)])
def test_orthogonalized_matrices_are_nearly_orthogonal(shape: tuple[int, int]) -> None:
    matrix = torch.from_numpy(RNG.standard_normal(shape))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    found = u.T @ orthogonalize(matrix) @ v.T
    np.testing.assert_allclose(found, torch.diag(found.diag()), atol=1e-6)
    assert 0.2 < found.diag().min() <= found.diag().max() < 1.4


def test_random_crops_are_windows_of_their_images() -> None:
    images = torch.arange(2 * 16 * 24).reshape(2, 16, 24)
    crops = random_crops(images, torch.tensor([False, True]))
    assert crops.shape == (2, 14, 21)
    for crop, image, mirrored in zip(crops, images, (False, True), strict=True):
        top, left = divmod(int(crop.min() - image.min()), 24)
        assert torch.equal(crop.flip(1) if mirrored else crop, image[top : top + 14, left : left + 21])


def test_photograph_judge_is_repeatable_and_saved(
    reader: Judge, photographs: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    x, y = photographs
    epochs: list[int] = []

    def after_epoch(n_done: int, judge: Judge) -> None:
        epochs.append(n_done)
        judge_logits(judge, x[:2])  # leaves it in eval mode
        save_judge(judge, tmp_path / "judge.safetensors")

    again = train_judge(
        x[:160], y[:160], n_epochs=4, batch_size=20, network="photograph", after_epoch=after_epoch
    )
    assert epochs == [1, 2, 3, 4]
    saved = load_judge(tmp_path / "judge.safetensors")
    assert saved.network == "photograph"
    expected = judge_logits(reader, x)
    assert np.array_equal(judge_logits(again, x), expected)
    assert np.array_equal(judge_logits(saved, x), expected)


def test_perceptual_distance_of_a_photograph_judge(
    reader: Judge, photographs: tuple[np.ndarray, np.ndarray]
) -> None:
    x = photographs[0][:8]
    blurred = [gaussian_filter(x, (0, s, s, 0)) for s in (0.4, 1, 2)]
    distances = [perceptual_distance(reader, x, each) for each in (x, *blurred)]
    assert distances[0] == 0
    assert distances == sorted(distances) and distances[-1] > 0.1
    with torch.no_grad():
        shapes = [tuple(a.shape[1:]) for a in reader.activations(torch.from_numpy(x))]
    assert shapes == [(64, 7, 9), (256, 3, 4), (256, 1, 2)]


def test_files_of_judges_without_a_network_hold_the_small_one(judge: Judge, tmp_path: Path) -> None:
    path = tmp_path / "judge.safetensors"
    sizes = {"sample_shape": [8, 8], "n_classes": 10, "feature_dim": 128}
    save_file(
        {k: v.contiguous() for k, v in judge.state_dict().items()}, path, {"ssavae_judge": json.dumps(sizes)}
    )
    x = RNG.random((4, 8, 8))
    assert np.array_equal(judge_logits(load_judge(path), x), judge_logits(judge, x))


@pytest.mark.parametrize(
    ("shape", "network", "message"),
    [
        ((16, 16), "deep", "network must be one of small, photograph, found 'deep'"),
        ((8, 8), "photograph", r"'photograph' needs images of 16 x 16 pixels or more, found rows \(8, 8\)"),
        ((40,), "photograph", r"'photograph' needs images of 16 x 16 pixels or more, found rows \(40,\)"),
    ],
)
def test_judge_refuses_a_network(shape: tuple[int, ...], network: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_judge(np.zeros((4, *shape)), [0, 1, 0, 1], network=network)
