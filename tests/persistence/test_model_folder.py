"""Model folders that are complete or refused, and training states that are read as they were written."""

import json

import numpy as np
import pytest
import torch

from ssavae import _serialize
from ssavae.networks import Spec, build_networks
from ssavae.persistence import model_folder, training_state


@pytest.fixture
def folder(tmp_path):
    model_folder.save_model(tmp_path, {"a": [1, 2.5, "x", None]}, {"net.w": torch.arange(6.0).reshape(2, 3)})
    return tmp_path


def test_a_model_is_read_as_it_was_written(folder):
    model, weights = model_folder.load_model(folder)
    assert model == {"a": [1, 2.5, "x", None]}
    assert torch.equal(weights["net.w"], torch.arange(6.0).reshape(2, 3))
    assert sorted(path.name for path in folder.iterdir()) == [
        model_folder.MODEL_FILE,
        model_folder.WEIGHTS_FILE,
    ]


@pytest.mark.parametrize("name", [model_folder.MODEL_FILE, model_folder.WEIGHTS_FILE])
def test_any_flipped_byte_is_found(folder, name):
    good = (folder / name).read_bytes()
    for position in np.random.default_rng(0).choice(len(good), size=min(len(good), 60), replace=False):
        bad = bytearray(good)
        bad[position] ^= 0x01
        if name == model_folder.MODEL_FILE and json_equal(good, bytes(bad)):
            continue  # white space
        (folder / name).write_bytes(bad)
        with pytest.raises(ValueError, match=r"damaged|schema version"):
            model_folder.load_model(folder)


def json_equal(a: bytes, b: bytes) -> bool:
    try:
        return json.loads(a) == json.loads(b)
    except ValueError:
        return False


@pytest.mark.parametrize("name", [model_folder.MODEL_FILE, model_folder.WEIGHTS_FILE])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        model_folder.load_model(folder)
    with pytest.raises(FileNotFoundError, match="no model folder at"):
        model_folder.load_model(folder / "nowhere")


def test_a_newer_schema_is_refused(folder):
    document = json.loads((folder / model_folder.MODEL_FILE).read_text())
    document["schema_version"] = model_folder.SCHEMA_VERSION + 1
    (folder / model_folder.MODEL_FILE).write_text(json.dumps(document))
    with pytest.raises(
        ValueError, match=f"schema version {model_folder.SCHEMA_VERSION + 1}, this ssavae reads"
    ):
        model_folder.load_model(folder)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    model_folder.save_model(tmp_path, {}, {"net.w": torch.tensor([1.0, float("nan")])})
    with pytest.raises(ValueError, match=r"'net\.w' holds NaN"):
        model_folder.load_model(tmp_path)


def test_weights_of_another_shape_are_named():
    module = torch.nn.Linear(2, 3)
    with pytest.raises(ValueError, match=r"net\.weight is \(4, 2\), the network .* has \(3, 2\)"):
        model_folder.load_weights(
            module, {"net.weight": torch.zeros(4, 2), "net.bias": torch.zeros(3)}, "net"
        )
    with pytest.raises(ValueError, match=r"net\.bias is nothing"):
        model_folder.load_weights(module, {"net.weight": torch.zeros(3, 2)}, "net")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    _serialize.write_atomically(tmp_path / "file", b"old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        _serialize.write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_state_is_read_with_its_types_and_integer_keys(tmp_path):
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


def test_the_history_is_read_as_it_was_written(tmp_path):
    history = [{"step": "vec", "epoch": 1, "loss_kl": 0.5}, {"step": "decoder", "epoch": 1, "loss_rec": 0.25}]
    model_folder.save_history(tmp_path, history)
    assert model_folder.load_history(tmp_path) == history
    assert model_folder.load_history(tmp_path / "elsewhere") == []


def test_weights_of_all_networks_are_named_saved_and_loaded_into_eval_mode():
    spec = Spec((4,), 2, 3, bounded=False, widths=(8,), student_widths=(8,))
    networks = build_networks(spec, with_detail=False)
    weights = {name: value.clone() for name, value in model_folder.network_weights(networks).items()}
    assert {name.partition(".")[0] for name in weights} == {"vec", "decoder", "discriminator"}
    others = build_networks(spec, with_detail=False)
    model_folder.load_networks(others, weights | {"class_scores": torch.zeros(3)})
    loaded = model_folder.network_weights(others)
    assert weights.keys() == loaded.keys()
    assert [name for name in weights if not torch.equal(weights[name], loaded[name])] == []
    assert not any(part.training for network in others for part in network.modules())
    with pytest.raises(ValueError, match=r"decoder\..* is nothing"):
        model_folder.load_networks(others, {k: v for k, v in weights.items() if not k.startswith("decoder")})
