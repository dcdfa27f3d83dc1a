"""Codes in two parts, a map and a detail, which is nearly the same in all classes; without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

    from ssavae.inference.samplers import Mixture

CHUNK = 256  # rows whose matrices are in memory at once
LEAST_VARIANCE = 1e-6  # of the detail in any direction
POOLED = 0.2  # share of the mean covariance in that of each class: docs/decisions.md
MOST_ITERATIONS = 100
TOLERANCE = 1e-9  # relative change of the barycentre in the last iteration


@dataclass(frozen=True)
class Whitening:
    r"""Class-wise whitening of the detail: it then has mean 0 and nearly covariance I in every class.

    .. math:: w = S(p)^{-1} (d - m(p)), \quad m(p) = \sum_c q_c m_c, \quad S(p) = \sum_c q_c S_c

    with q the class probabilities at the point p of the map, m_c the mean of the detail d in class c, and S_c
    the root by optimal transport (:func:`transport_roots`) of its covariance, so that the same w looks alike
    in all classes. With p it is a bijection: no detail is lost.

    Covariances are shrunk to their mean, as in regularized discriminant analysis (Friedman 1989): directions
    in which a class hardly varies would otherwise count for much in the others.

    Parameters
    ----------
    means : (C, k)
    roots : (C, k, k)
    """

    means: Float[np.ndarray, "c k"]
    roots: Float[np.ndarray, "c k k"]

    @classmethod
    def of(
        cls, mixtures: Mapping[str, Mixture], n_classes: int, n_map: int, pooled: float = POOLED
    ) -> Whitening:
        """Return the whitening of the laws that the mixtures have; without classes there is one law."""
        names = [f"class_{c}" for c in range(n_classes)] or ["aggregate"]
        moments = [mixtures[name].moments() for name in names]
        means = np.stack([mean[n_map:] for mean, _ in moments])
        covariances = np.stack([covariance[n_map:, n_map:] for _, covariance in moments])
        return cls(means, transport_roots((1 - pooled) * covariances + pooled * covariances.mean(axis=0)))

    def whiten(
        self, codes: Float[np.ndarray, "n m"], probs: Float[np.ndarray, "n c"]
    ) -> Float[np.ndarray, "n m"]:
        """Return codes with the detail whitened.

        Parameters
        ----------
        codes : (n, K)
        probs : (n, C)
            Class probabilities at their points of the map.

        Examples
        --------
        >>> whitening = Whitening(np.array([[1.0], [5.0]]), np.array([[[2.0]], [[4.0]]]))
        >>> whitening.whiten(np.array([[7.0, 3.0], [8.0, 3.0]]), np.eye(2))
        array([[ 7. ,  1. ],
               [ 8. , -0.5]])
        """
        return self._apply(codes, probs, lambda d, m, s: np.linalg.solve(s, (d - m)[:, :, None])[:, :, 0])

    def colour(
        self, codes: Float[np.ndarray, "n m"], probs: Float[np.ndarray, "n c"]
    ) -> Float[np.ndarray, "n m"]:
        """Return codes whose detail is that of the networks again: the inverse of :meth:`whiten`."""
        return self._apply(codes, probs, lambda w, m, s: m + (s @ w[:, :, None])[:, :, 0])

    def _apply(
        self,
        codes: np.ndarray,
        probs: np.ndarray,
        function: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    ) -> np.ndarray:
        n_map = codes.shape[1] - self.means.shape[1]
        result = codes.astype(np.float64)
        for start in range(0, len(codes), CHUNK):
            rows = slice(start, start + CHUNK)
            q = probs[rows].astype(np.float64)
            # no matrix product: its last bits would depend on the other rows
            means = np.einsum("nc,ci->ni", q, self.means)
            roots = np.einsum("nc,cij->nij", q, self.roots)
            result[rows, n_map:] = function(result[rows, n_map:], means, roots)
        return result.astype(codes.dtype)


def transport_roots(covariances: Float[np.ndarray, "c k k"]) -> Float[np.ndarray, "c k k"]:
    r"""Return a root of each covariance, S_c S_c^T = Sigma_c, that carries the same detail into each class.

    .. math::

        S_c = B^{-1/2} (B^{1/2} \Sigma_c B^{1/2})^{1/2}, \quad
        B = \frac{1}{C} \sum_c (B^{1/2} \Sigma_c B^{1/2})^{1/2}

    B is the covariance of the Wasserstein barycentre of the N(0, Sigma_c), by the iteration of
    Alvarez-Esteban et al. (2016), "A fixed-point approach to barycenters in Wasserstein space".
    S_c B^{-1/2} is the optimal transport from N(0, B) to N(0, Sigma_c), which moves a detail least.

    Parameters
    ----------
    covariances : (C, k, k)

    Examples
    --------
    >>> transport_roots(np.array([[[4.0]], [[16.0]]]))
    array([[[2.]],
    <BLANKLINE>
           [[4.]]])
    """
    covariances = _power(covariances, 1, LEAST_VARIANCE)
    barycentre = covariances.mean(axis=0)
    roots = _roots_from(barycentre, covariances)
    for _ in range(MOST_ITERATIONS):
        mean = roots.mean(axis=0)
        before, barycentre = barycentre, mean @ mean.T
        if np.abs(barycentre - before).max() <= TOLERANCE * np.abs(before).max():
            break
        roots = _roots_from(barycentre, covariances)
    return roots


def _roots_from(barycentre: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    root, inverse = _power(barycentre, 0.5), _power(barycentre, -0.5)
    return inverse @ _power(root @ covariances @ root, 0.5)


def _power(matrices: np.ndarray, exponent: float, least: float = 0.0) -> np.ndarray:
    """Return a power of symmetric matrices, whose eigenvalues are clipped from below."""
    values, vectors = np.linalg.eigh(matrices)
    return (vectors * values.clip(least)[..., None, :] ** exponent) @ np.swapaxes(vectors, -1, -2)


def complete(
    codes: Float[np.ndarray, "n m"], like: Float[np.ndarray, "b k"], n_map: int
) -> Float[np.ndarray, "n k"]:
    """Return whole codes as they are, and points of the map with the detail of other codes.

    Parameters
    ----------
    codes : (n, K) or (n, n_map)
    like : (1, K) or (n, K)
        Codes whose detail the points get.
    n_map : int
        Leading dimensions of a code that are the map.

    Raises
    ------
    ValueError
        If codes have another shape.

    Examples
    --------
    >>> like = np.ones((1, 3))
    >>> complete(np.zeros((1, 1)), like, n_map=1), complete(np.zeros((1, 3)), like, n_map=1)
    (array([[0., 1., 1.]]), array([[0., 0., 0.]]))
    """
    latent_dim = like.shape[1]
    if codes.ndim == 2 and codes.shape[1] == latent_dim:
        return codes
    if codes.ndim != 2 or codes.shape[1] != n_map:
        points = f", points of its map (n, {n_map})" if n_map < latent_dim else ""
        raise ValueError(f"codes of this model are (n, {latent_dim}){points}, found {codes.shape}")
    whole = np.broadcast_to(like, (len(codes), latent_dim)).astype(codes.dtype)
    whole[:, :n_map] = codes
    return whole
