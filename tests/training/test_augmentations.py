"""Augmentations: the values that each changes, and those that it leaves as they are."""

import numpy as np
import pytest
import torch

from ssavae import SSAVAE
from ssavae.training.augmentations import augmented, erase, flip, mixup, noise, translate


def dot(n: int = 64, side: int = 28) -> torch.Tensor:
    """Images with one bright pixel a little left of the middle."""
    x = torch.zeros(n, 1, side, side)
    x[:, :, 14, 10] = 1
    return x


def test_each_image_is_translated_by_up_to_two_pixels_of_28_on_its_own():
    positions = torch.nonzero(translate(dot())[:, 0])
    assert len(positions) == 64  # none is lost, none comes twice
    down = positions[:, 1] - 14
    right = positions[:, 2] - 10
    assert int(down.abs().max()) == 2
    assert int(right.abs().max()) == 2
    assert len({(int(a), int(b)) for a, b in zip(down, right, strict=True)}) > 10


def test_pixels_that_leave_an_image_do_not_return_on_the_other_side():
    x = torch.zeros(200, 1, 28, 28)
    x[:, :, 0] = 1
    assert float(translate(x)[:, :, 14:].max()) == 0.0


def test_about_half_of_the_images_are_flipped():
    columns = torch.nonzero(flip(dot(400))[:, 0])[:, 2]
    assert set(columns.tolist()) == {10, 17}
    assert 150 < int((columns == 17).sum()) < 250


def test_all_channels_are_translated_and_flipped_alike():
    x = torch.rand(8, 3, 32, 32)
    sums = translate(x * 0 + torch.tensor([0.1, 0.2, 0.3])[:, None, None]).sum(dim=(2, 3))
    assert torch.allclose(sums[:, 1], 2 * sums[:, 0])
    assert torch.equal(flip(x).sort(dim=3).values, x.sort(dim=3).values)


def test_a_random_square_is_erased_and_the_rest_is_brighter_or_darker():
    changed = erase(torch.full((300, 3, 28, 20), 0.5))
    erased = changed == 0
    assert bool((erased.all(dim=1) == erased.any(dim=1)).all()), "in all channels alike"
    widths = erased[:, 0].any(dim=1).sum(dim=1)
    assert int(widths.max()) == 7 and int(widths.min()) >= 1  # 20 // 6 to each side of the middle
    assert bool(erased[:, 0].any(dim=0).all()), "anywhere"
    bright = changed.amax(dim=(1, 2, 3))
    assert 0.3 <= float(bright.min()) < 0.32 and 0.68 < float(bright.max()) <= 0.7
    assert float(erase(torch.ones(50, 1, 9, 9)).max()) == 1.0


def test_without_augmentations_rows_stay_as_they_are():
    x = dot(4)
    assert augmented(x, ()) is x
    changed = augmented(x, (translate, flip))
    assert changed.shape == x.shape
    assert not torch.equal(changed, x)


def test_training_with_augmentations_differs_and_is_reproducible(toy_images):
    x, y = toy_images
    fits = [
        SSAVAE(augment=names, n_epochs=1, n_epochs_decoder=0, random_state=0).fit(x, y).transform(x)
        for names in ((), ("flip",), ("flip",))
    ]
    assert not np.allclose(fits[0], fits[1])
    assert np.array_equal(fits[1], fits[2])


def test_noise_has_standard_deviation_1_and_is_independent():
    added = noise(torch.full((2000, 3), 5.0)) - 5.0
    assert torch.allclose(added.std(dim=0), torch.ones(3), atol=0.1)
    assert abs(float(torch.corrcoef(added.T)[0, 1])) < 0.1


@pytest.mark.parametrize("shape", [(200,), (2, 100)], ids=["table", "signal"])
def test_mixup_lies_between_two_rows_and_nearer_to_the_first(shape):
    mixed = mixup(torch.eye(200).view(200, *shape)).flatten(1)  # each row a direction of its own
    own = mixed.diagonal()
    others = mixed - torch.diag(own)
    assert torch.allclose(mixed.sum(dim=1), torch.ones(200))
    assert int((others > 0).sum(dim=1).max()) == 1, "of two rows"
    assert 0.6 <= float(own.min()) < 0.65 and float(own.max()) > 0.95


@pytest.mark.parametrize("name", ["noise", "mixup"])
def test_a_model_trained_on_augmented_rows_differs(toy_table, name: str):
    plain, changed = (
        SSAVAE(augment=names, n_epochs=2, n_epochs_decoder=0, random_state=0).fit(*toy_table)
        for names in ((), (name,))
    )
    assert not np.allclose(plain.transform(toy_table[0]), changed.transform(toy_table[0]))


def test_an_unknown_augmentation_is_refused(toy_images):
    with pytest.raises(ValueError, match=r"'augment' .* must be a str among .*'flip'.*Got 'turn'"):
        SSAVAE(augment=("turn",)).fit(*toy_images)


@pytest.mark.parametrize(
    ("data", "name"), [("toy_table", "translate"), ("toy_images", "noise"), ("toy_images", "mixup")]
)
def test_an_augmentation_of_another_kind_of_rows_is_refused(request, data: str, name: str):
    with pytest.raises(ValueError, match=f"'{name}' is not for rows of kind"):
        SSAVAE(augment=(name,)).fit(*request.getfixturevalue(data))
