"""`ssavae train` opens, scans and hashes the training rows once, whatever the data is."""

import numpy as np
import pandas as pd
import pytest

from ssavae.app import cli
from ssavae.preprocessing import inputs

N_ROWS = 90


@pytest.fixture
def scanned(monkeypatch) -> list[int]:
    """Numbers of rows of every scan."""
    lengths: list[int] = []
    scan_rows = inputs.scan_rows

    def counting(values):
        lengths.append(len(values))
        return scan_rows(values)

    monkeypatch.setattr(inputs, "scan_rows", counting)
    return lengths


def write_csv(folder, rng, y):
    frame = pd.DataFrame(
        {"a": rng.normal(size=N_ROWS) + y, "colour": np.array(["red", "blue"])[y % 2], "y": y}
    )
    frame.to_csv(folder / "data.csv", index=False)
    return [folder / "data.csv", "--label", "y", "--labels-per-class", "9"]


def write_npz(folder, rng, y):
    x = rng.random((N_ROWS, 9, 9)).astype(np.float32)
    np.savez(folder / "data.npz", X=x, y=y)
    return [folder / "data.npz"]


@pytest.mark.parametrize("write", [write_csv, write_npz])
def test_training_rows_are_scanned_once(write, scanned, tmp_path):
    rng = np.random.default_rng(0)
    words = ["train", *write(tmp_path, rng, np.arange(N_ROWS) % 3), "--out", tmp_path / "run"]
    words += ["--set", "n_epochs=1", "--set", "n_epochs_decoder=1", "--set", "widths=4,4", "--no-pictures"]
    with pytest.raises(SystemExit) as stop:
        cli.main([str(word) for word in words])
    assert not stop.value.code
    n_training = N_ROWS - len(pd.read_json(tmp_path / "run" / "split.json"))
    assert scanned.count(N_ROWS) == 1  # to check, to hash for split.json, labels.json and the model
    assert n_training < N_ROWS and n_training not in scanned  # what `fit` gets is not scanned again
