"""The judge of photographs of a study: trained on all rows, announced, given as a file."""

import json

import numpy as np
import pytest

from ssavae._checks import UsageError
from ssavae.app.experiments import database, photograph_judge
from ssavae.app.experiments.database import Budget, Study
from ssavae.app.experiments.photograph_judge import train_on_photographs
from ssavae.data.labelled import LabelledData
from ssavae.data.partition import Part, read
from ssavae.metrics.judge import judge_logits, load_judge

BUDGET = Budget(
    updates=2, n_train=1000, n_epochs=1, n_test=40, latent_dims=(2,), betas=(0.0,), judge_epochs=2
)
RNG = np.random.default_rng(0)


def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw noise, (n, 16, 16, 3) of uint8, that is bright in the colour of its class."""
    y = np.arange(n) % 3
    x = RNG.integers(0, 120, (n, 16, 16, 3), dtype=np.uint8)
    x[np.arange(n), :, :, y] += 120
    return x, np.array(["blue", "green", "red"])[y]


@pytest.fixture(scope="module", autouse=True)
def photographs():
    """Data of the name "photographs", and small batches."""
    (x, y), (x_test, y_test) = draw(1200), draw(60)
    data = LabelledData("photographs", x, y, x_test, y_test, kind="image")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "read", lambda name: data if name == "photographs" else read(name))
        patch.setattr(photograph_judge, "BATCH_SIZE", 30)
        yield


def open_study(root, data="photographs", judge=None):
    return Study(data, root, BUDGET, seed=0, device="cpu", judge=judge)


@pytest.fixture(scope="module")
def study(photographs, tmp_path_factory):
    study = open_study(tmp_path_factory.mktemp("study"))
    train_on_photographs(study.all_train, study.test, 2, study.folder, "cpu")
    return study


def test_the_judge_learns_from_all_rows_of_the_database(study):
    protocol = study.judge_protocol()
    assert protocol["rows"] == 1200 > len(study.train.x)
    assert protocol["network"] == "photograph"
    assert protocol["accuracy"] > 0.9
    assert protocol["minutes"] > 0 and protocol["git_commit"]
    assert study.judge.network == "photograph"
    assert (study.real_logits.argmax(1) == study.labels).mean() > 0.9
    assert sorted(path.name for path in study.folder.glob("judge*")) == ["judge.json", "judge.safetensors"]


def test_how_long_it_takes_is_said_before_it_starts(tmp_path, capsys):
    part = Part(*draw(90))
    train_on_photographs(part, Part(*draw(9)), 3, tmp_path, "cpu")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("judge: 3 epochs of 90 photographs, about ")
    assert lines[0].endswith(" minutes")
    assert lines[1:4] == [f"judge: epoch {i} of 3" for i in (1, 2, 3)]
    assert lines[4].startswith("judge: reads ") and lines[4].endswith(" of 9 test images")


def test_a_stopped_training_leaves_the_judge_of_its_last_epoch(tmp_path, monkeypatch):
    def stop(*words, **_):
        if "epoch 2" in words[0]:
            raise KeyboardInterrupt

    monkeypatch.setattr("builtins.print", stop)
    x, y = draw(90)
    with pytest.raises(KeyboardInterrupt):
        train_on_photographs(Part(x, y), Part(*draw(9)), 3, tmp_path, "cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["judge_unfinished.safetensors"]
    assert judge_logits(load_judge(tmp_path / "judge_unfinished.safetensors"), x[:2] / 255).shape == (2, 3)


def test_a_trained_judge_can_be_given(study, tmp_path):
    file = study.folder / "judge.safetensors"
    given = open_study(tmp_path, judge=file)
    assert (given.folder / "judge.safetensors").read_bytes() == file.read_bytes()
    assert given.judge_protocol() == study.judge_protocol()
    again = open_study(tmp_path, judge=file)
    assert again.folder == given.folder


def test_a_judge_without_its_protocol_is_named(study, tmp_path):
    file = tmp_path / "mine.safetensors"
    file.write_bytes((study.folder / "judge.safetensors").read_bytes())
    given = open_study(tmp_path / "out", judge=file)
    assert given.judge_protocol() == {"file": "mine.safetensors"}


def test_another_judge_than_that_of_the_folder_is_refused(study, tmp_path):
    other = tmp_path / "other.safetensors"
    x, y = draw(60)
    train_on_photographs(Part(x, y), Part(x, y), 1, tmp_path, "cpu")
    (tmp_path / "judge.safetensors").rename(other)
    before = (study.folder / "judge.safetensors").read_bytes()
    with pytest.raises(UsageError, match=r"holds results of another judge than .*other.safetensors"):
        open_study(study.folder.parent, judge=other)
    assert (study.folder / "judge.safetensors").read_bytes() == before


def test_a_judge_of_other_images_is_refused(study, tmp_path):
    with pytest.raises(
        UsageError, match=r"knows 3 classes of rows \(16, 16, 3\), the data has 10 of rows \(8, 8\)"
    ):
        open_study(tmp_path, "digits", judge=study.folder / "judge.safetensors")


def test_a_file_without_a_judge_is_refused(tmp_path):
    file = tmp_path / "judge.safetensors"
    file.write_text(json.dumps({"judge": 1}))
    with pytest.raises(ValueError, match="path must name a judge's file"):
        open_study(tmp_path / "out", judge=file)
