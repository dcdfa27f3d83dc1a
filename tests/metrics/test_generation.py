from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from ssavae.metrics import generation

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def discs() -> np.ndarray:
    down, right = np.mgrid[:28, :28]
    radius = RNG.uniform(4, 10, (40, 1, 1))
    ring = (down - 13.5) ** 2 + (right - 13.5) ** 2
    return gaussian_filter(np.where(ring < radius**2, 1.0, 0.0), (0, 0.5, 0.5))


def test_pixel_error_is_the_mean_over_all_values() -> None:
    x = RNG.random((7, 5, 4, 3))
    assert generation.pixel_error(x, x + 0.1) == pytest.approx(0.01)


def similarity(x: np.ndarray, y: np.ndarray, sigma: float) -> float:
    """Structural similarity of grey images (n, H, W), computed independently with scipy's filter."""

    def smooth(images: np.ndarray) -> np.ndarray:
        return gaussian_filter(images, (0, sigma, sigma), mode="mirror", truncate=3.5)

    mx, my = smooth(x), smooth(y)
    vx, vy, cov = smooth(x * x) - mx**2, smooth(y * y) - my**2, smooth(x * y) - mx * my
    brightness = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
    return float((brightness * (2 * cov + 9e-4) / (vx + vy + 9e-4)).mean())


@pytest.mark.parametrize(
    ("shape", "sigma"), [((200, 28, 28), 1.5), ((4, 11, 40), 1.5), ((9, 8, 8), 21 / 22), ((9, 3, 5), 9 / 22)]
)
def test_ssim_follows_its_equation(shape: tuple[int, ...], sigma: float) -> None:
    x, noise = RNG.random((2, *shape))
    y = 0.6 * x + 0.4 * noise
    expected = similarity(x, y, sigma)
    assert 0.5 < expected < 0.95
    assert generation.ssim(x, y) == pytest.approx(expected, abs=1e-5)


def test_ssim_is_one_for_equal_images_alone_and_symmetric(discs: np.ndarray) -> None:
    other = discs[::-1].clip(0, 1)
    assert generation.ssim(discs, discs) == pytest.approx(1, abs=1e-6)
    assert generation.ssim(discs, other) == pytest.approx(generation.ssim(other, discs), abs=1e-6)
    assert generation.ssim(discs, other) < 0.9 and generation.ssim(discs, 1 - discs) < 0


def test_ssim_averages_channels(discs: np.ndarray) -> None:
    x_rec = np.stack([discs, 0.5 * discs, np.zeros_like(discs)], axis=3)
    apart = [generation.ssim(discs, x_rec[..., c]) for c in range(3)]
    assert apart == sorted(apart, reverse=True) and apart[2] < 0.9
    assert generation.ssim(np.repeat(discs[..., None], 3, axis=3), x_rec) == pytest.approx(
        np.mean(apart), abs=1e-6
    )


@pytest.mark.parametrize("part", [slice(0, 28), slice(5, 13)])
def test_ssim_falls_with_blur_and_with_noise(discs: np.ndarray, part: slice) -> None:
    x = discs[:, part, part]
    blurred = [generation.ssim(x, gaussian_filter(x, (0, s, s))) for s in (0.3, 0.5, 1, 2, 4)]
    assert blurred == sorted(blurred, reverse=True) and blurred[-1] < 0.5
    noise = RNG.standard_normal(x.shape)
    noisy = [generation.ssim(x, (x + s * noise).clip(0, 1)) for s in (0, 0.05, 0.1, 0.3)]
    assert noisy == sorted(noisy, reverse=True) and noisy[-1] < 0.5


def test_frechet_distance_of_shifted_and_scaled_normals() -> None:
    a = RNG.standard_normal((4000, 5))
    assert generation.frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert generation.frechet_distance(a, a + 2) == pytest.approx(20)
    spread = a.var(axis=0, ddof=1).sum()
    assert generation.frechet_distance(a, 3 * (a - a.mean(0)) + a.mean(0)) == pytest.approx(4 * spread)


@pytest.mark.filterwarnings("ignore")
def test_frechet_distance_agrees_with_torchmetrics() -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Identity(torch.nn.Identity):
        num_features = 16

    a, b = RNG.standard_normal((500, 16)) @ RNG.random((16, 16)), RNG.random((300, 16))
    a[:, 3] = 0  # features that never fire make the covariance singular
    metric = FrechetInceptionDistance(feature=Identity()).set_dtype(torch.float64)
    metric.update(torch.from_numpy(a), real=True)
    metric.update(torch.from_numpy(b), real=False)
    assert generation.frechet_distance(a, b) == pytest.approx(float(metric.compute()), rel=1e-6)


def test_variety_sees_a_collapsed_class() -> None:
    y = np.repeat([0, 1], 50)
    rows = RNG.standard_normal((100, 8))
    collapsed = np.where(y[:, None] == 0, rows[0], rows)
    assert generation.variety(collapsed, y) == pytest.approx(0.5 * generation.variety(rows[50:], y[50:]))


def test_variety_leaves_out_unlabelled_rows_and_draws_by_seed() -> None:
    rows = np.random.default_rng(0).standard_normal((900, 4))
    y = np.zeros(900, dtype=int)
    assert generation.variety(rows, y, random_state=1) == generation.variety(rows, y, random_state=1)
    assert generation.variety(rows, y, random_state=1) != generation.variety(rows, y, random_state=2)
    assert generation.variety(rows, y, n_max=50) == pytest.approx(generation.variety(rows, y), rel=0.1)
    y[450:], rows[450:] = -1, 99.0
    assert generation.variety(rows, y) == generation.variety(rows[:450], y[:450])


def test_sharpness_of_real_images_is_one_and_colour_is_taken_as_grey(discs: np.ndarray) -> None:
    assert generation.sharpness(discs, discs) == 1
    colour = np.repeat(discs[..., None], 3, axis=3)
    assert generation.sharpness(colour, colour[::-1]) == pytest.approx(1)


def test_sharpness_falls_with_blur(discs: np.ndarray) -> None:
    values = [generation.sharpness(gaussian_filter(discs, (0, s, s)), discs) for s in (0.5, 1, 2, 4)]
    assert values[1] < 0.85
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("blur", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("noise", [0.03, 0.1, 0.2])
def test_sharpness_does_not_rise_with_noise(discs: np.ndarray, blur: float, noise: float) -> None:
    clean = gaussian_filter(discs, (0, blur, blur))
    noisy = clean + noise * RNG.standard_normal(clean.shape)
    assert generation.sharpness(noisy, discs) <= generation.sharpness(clean, discs)


def test_sharpness_does_not_rise_with_a_checkerboard(discs: np.ndarray) -> None:
    board = np.indices(discs.shape[1:]).sum(axis=0) % 2 - 0.5
    assert generation.sharpness(discs + 0.3 * board, discs) <= 1


BAD: list[tuple[Callable[..., object], tuple[Any, ...], str]] = [
    (generation.pixel_error, (np.zeros(3), np.zeros(4)), r"x_rec must have shape \(3,\), found \(4,\)"),
    (generation.pixel_error, (["a"], [0]), "x must hold numbers"),
    (
        generation.ssim,
        (np.zeros((1, 8, 8)), np.zeros((1, 9, 8))),
        r"x_rec must have shape \(1, 8, 8\), found \(1, 9, 8\)",
    ),
    (generation.ssim, (np.zeros((2, 8, 8)), np.zeros((3, 8, 8))), "x_rec must have shape"),
    (generation.ssim, (np.zeros((2, 8)), np.zeros((2, 8))), r"x must have 3 or 4 axes, found shape \(2, 8\)"),
    (generation.ssim, (np.zeros((1, 8, 2)), np.zeros((1, 8, 2))), "3 x 3 pixels or more, found 8 x 2"),
    (
        generation.ssim,
        (np.zeros((1, 8, 8)), np.full((1, 8, 8), np.nan)),
        "x_rec must be finite, found 64 NaN",
    ),
    (
        generation.ssim,
        (np.zeros((1, 8, 8)), np.full((1, 8, 8), 255)),
        r"x_rec must lie in \[0, 1\], found 255 to 255",
    ),
    (
        generation.ssim,
        (np.full((1, 8, 8), -0.5), np.zeros((1, 8, 8))),
        r"x must lie in \[0, 1\], found -0.5 to -0.5",
    ),
    (generation.frechet_distance, (np.zeros((3, 2)), np.zeros((3, 3))), "features_b must have shape"),
    (generation.frechet_distance, (np.zeros((1, 2)), np.zeros((3, 2))), "2 rows or more, found 1 and 3"),
    (
        generation.frechet_distance,
        (np.zeros(3), np.zeros((3, 2))),
        r"features_a must have 2 axes, found shape \(3,\)",
    ),
    (generation.variety, (np.zeros((2, 2)), [0, 1]), "a class with two rows"),
    (generation.sharpness, (np.zeros((1, 8, 8)), np.zeros((1, 9, 9))), "x_rec must have shape"),
    (generation.sharpness, (np.zeros((1, 8, 8)), np.zeros((1, 8, 8))), "x must hold images with an edge"),
    (generation.sharpness, (np.zeros((8, 8)), np.zeros((1, 8, 8))), "x_rec must have 3 or 4 axes"),
]


@pytest.mark.parametrize(("function", "args", "message"), BAD)
def test_bad_input_raises_an_error_that_names_the_argument_and_the_value(
    function: Callable[..., object], args: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        function(*args)


@pytest.mark.parametrize("shape", [(5, 28, 28), (3, 9, 14, 3), (70, 32, 32, 3), (2, 3, 3)])
def test_ssim_agrees_with_torchmetrics(shape: tuple[int, ...]) -> None:
    from torchmetrics.functional.image import structural_similarity_index_measure

    x = RNG.random(shape)
    x_rec = (x + 0.2 * RNG.random(shape)).clip(0, 1)
    window = min(11, (min(shape[1:3]) - 1) // 2 * 2 + 1)
    preds, target = (torch.from_numpy(each.reshape(*shape[:3], -1)).movedim(-1, 1) for each in (x_rec, x))
    _, similarity = structural_similarity_index_measure(
        preds, target, sigma=1.5 * window / 11, data_range=1.0, return_full_image=True
    )
    assert generation.ssim(x, x_rec) == pytest.approx(float(similarity.mean()), abs=1e-5)
