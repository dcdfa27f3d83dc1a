"""Run folders that the version before the move into packages wrote: they load, predict and evaluate alike."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ssavae.app import cli
from ssavae.app.runs.folder import RunFolder
from ssavae.training.augmentations import AUGMENTATIONS

FIXTURES = Path(__file__).parents[2] / "fixtures" / "before_move"
RUNS = ["table", "digits"]


@pytest.fixture(params=RUNS)
def kind(request) -> str:
    return request.param


@pytest.fixture
def run(kind, tmp_path) -> Path:
    """A copy, since `ssavae evaluate` writes into a run folder."""
    return shutil.copytree(FIXTURES / f"{kind}_run", tmp_path / "run")


@pytest.fixture
def data(kind) -> str:
    return str(FIXTURES / "parts.csv") if kind == "table" else "digits"


def ssavae(*words: object) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([str(word) for word in words])
    assert not stop.value.code


def test_run_and_model_load_with_augmentations_of_today(kind, run):
    folder = RunFolder(run)
    settings = folder.read_run()
    model = folder.load_model()
    assert settings is not None and settings.data == {"table": "parts.csv", "digits": "digits"}[kind]
    assert (
        settings.parameters["augment"] == model.augment == {"table": ("noise", "mixup"), "digits": ()}[kind]
    )
    assert set(model.augment) <= AUGMENTATIONS.keys()


def test_predictions_are_the_same(kind, run, data, tmp_path):
    path = tmp_path / "predictions.csv"
    ssavae("predict", run, data, "--out", path)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    expected = list(csv.DictReader((FIXTURES / f"{kind}_predictions.csv").read_text().splitlines()))
    assert list(rows[0]) == list(expected[0])
    for name in ("row", "class"):
        assert [row[name] for row in rows] == [row[name] for row in expected]
    for name in ("probability", "z0", "z1"):
        values, before = (np.array([float(row[name]) for row in each]) for each in (rows, expected))
        np.testing.assert_allclose(values, before, rtol=0, atol=1e-5)


def test_the_same_rows_are_evaluated(run, data):
    ssavae("evaluate", run, data)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["evaluate"]["rows"] == metrics["rows"]
    assert metrics["evaluate"]["accuracy"] == pytest.approx(metrics["accuracy"])


def test_labels_are_those_that_were_learned_from(kind, run, data):
    _, loaded = RunFolder(run).load_model_and_data(data)
    mask = RunFolder(run).read_labelled(loaded)
    if kind == "digits":
        assert mask is None
    else:
        assert mask is not None
        assert np.flatnonzero(mask).tolist() == json.loads((run / "labels.json").read_text())["labelled"]
