"""Model selection on partly labelled rows, by ``score``, by our splitter and scorer, and by scikit-learn."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.inspection import permutation_importance
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    LeaveOneGroupOut,
    RandomizedSearchCV,
    StratifiedKFold,
    StratifiedShuffleSplit,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ssavae import SSAVAE
from ssavae.model_selection import SemiSupervisedScorer, SemiSupervisedSplit
from ssavae.preprocessing.labels import is_labelled

QUICK: dict[str, Any] = {
    "n_epochs": 8,
    "learning_rate": 2e-2,
    "n_epochs_decoder": 0,
    "widths": (16,),
    "batch_size": 16,
    "random_state": 0,
}
SIGNS = {
    "minus": lambda y, gap: np.where(gap, -1, y),
    "none": lambda y, gap: np.where(gap, np.array(None), np.array(list("abc"), dtype=object)[y]),
    "nan": lambda y, gap: np.where(gap, np.nan, y),
    "masked": lambda y, gap: np.ma.masked_array(y, mask=gap),
    "empty": lambda y, gap: np.where(gap, "", np.array(list("abc"))[y]),
    "Int64": lambda y, gap: pd.Series(y, dtype="Int64").mask(gap),
    "category": lambda y, gap: pd.Series(np.array(list("abc"))[y], dtype="category").mask(gap),
}
RAISE: dict[str, Any] = {"error_score": "raise"}
GAP = np.arange(120) % 4 != 0  # three in four rows have no label


@pytest.fixture(params=SIGNS)
def partly(request, toy_table):
    X, y = toy_table
    return X, SIGNS[request.param](y, GAP)


def test_score_is_the_accuracy_of_the_labelled_rows(partly, toy_table):
    X, y = partly
    model = SSAVAE(**QUICK).fit(X, y)
    correct = model.predict(X) == np.where(GAP, model.classes_[0], model.classes_[toy_table[1]])
    assert model.score(X, y) == pytest.approx(correct[~GAP].mean())
    weights = np.arange(120.0) + 1
    expected = np.average(correct[~GAP], weights=weights[~GAP])
    assert model.score(X, y, sample_weight=weights) == pytest.approx(expected)
    scored = SemiSupervisedScorer("accuracy")(model, X, y, sample_weight=weights)
    assert scored == pytest.approx(expected)
    assert 0.34 < model.score(X, y) <= 1


def test_score_counts_classes_it_does_not_know_as_errors_and_refuses_what_has_no_label(toy_table):
    X, y = toy_table
    model = SSAVAE(**QUICK).fit(X, np.where(y == 2, np.nan, y))
    errors = (y == 2).mean()
    assert model.score(X, y) == pytest.approx((1 - errors) * model.score(X[y < 2], y[y < 2]))
    unlabelled = np.full(120, -1)
    with pytest.raises(ValueError, match="none of the 120 rows has a label"):
        model.score(X, unlabelled)
    with pytest.raises(ValueError, match="none of the 120 rows has a label"):
        SemiSupervisedScorer("accuracy")(model, X, unlabelled)
    with pytest.raises(ValueError, match="3 labels, X has 120 rows"):
        model.score(X, [0, 1, 0])
    with pytest.raises(ValueError, match="sample_weight"):
        model.score(X, y, sample_weight=[1.0, 2.0])


class NearestMean(ClassifierMixin, BaseEstimator):
    """A quick classifier that takes the labels SSAVAE takes, and checks what it is given."""

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift

    def fit(self, X, y):
        labelled = is_labelled(y)
        assert (~labelled).sum() == GAP.sum()  # every unlabelled row is in every training part
        self.classes_ = np.unique(np.asarray(y)[labelled])
        self.means_ = np.stack(
            [X[labelled][np.asarray(y)[labelled] == c].mean(axis=0) for c in self.classes_]
        )
        return self

    def predict(self, X):
        distances = np.linalg.norm((X[:, None] - self.means_) / X.std(axis=0), axis=2)
        return self.classes_[distances.argmin(axis=1)]

    def score(self, X, y, sample_weight=None):
        assert is_labelled(y).all()
        return accuracy_score(np.asarray(y), self.predict(X))


@pytest.mark.parametrize("sign", ["minus", "none", "nan", "empty"])
def test_unlabelled_rows_are_in_every_training_part(toy_table, sign):
    X, y = toy_table
    partly = SIGNS[sign](y, GAP)
    split = SemiSupervisedSplit(3)
    search = GridSearchCV(NearestMean(), {"shift": [0.0, 1.0]}, cv=split, **RAISE)
    assert search.fit(X, partly).best_score_ > 0.8
    assert cross_val_score(NearestMean(), X, partly, cv=split, **RAISE).shape == (3,)
    scorer = SemiSupervisedScorer(["accuracy", "f1_macro"])
    scores = cross_validate(NearestMean(), X, partly, cv=split, scoring=scorer, **RAISE)
    assert scores["test_f1_macro"].mean() > 0.8


@pytest.mark.parametrize(
    "cv", [2, StratifiedKFold(4, shuffle=True, random_state=1), StratifiedShuffleSplit(3, random_state=0)]
)
def test_test_parts_are_those_of_the_splitter_among_labelled_rows(toy_table, cv):
    X, y = toy_table
    labels = np.where(GAP, -1, y)
    split = SemiSupervisedSplit(cv)
    assert split.get_n_splits(X, labels) == split.get_n_splits() == len([*split.split(X, labels)])
    for train, test in split.split(X, labels):
        assert (labels[test] >= 0).all() and set(np.flatnonzero(GAP)) <= set(train)
        assert not set(train) & set(test) and len(set(train)) == len(train)
        assert (labels[train[: len(train) - GAP.sum()]] >= 0).all()
    assert "SemiSupervisedSplit(cv=" in repr(split)


@pytest.mark.parametrize("cv", [GroupKFold(2), LeaveOneGroupOut()])
def test_a_group_is_in_one_part_only(toy_table, cv):
    X, y = toy_table
    groups = np.arange(120) // 12
    labels = np.where(np.arange(120) % 2, -1, y)
    split = SemiSupervisedSplit(cv)
    parts = [*split.split(X, labels, groups)]
    assert split.get_n_splits(X, labels, groups) == len(parts)
    for train, test in parts:
        assert not set(groups[train]) & set(groups[test])
        assert (labels[train] < 0).any()
    scores = cross_val_score(DummyClassifier(), X, labels % 3, groups=groups, cv=split)
    assert len(scores) == len(parts)


def test_searches_curves_and_importances_with_ssavae(toy_table):
    X, y = toy_table
    labels = np.where(GAP, np.array(None), np.array(list("abc"), dtype=object)[y])
    split = SemiSupervisedSplit(2)
    pipeline = make_pipeline(StandardScaler(), SSAVAE(**QUICK))
    search = RandomizedSearchCV(
        pipeline,
        {"ssavae__latent_dim": [2, 3]},
        n_iter=2,
        cv=split,
        scoring=SemiSupervisedScorer("balanced_accuracy"),
        **RAISE,
    )
    assert search.fit(X, labels).best_score_ > 0.4
    importances: Any = permutation_importance(search.best_estimator_, X, labels, n_repeats=1, random_state=0)
    assert importances.importances.shape == (5, 1)
    curve = learning_curve(SSAVAE(**QUICK), X, labels, cv=split, train_sizes=np.array([0.4, 1.0]), **RAISE)
    assert np.isfinite(curve[2]).all()


@pytest.mark.parametrize("sign", ["minus", "masked", "empty"])
def test_folds_by_number_score_the_labelled_rows(toy_table, sign):
    X, y = toy_table
    labels = SIGNS[sign](y, GAP)
    scoring = [None, SemiSupervisedScorer(make_scorer(accuracy_score))]
    searches = [
        GridSearchCV(SSAVAE(**QUICK), {"latent_dim": [2]}, cv=2, scoring=each, **RAISE) for each in scoring
    ]
    first, second = (search.fit(X, labels).best_score_ for search in searches)
    assert first == pytest.approx(second) and first > 0.4
