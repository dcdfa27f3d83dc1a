"""events: the history as TensorBoard reads it, written while training goes on, and only where it can be."""

import importlib.util

import numpy as np
import pytest

from ssavae import SSAVAE
from ssavae.app.runs.folder import Run, begin
from ssavae.data.labelled import Reading
from ssavae.training import progress


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


@pytest.fixture
def short(tmp_path) -> SSAVAE:
    return SSAVAE(n_epochs=3, n_epochs_decoder=2, random_state=0, checkpoint_folder=tmp_path)


def test_every_number_of_the_history_is_an_event(short, toy_table, tmp_path):
    pytest.importorskip("tensorboard")
    model = short.fit(*toy_table)
    found = scalars(tmp_path)
    for step in ("vec", "decoder"):
        rows = [row for row in model.history_ if row["step"] == step]
        for name in set(rows[0]) - {"step", "epoch"}:
            assert [epoch for epoch, _ in found[f"{step}/{name}"]] == [row["epoch"] for row in rows]
            np.testing.assert_allclose(
                [v for _, v in found[f"{step}/{name}"]], [r[name] for r in rows], rtol=1e-6
            )


def test_an_epoch_can_be_seen_before_the_next(tmp_path):
    pytest.importorskip("tensorboard")
    with progress.recording(tmp_path) as record:
        record({"step": "vec", "epoch": 1, "loss_kl": 2.5})
        assert scalars(tmp_path) == {"vec/loss_kl": [(1, 2.5)]}


def test_events_of_a_run_that_is_replaced_go(tmp_path):
    (tmp_path / "events.out.tfevents.1.old").touch()
    begin(tmp_path, Run("digits", Reading(), 0.2, None, {}))
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_nothing_is_written_without_the_extra(short, toy_table, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    short.fit(*toy_table)
    assert not list(tmp_path.glob("events.*"))
