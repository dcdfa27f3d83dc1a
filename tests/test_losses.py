"""The equations, against torch.distributions, by gradcheck, and at the ends of their range."""

import math
from functools import partial

import pytest
import torch
from torch.distributions import Categorical, Normal, kl_divergence

from ssavae import losses as L

LOGITS = torch.tensor([-1e4, -1.0, 0.0, 1.0, 1e4])


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_kl_is_that_of_torch_distributions():
    mu, logvar = torch.randn(7, 5), torch.randn(7, 5)
    expected = kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(L.loss_kl(mu, logvar), expected)


def test_class_loss_is_minus_log_probability_and_leaves_unlabelled_rows_out():
    logits, y = torch.randn(6, 4), torch.tensor([0, 3, -1, 2, -1, 1])
    expected = torch.where(y >= 0, -Categorical(logits=logits).log_prob(y.clamp(min=0)), 0.0)
    torch.testing.assert_close(L.loss_class(logits, y), expected)


def test_unlabelled_rows_get_no_gradient_from_the_class_loss():
    logits = torch.randn(3, 4, requires_grad=True)
    L.loss_class(logits, torch.tensor([1, -1, 2])).sum().backward()
    assert logits.grad is not None
    assert (logits.grad.abs().sum(dim=1) > 0).tolist() == [True, False, True]


def test_detail_is_the_fraction_of_variance_left():
    x = torch.randn(2000, 3, 4) * 3.0
    mean_row = x.mean(dim=0, keepdim=True).expand_as(x)
    variance = float(x.var(dim=0).mean())
    assert float(L.loss_detail(x, mean_row, variance).mean()) == pytest.approx(1.0, abs=1e-3)
    assert float(L.loss_detail(x, x, variance).max()) == 0.0


def test_student_loss_is_distance_plus_divergence_of_classes():
    mu, logits, mu_encoder, logits_encoder = (torch.randn(6, k) for k in (2, 4, 2, 4))
    classes = kl_divergence(Categorical(logits=logits_encoder), Categorical(logits=logits))
    loss = L.loss_student(mu, logits, mu_encoder, logits_encoder, 0.5)
    torch.testing.assert_close(loss, (mu - mu_encoder).square().sum(dim=1) + classes)
    assert float(L.loss_student(mu, logits, mu, logits, 0.5).abs().max()) < 1e-6


def test_rec_sums_the_weighted_means_of_the_layers():
    h = (torch.randn(5, 3, 4, 4), torch.randn(5, 8))
    h_rec = (torch.randn(5, 3, 4, 4), torch.randn(5, 8))
    by_hand = [
        sum(
            w * (((a[i] - b[i]) ** 2).sum() / a[i].numel())
            for w, a, b in zip((0.5, 2.0), h, h_rec, strict=True)
        )
        for i in range(5)
    ]
    torch.testing.assert_close(L.loss_rec(h, h_rec, (0.5, 2.0)), torch.stack(by_hand))  # type: ignore[arg-type]


def test_rec_refuses_another_number_of_layers():
    with pytest.raises(ValueError, match="zip"):
        L.loss_rec((torch.zeros(1, 2),), (torch.zeros(1, 2),), (1.0, 1.0))


def test_adversarial_losses_are_binary_cross_entropies():
    logits = torch.randn(9)
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    ones, zeros = torch.ones(9), torch.zeros(9)
    torch.testing.assert_close(L.loss_adv(logits), bce(logits, ones, reduction="none"))
    real, rec, gen = torch.randn(3, 9)
    fake = 0.5 * (bce(rec, zeros, reduction="none") + bce(gen, zeros, reduction="none"))
    torch.testing.assert_close(L.loss_disc(real, rec, gen), bce(real, ones, reduction="none") + fake)


def test_latent_loss_is_the_weighted_mean_over_dimensions():
    z, mu = torch.randn(4, 3), torch.randn(4, 3)
    torch.testing.assert_close(L.loss_latent(z, mu, 0.5), ((z - mu) ** 2).sum(dim=1) / 6)


def test_every_loss_is_finite_at_the_ends_of_its_range():
    y = torch.tensor([0, 1, 2, 3, 4])
    extreme = {
        "kl": L.loss_kl(torch.zeros(5, 1), torch.tensor([[-50.0], [-1.0], [0.0], [1.0], [50.0]])),
        "class": L.loss_class(LOGITS.expand(5, 5), y),
        "student": L.loss_student(
            torch.zeros(5, 1), LOGITS.expand(5, 5), torch.ones(5, 1), LOGITS.flip(0).expand(5, 5), 1.0
        ),
        "adv": L.loss_adv(LOGITS),
        "disc": L.loss_disc(LOGITS, LOGITS.flip(0), LOGITS),
    }
    assert {name: bool(torch.isfinite(value).all()) for name, value in extreme.items()} == dict.fromkeys(
        extreme, True
    )


@pytest.mark.parametrize(
    ("loss", "inputs"),
    [
        (L.loss_kl, lambda: (randn(3, 2), randn(3, 2))),
        (lambda logits: L.loss_class(logits, torch.tensor([0, -1, 1])), lambda: (randn(3, 2),)),
        (lambda x, r: L.loss_detail(x, r, 0.7), lambda: (randn(3, 2, 2), randn(3, 2, 2))),
        (lambda a, b: L.loss_rec((a,), (b,), (0.5,)), lambda: (randn(3, 2), randn(3, 2))),
        (partial(L.loss_student, variance=0.7), lambda: tuple(randn(3, k) for k in (2, 4, 2, 4))),
        (L.loss_adv, lambda: (randn(4),)),
        (L.loss_disc, lambda: (randn(4), randn(4), randn(4))),
        (lambda z, mu: L.loss_latent(z, mu, 0.7), lambda: (randn(3, 2), randn(3, 2))),
    ],
    ids=["kl", "class", "detail", "rec", "student", "adv", "disc", "latent"],
)
def test_gradients_are_those_of_finite_differences(loss, inputs):
    assert torch.autograd.gradcheck(loss, inputs())


def test_a_discriminator_with_zero_logits_has_loss_two_log_two():
    zero = torch.zeros(1)
    assert float(L.loss_disc(zero, zero, zero)) == pytest.approx(2 * math.log(2))
