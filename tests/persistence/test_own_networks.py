"""Networks of a user's own that are saved, loaded, pickled and copied, or else refused before training."""

import copy
import pickle
from typing import Any, cast

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from torch import nn
from torch.nn.utils import parametrizations

from ssavae import SSAVAE, load
from ssavae.persistence.parametrized import picklable, restored

SHORT: dict = {"n_epochs": 2, "n_epochs_decoder": 1, "widths": (8,), "batch_size": 32, "random_state": 0}


class Own(nn.Module):
    """An encoder of four inputs with two dimensions of code."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(4, 4)
        self.out = nn.Linear(4, 4)

    def forward(self, x):
        h = torch.tanh(self.hidden(x))
        mu, logvar = self.out(h).chunk(2, dim=1)
        return mu, logvar, (h, mu)


def tied() -> nn.Module:
    own = Own()
    own.out.weight = own.hidden.weight
    return own


def views() -> nn.Module:
    own = Own()
    flat = torch.randn(32)
    own.hidden.weight = nn.Parameter(flat[:16].view(4, 4))
    own.out.weight = nn.Parameter(flat[16:].view(4, 4).t())
    return own


def masked() -> nn.Module:
    own = Own()
    own.register_buffer("mask", torch.full((4, 4), float("-inf")).triu(1))
    own.register_buffer("allowed", torch.ones(4, dtype=torch.bool))
    return own


def normed(*functions):
    def build() -> nn.Module:
        own = Own()
        for function in functions:
            own.hidden = function(own.hidden)
        own.out = functions[0](own.out, "bias") if functions[0] is parametrizations.weight_norm else own.out
        return own

    return build


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
def older_weight_norm() -> nn.Module:
    own = Own()
    own.hidden = nn.utils.weight_norm(own.hidden)
    return own


def older_spectral_norm() -> nn.Module:
    own = Own()
    own.hidden = nn.utils.spectral_norm(own.hidden)
    own(torch.zeros(3, 4))  # leaves a tensor with a history
    return own


def frozen() -> nn.Module:
    own = Own()
    own.hidden.requires_grad_(False)
    return own


KINDS = {
    "tied": tied,
    "views": views,
    "masked": masked,
    "weight_norm": normed(parametrizations.weight_norm),
    "spectral_norm": normed(parametrizations.spectral_norm),
    "orthogonal": normed(parametrizations.orthogonal),
    "two norms": normed(parametrizations.weight_norm, parametrizations.spectral_norm),
    "older weight_norm": older_weight_norm,
    "older spectral_norm": older_spectral_norm,
    "frozen": frozen,
}


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(90) % 3
    return np.random.default_rng(0).normal(size=(90, 4)) + y[:, None], y


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_saved_loaded_pickled_and_copied_as_it_was_trained(kind, rows, tmp_path):
    torch.manual_seed(0)
    X, _ = rows
    model = SSAVAE(**SHORT, encoder=KINDS[kind]()).fit(*rows)
    codes = model.transform(X)
    model.save(tmp_path)
    torch.manual_seed(1)
    loaded = load(tmp_path, encoder=KINDS[kind]())
    for each in (loaded, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(each.transform(X), codes)
        trained = [p.requires_grad for p in each.vec_.encoder.parameters()]
        assert trained == [p.requires_grad for p in model.vec_.encoder.parameters()]
    np.testing.assert_array_equal(model.transform(X), codes)  # copying has left it as it was
    np.testing.assert_array_equal(loaded.fit_decoder(X).transform(X), codes)


def test_a_mask_of_infinity_stays_so_with_a_teacher(rows, tmp_path):
    X, y = rows
    few = np.where(np.arange(90) < 30, y, -1)
    model = SSAVAE(**SHORT, weight_consistency=1.0, encoder=masked()).fit(X, few)
    model.save(tmp_path)
    mask = load(tmp_path, encoder=masked()).vec_.encoder.get_buffer("mask")
    assert torch.equal(mask, masked().get_buffer("mask"))


@pytest.mark.slow
def test_an_own_network_with_weight_norm_goes_through_a_search_in_processes(rows):
    search = GridSearchCV(
        SSAVAE(**SHORT, encoder=KINDS["weight_norm"]()), {"beta": [0.0, 0.01]}, cv=2, n_jobs=2
    )
    assert search.fit(*rows).best_score_ >= 0


def test_convolutions_in_channels_last_are_pickled_to_the_bit():
    network = nn.Sequential(parametrizations.weight_norm(nn.Conv2d(3, 8, 3)), nn.ReLU())
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(2, 3, 9, 9).contiguous(memory_format=torch.channels_last)
    again = cast(Any, restored(pickle.loads(pickle.dumps(picklable(network)))))
    assert torch.equal(network(x), again(x))


class ExtraState(Own):
    def get_extra_state(self):
        return {"text": "no tensor"}

    def set_extra_state(self, state):
        pass


class Lazy(Own):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.LazyLinear(4)


class Expanded(Own):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("ones", torch.ones(1, 4).expand(4, 4))


class Infinite(Own):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((4,), float("inf")))


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning")
@pytest.mark.parametrize("network", [ExtraState, Lazy, Expanded, Infinite])
def test_what_could_not_be_loaded_again_is_refused_before_it_is_trained(network, rows, monkeypatch):
    monkeypatch.setattr("ssavae.estimator.train_networks", lambda *_: pytest.fail("trained"))
    with pytest.raises(ValueError, match=rf"encoder={network.__name__}\(...\) could not be saved and loaded"):
        SSAVAE(**SHORT, encoder=network()).fit(*rows)
