"""Samplers of codes: the prior, the aggregated posterior, or one Gaussian mixture per class.

The mixtures are plain arrays, so that a model folder can hold them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import logsumexp
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from ssavae._checks import check

if TYPE_CHECKING:
    from jaxtyping import Float, Int

MAX_COMPONENTS = 5
MAX_ROWS = 2000  # rows per mixture: enough for a full covariance of 100 dimensions, and fast to fit
LEAST_ROWS = 20  # per component
MOST_ITERATIONS = 300
HELD_OUT = 5  # one row in five says how many components there are
BLAS_LOCK = threading.Lock()  # the limit is of the whole process: one thread sets it and puts it back
MIXTURE_ARRAYS = ("weights", "means", "factors")


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture: sum_m weights[m] N(means[m], factors[m] factors[m]^T).

    Parameters
    ----------
    weights : (M,)
    means : (M, K)
    factors : (M, K, K)
        Lower Cholesky factors of the covariances.
    """

    weights: Float[np.ndarray, "m"]
    means: Float[np.ndarray, "m k"]
    factors: Float[np.ndarray, "m k k"]

    def moments(self) -> tuple[Float[np.ndarray, "k"], Float[np.ndarray, "k k"]]:
        """Return mean and covariance of the mixture."""
        mean = self.weights @ self.means
        away = self.means - mean
        within = np.einsum("m,mij,mkj->ik", self.weights, self.factors, self.factors)
        return mean, within + (self.weights[:, None] * away).T @ away

    def draw(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n k"]:
        """Draw n codes."""
        component = rng.choice(len(self.weights), size=n, p=self.weights)
        z = rng.standard_normal((n, self.means.shape[1]))
        for m, (mean, factor) in enumerate(zip(self.means, self.factors, strict=True)):
            z[component == m] = mean + z[component == m] @ factor.T
        return z

    def log_density(self, z: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n"]:
        """Return the log density of codes.

        One component at a time: ``torch.distributions.MixtureSameFamily`` gives the same values with
        several times the memory and twice the time in 100 dimensions.

        Raises
        ------
        ValueError
            If a code is NaN or infinite.
        """
        check(np.isfinite(z).all(), "codes are not finite: rows or weights of the model are too large")
        terms = [
            np.log(weight)
            - 0.5 * np.square(solve_triangular(factor, (z - mean).T, lower=True)).sum(axis=0)
            - np.log(np.diag(factor)).sum()
            for weight, mean, factor in zip(self.weights, self.means, self.factors, strict=True)
        ]
        return np.asarray(logsumexp(terms, axis=0)) - 0.5 * z.shape[1] * np.log(2 * np.pi)


def log_density(
    mixtures: Mapping[str, Mixture], class_weights: Float[np.ndarray, "c"], z: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, "n"]:
    """Return the log density of codes under the mixtures of all classes.

    Parameters
    ----------
    mixtures : mapping
        Returned by :func:`fit_samplers`; if it has no classes, "aggregate" is used.
    class_weights : (C,)
        Fraction of each class in the training rows.
    z : (n, K)

    Examples
    --------
    >>> log_density({"aggregate": prior(2)}, np.empty(0), np.zeros((1, 2))).round(3)
    array([-1.838])
    """
    if "class_0" not in mixtures:
        return mixtures["aggregate"].log_density(z)
    terms = [
        np.log(weight) + mixtures[f"class_{c}"].log_density(z)
        for c, weight in enumerate(class_weights)
        if weight > 0
    ]
    return np.asarray(logsumexp(terms, axis=0))


def prior(latent_dim: int) -> Mixture:
    """Return the prior p(z) = N(0, I).

    Examples
    --------
    >>> prior(2).draw(5, np.random.default_rng(0)).shape
    (5, 2)
    """
    return Mixture(np.ones(1), np.zeros((1, latent_dim)), np.eye(latent_dim)[None])


def fit_mixture(
    z: Float[np.ndarray, "n k"],
    random_state: int = 0,
    max_components: int = MAX_COMPONENTS,
    max_rows: int = MAX_ROWS,
) -> Mixture:
    """Fit a Gaussian mixture to codes.

    There are as many components as raise the mean log density of held-out rows, each by more than its
    standard error. BIC chooses one where K is large (docs/decisions.md): it counts all K (K + 1) / 2 numbers
    of a covariance, most of which hardly matter.

    Parameters
    ----------
    z : (n, K)
        Draws from q(z|x), not its means: the decoder is trained on draws.
    random_state : int
    max_components : int
    max_rows : int
        A random subset of this many rows is used if there are more.
    """
    rng = np.random.default_rng(random_state)
    if len(z) > max_rows:
        z = z[rng.choice(len(z), max_rows, replace=False)]
    if len(z) == 1:
        return Mixture(np.ones(1), z.astype(np.float64), 0.1 * np.eye(z.shape[1])[None])
    n_components = _count_components(z, min(max_components, len(z) // LEAST_ROWS), random_state)
    best = _fit_components(z, n_components, random_state)
    factors = np.linalg.cholesky(np.asarray(best.covariances_))
    return Mixture(np.asarray(best.weights_), np.asarray(best.means_), factors)


def _count_components(z: np.ndarray, most: int, random_state: int) -> int:
    """Return the number of components after which one more no longer helps rows that are held out."""
    if most < 2:
        return 1
    shuffled = np.random.default_rng(random_state).permutation(z)
    held_out, rest = np.split(shuffled, [len(z) // HELD_OUT])
    density = _fit_components(rest, 1, random_state).score_samples(held_out)
    for n_components in range(2, most + 1):
        before, density = density, _fit_components(rest, n_components, random_state).score_samples(held_out)
        gain = density - before
        if gain.mean() <= gain.std() / np.sqrt(len(gain)):
            return n_components - 1
    return most


def _fit_components(z: np.ndarray, n_components: int, random_state: int) -> GaussianMixture:
    # regularisation as a fraction of the codes' variance, larger if rows are few
    fraction = max(1e-3, min(0.1, z.shape[1] / (10 * len(z))))
    reg_covar = float(max(1e-6, z.var() * fraction))
    return GaussianMixture(
        n_components, reg_covar=reg_covar, max_iter=MOST_ITERATIONS, random_state=random_state
    ).fit(z)


def fit_samplers(
    z: Float[np.ndarray, "n k"],
    y: Int[np.ndarray, "n"],
    n_classes: int,
    random_state: int = 0,
    max_components: int = MAX_COMPONENTS,
) -> dict[str, Mixture]:
    """Fit "aggregate" to all codes and "class_0", "class_1", ... to the codes of each class.

    ``y`` may hold predictions for rows without a label.  A class without rows gets "aggregate".
    """
    with BLAS_LOCK, threadpool_limits(1, user_api="blas"):  # matrices of K x K are too small to be divided
        fit = partial(fit_mixture, random_state=random_state, max_components=max_components)
        mixtures = {"aggregate": fit(z)}
        for c in range(n_classes):
            rows = z[y == c]
            mixtures[f"class_{c}"] = fit(rows) if len(rows) else mixtures["aggregate"]
    return mixtures


def draw_accepted(
    mixture: Mixture,
    n: int,
    score: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
    threshold: float = 0.5,
    max_rounds: int = 5,
) -> Float[np.ndarray, "n k"]:
    """Draw n codes by rejection: those whose ``score`` (codes -> (m,)) is above the threshold.

    If ``max_rounds`` rounds accept fewer than n, rejected codes with the highest scores fill the rest.

    Examples
    --------
    >>> z = draw_accepted(prior(1), 3, lambda z: z[:, 0], np.random.default_rng(0), threshold=0.0)
    >>> bool((z > 0).all())
    True
    """
    codes = np.empty((0, mixture.means.shape[1]))
    scores = np.empty(0, dtype=np.float32)
    missing = n
    for _ in range(max_rounds):
        candidates = mixture.draw(2 * missing + 8, rng)
        codes = np.concatenate([codes, candidates])
        scores = np.concatenate([scores, score(candidates)])
        missing = n - int((scores > threshold).sum())
        if missing <= 0:
            break
    accepted_first = np.argsort(np.where(scores > threshold, -np.inf, -scores), kind="stable")
    return codes[accepted_first[:n]]


def pack(mixtures: Mapping[str, Mixture]) -> dict[str, np.ndarray]:
    """Return the arrays of mixtures by name, for a file of tensors."""
    return {
        f"samplers.{name}.{part}": getattr(mixture, part)
        for name, mixture in mixtures.items()
        for part in MIXTURE_ARRAYS
    }


def unpack(arrays: Mapping[str, np.ndarray]) -> dict[str, Mixture]:
    """Return the mixtures of arrays named by :func:`pack`; other names are ignored.

    Examples
    --------
    >>> list(unpack(pack({"class_0": prior(2)})))
    ['class_0']
    """
    names = {key.split(".")[1] for key in arrays if key.startswith("samplers.")}
    return {
        name: Mixture(*(arrays[f"samplers.{name}.{part}"] for part in MIXTURE_ARRAYS))
        for name in sorted(names)
    }
