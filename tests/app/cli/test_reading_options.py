"""Options of reading: the same on every command, stored with the run, overridden by what is given."""

import numpy as np
import pytest
from PIL import Image

from ssavae.app import cli

QUICK = [
    "--no-pictures",
    "--set",
    "n_epochs=1",
    "--set",
    "n_epochs_decoder=1",
    "--set",
    "widths=8,4",
    "--set",
    "batch_size=16",
]
RNG = np.random.default_rng(0)


def ssavae(*words: object) -> int:
    with pytest.raises(SystemExit) as exit:
        cli.main([str(word) for word in words])
    return int(exit.value.code or 0)


@pytest.fixture
def table(tmp_path):
    rows = [f"{RNG.normal():.3f};{RNG.normal():.3f};{'äb'[i % 2]}".replace(".", ",") for i in range(40)]
    path = tmp_path / "a.csv"
    path.write_bytes("\n".join(["größe;b;art", *rows]).encode("cp1252"))
    return path


def test_a_table_of_another_country(tmp_path, table, capsys):
    run = tmp_path / "run"
    assert ssavae("train", table, "--label", "art", "--out", run, *QUICK) == 1
    assert "give its --encoding" in capsys.readouterr().err
    options = ("--encoding", "cp1252", "--sep", ";", "--decimal", ",")
    assert ssavae("train", table, "--label", "art", "--out", run, *options, *QUICK) == 0
    assert ssavae("evaluate", run, table) == 0  # as the run says
    other = tmp_path / "other.csv"
    text = table.read_bytes().decode("cp1252").replace(",", ".").replace(";", ",")
    other.write_bytes(text.encode())
    capsys.readouterr()
    words = ("predict", run, other, "--sep", ",", "--decimal", ".", "--encoding", "utf-8", "--out")
    assert ssavae(*words, tmp_path / "p.csv") == 0
    assert ssavae("predict", run, table, "--out", tmp_path / "q.csv") == 0
    assert (tmp_path / "p.csv").read_text() == (tmp_path / "q.csv").read_text()
    assert ssavae("monitor", run, table, "--out", tmp_path / "m.csv") == 0


def test_images_are_resized_for_training_and_prediction(tmp_path, capsys):
    for i in range(24):
        path = tmp_path / "images" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 255, (12 + i % 3, 12), dtype=np.uint8)).save(path)
    run = tmp_path / "run"
    words = ("train", tmp_path / "images", "--out", run, *QUICK)
    assert ssavae(*words) == 1 and "--resize" in capsys.readouterr().err
    assert ssavae(*words, "--resize", "0x5") == 2 and "give height and width" in capsys.readouterr().err
    assert ssavae(*words, "--resize", "10x8") == 0
    assert ssavae("predict", run, tmp_path / "images", "--out", tmp_path / "p.csv") == 0
