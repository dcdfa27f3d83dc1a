"""Fault detection metrics, by hand."""

import numpy as np
import pytest

from ssavae.metrics import detection


def test_alarm_limit_is_exceeded_by_a_fraction_alpha_of_the_normal_rows():
    rng = np.random.default_rng(0)
    score, normal = rng.random(2000), rng.random(2000) < 0.5
    limit = detection.alarm_limit(score, normal, 0.05)
    assert (score[normal] > limit).mean() == pytest.approx(0.05, abs=0.002)
    with pytest.raises(ValueError, match="normal must mark a row"):
        detection.alarm_limit(score, np.zeros(2000), 0.05)
    with pytest.raises(ValueError, match="alpha must be between 0 and 1, found 1"):
        detection.alarm_limit(score, normal, 1)


def test_alarm_needs_consecutive_rows():
    over = np.array([1, 1, 0, 1, 1, 1, 1, 0])
    assert np.flatnonzero(detection.alarms(over, 3)).tolist() == [5, 6]
    assert np.flatnonzero(detection.alarms(over, 1)).tolist() == [0, 1, 3, 4, 5, 6]


def test_delays_are_counted_from_the_onset_of_each_run():
    runs = {  # over a limit, and faulty, row by row
        "a": ([0, 1, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1]),
        "b": ([1, 1, 1, 1], [0, 0, 1, 1]),
        "c": ([0, 0, 1], [1, 1, 1]),
        "d": ([1, 1], [0, 0]),
    }
    over, faulty = (np.concatenate([run[i] for run in runs.values()]) for i in (0, 1))
    groups = np.repeat(list(runs), [len(run[0]) for run in runs.values()])
    assert detection.detection_delays(over, faulty, groups, 2) == {"a": 2.0, "b": 0.0, "c": None}
