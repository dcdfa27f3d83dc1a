"""What rows that were not trained on teach about confidence: a temperature, and conformal limits.

Both are a few lines of numpy and scipy, which is less than a dependency would ask for (docs/decisions.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from ssavae._checks import check


def fit_temperature(logits: Float[np.ndarray, "n c"], y: Int[np.ndarray, "n"]) -> float:
    r"""Return the temperature under which the logits explain the labels best (Guo 2017).

    .. math:: \min_T \; -\sum_i \log \mathrm{softmax}(C(\mu_i) / T)_{y_i}

    Parameters
    ----------
    logits : (n, C)
        Of rows that were not trained on.
    y : (n,)
        Class index; rows with -1 are left out, and 1 is returned where none remains.

    Returns
    -------
    float
        From 0.05 to 20; above 1 makes the classifier less sure of itself.

    Examples
    --------
    >>> logits = np.array([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0], [0.0, 4.0]])
    >>> fit_temperature(logits, np.array([0, 0, 1, 0])) > 1
    True
    """
    known, truth = np.asarray(logits, dtype=np.float64)[y >= 0], y[y >= 0]
    if len(truth) == 0:
        return 1.0

    def loss(log_temperature: float) -> float:
        log_probs = log_softmax(known / math.exp(log_temperature), axis=1)
        return -float(log_probs[np.arange(len(truth)), truth].mean())

    return math.exp(minimize_scalar(loss, bounds=(math.log(0.05), math.log(20.0)), method="bounded").x)


def conformal_limit(scores: Float[np.ndarray, "n"], alpha: float) -> float:
    r"""Return the limit that the score of a new row passes with a probability of at most alpha (Vovk 2005).

    It is the :math:`\lceil (n + 1)(1 - \alpha) \rceil`-th smallest of n scores of rows like the new one
    that were not trained on; infinity where n is too small for such an alpha.

    Raises
    ------
    ValueError
        If alpha is not between 0 and 1.

    Examples
    --------
    >>> conformal_limit(np.arange(9.0), 0.1), conformal_limit(np.arange(9.0), 0.05)
    (8.0, inf)
    """
    check(0.0 < alpha < 1.0, f"alpha={alpha} must be between 0 and 1")
    rank = math.ceil(round((len(scores) + 1) * (1.0 - alpha), 9))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


@dataclass(frozen=True)
class Calibration:
    """What is known of a model's confidence.

    Parameters
    ----------
    temperature : float
        The logits are divided by it.
    class_scores : (n,)
        1 - p of the true class of labelled rows that were not trained on, sorted; empty without such rows.
    novelty_scale : (2, P)
        Median, and 0.95 quantile less median, of each measure of novelty_components over the known rows.
    novelty_scores : (m,)
        Novelty of the known rows, sorted.
    held_out : bool
        Whether the known rows were kept from training.
    """

    temperature: float = 1.0
    class_scores: Float[np.ndarray, "n"] = field(default_factory=lambda: np.empty(0))
    novelty_scale: Float[np.ndarray, "2 p"] = field(default_factory=lambda: np.empty((2, 0)))
    novelty_scores: Float[np.ndarray, "m"] = field(default_factory=lambda: np.empty(0))
    held_out: bool = False

    @classmethod
    def fit(
        cls,
        logits: Float[np.ndarray, "n c"],
        y: Int[np.ndarray, "n"],
        novelty_components: Float[np.ndarray, "m p"],
        held_out: bool,
    ) -> Calibration:
        """Learn from labelled rows that were not trained on (n may be 0) and how strange known rows are."""
        temperature = fit_temperature(logits, y)
        probs, known = softmax(logits[y >= 0] / temperature, axis=1), y[y >= 0]
        scores = np.sort(1.0 - probs[np.arange(len(known)), known])
        return cls(temperature, scores.astype(np.float64)).knowing(novelty_components, held_out)

    def knowing(self, novelty_components: Float[np.ndarray, "m p"], held_out: bool) -> Calibration:
        """Take other rows for the known ones; the classifier's confidence stays."""
        middle, high = np.quantile(novelty_components, [0.5, 0.95], axis=0)
        scaled = replace(
            self, novelty_scale=np.stack([middle, (high - middle).clip(1e-9)]), held_out=held_out
        )
        return replace(scaled, novelty_scores=np.sort(scaled.novelty(novelty_components)))

    def novelty(self, novelty_components: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "n"]:
        r"""Return the largest measure of each row, in units in which 0.95 of the known rows are below 1.

        .. math:: \max_p \; (s_p - q_{0.5}) / (q_{0.95} - q_{0.5})
        """
        middle, scale = self.novelty_scale
        return ((novelty_components - middle) / scale).max(axis=1)

    def sets(self, probs: Float[np.ndarray, "n c"], alpha: float) -> Bool[np.ndarray, "n c"]:
        """Say which classes are in the set of each row: those whose probability lies within the limit.

        Raises
        ------
        ValueError
            If there were no labelled rows to learn the limit from.
        """
        check(
            len(self.class_scores) > 0,
            "no labelled rows were kept from training: set validation_fraction or calibration_folds, "
            "or call calibrate(X, y) with such rows",
        )
        return 1.0 - probs <= conformal_limit(self.class_scores, alpha)
