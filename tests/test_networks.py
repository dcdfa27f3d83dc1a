"""The networks: shapes for every kind of row, and what a row may depend on."""

import pytest
import torch

from ssavae.networks import Decoder, Discriminator, Encoder, Spec, build_vec, reparameterize

SHAPES = [
    (1, 28, 28),
    (3, 32, 32),
    (1, 8, 8),
    (2, 9, 64),
    (4, 65, 33),
    (1, 16),
    (3, 1024),
    (1, 37),
    (1,),
    (52,),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_network_takes_and_gives_the_shape_of_a_row(shape):
    spec = Spec(shape, latent_dim=3, n_classes=4, bounded=len(shape) == 3)
    x = torch.rand(5, *shape)
    mu, logvar, features = Encoder(spec)(x)
    assert mu.shape == logvar.shape == (5, 3)
    assert len(features) >= 2
    assert Decoder(spec)(mu).shape == x.shape
    assert Discriminator(spec)(x).shape == (5,)


def test_a_bounded_decoder_stays_in_the_unit_interval_and_an_unbounded_one_does_not():
    z = 50 * torch.randn(64, 2)
    bounded = Decoder(Spec((1, 8, 8), 2, 2, bounded=True))(z).detach()
    free = Decoder(Spec((6,), 2, 2, bounded=False))(z).detach()
    assert float(bounded.min()) >= 0.0 and float(bounded.max()) <= 1.0
    assert float(free.min()) < 0.0


def test_widths_are_the_users_where_given():
    encoder = Encoder(Spec((10,), 2, 2, False, widths=(7, 5, 3)))
    assert [h.shape[1] for h in encoder(torch.zeros(2, 10)).features] == [7, 5, 3]


def test_in_eval_mode_a_row_depends_on_itself_alone():
    vec = build_vec(Spec((1, 12, 12), 2, 3, True), with_detail=False)
    vec.train()(torch.rand(64, 1, 12, 12))  # gives batch normalisation statistics of its own
    x = torch.rand(50, 1, 12, 12)
    vec.eval()
    alone = torch.cat([vec(row[None])[0] for row in x])
    torch.testing.assert_close(vec(x)[0], alone, atol=1e-5, rtol=0)


def test_reparameterize_draws_from_the_posterior():
    mu, logvar = torch.full((20000, 1), 3.0), torch.full((20000, 1), -1.0)
    z = reparameterize(mu, logvar, torch.randn_like(mu))
    assert float(z.mean()) == pytest.approx(3.0, abs=0.02)
    assert float(z.var().log()) == pytest.approx(-1.0, abs=0.05)


def test_spectral_norm_bounds_the_discriminators_layers():
    discriminator = Discriminator(Spec((1, 8, 8), 2, 2, True))
    discriminator.train()
    for _ in range(30):  # each training pass sharpens the estimate of the largest singular value
        discriminator(torch.rand(4, 1, 8, 8))
    weights = [layer.get_submodule("linear").weight.detach().flatten(1) for layer in discriminator.layers]  # type: ignore[union-attr]
    largest = [float(torch.linalg.matrix_norm(weight, 2)) for weight in weights]  # type: ignore[arg-type]
    assert max(largest) == pytest.approx(1.0, abs=0.05)
