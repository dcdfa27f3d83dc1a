"""TensorBoard events: the history, written during training, where the extra is installed."""

import importlib.util

import numpy as np
import pytest

from ssavae import SSAVAE
from ssavae.app.runs.folder import Run, RunFolder
from ssavae.data.labelled import Reading
from ssavae.training import progress


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


@pytest.fixture
def short(tmp_path) -> SSAVAE:
    return SSAVAE(n_epochs=3, n_epochs_decoder=2, random_state=0, checkpoint_folder=tmp_path)


def test_every_number_of_the_history_is_an_event(short, toy_table, tmp_path):
    pytest.importorskip("tensorboard")
    model = short.fit(*toy_table)
    events = scalars(tmp_path)
    for step in ("vec", "decoder"):
        rows = [row for row in model.history_ if row["step"] == step]
        for name in set(rows[0]) - {"step", "epoch"}:
            epochs, values = zip(*events[f"{step}/{name}"], strict=True)
            assert list(epochs) == [row["epoch"] for row in rows]
            np.testing.assert_allclose(values, [row[name] for row in rows], rtol=1e-6)


def test_an_epoch_is_written_before_the_next_begins(tmp_path):
    pytest.importorskip("tensorboard")
    with progress.tensorboard_events(tmp_path) as record:
        assert record is not None
        record({"step": "vec", "epoch": 1, "loss_kl": 2.5})
        assert scalars(tmp_path) == {"vec/loss_kl": [(1, 2.5)]}


def test_events_of_a_replaced_run_are_removed(tmp_path):
    (tmp_path / "events.out.tfevents.1.old").touch()
    RunFolder(tmp_path).begin(Run("digits", Reading(), 0.2, None, {}))
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")] == ["resume/run.json"]


def test_nothing_is_written_without_the_extra(short, toy_table, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    short.fit(*toy_table)
    assert not list(tmp_path.glob("events.*"))
