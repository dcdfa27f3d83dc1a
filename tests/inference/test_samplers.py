"""Gaussian mixtures of codes."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from ssavae.inference.samplers import draw_accepted, fit_mixture, fit_samplers, pack, prior, unpack

RNG = np.random.default_rng(0)


def test_the_prior_is_the_standard_normal():
    z = prior(3).draw(20000, np.random.default_rng(0))
    assert np.allclose(z.mean(axis=0), 0, atol=0.03)
    assert np.allclose(np.cov(z.T), np.eye(3), atol=0.05)


def test_a_mixture_has_the_mean_and_covariance_of_its_codes():
    z = RNG.normal(size=(1500, 4)) @ RNG.normal(size=(4, 4)) + 3
    drawn = fit_mixture(z).draw(40000, np.random.default_rng(1))
    assert np.allclose(drawn.mean(axis=0), z.mean(axis=0), atol=0.15)
    assert np.allclose(np.cov(drawn.T), np.cov(z.T), atol=0.1 * np.abs(np.cov(z.T)).max())


def test_two_islands_and_one_cloud_are_found():
    islands = np.r_[RNG.normal(-6, 1, (300, 2)), RNG.normal(6, 1, (300, 2))]
    assert len(fit_mixture(islands).weights) == 2
    assert len(fit_mixture(RNG.normal(size=(600, 2))).weights) == 1


def test_two_covariances_are_found_in_many_dimensions_too():
    z = np.random.default_rng(0).normal(0, 1, (2000, 40))
    z[:1000, :8] *= 2.5
    one, two = (GaussianMixture(n, random_state=0).fit(z) for n in (1, 2))
    assert one.bic(z) < two.bic(z)  # another 820 numbers cost more there than they gain
    assert len(fit_mixture(z).weights) == 2
    assert len(fit_mixture(z, max_components=1).weights) == 1


@pytest.mark.parametrize("n", [39, 40, 41, 60])
def test_the_fewest_rows_that_can_be_held_out_give_a_mixture(n):
    islands = np.repeat([[-9.0, 0.0], [9.0, 0.0]], [n // 2, n - n // 2], axis=0)
    mixture = fit_mixture(islands + np.random.default_rng(n).normal(0, 0.1, (n, 2)))
    assert len(mixture.weights) == (1 if n < 40 else 2)
    assert mixture.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_rows_in_many_dimensions_still_give_a_mixture(n):
    z = RNG.normal(size=(n, 50))
    drawn = fit_mixture(z).draw(10, np.random.default_rng(0))
    assert np.isfinite(drawn).all()


def test_each_class_has_its_own_and_an_empty_one_that_of_all():
    z, y = np.r_[RNG.normal(-5, 1, (100, 2)), RNG.normal(5, 1, (100, 2))], np.repeat([0, 2], 100)
    mixtures = fit_samplers(z, y, n_classes=3)
    means = {name: m.draw(500, np.random.default_rng(0)).mean() for name, m in mixtures.items()}
    assert means["class_0"] == pytest.approx(-5, abs=0.3)
    assert means["class_2"] == pytest.approx(5, abs=0.3)
    assert means["class_1"] == means["aggregate"]


def test_only_accepted_codes_are_drawn_as_long_as_there_are_such():
    rng = np.random.default_rng(0)
    z = draw_accepted(prior(2), 200, lambda codes: codes[:, 0], rng, threshold=0.0)
    assert z.shape == (200, 2)
    assert z[:, 0].min() > 0.0


def test_where_too_few_are_accepted_the_nearest_fill_the_rest():
    drawn = []

    def score(codes: np.ndarray) -> np.ndarray:
        drawn.append(codes[:, 0])
        return codes[:, 0]

    z = draw_accepted(prior(2), 20, score, np.random.default_rng(0), threshold=9.0, max_rounds=3)
    assert sorted(z[:, 0]) == sorted(np.concatenate(drawn))[-20:]


def test_packed_mixtures_come_back():
    mixtures = fit_samplers(RNG.normal(size=(60, 3)), np.arange(60) % 2, 2)
    again = unpack(pack(mixtures))
    assert again.keys() == mixtures.keys()
    for name, mixture in mixtures.items():
        rng = np.random.default_rng(5)
        assert (again[name].draw(7, np.random.default_rng(5)) == mixture.draw(7, rng)).all()
