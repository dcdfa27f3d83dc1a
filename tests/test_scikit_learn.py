"""SSAVAE among scikit-learn's tools: names of columns, tags, generators, documented attributes."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

import ssavae
from ssavae import SSAVAE, load

QUICK: dict[str, Any] = {"n_epochs": 2, "n_epochs_decoder": 1, "widths": (8, 8), "random_state": 0}


@pytest.fixture(scope="module")
def frame() -> tuple[pd.DataFrame, np.ndarray]:
    """60 rows of four columns and their classes."""
    y = np.arange(60) % 3
    return pd.DataFrame(np.random.default_rng(0).normal(y[:, None], size=(60, 4)), columns=list("abcd")), y


@pytest.fixture(scope="module")
def model(frame) -> SSAVAE:
    X, y = frame
    return SSAVAE(**QUICK).fit(X, y, eval_set=[(X, y), (X[:9], y[:9])])


def test_codes_have_names(frame):
    X, y = frame
    pipeline = make_pipeline(StandardScaler(), SSAVAE(**QUICK)).set_output(transform="pandas")
    assert list(pipeline.fit(X, y).transform(X).columns) == ["z0", "z1"]
    columns = make_column_transformer((SSAVAE(3, **QUICK), list("abc")), remainder="passthrough").fit(X, y)
    assert columns.get_feature_names_out().tolist() == [
        *(f"ssavae__z{k}" for k in range(3)), "remainder__d",
    ]  # fmt: skip


def test_fitted_attributes_are_those_documented(model):
    section = re.split(r"\n\s+Attributes\n\s+-+\n|\n\s+Examples\n", str(SSAVAE.__doc__))[1]
    heads = re.findall(r"^    (\w.*) :", section, re.MULTILINE)
    documented = {name for head in heads for name in head.split(", ")}
    assert documented == {n for n in vars(model) if n.endswith("_") and n[0] != "_"} | {"n_iter_"}


def test_parameters_are_those_documented():
    section = re.split(r"\n\s+Parameters\n\s+-+\n|\n\s+Attributes\n", str(SSAVAE.__doc__))[1]
    heads = re.findall(r"^    (\w.*?) :", section, re.MULTILINE)
    assert [name for head in heads for name in head.split(", ")] == list(SSAVAE.__init__.__annotations__)[:-1]


def test_the_module_names_what_is_public():
    assert {"SSAVAE", "Exported", "load"} <= set(dir(ssavae))


def test_epochs_are_counted(model, tmp_path):
    assert not hasattr(SSAVAE(), "n_iter_")
    assert model.n_iter_ == 2
    model.save(tmp_path)
    assert load(tmp_path).n_iter_ == 2


def test_higher_scores_are_more_ordinary(model, frame):
    X = frame[0]
    scores = model.score_samples(X)
    np.testing.assert_allclose(scores, -model.novelty(X), atol=1e-5)
    assert model.score_samples(X + 100).max() < np.median(scores)


def test_several_eval_sets_are_recorded(model, frame):
    X, y = frame
    assert model.history_[1]["eval_accuracy"] == pytest.approx(model.score(X, y))
    assert model.history_[1]["eval_accuracy_2"] == pytest.approx(model.score(X[:9], y[:9]))


def test_a_generator_seeds_training_and_samples(frame):
    X, y = frame
    models = [SSAVAE(**QUICK).set_params(random_state=np.random.default_rng(7)) for _ in range(2)]
    first, second = (model.fit(X, y) for model in models)
    assert np.array_equal(first.transform(X), second.transform(X))
    rng = np.random.default_rng(0)
    assert not np.array_equal(first.sample(5, random_state=rng), first.sample(5, random_state=rng))


def test_tags_say_what_is_taken(frame):
    X, y = frame
    tags = get_tags(SSAVAE())
    assert not tags.target_tags.required and SSAVAE(**QUICK).fit(X).transform(X).shape == (60, 2)
    mixed = X.assign(a=np.array(["u", "v", None], dtype=object)[y], b=X["b"].where(X["b"] > 0))
    assert tags.input_tags.categorical and tags.input_tags.string and tags.input_tags.allow_nan
    assert SSAVAE(**QUICK).fit(mixed, y).predict(mixed).shape == (60,)
    assert tags.input_tags.three_d_array
    assert SSAVAE(**QUICK).fit(np.random.default_rng(0).random((60, 8, 8)), y).n_features_in_ == 8
    text = np.array(["u", "v", "w"])[np.c_[y, y[::-1]]]
    assert SSAVAE(**QUICK).fit(text, y).predict(text[:3]).shape == (3,)
