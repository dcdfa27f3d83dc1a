"""Codes in two parts, a map and a detail, which has mean 0 and covariance I in each class; without torch."""

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


@dataclass(frozen=True)
class Whitening:
    r"""Class-wise whitening of the detail: it then has the same mean and covariance in every class.

    .. math:: w = S(p)^{-1} (d - m(p)), \quad m(p) = \sum_c q_c m_c, \quad S(p) = \sum_c q_c \Sigma_c^{1/2}

    with q the class probabilities at the point p of the map, and m_c, Sigma_c mean and covariance of the
    detail d in class c. The symmetric roots turn no direction into another, so that the same w looks alike
    in all classes. With p it is a bijection: no detail is lost.

    Parameters
    ----------
    means : (C, k)
    roots : (C, k, k)
        Symmetric roots of the covariances.
    """

    means: Float[np.ndarray, "c k"]
    roots: Float[np.ndarray, "c k k"]

    @classmethod
    def of(cls, mixtures: Mapping[str, Mixture], n_classes: int, n_map: int) -> Whitening:
        """Return the whitening of the laws that the mixtures have; without classes there is one law."""
        names = [f"class_{c}" for c in range(n_classes)] or ["aggregate"]
        moments = [mixtures[name].moments() for name in names]
        means = np.stack([mean[n_map:] for mean, _ in moments])
        return cls(means, np.stack([_root(covariance[n_map:, n_map:]) for _, covariance in moments]))

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


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values.clip(LEAST_VARIANCE))) @ vectors.T


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
