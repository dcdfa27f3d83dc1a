"""The encoder of a table as an ensemble: one map, members that learn alone, labels that they do not see."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from ssavae import SSAVAE, load
from ssavae.algorithms import dropout_masks, vec_step
from ssavae.consistency import Consistency, Teacher
from ssavae.networks import Embedding, Encoder, MemberLinear, Spec, build_vec
from ssavae.persistence.model_document import count_weights
from ssavae.preprocessing.splits import member_weights

SPEC = Spec((6,), latent_dim=2, n_classes=3, bounded=False, widths=(16, 8), n_members=4)
SHORT: dict[str, Any] = {"n_epochs": 30, "n_epochs_decoder": 2, "random_state": 0}


@pytest.fixture(scope="module")
def split():
    X, y = load_breast_cancer(return_X_y=True)
    return train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)


@pytest.fixture(scope="module")
def model(split):
    return SSAVAE(**SHORT).fit(split[0], split[2])


def test_the_code_is_the_mean_of_the_members():
    encoder = Encoder(SPEC).eval()
    x = torch.randn(5, 6)
    members = torch.stack([encoder.member(x, i) for i in range(4)])
    assert float(members.detach().std(dim=0).min()) > 0
    torch.testing.assert_close(encoder(x).mu, members.mean(dim=0))
    assert [h.shape for h in encoder(x).features] == [(5, 4 * 8), (5, 4 * 4)]


def test_in_training_every_member_codes_every_row():
    encoder = Encoder(SPEC).train()
    x = torch.randn(5, 6)
    mu, logvar, _ = encoder(x)
    assert mu.shape == logvar.shape == (20, 2)
    torch.testing.assert_close(mu.view(4, 5, 2)[2], encoder.member(x, 2))


def test_a_layer_of_members_is_one_linear_layer_for_each():
    layer = MemberLinear(3, 5, 2)
    h = torch.randn(7, 15)
    blocks = [h[:, 5 * i : 5 * i + 5] @ layer.weight[i] + layer.bias[i] for i in range(3)]
    torch.testing.assert_close(layer(h), torch.cat(blocks, dim=1))


def test_each_number_is_embedded_in_linear_maps_of_its_own_waves():
    embedding = Embedding((0, 3, 4), 4)
    x = torch.randn(7, 5)
    embedded = embedding(x)
    assert torch.equal(embedded[:, :5], x)
    for j, column in enumerate((0, 3, 4)):
        waves = torch.cos(2 * torch.pi * x[:, column, None] * embedding.frequency[j] + embedding.phase[j])
        values = waves @ embedding.linear.weight[j] + embedding.linear.bias[j]
        torch.testing.assert_close(embedded[:, 5 + 3 * j : 8 + 3 * j], values)


@pytest.mark.parametrize("spec", [SPEC, replace(SPEC, embedded=(0, 5), embedding_dim=4)])
def test_the_count_of_weights_is_that_of_the_members(spec):
    encoder = Encoder(spec)
    matrices = sum(p.numel() for name, p in encoder.named_parameters() if "linear.weight" in name)
    heads = encoder.mu.get_parameter("weight").numel() + encoder.logvar.get_parameter("weight").numel()
    assert count_weights(spec) - count_weights(spec, ["encoder"]) == matrices + heads


@pytest.mark.parametrize("shape", [(1, 16), (1, 8, 8)])
def test_images_and_signals_have_one_member(shape):
    with pytest.raises(ValueError, match="n_members=2 is for tables"):
        Spec(shape, 2, 3, bounded=False, n_members=2)


def after_one_update(y: torch.Tensor, weights: torch.Tensor) -> list[torch.Tensor]:
    """Return the second layer's weights of each member after an update."""
    torch.manual_seed(0)
    vec = build_vec(SPEC, with_detail=True)
    optimizer = torch.optim.Adam(vec.parameters(), lr=0.1)
    backward = torch.Tensor.backward
    x = torch.randn(12, 6)
    vec_step(
        vec,
        x,
        y,
        torch.randn(12, 2),
        12,
        None,
        None,
        weights,
        optimizer=optimizer,
        backward=backward,
        weight_kl=0.02,
        weight_detail=0.5,
        variance=1.0,
    )
    return list(vec.encoder.get_submodule("layers.1.linear").get_parameter("weight").detach())


def test_a_member_learns_nothing_from_a_label_that_it_does_not_see():
    y = torch.arange(12) % 3
    other = y.clone()
    other[5] = (y[5] + 1) % 3
    weights = torch.from_numpy(member_weights(12, [np.arange(i, 12, 4) for i in range(4)], None))
    before, after = after_one_update(y, weights), after_one_update(other, weights)
    same = [torch.equal(*pair) for pair in zip(before, after, strict=True)]
    assert same == [i == 5 % 4 for i in range(4)]


def test_weights_of_members_weigh_together_what_rows_weigh():
    folds = [np.arange(i, 12, 4) for i in range(4)]
    weights = np.linspace(0.5, 1.5, 12).astype(np.float32)
    np.testing.assert_allclose(member_weights(12, folds, weights).mean(axis=1), weights, rtol=1e-6)


def test_masks_leave_out_hidden_units_of_each_member():
    encoder = Encoder(SPEC).eval()
    x = torch.randn(5, 6)
    masks = (torch.ones(5, 4 * 8), torch.ones(5, 4 * 4))
    assert torch.equal(encoder(x, masks).mu, encoder(x).mu)
    masks[0][:, 8:16] = 0.0  # of the second member
    assert not encoder(x, masks).features[0][:, 8:16].any()
    members = encoder(x, masks).features[1].view(5, 4, 4)
    same = [torch.equal(members[:, i], encoder(x).features[1].view(5, 4, 4)[:, i]) for i in range(4)]
    assert same == [True, False, True, True]
    masks[0][2:] = 1.0
    assert torch.equal(encoder(x, masks).mu[2:], encoder(x).mu[2:])


def test_a_changed_row_misses_the_same_units():
    torch.manual_seed(0)
    vec = build_vec(SPEC, with_detail=False)
    teacher = Teacher(vec, SPEC.n_classes)
    teacher.confidence.zero_()  # every guess counts
    x, x_strong = torch.randn(2, 12, 6)
    eps, eps_strong = torch.randn(2, 12, 2)
    masks = (torch.ones(12, 4 * 8), torch.ones(12, 4 * 4))
    masks[0][:, :3] = 0.0
    vec_step(
        vec,
        x,
        torch.full((12,), -1),
        eps,
        1,
        x_strong,
        eps_strong,
        masks=masks,
        optimizer=torch.optim.SGD(vec.parameters(), 0.1),
        backward=torch.Tensor.backward,
        weight_kl=0.0,
        weight_detail=0.0,
        variance=1.0,
        consistency=Consistency(teacher, vec, teacher.vec, weight=1.0),
    )
    gradient = vec.encoder.get_submodule("layers.0.linear").get_parameter("weight").grad
    assert gradient is not None
    assert gradient.abs().sum(dim=1).gt(0).tolist() == [False] * 3 + [True] * 29


def test_few_labels_are_learned_by_an_ensemble_with_dropout(split):
    few = np.where(np.arange(len(split[2])) < 20, split[2], -1)
    fits = [SSAVAE(**{**SHORT, "n_epochs": 2}, dropout=rate).fit(split[0], few) for rate in (None, 0.3, 0.0)]
    assert [fit.spec_.n_members for fit in fits] == [4] * 3
    codes = [fit.transform(split[1]) for fit in fits]
    assert np.array_equal(codes[0], codes[1]) and not np.array_equal(codes[0], codes[2])


def test_dropout_leaves_out_the_share_and_keeps_the_mean():
    masks = dropout_masks(torch.randn(1000, 50, generator=torch.Generator().manual_seed(0)), 0.3)
    assert float((masks == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert float(masks.mean()) == pytest.approx(1.0, abs=0.02)


def test_dropout_is_at_work_in_step_1_alone(split):
    X, y = split[0], split[2]
    fits = [SSAVAE(**{**SHORT, "n_epochs": 2}, dropout=rate).fit(X, y) for rate in (0.0, 0.3, 0.3)]
    losses = [fit.history_[0]["loss_class"] for fit in fits]
    assert losses[0] != losses[1] == losses[2]
    assert np.array_equal(fits[1].transform(X), fits[2].transform(X))
    assert np.array_equal(fits[1].transform(X), fits[1].transform(X))


def test_a_row_is_coded_as_it_is_alone(model, split):
    X = split[1][:40]
    alone = np.concatenate([model.transform(row[None]) for row in X])
    np.testing.assert_allclose(model.transform(X), alone, atol=1e-5)


def test_confidence_is_calibrated_without_held_out_rows(model, split):
    _, X, y, y_test = split
    assert model.calibration_.temperature != 1.0
    assert len(model.calibration_.class_scores) == len(y)
    sets = model.predict_set(X, alpha=0.1)
    assert sets[np.arange(len(X)), y_test].mean() > 0.85


@pytest.mark.parametrize(
    "params",
    [{"validation_fraction": 0.2}, {"n_members": 1}, {"weight_consistency": 1.0}],
    ids=str,
)
def test_members_see_all_labels_where_the_calibration_has_other_rows_or_none(params, split, monkeypatch):
    def fail(*_: object) -> None:
        raise AssertionError("labels were left out")

    monkeypatch.setattr("ssavae.estimator.member_weights", fail)
    model = SSAVAE(**{**SHORT, "n_epochs": 1, "n_epochs_decoder": 0, **params}).fit(split[0], split[2])
    n_scores = {"validation_fraction": len(split[0]) // 5}.get(next(iter(params)), 0)
    assert len(model.calibration_.class_scores) == pytest.approx(n_scores, abs=2)


def test_a_class_with_fewer_labels_than_members_leaves_nothing_out(split):
    y = np.array(["rare"] * 2 + ["a", "b"] * ((len(split[0]) - 2) // 2))
    model = SSAVAE(**{**SHORT, "n_epochs": 1, "n_epochs_decoder": 0}).fit(split[0][: len(y)], y)
    assert len(model.calibration_.class_scores) == 0


def test_a_saved_ensemble_is_the_same(model, split, tmp_path):
    model.save(tmp_path)
    loaded = load(tmp_path)
    assert loaded.spec_.n_members == 4
    assert np.array_equal(loaded.predict_proba(split[1]), model.predict_proba(split[1]))


def test_what_a_fit_costs_is_said_before_it_begins(split, capsys):
    SSAVAE(**{**SHORT, "n_epochs": 2}, verbose=True).fit(split[0], split[2])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "step 1 (vec): 4 updates of 128 rows, 2 epochs"
    assert lines[1] == "step 2 (decoder): 16 updates of 32 rows, 2 epochs"
