"""The paper's figures, reproduced on the embedded digits: small, with the code of the full ones."""

import json

import numpy as np
import pytest

from ssavae._checks import UsageError
from ssavae.app.cli import main
from ssavae.app.experiments.database import FULL, Budget, Study
from ssavae.app.experiments.figure9 import figure9, train_cells
from ssavae.app.experiments.reproduce import reproduce_figures

SMALL = Budget(updates=6, n_train=400, n_epochs=3, n_test=120, latent_dims=(2, 5), betas=(0.0, 0.1))


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    return Study("digits", tmp_path_factory.mktemp("reproduce"), SMALL, seed=0, device="cpu")


@pytest.fixture(scope="module")
def cells(study):
    return list(train_cells(study))


def test_the_grid_of_the_paper_is_the_default():
    assert FULL.latent_dims == (2, 100)
    assert FULL.gammas == (0.0, 0.1)
    assert FULL.betas == (0.0, 0.001, 0.003, 0.005, 0.01, 0.05, 0.1)
    assert FULL.n_train is None
    assert FULL.n_epochs is None


def test_every_cell_of_the_grid_is_trained_for_the_same_updates(cells):
    positions = {(cell.latent_dim, cell.gamma, cell.beta) for cell in cells}
    assert positions == {(k, g, b) for k in (2, 5) for g in (0.0, 0.1) for b in (0.0, 0.1)}
    assert {cell.metrics["updates"] for cell in cells} == {6}


def test_cells_of_a_latent_size_share_one_vec_and_differ_in_their_decoders(study, cells):
    assert sorted(path.name for path in study.folder.glob("k*")) == ["k2", "k5"]
    losses = {cell.metrics["loss_rec"] for cell in cells}
    assert len(losses) == len(cells)
    assert all(("loss_adv" in cell.metrics) == (cell.beta > 0) for cell in cells)
    assert all(("loss_latent" in cell.metrics) == (cell.gamma > 0) for cell in cells)


def test_cells_show_inputs_that_the_judge_classifies_right(study, cells):
    classes = study.labels[study.shown_rows]
    assert len(set(classes)) == len(classes) > 5
    for cell in cells:
        assert cell.images.shape == (len(classes), 8, 8, 1)
        assert 0 <= cell.images.min() < cell.images.max() <= 1
        assert cell.predicted.shape == classes.shape


def test_a_finished_cell_is_not_trained_again_and_a_missing_one_is(study, cells):
    files = sorted((study.folder / "cells_6").glob("*.npz"))
    assert len(files) == len(cells)
    files[0].unlink()
    before = {path: path.stat().st_mtime_ns for path in files[1:]}
    again = list(train_cells(Study("digits", study.folder.parent, SMALL, seed=0, device="cpu")))
    assert files[0].is_file()
    assert {path: path.stat().st_mtime_ns for path in files[1:]} == before
    for cell, same in zip(cells, again, strict=True):
        assert cell.metrics["pixel_error"] == pytest.approx(same.metrics["pixel_error"], rel=1e-4)


def test_figure_9_leaves_sheet_curves_and_numbers(study, cells, tmp_path):
    files = figure9(study, tmp_path, "the command")
    assert [path.name for path in files] == [
        "figure9_digits.png",
        "regimes_digits.png",
        "figure9_digits.json",
    ]
    document = json.loads(files[2].read_text())
    assert document["command"] == "the command"
    assert len(document["cells"]) == len(cells)
    measures = {"agreement", "frechet", "frechet_samples", "sharpness", "ssim", "perceptual", "pixel_error"}
    assert all(measures <= cell.keys() and cell["minutes"] > 0 for cell in document["cells"])
    assert 0 <= document["judge_accuracy"] <= 1
    assert document["vec"]["k5"]["accuracy"] > 0.2


def test_figure_7_draws_the_map_and_says_how_good_it_is(study, tmp_path, monkeypatch):
    monkeypatch.setattr("ssavae.app.experiments.reproduce.FAST", SMALL)
    arguments = {"fast": True, "updates": None, "n_train": None, "seed": 0, "device": "cpu", "command": "c"}
    files = list(reproduce_figures("figure7", study.folder.parent, ["digits"], **arguments))
    assert [path.name for path in files] == ["figure7.png", "figure7.json"]
    metrics = json.loads(files[1].read_text())["digits"]
    assert {"accuracy", "knn_accuracy", "silhouette", "trustworthiness", "minutes_vec"} <= metrics.keys()
    model = study.vec(2)
    assert metrics["accuracy"] == pytest.approx(np.mean(model.predict(study.test.x) == study.test.y))


def test_a_study_of_another_seed_is_refused(study):
    with pytest.raises(UsageError, match="choose another --out"):
        Study("digits", study.folder.parent, SMALL, seed=1, device="cpu")


def test_a_table_cannot_be_reproduced(data_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SSAVAE_DATA", str(data_folder))
    with pytest.raises(ValueError, match="image"):
        Study("tennessee_eastman", tmp_path, SMALL, seed=0, device="cpu")


def test_an_unknown_figure_is_named(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["reproduce", "figure8"])
    assert stop.value.code == 2
    assert "figure8" in capsys.readouterr().err
