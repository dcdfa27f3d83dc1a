"""The equations of the method: one equation, one pure function, one value per row.

No function averages over the batch: the algorithms decide which rows count.  ``docs/paper.md``
lists every function beside its equation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float, Int

Features = tuple[Tensor, ...]


def loss_kl(mu: Float[Tensor, "b k"], logvar: Float[Tensor, "b k"]) -> Float[Tensor, "b"]:
    r"""Kullback-Leibler divergence from q(z|x) = N(mu, sigma^2) to the prior N(0, I), in nats.

    .. math:: \tfrac12 \sum_k (\mu_k^2 + \sigma_k^2 - 1 - \log \sigma_k^2)

    Parameters
    ----------
    mu, logvar : (B, K)
        Mean and log sigma^2 of the code.

    Returns
    -------
    (B,), at least 0.

    Examples
    --------
    >>> loss_kl(torch.tensor([[0.0, 2.0]]), torch.zeros(1, 2))
    tensor([2.])
    """
    return 0.5 * (mu.square() + logvar.exp() - 1.0 - logvar).sum(dim=1)


def loss_class(
    logits: Float[Tensor, "b c"], y: Int[Tensor, "b"], weights: Float[Tensor, "b"] | None = None
) -> Float[Tensor, "b"]:
    r"""Cross-entropy of the classifier C on the code, 0 for rows without a label (y = -1).

    .. math:: -w \log \mathrm{softmax}(C(z))_y

    Parameters
    ----------
    logits : (B, C)
    y : (B,)
        Class index, -1 where unlabelled.
    weights : (B,) or None
        w of each row, 1 on average over the labelled ones; None takes 1.

    Returns
    -------
    (B,), in nats, at least 0.

    Examples
    --------
    >>> loss_class(torch.zeros(2, 4), torch.tensor([3, -1]))
    tensor([1.3863, 0.0000])
    """
    loss = F.cross_entropy(logits, y, ignore_index=-1, reduction="none")
    return loss if weights is None else weights * loss


def loss_consistency(
    logits: Float[Tensor, "b c"],
    probs: Float[Tensor, "b c"],
    y: Int[Tensor, "b"],
    threshold: Float[Tensor, "c"],
) -> Float[Tensor, "b"]:
    r"""Cross-entropy of augmented rows with (pseudo-)labels (FixMatch, Sohn 2020; our addition).

    .. math:: -[p_{\hat{y}} \ge \tau_{\hat{y}}] \, \log \mathrm{softmax}(C(z'))_{\hat{y}}

    The target is the row's label if there is one, else the teacher's prediction for the unaugmented
    row if its probability reaches the threshold.  Rows without a target give 0.

    Parameters
    ----------
    logits : (B, C)
        Of the augmented rows.
    probs : (B, C)
        The teacher's class probabilities of the unaugmented rows.
    y : (B,)
        Class index, -1 where unlabelled.
    threshold : (C,)
        tau of each class, in [0, 1].

    Returns
    -------
    (B,), in nats, at least 0.

    Examples
    --------
    >>> probs = torch.tensor([[0.99, 0.01], [0.6, 0.4], [0.6, 0.4]])
    >>> loss_consistency(torch.zeros(3, 2), probs, torch.tensor([-1, -1, 1]), torch.full((2,), 0.9))
    tensor([0.6931, 0.0000, 0.6931])
    """
    confidence, predicted = probs.max(dim=1)
    pseudo_label = torch.where(confidence >= threshold[predicted], predicted, -1)
    return loss_class(logits, torch.where(y >= 0, y, pseudo_label))


def loss_distill(logits: Float[Tensor, "b c"], probs: Float[Tensor, "b c"]) -> Float[Tensor, "b"]:
    r"""Cross-entropy of the classifier C on the code with guesses of another (Hinton 2015; our addition).

    .. math:: -\sum_c p_c \log \mathrm{softmax}(C(z))_c

    The guesses are those of the auxiliary classifier, which reads the last hidden features: wider than a
    map of two dimensions, they let it learn from few labels what the map then follows on every row.

    Parameters
    ----------
    logits : (B, C)
    probs : (B, C)
        p, the class probabilities of the auxiliary classifier; no gradient goes through them.

    Returns
    -------
    (B,), in nats, at least 0.

    Examples
    --------
    >>> loss_distill(torch.zeros(1, 4), torch.tensor([[0.7, 0.1, 0.1, 0.1]]))
    tensor([1.3863])
    """
    return F.cross_entropy(logits, probs, reduction="none")


def loss_student(
    mu: Float[Tensor, "b k"],
    logits: Float[Tensor, "b c"],
    mu_encoder: Float[Tensor, "b k"],
    logits_encoder: Float[Tensor, "b c"],
    variance: float,
) -> Float[Tensor, "b"]:
    r"""Distillation loss of the student with the encoder as teacher (Hinton 2015; our addition).

    .. math:: \frac{\lVert \mu_S - \mu \rVert^2}{K \, \bar{v}} + \mathrm{KL}(p \, \Vert \, p_S),
        \quad p = \mathrm{softmax}(C(\mu)), \; p_S = \mathrm{softmax}(C(\mu_S))

    The second term weighs errors near the border of two classes more.

    Parameters
    ----------
    mu, logits : (B, K), (B, C)
        The student's code and its class logits.
    mu_encoder, logits_encoder : (B, K), (B, C)
        The encoder's code and its class logits.
    variance : float
        Mean variance v of an element of the encoder's codes over the rows, above 0.

    Returns
    -------
    (B,), at least 0.

    Examples
    --------
    >>> loss_student(torch.tensor([[1.0, 3.0]]), torch.zeros(1, 2), torch.ones(1, 2), torch.zeros(1, 2), 0.5)
    tensor([4.])
    """
    distance = (mu - mu_encoder).square().mean(dim=1) / variance
    log_p = logits_encoder.log_softmax(dim=1)
    divergence = F.kl_div(logits.log_softmax(dim=1), log_p, reduction="none", log_target=True).sum(dim=1)
    return distance + divergence


def loss_detail(
    x: Float[Tensor, "b *shape"], x_rec: Float[Tensor, "b *shape"], variance: float
) -> Float[Tensor, "b"]:
    r"""Fraction of the variance that the code does not explain (our addition to Algorithm 1).

    .. math:: \lVert x - A(z) \rVert^2 / (d \, \bar{v})

    A is an auxiliary decoder trained along with the encoder.  Dividing by the variance of the data
    lets one weight suit images, tables and signals of any size.

    Parameters
    ----------
    x, x_rec : (B, ...)
        Network input and the auxiliary decoder's output.
    variance : float
        Mean variance v of an element of x over the training rows, above 0.

    Returns
    -------
    (B,); 0 for a perfect reconstruction, 1 on average if every row is decoded to the mean row.

    Examples
    --------
    >>> x = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    >>> loss_detail(x, torch.zeros(2, 2), variance=1.0)
    tensor([1., 1.])
    """
    return (x - x_rec).square().flatten(1).mean(dim=1) / variance


def loss_rec(features: Features, features_rec: Features, weights: tuple[float, ...]) -> Float[Tensor, "b"]:
    r"""Deep-feature reconstruction loss L_rec: the encoder's hidden layers on x and on x_rec.

    .. math:: \sum_l w_l \lVert h_l(x) - h_l(x_{rec}) \rVert^2 / \mathrm{size}(h_l)

    Parameters
    ----------
    features, features_rec : tuple of (B, ...)
        h_1 .. h_L of the input and of its reconstruction.
    weights : tuple of float
        w_1 .. w_L; see :func:`ssavae.algorithms.feature_weights` for the default.

    Returns
    -------
    (B,), at least 0.

    Examples
    --------
    >>> loss_rec((torch.ones(1, 4),), (torch.zeros(1, 4),), (0.5,))
    tensor([0.5000])
    """
    terms = [
        w * (h - h_rec).square().flatten(1).mean(dim=1)
        for w, h, h_rec in zip(weights, features, features_rec, strict=True)
    ]
    return torch.stack(terms).sum(dim=0)


def loss_adv(logits: Float[Tensor, "b"]) -> Float[Tensor, "b"]:
    r"""Non-saturating loss of the decoder against the discriminator.

    .. math:: -\log \mathrm{sigmoid}(D(G(z)))

    Parameters
    ----------
    logits : (B,)
        The discriminator's logits on decoded rows.

    Returns
    -------
    (B,), in nats, at least 0.

    Examples
    --------
    >>> loss_adv(torch.zeros(1))
    tensor([0.6931])
    """
    return F.softplus(-logits)


def loss_disc(
    logits_real: Float[Tensor, "b"],
    logits_rec: Float[Tensor, "b"],
    logits_gen: Float[Tensor, "b"],
) -> Float[Tensor, "b"]:
    r"""Loss of the discriminator D on a real row, a reconstruction and a generated row.

    .. math:: \mathrm{CE}(D(x), 1) + \tfrac12 \mathrm{CE}(D(x_{rec}), 0) + \tfrac12 \mathrm{CE}(D(x_{gen}), 0)

    Parameters
    ----------
    logits_real, logits_rec, logits_gen : (B,)

    Returns
    -------
    (B,), in nats; 2 log 2 for a discriminator whose logits are all 0.

    Examples
    --------
    >>> loss_disc(torch.zeros(1), torch.zeros(1), torch.zeros(1))
    tensor([1.3863])
    """
    return F.softplus(-logits_real) + 0.5 * (F.softplus(logits_rec) + F.softplus(logits_gen))


def loss_latent(
    z: Float[Tensor, "b k"], mu_rec: Float[Tensor, "b k"], weight: float = 1.0
) -> Float[Tensor, "b"]:
    r"""Latent loss: distance between a code and the encoder's mean for its decoded row.

    .. math:: w \lVert z - \mu(G(z)) \rVert^2 / K

    Parameters
    ----------
    z, mu_rec : (B, K)
    weight : float
        w; see :func:`ssavae.algorithms.latent_weight` for the default.

    Returns
    -------
    (B,), at least 0.

    Examples
    --------
    >>> loss_latent(torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, 1.0]]), weight=0.5)
    tensor([1.])
    """
    return weight * (z - mu_rec).square().mean(dim=1)
