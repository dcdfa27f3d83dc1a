"""Confidence calibrated on rows not used in training: temperature scaling, conformal prediction.

Both are a few lines of numpy and scipy, which are not worth a dependency (docs/decisions.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from ssavae._checks import check

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


def fit_temperature(logits: Float[np.ndarray, "n c"], y: Int[np.ndarray, "n"]) -> float:
    r"""Return the temperature that minimises the cross-entropy of the labels (Guo 2017).

    .. math:: \min_T \; -\sum_i \log \mathrm{softmax}(C(\mu_i) / T)_{y_i}

    Parameters
    ----------
    logits : (n, C)
        Of rows not used in training.
    y : (n,)
        Class index; rows with -1 are ignored, and 1 is returned if none remains.

    Returns
    -------
    float
        From 0.05 to 20; above 1 lowers the classifier's confidence.

    Examples
    --------
    >>> logits = np.array([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0], [0.0, 4.0]])
    >>> fit_temperature(logits, np.array([0, 0, 1, 0])) > 1
    True
    """
    labelled = np.asarray(logits, dtype=np.float64)[y >= 0]
    y = y[y >= 0]
    if len(y) == 0:
        return 1.0

    def loss(log_temperature: float) -> float:
        log_probs = log_softmax(labelled / math.exp(log_temperature), axis=1)
        return -float(log_probs[np.arange(len(y)), y].mean())

    return math.exp(minimize_scalar(loss, bounds=(math.log(0.05), math.log(20.0)), method="bounded").x)


def conformal_limit(scores: Float[np.ndarray, "n"], alpha: float) -> float:
    r"""Return the limit that a new row's score exceeds with at most probability alpha (Vovk 2005).

    It is the :math:`\lceil (n + 1)(1 - \alpha) \rceil`-th smallest of the scores of n exchangeable rows
    not used in training; infinity if n is too small for alpha.

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
    """Temperature and conformal scores of a model.

    Parameters
    ----------
    temperature : float
        Divisor of the logits.
    class_scores : (n,)
        1 - p of the true class of labelled rows not used in training, sorted; may be empty.
    novelty_scale : (2, P)
        Median, and 0.95 quantile minus median, of each novelty component over the reference rows.
    novelty_scores : (m,)
        Novelty of the reference rows, sorted.
    held_out : bool
        Whether the reference rows were left out of training.
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
        """Calibrate on n labelled rows not used in training (n may be 0) and m reference rows."""
        temperature = fit_temperature(logits, y)
        labels = y[y >= 0]
        probs = softmax(logits[y >= 0] / temperature, axis=1)
        scores = np.sort(1.0 - probs[np.arange(len(labels)), labels])
        return cls(temperature, scores.astype(np.float64)).fit_novelty(novelty_components, held_out)

    def fit_novelty(self, novelty_components: Float[np.ndarray, "m p"], held_out: bool) -> Calibration:
        """Return a copy with other reference rows; temperature and class scores stay."""
        median, high = np.quantile(novelty_components, [0.5, 0.95], axis=0)
        scale = np.stack([median, (high - median).clip(1e-9)])
        scaled = replace(self, novelty_scale=scale, held_out=held_out)
        return replace(scaled, novelty_scores=np.sort(scaled.novelty(novelty_components)))

    def novelty(self, novelty_components: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "n"]:
        r"""Return the largest scaled component of each row.

        The scale leaves 0.95 of the reference rows below 1 in each component.

        .. math:: \max_p \; (s_p - q_{0.5}) / (q_{0.95} - q_{0.5})
        """
        median, scale = self.novelty_scale
        return ((novelty_components - median) / scale).max(axis=1)

    def sets(self, probs: Float[np.ndarray, "n c"], alpha: float) -> Bool[np.ndarray, "n c"]:
        """Return the conformal prediction sets as a mask: the classes of each row within the limit.

        Raises
        ------
        ValueError
            If there are no class scores to take the limit from.
        """
        check(
            len(self.class_scores) > 0,
            "no labelled rows were left out of training: set validation_fraction or calibration_folds, "
            "or call calibrate(X, y) with such rows",
        )
        return 1.0 - probs <= conformal_limit(self.class_scores, alpha)
