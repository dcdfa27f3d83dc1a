"""Folders that are whole or refused, and states that come back as they were."""

import json

import numpy as np
import pytest
import torch

from ssavae import _serialize
from ssavae.persistence import model_folder as C
from ssavae.persistence import training_state


@pytest.fixture
def folder(tmp_path):
    C.save_model(tmp_path, {"a": [1, 2.5, "x", None]}, {"net.w": torch.arange(6.0).reshape(2, 3)})
    return tmp_path


def test_a_model_comes_back(folder):
    model, weights = C.load_model(folder)
    assert model == {"a": [1, 2.5, "x", None]}
    assert torch.equal(weights["net.w"], torch.arange(6.0).reshape(2, 3))
    assert sorted(path.name for path in folder.iterdir()) == [C.MODEL_FILE, C.WEIGHTS_FILE]


@pytest.mark.parametrize("name", [C.MODEL_FILE, C.WEIGHTS_FILE])
def test_any_flipped_byte_is_found(folder, name):
    good = (folder / name).read_bytes()
    for place in np.random.default_rng(0).choice(len(good), size=min(len(good), 60), replace=False):
        bad = bytearray(good)
        bad[place] ^= 0x01
        if name == C.MODEL_FILE and json_equal(good, bytes(bad)):
            continue  # white space
        (folder / name).write_bytes(bad)
        with pytest.raises(ValueError, match=r"damaged|schema version"):
            C.load_model(folder)


def json_equal(a: bytes, b: bytes) -> bool:
    try:
        return json.loads(a) == json.loads(b)
    except ValueError:
        return False


@pytest.mark.parametrize("name", [C.MODEL_FILE, C.WEIGHTS_FILE])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        C.load_model(folder)
    with pytest.raises(FileNotFoundError, match="no model folder at"):
        C.load_model(folder / "nowhere")


def test_a_newer_schema_is_refused(folder):
    document = json.loads((folder / C.MODEL_FILE).read_text())
    document["schema_version"] = C.SCHEMA_VERSION + 1
    (folder / C.MODEL_FILE).write_text(json.dumps(document))
    with pytest.raises(ValueError, match=f"schema version {C.SCHEMA_VERSION + 1}, this ssavae reads"):
        C.load_model(folder)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    C.save_model(tmp_path, {}, {"net.w": torch.tensor([1.0, float("nan")])})
    with pytest.raises(ValueError, match=r"'net\.w' holds NaN"):
        C.load_model(tmp_path)


def test_weights_of_another_shape_are_named():
    module = torch.nn.Linear(2, 3)
    with pytest.raises(ValueError, match=r"net\.weight is \(4, 2\), the network .* has \(3, 2\)"):
        C.load_weights(module, {"net.weight": torch.zeros(4, 2), "net.bias": torch.zeros(3)}, "net")
    with pytest.raises(ValueError, match=r"net\.bias is nothing"):
        C.load_weights(module, {"net.weight": torch.zeros(3, 2)}, "net")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    _serialize.write_atomically(tmp_path / "file", b"old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        _serialize.write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_state_comes_back_with_types_and_integer_keys(tmp_path):
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(3))], lr=0.1)
    optimizer.param_groups[0]["params"][0].sum().backward()
    optimizer.step()
    state: dict = {
        "o": optimizer.state_dict(),
        "rng": torch.get_rng_state(),
        "n": None,
        "f": 0.1,
        "l": [1, ["x"]],
        5: True,
    }
    training_state.save_state(tmp_path, state)
    again: dict = training_state.load_state(tmp_path)
    assert again["o"]["param_groups"] == [{**state["o"]["param_groups"][0], "betas": [0.9, 0.999]}]
    assert torch.equal(again["o"]["state"][0]["exp_avg"], state["o"]["state"][0]["exp_avg"])
    assert torch.equal(again["rng"], state["rng"]) and again["rng"].dtype == torch.uint8
    assert (again["n"], again["f"], again["l"], again[5]) == (None, 0.1, [1, ["x"]], True)


def test_a_state_that_is_missing_or_damaged_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        training_state.load_state(tmp_path)
    training_state.save_state(tmp_path, {"w": torch.ones(100)})
    path = tmp_path / training_state.RESUME_FOLDER / training_state.STATE_FILE
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="damaged"):
        training_state.load_state(tmp_path)
    training_state.drop_state(tmp_path)
    assert not training_state.has_state(tmp_path)
    assert not (tmp_path / training_state.RESUME_FOLDER).exists()


def test_history_comes_back(tmp_path):
    history = [{"step": "vec", "epoch": 1, "loss_kl": 0.5}, {"step": "decoder", "epoch": 1, "loss_rec": 0.25}]
    C.save_history(tmp_path, history)
    assert C.load_history(tmp_path) == history
    assert C.load_history(tmp_path / "elsewhere") == []
