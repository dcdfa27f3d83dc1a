"""Weights of rows and classes: what they change in the training, and what they leave alone."""

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from ssavae import SSAVAE, load
from ssavae.app.runs.settings import plan_parameters
from ssavae.losses import loss_class
from ssavae.persistence.schema import ModelFolderError, document_sha256
from ssavae.preprocessing.adapters import lazy_dataset
from ssavae.preprocessing.labels import row_weights
from ssavae.training.batches import LazyRows, TensorRows

QUICK: dict[str, Any] = {"n_epochs": 2, "n_epochs_decoder": 0, "widths": (8, 8), "random_state": 0}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def overlapping() -> tuple[np.ndarray, np.ndarray]:
    """80 rows of two classes that overlap, 1 in 5 of the second, a quarter of the rows unlabelled."""
    rng = np.random.default_rng(0)
    y = (np.arange(80) % 5 == 0).astype(float)
    X = rng.normal(y[:, None], size=(80, 3))
    return X, np.where(np.arange(80) % 4 == 3, np.nan, y)


def named(y: np.ndarray, names: list[object]) -> np.ndarray:
    """Return labels of these names."""
    return np.array([*names, None], dtype=object)[np.nan_to_num(y, nan=-1).astype(int)]


def bits(model: SSAVAE) -> bytes:
    """Return all weights of a VEC."""
    return b"".join(value.numpy().tobytes() for value in model.vec_.state_dict().values())


def test_loss_class_is_weighted_row_by_row():
    logits, y = torch.randn(4, 3), torch.tensor([0, -1, 2, 1])
    weights = torch.tensor([0.5, 7.0, 0.0, 2.0])
    torch.testing.assert_close(loss_class(logits, y, weights), weights * loss_class(logits, y))


def test_row_weights_average_one_over_the_labelled_training_rows():
    labels = np.array([0, 0, 1, -1, 1, 0])
    given = np.array([1.0, 2.0, 3.0, 99.0, 50.0, 0.0])
    in_training = np.array([0, 1, 2, 3, 5])
    weights = row_weights(labels, np.array(["a", "b"]), {"b": 3.0}, given, in_training)
    assert weights is not None and weights.dtype == np.float32
    np.testing.assert_allclose(weights, np.array([1, 2, 9, 0, 0]) / 3)


@pytest.mark.parametrize("given", [None, [1.0, 0.0, 3.0, 1.0, 2.0, 5.0, 1.0]])
def test_balanced_classes_have_the_same_sum(given):
    labels = np.array([0, 0, 0, 1, 2, 2, -1])
    weights = row_weights(labels, np.arange(3), "balanced", given, np.arange(7))
    assert weights is not None
    np.testing.assert_allclose(np.bincount(labels[:-1], weights[:-1]), 2, rtol=1e-6)


def test_balanced_weights_are_those_of_scikit_learn(overlapping):
    from sklearn.utils.class_weight import compute_sample_weight

    labels = np.nan_to_num(overlapping[1], nan=-1).astype(int)
    weights = row_weights(labels, np.arange(2), "balanced", None, np.arange(80))
    assert weights is not None
    np.testing.assert_allclose(
        weights[labels >= 0], compute_sample_weight("balanced", labels[labels >= 0]), rtol=1e-6
    )


def test_batches_carry_the_weights_of_their_rows():
    x, y = np.arange(12.0, dtype=np.float32)[:, None], np.arange(12) % 3
    weights, order = x[:, 0] / 2, np.random.default_rng(0).permutation(12).reshape(3, 4)
    in_memory = TensorRows(torch.from_numpy(x), y, CPU, weights)
    lazy = LazyRows(lazy_dataset(list(x)), y, np.asarray, CPU, 0, weights)
    for rows in (in_memory, lazy):
        batches = list(rows.batches(order))
        assert len(batches) == 3
        for inputs, labels, of_rows in batches:
            assert torch.equal(of_rows, inputs[:, 0] / 2) and torch.equal(labels, inputs[:, 0].long() % 3)


def test_equal_weights_are_none(overlapping):
    X, y = overlapping
    plain = SSAVAE(**QUICK).fit(X, y)
    assert bits(SSAVAE(**QUICK).fit(X, y, sample_weight=np.full(80, 3.0))) == bits(plain)
    assert bits(SSAVAE(class_weight={0: 2, 1: 2}, **QUICK).fit(X, y)) == bits(plain)
    assert bits(SSAVAE(class_weight={1: 2}, **QUICK).fit(X, y)) != bits(plain)


def test_a_class_weight_is_the_sample_weight_of_its_rows(overlapping):
    X, y = overlapping
    by_class = SSAVAE(class_weight={1: 4}, **QUICK).fit(X, y)
    by_row = SSAVAE(**QUICK).fit(X, y, sample_weight=np.where(y == 1, 4, 1))
    assert bits(by_class) == bits(by_row)
    assert by_class.data_sha256_ == by_row.data_sha256_


def test_a_weight_leads_to_its_class(overlapping):
    X, y = overlapping
    longer = QUICK | {"n_epochs": 30, "learning_rate": 1e-2}
    weights: list[Any] = [None, "balanced", {1: 1000}]
    plain, balanced, extreme = (
        SSAVAE(class_weight=each, **longer).fit(X, y).predict(X).mean() for each in weights
    )
    assert plain < balanced < extreme == 1


def test_wrong_labels_of_weight_zero_teach_nothing(overlapping):
    X, y = overlapping
    weights = (np.arange(80) % 2).astype(float)
    wrong = np.where(weights == 0, 1 - y, y)
    first, second = (SSAVAE(**QUICK).fit(X, each, sample_weight=weights) for each in (y, wrong))
    assert bits(first) == bits(second)


@pytest.mark.parametrize(
    ("class_weight", "sample_weight", "message"),
    [
        (None, [-1.0] * 80, "Negative values in data passed to `sample_weight`"),
        (None, [np.nan] * 80, "sample_weight contains NaN"),
        (None, [1.0, 2.0], r"sample_weight.shape == \(2,\), expected \(80,\)"),
        (None, np.zeros(80), "weight 0|at least one non-zero"),
        ({0: 0, 1: 0.0}, None, "weight 0"),
        ({1: -2}, None, r"class_weight\[1\].*\[0.0, inf\).* -2"),
        ({1: np.nan}, None, r"class_weight\[1\].* nan"),
        ({1: "a"}, None, r"class_weight\[1\].* 'a'"),
        ({"cat": 1}, None, r"names \['cat'\], which is no class of y; the classes are 0, 1"),
        ({None: 1}, None, r"names \[None\]"),
        ("balance", None, "class_weight.*'balanced'"),
    ],
)
def test_bad_weights_are_refused(overlapping, monkeypatch, class_weight, sample_weight, message):
    monkeypatch.setattr("ssavae.estimator.train_networks", None)  # before any training
    with pytest.raises(ValueError, match=message):
        SSAVAE(class_weight=class_weight, **QUICK).fit(*overlapping, sample_weight=sample_weight)


@pytest.mark.parametrize(
    ("class_weight", "names"),
    [({0: 1, 1: 2.5}, [0, 1]), ({"b": 3}, ["a", "b"]), ({np.int64(1): 2.0}, [0, 1]), ("balanced", [0, 1])],
)
def test_class_weights_are_stored(overlapping, tmp_path, class_weight, names):
    X, y = overlapping[0], named(overlapping[1], names)
    model = SSAVAE(class_weight=class_weight, **QUICK).fit(X, y)
    model.save(tmp_path)
    again = load(tmp_path)
    cloned = cast(SSAVAE, clone(again))
    assert again.class_weight == class_weight == cloned.class_weight
    assert bits(cloned.fit(X, y)) == bits(model)


@pytest.mark.parametrize("stored", [[[0]], [[0, 1, 2]], [[[], 1]], [[0, "a"]], [[0, -1]], [0], 3])
def test_damaged_class_weights_are_refused(saved, stored):
    document = json.loads((saved / "model.json").read_text("utf-8"))
    document["model"]["params"]["class_weight"] = stored
    document["sha256"] = document_sha256(document)
    (saved / "model.json").write_text(json.dumps(document), "utf-8")
    with pytest.raises(ModelFolderError, match="class_weight"):
        load(saved)


@pytest.fixture(scope="module")
def saved(overlapping, tmp_path_factory) -> Path:
    """The folder of a model."""
    folder = tmp_path_factory.mktemp("model")
    SSAVAE(**QUICK).fit(*overlapping).save(folder)
    return folder


def test_a_vec_of_other_weights_is_refused(overlapping):
    X, y = overlapping
    weights = 1.0 + np.arange(80) % 3
    model = SSAVAE(**QUICK).fit(X, y, sample_weight=weights)
    assert bits(SSAVAE(**QUICK).fit(X, y, sample_weight=weights, vec=model)) == bits(model)
    with pytest.raises(ValueError, match="other rows"):
        SSAVAE(**QUICK).fit(X, y, vec=model)


def test_folds_and_searches_take_weights(overlapping):
    X, y = overlapping
    weights: list[Any] = [None, {"b": 5}]
    folds = [
        SSAVAE(class_weight=each, calibration_folds=2, **QUICK).fit(X, named(y, ["a", "b"])).calibration_
        for each in weights
    ]
    assert folds[0].temperature != folds[1].temperature
    labelled = y >= 0
    search = GridSearchCV(SSAVAE(**QUICK), {"class_weight": ["balanced", {1: 2}]}, cv=2)
    search.fit(X[labelled], y[labelled], sample_weight=np.ones(labelled.sum()))
    assert len(search.cv_results_["params"]) == 2 and "class_weight" in search.best_params_


def test_the_command_line_takes_balanced():
    assert plan_parameters(None, {}, ["class_weight=balanced"])["class_weight"] == "balanced"
    assert plan_parameters(None, {}, ["class_weight=none"])["class_weight"] is None
    with pytest.raises(ValueError, match="class_weight must be"):
        plan_parameters(None, {}, ["class_weight=3"])
