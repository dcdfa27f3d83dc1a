"""Active learning: the choice of rows to label next."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssavae import SSAVAE
from ssavae.inference.active_learning import choose_rows, uncertainty

RNG = np.random.default_rng(0)


def test_uncertainty_is_highest_where_two_classes_tie():
    probs = RNG.dirichlet(np.ones(4), 200)
    result = uncertainty(probs)
    ordered = np.sort(probs, axis=1)
    assert np.allclose(result, 1 - (ordered[:, -1] - ordered[:, -2]))


@given(st.integers(1, 40), st.integers(0, 5), st.integers(1, 60))
def test_rows_are_chosen_once_and_no_more_than_there_are(n_rows, n_known, n):
    rows, known = RNG.normal(size=(n_rows, 3)), RNG.normal(size=(n_known, 3))
    chosen = choose_rows(RNG.random(n_rows), rows, known, n)
    assert len(chosen) == len(set(chosen.tolist())) == min(n, n_rows)


def test_near_duplicates_are_not_chosen_twice():
    rows = np.repeat(RNG.normal(0, 10, (5, 2)), 20, axis=0) + RNG.normal(0, 0.01, (100, 2))
    chosen = choose_rows(np.ones(100), rows, np.empty((0, 2)), 5)
    assert sorted(chosen // 20) == [0, 1, 2, 3, 4]
    known = rows[::20]
    sure = np.full(100, 0.01)
    sure[37] = 1.0  # near a labelled row, but the only uncertain one
    assert choose_rows(sure, rows + np.eye(100)[:, [37]] * 3, known, 1) == 37


def test_zero_rows_are_refused():
    with pytest.raises(ValueError, match="n=0 must be at least 1"):
        choose_rows(np.ones(3), np.ones((3, 2)), np.empty((0, 2)), 0)


def test_a_model_suggests_unlabelled_rows_that_it_is_unsure_of(toy_table):
    X, y = toy_table
    few = np.full(len(y), -1)
    few[:30] = y[:30]
    model = SSAVAE(n_epochs=400, n_epochs_decoder=1, widths=(16,), random_state=0).fit(X, few)
    rows = model.suggest(X, 12, y=few)
    assert len(rows) == 12 and (few[rows] == -1).all()
    unsure = uncertainty(model.predict_proba(X))
    assert unsure[rows].mean() > 2 * unsure[few == -1].mean()
    with pytest.raises(ValueError, match="y has 3 labels, X has 120 rows"):
        model.suggest(X, y=few[:3])
