"""Where new codes come from: the prior, the aggregated posterior, or one mixture per class.

A sampler is a set of Gaussian mixtures over the code, held as plain arrays so that a model folder
can keep it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import solve_triangular
from scipy.special import logsumexp
from sklearn.mixture import GaussianMixture

SAMPLERS = ("class", "aggregate", "prior")
MAX_ROWS = 2000  # rows per mixture: enough for a full covariance of 100 dimensions, quick to fit


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

    def draw(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n k"]:
        """Draw n codes."""
        component = rng.choice(len(self.weights), size=n, p=self.weights)
        z = rng.standard_normal((n, self.means.shape[1]))
        for m, (mean, factor) in enumerate(zip(self.means, self.factors, strict=True)):
            z[component == m] = mean + z[component == m] @ factor.T
        return z

    def log_density(self, z: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n"]:
        """Return the log density of codes."""
        terms = [
            np.log(weight)
            - 0.5 * np.square(solve_triangular(factor, (z - mean).T, lower=True)).sum(axis=0)
            - np.log(np.diag(factor)).sum()
            for weight, mean, factor in zip(self.weights, self.means, self.factors, strict=True)
        ]
        return np.asarray(logsumexp(terms, axis=0)) - 0.5 * z.shape[1] * np.log(2 * np.pi)


def log_density(
    mixtures: Mapping[str, Mixture], shares: Float[np.ndarray, "c"], z: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, "n"]:
    """Return the log density of codes under the mixtures of all classes; without classes, under "aggregate".

    Parameters
    ----------
    mixtures : as of :func:`fit_samplers`
    shares : (C,)
        Share of each class in the training rows.
    z : (n, K)

    Examples
    --------
    >>> log_density({"aggregate": prior(2)}, np.empty(0), np.zeros((1, 2))).round(3)
    array([-1.838])
    """
    if "class_0" not in mixtures:
        return mixtures["aggregate"].log_density(z)
    present = [(c, share) for c, share in enumerate(shares) if share > 0]
    terms = [np.log(share) + mixtures[f"class_{c}"].log_density(z) for c, share in present]
    return np.asarray(logsumexp(terms, axis=0))


def prior(latent_dim: int) -> Mixture:
    """Return p(z) = N(0, I), what the KL of Algorithm 1 pulls the codes towards.

    Examples
    --------
    >>> prior(2).draw(5, np.random.default_rng(0)).shape
    (5, 2)
    """
    return Mixture(np.ones(1), np.zeros((1, latent_dim)), np.eye(latent_dim)[None])


def fit_mixture(
    z: Float[np.ndarray, "n k"], random_state: int = 0, max_components: int = 5, max_rows: int = MAX_ROWS
) -> Mixture:
    """Fit a mixture to codes z ~ q(z|x), its number of components chosen by BIC.

    Parameters
    ----------
    z : (n, K)
        Draws of the posterior (not its means: the decoder is trained on draws).
    random_state : int
    max_components : int
    max_rows : int
        A random subset of this many rows is used.
    """
    rng = np.random.default_rng(random_state)
    if len(z) > max_rows:
        z = z[rng.choice(len(z), max_rows, replace=False)]
    if len(z) == 1:
        return Mixture(np.ones(1), z.astype(np.float64), 0.1 * np.eye(z.shape[1])[None])
    best = _fitted(z, 1, random_state)
    for n_components in range(2, 1 + min(max_components, len(z) // 20)):
        larger = _fitted(z, n_components, random_state)
        if larger.bic(z) >= best.bic(z):
            break
        best = larger
    factors = np.linalg.cholesky(np.asarray(best.covariances_))
    return Mixture(np.asarray(best.weights_), np.asarray(best.means_), factors)


def _fitted(z: np.ndarray, n_components: int, random_state: int) -> GaussianMixture:
    return GaussianMixture(n_components, reg_covar=_ridge(z), random_state=random_state).fit(z)


def _ridge(z: np.ndarray) -> float:
    """Regulariser of the covariance: small beside the codes' own variance, larger where rows are few."""
    return float(max(1e-6, z.var() * max(1e-3, min(0.1, z.shape[1] / (10 * len(z))))))


def fit_samplers(
    z: Float[np.ndarray, "n k"], y: Int[np.ndarray, "n"], n_classes: int, random_state: int = 0
) -> dict[str, Mixture]:
    """Fit "aggregate" to all codes and "class_0", "class_1", .. to the codes of each class.

    ``y`` may be the classifier's own reading where labels are missing.  A class without rows gets
    the mixture of all codes.
    """
    aggregate = fit_mixture(z, random_state)
    mixtures = {"aggregate": aggregate}
    for c in range(n_classes):
        rows = z[y == c]
        mixtures[f"class_{c}"] = fit_mixture(rows, random_state) if len(rows) else aggregate
    return mixtures


def draw_accepted(
    mixture: Mixture,
    n: int,
    score: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
    least: float = 0.5,
    max_rounds: int = 5,
) -> Float[np.ndarray, "n k"]:
    """Draw n codes whose ``score`` (codes -> (m,)) is above ``least``, in rounds.

    Where so many rounds do not give enough of them, the best of the others fill the rest.

    Examples
    --------
    >>> z = draw_accepted(prior(1), 3, lambda z: z[:, 0], np.random.default_rng(0), least=0.0)
    >>> bool((z > 0).all())
    True
    """
    kept, others, missing = [np.empty((0, mixture.means.shape[1]))], [], n
    for _ in range(max_rounds):
        codes = mixture.draw(2 * missing + 8, rng)
        scores = score(codes)
        kept.append(codes[scores > least][:missing])
        others.append((scores[scores <= least], codes[scores <= least]))
        missing -= len(kept[-1])
        if missing == 0:
            return np.concatenate(kept)
    scores, codes = (np.concatenate(part) for part in zip(*others, strict=True))
    return np.concatenate([*kept, codes[np.argsort(-scores, kind="stable")[:missing]]])


def pack(mixtures: Mapping[str, Mixture]) -> dict[str, np.ndarray]:
    """Name the arrays of mixtures for a file of tensors."""
    return {
        f"samplers.{name}.{part}": getattr(mixture, part)
        for name, mixture in mixtures.items()
        for part in ("weights", "means", "factors")
    }


def unpack(arrays: Mapping[str, np.ndarray]) -> dict[str, Mixture]:
    """Undo :func:`pack`; other names are passed over.

    Examples
    --------
    >>> list(unpack(pack({"class_0": prior(2)})))
    ['class_0']
    """
    names = {key.split(".")[1] for key in arrays if key.startswith("samplers.")}
    parts = ("weights", "means", "factors")
    return {name: Mixture(*(arrays[f"samplers.{name}.{part}"] for part in parts)) for name in sorted(names)}
