"""Fault metrics, by hand and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from ssavae.metrics import classification, detection


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_classes_are_counted_as_scikit_learn_counts_them(pairs):
    y, y_pred = np.array(pairs).T
    found = classification.per_class(y, y_pred, 4)
    precision, recall, f1, n = precision_recall_fscore_support(y, y_pred, labels=range(4), zero_division=0.0)  # pyright: ignore[reportArgumentType]
    there = np.asarray(n) > 0
    for name, wanted in (("precision", precision), ("recall", recall), ("f1", f1)):
        np.testing.assert_allclose(found[name][there], np.asarray(wanted)[there])
    assert np.isnan(found["f1"][~there]).all()
    assert classification.macro_f1(y, y_pred, 4) == pytest.approx(np.asarray(f1)[there].mean())


def test_rows_without_a_label_do_not_count():
    assert classification.macro_f1([0, 1, -1], [0, 1, 1], 2) == 1.0


def test_hidden_faults_leave_the_mean_but_not_the_rows():
    y, y_pred = [0, 0, 1, 2], [0, 1, 1, 1]
    assert classification.macro_f1(y, y_pred, 3, without=[2]) == pytest.approx((2 / 3 + 0.5) / 2)
    with pytest.raises(ValueError, match="a class that counts"):
        classification.macro_f1(y, y_pred, 3, without=[0, 1, 2])


def test_the_limit_lets_the_wanted_share_of_normal_rows_over():
    rng = np.random.default_rng(0)
    score, normal = rng.random(2000), rng.random(2000) < 0.5
    limit = detection.alarm_limit(score, normal, 0.05)
    assert (score[normal] > limit).mean() == pytest.approx(0.05, abs=0.002)
    with pytest.raises(ValueError, match="normal must mark a row"):
        detection.alarm_limit(score, np.zeros(2000), 0.05)
    with pytest.raises(ValueError, match="alpha must be between 0 and 1, found 1"):
        detection.alarm_limit(score, normal, 1)


def test_an_alarm_takes_rows_in_a_row():
    over = np.array([1, 1, 0, 1, 1, 1, 1, 0])
    assert np.flatnonzero(detection.alarms(over, 3)).tolist() == [5, 6]
    assert np.flatnonzero(detection.alarms(over, 1)).tolist() == [0, 1, 3, 4, 5, 6]


def test_delays_begin_at_the_onset_of_each_run():
    runs = {  # over a limit, and faulty, row by row
        "a": ([0, 1, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1]),
        "b": ([1, 1, 1, 1], [0, 0, 1, 1]),
        "c": ([0, 0, 1], [1, 1, 1]),
        "d": ([1, 1], [0, 0]),
    }
    over, faulty = (np.concatenate([run[i] for run in runs.values()]) for i in (0, 1))
    groups = np.repeat(list(runs), [len(run[0]) for run in runs.values()])
    assert detection.detection_delays(over, faulty, groups, 2) == {"a": 2.0, "b": 0.0, "c": None}
