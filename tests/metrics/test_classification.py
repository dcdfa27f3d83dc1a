from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssavae.metrics import classification


def test_accuracy_leaves_unlabelled_rows_out() -> None:
    assert classification.accuracy([0, 1, -1, -1], [0, 0, -1, 1]) == 0.5


def test_calibration_error_of_a_sure_and_wrong_model_is_one() -> None:
    probs = np.eye(3)[[0, 1, 2, 0]]
    assert classification.expected_calibration_error(probs, np.array([1, 2, 0, 1])) == pytest.approx(1)
    assert classification.expected_calibration_error(probs, np.array([0, 1, 2, -1])) == pytest.approx(0)


def test_reliability_agrees_with_the_calibration_error():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (3000, 4))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = rng.integers(-1, 4, 3000)
    confidence, right, n = classification.reliability(probs, y)
    assert n.sum() == (y >= 0).sum()
    error = np.sum(n * np.abs(confidence - right)) / n.sum()
    assert error == pytest.approx(classification.expected_calibration_error(probs, y), abs=1e-6)


def test_coverage_leaves_unlabelled_rows_out_and_refuses_classes_without_a_column():
    sets = np.array([[True, False], [False, False], [True, True]])
    assert classification.coverage(sets, [0, 1, -1]) == 0.5
    with pytest.raises(ValueError, match="y must be below the 2"):
        classification.coverage(sets, [0, 2, 1])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_scores_per_class_follow_from_counts(pairs: list[tuple[int, int]]) -> None:
    y, y_pred = np.array(pairs).T
    scores = classification.per_class(y, y_pred, 4)
    f1_of_present = []
    for c in range(4):
        tp = pairs.count((c, c))
        n_true = int((y == c).sum())
        n_predicted = int((y_pred == c).sum())
        precision = tp / n_predicted if n_predicted else np.nan
        if n_true == 0:
            expected = {"recall": np.nan, "precision": precision, "f1": np.nan}
        else:
            f1 = 2 * tp / (n_true + n_predicted)
            expected = {"recall": tp / n_true, "precision": np.nan_to_num(precision), "f1": f1}
            f1_of_present.append(f1)
        for name, value in expected.items():
            np.testing.assert_allclose(scores[name][c], value, err_msg=f"{name} of class {c}")
    assert classification.macro_f1(y, y_pred, 4) == pytest.approx(np.mean(f1_of_present))


def test_macro_f1_leaves_unlabelled_rows_out() -> None:
    assert classification.macro_f1([0, 1, -1], [0, 1, 1], 2) == 1.0


def test_macro_f1_without_a_class_still_counts_its_rows() -> None:
    y, y_pred = [0, 0, 1, 2], [0, 1, 1, 1]
    assert classification.macro_f1(y, y_pred, 3, without=[2]) == pytest.approx((2 / 3 + 0.5) / 2)
    with pytest.raises(ValueError, match="a class that counts"):
        classification.macro_f1(y, y_pred, 3, without=[0, 1, 2])


def test_import_loads_no_plotting() -> None:
    code = "import sys, ssavae.metrics.classification; sys.exit('matplotlib' in sys.modules)"
    paths = {"PYTHONPATH": str(Path(classification.__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", code], env=paths, check=False).returncode == 0


NAN = np.array([[0.0, np.nan]])
BAD: list[tuple[Callable[..., object], tuple[Any, ...], str]] = [
    (classification.agreement, (np.zeros((2, 3)), [0]), r"y must have shape \(2,\), found \(1,\)"),
    (classification.agreement, (np.zeros((2, 3)), [-1, -1]), "y must have a labelled row, found none in 2"),
    (classification.agreement, (NAN, [0]), "logits must be finite, found 1 NaN"),
    (classification.agreement, (np.zeros((0, 3)), []), r"logits is empty, found shape \(0, 3\)"),
    (classification.accuracy, ([0.5], [1]), "y must hold integer class indices, found dtype float64"),
    (classification.accuracy, ([0, 1], [1]), r"y_pred must have shape \(2,\), found \(1,\)"),
    (classification.expected_calibration_error, (np.ones((2, 2)), [0, 1]), "probs must be >= 0 and sum to 1"),
    (
        classification.expected_calibration_error,
        (np.eye(2), [0, 2]),
        "y must be below the 2 columns of probs, found 2",
    ),
    (classification.per_class, ([-1], [0], 2), "y must have a labelled row, found none in 1"),
    (classification.per_class, ([0], [2], 2), "y_pred must be below the 2 class names, found 2"),
]


@pytest.mark.parametrize(("function", "args", "message"), BAD)
def test_bad_input_raises_an_error_that_names_the_argument_and_the_value(
    function: Callable[..., object], args: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        function(*args)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("n", "n_classes", "n_bins"), [(500, 3, 15), (40, 10, 7), (3, 2, 1)])
def test_calibration_error_agrees_with_torchmetrics(n: int, n_classes: int, n_bins: int) -> None:
    from torchmetrics.functional.classification import multiclass_calibration_error

    rng = np.random.default_rng(n)
    probs, y = rng.dirichlet(np.ones(n_classes), n), rng.integers(0, n_classes, n)
    wanted = multiclass_calibration_error(torch.from_numpy(probs), torch.from_numpy(y), n_classes, n_bins)
    error = classification.expected_calibration_error(probs, y, n_bins)
    assert error == pytest.approx(float(wanted), abs=1e-6)
