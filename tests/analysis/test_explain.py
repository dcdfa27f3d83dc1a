"""Explanations: contributions add up, and the column that makes the difference comes first."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from ssavae import SSAVAE
from ssavae.analysis.explain import STEPS, why

pytest.importorskip("captum")
SHORT: dict[str, Any] = {"n_epochs": 40, "n_epochs_decoder": 40, "batch_size": 32, "random_state": 0}


def rows(n=120):
    rng = np.random.default_rng(0)
    y = np.array(["fine", "hot"], dtype=object)[np.arange(n) % 2]
    X = pd.DataFrame(rng.normal(50, 2, (n, 4)), columns=["speed", "load", "heat", "flow"])
    X["heat"] += 20 * (y == "hot")
    return X, y


@pytest.fixture(scope="module")
def model():
    X, y = rows()
    return SSAVAE(**SHORT).fit(X, y)


def test_the_column_that_makes_the_difference_comes_first(model):
    X, _ = rows()
    explanation = why(model, X.iloc[[1]])
    assert (explanation.predicted, explanation.other, explanation.names) == ("hot", "fine", list(X.columns))
    assert explanation.names[int(np.abs(explanation.share).argmax())] == "heat"
    assert explanation.names[int(np.abs(explanation.change).argmax())] == "heat"
    assert explanation.path.shape == (STEPS, 2) and explanation.decoded.shape == (STEPS, 4)
    np.testing.assert_allclose(explanation.path[0], model.transform(X.iloc[[1]])[0], rtol=1e-5)
    assert explanation.probability[0] < 0.5 < explanation.probability[-1]
    decoded = np.asarray(explanation.decoded)
    assert decoded[0, 2] - decoded[-1, 2] == pytest.approx(20, abs=8)


def test_shares_add_up_to_the_difference_of_logits(model):
    X, _ = rows()
    explanation = why(model, X.iloc[[1]])
    ends = torch.cat(
        [model.network_inputs(X.iloc[[1]]), model.decoder_(torch.from_numpy(explanation.path[-1:]))]
    )
    with torch.no_grad():
        logits = model.vec_.eval()(ends)[1]
    differences = (logits[:, 1] - logits[:, 0]).numpy()
    assert explanation.share.sum() == pytest.approx(differences[0] - differences[1], rel=0.05)
    np.testing.assert_array_equal(explanation.attribution, explanation.share)


def test_signals_and_images_are_explained_by_parts():
    rng, y = np.random.default_rng(0), np.arange(60) % 2
    signals = rng.normal(0, 0.1, (60, 32))
    signals[y == 1, 8:12] += 3
    model = SSAVAE(**SHORT).set_params(kind="signal", n_epochs=20, n_epochs_decoder=5).fit(signals, y)
    explanation = why(model, signals[1:2])
    assert explanation.attribution.shape == (1, 32)
    assert explanation.attribution.sum() == pytest.approx(explanation.share.sum(), rel=1e-5)
    assert len(explanation.names) == 16 and explanation.names[0] == "samples 0 to 1"
    shares = why(model.fit(signals[:, :31], y), signals[1:2, :31], along="cycles a window")
    assert shares.names[:3] == [f"cycles a window {way}" for way in ("0 to 1", "2 to 3", "4 to 5")]
    assert shares.names[-1] == "cycles a window 29 to 30" and len(shares.share) == 16
    assert set(np.abs(explanation.share).argsort()[-4:]) & {3, 4, 5, 6}  # around the bump
    images = rng.random((60, 8, 8))
    images[y == 1, :4] = 1.0
    explanation = why(SSAVAE(**SHORT).set_params(n_epochs=5, n_epochs_decoder=2).fit(images, y), images[:1])
    assert len(explanation.names) == len(explanation.share) == len(explanation.change) == 49
    assert explanation.attribution.shape == (1, 8, 8)


def test_what_cannot_be_explained_is_refused(model, monkeypatch):
    X, _ = rows()
    with pytest.raises(ValueError, match="one row is explained at a time, found 2"):
        why(model, X.iloc[:2])
    with pytest.raises(ValueError, match="read as 'hot' already"):
        why(model, X.iloc[[1]], "hot")
    with pytest.raises(ValueError, match="y='cold' is no class"):
        why(model, X.iloc[[1]], "cold")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "ssavae\[explain\]"'):
        why(model, X.iloc[[1]])
