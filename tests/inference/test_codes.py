"""Roots of the classes' covariances, by which the detail of a code in two parts is whitened."""

import numpy as np
import pytest

from ssavae.inference.codes import LEAST_VARIANCE, Whitening, transport_roots


def covariances(n_classes, k, n_rows, scale=1.0):
    """Return covariances of few or many rows; of fewer rows than dimensions they are singular."""
    rows = np.random.default_rng(0).normal(size=(n_classes, n_rows, k)) * np.geomspace(1, scale, k)
    return rows.transpose(0, 2, 1) @ rows / n_rows


@pytest.mark.parametrize(
    ("n_classes", "k", "n_rows", "scale"),
    [(3, 4, 50, 1), (1, 4, 50, 1), (10, 62, 300, 0.01), (22, 18, 5, 1), (3, 6, 40, 1e-5), (2, 1, 9, 100)],
)
def test_roots_are_of_the_covariances_and_transport_from_their_barycentre(n_classes, k, n_rows, scale):
    sigma = covariances(n_classes, k, n_rows, scale)
    roots = transport_roots(sigma)
    least = LEAST_VARIANCE + 1e-9 * np.abs(sigma).max()
    np.testing.assert_allclose(roots @ roots.transpose(0, 2, 1), sigma, atol=2 * least)
    if n_rows < k or scale < 1e-3:
        return  # the optimal transport from a singular law is not unique
    mean = roots.mean(axis=0)  # B^(1/2), since the mean of optimal transports from B is the identity
    np.testing.assert_allclose(mean, mean.T, atol=1e-6 * np.abs(mean).max())
    transports = roots @ np.linalg.inv(mean)
    np.testing.assert_allclose(
        transports, transports.transpose(0, 2, 1), atol=1e-5 * np.abs(transports).max()
    )
    assert np.linalg.eigvalsh(transports).min() > 0


def test_roots_turn_with_the_axes():
    sigma = covariances(4, 5, 60)
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))
    np.testing.assert_allclose(transport_roots(turn @ sigma @ turn.T), turn @ transport_roots(sigma) @ turn.T)


def test_details_that_differ_by_a_transport_are_the_same_when_white():
    rng = np.random.default_rng(0)
    sigma = covariances(1, 3, 50)[0]
    stretch = np.diag([1.5, 0.5, 1.0])
    roots = transport_roots(np.stack([sigma, stretch @ sigma @ stretch]))
    whitening = Whitening(np.zeros((2, 3)), roots)
    detail = rng.normal(size=(20, 3))
    white = [
        whitening.whiten(np.column_stack([np.zeros(20), d]), np.tile(np.eye(2)[c], (20, 1)))[:, 1:]
        for c, d in enumerate([detail, detail @ stretch])
    ]
    np.testing.assert_allclose(white[0], white[1], atol=1e-6)


def test_a_class_without_variance_is_whitened_without_a_warning():
    roots = transport_roots(np.stack([np.eye(3), np.zeros((3, 3))]))
    assert np.isfinite(roots).all()
    assert np.isfinite(np.linalg.inv(roots)).all()
