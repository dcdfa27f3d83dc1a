"""Model folders that are complete or refused, and training states that are read as they were written."""

import json

import numpy as np
import pytest
import torch

from ssavae import _serialize
from ssavae.networks import Spec, build_networks
from ssavae.persistence import model_folder, schema, training_state

HISTORY = [{"step": "vec", "epoch": 1, "loss_kl": 0.5}, {"step": "decoder", "epoch": 1, "loss_rec": 0.25}]


@pytest.fixture
def folder(tmp_path):
    weights = {"net.w": torch.arange(6.0).reshape(2, 3)}
    model_folder.save_model(tmp_path, {"a": [1, 2.5, "x", None]}, weights, HISTORY)
    return tmp_path


def test_a_model_is_read_as_it_was_written(folder):
    model, weights, history = model_folder.load_model(folder)
    assert model == {"a": [1, 2.5, "x", None]}
    assert torch.equal(weights["net.w"], torch.arange(6.0).reshape(2, 3))
    assert history == HISTORY
    assert sorted(path.name for path in folder.iterdir()) == [
        model_folder.HISTORY_FILE,
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


@pytest.mark.parametrize(
    "content", [b"step,epoch\nvec,x\n", b"step\nvec,1,2\n", b"a\n1\n", b"\xff\xfe", b'"' + b"a" * 200_000]
)
def test_a_damaged_history_is_warned_of_and_empty(folder, content):
    (folder / model_folder.HISTORY_FILE).write_bytes(content)
    with pytest.warns(UserWarning, match=r"history\.csv is damaged, history_ is empty: its checksum"):
        assert model_folder.load_model(folder)[2] == []
    document = json.loads((folder / model_folder.MODEL_FILE).read_text())
    document |= {"history_sha256": _serialize.sha256(content)}
    document["sha256"] = schema.document_sha256(document)
    (folder / model_folder.MODEL_FILE).write_text(json.dumps(document))
    with pytest.warns(UserWarning, match=r"history\.csv is damaged, history_ is empty: "):
        assert model_folder.load_model(folder)[2] == []


def test_a_model_without_history_loads(folder):
    (folder / model_folder.HISTORY_FILE).unlink()
    assert model_folder.load_model(folder)[2] == []


def test_weights_of_all_networks_are_named_saved_and_loaded_into_eval_mode():
    spec = Spec((4,), 2, 3, bounded=False, widths=(8,), student_widths=(8,))
    networks = build_networks(spec, with_detail=False)
    weights = {name: value.clone() for name, value in model_folder.network_weights(networks).items()}
    assert {name.partition(".")[0] for name in weights} == {"vec", "decoder", "discriminator"}
    others = build_networks(spec, with_detail=False)
    model_folder.load_networks(others, weights)
    loaded = model_folder.network_weights(others)
    assert weights.keys() == loaded.keys()
    assert [name for name in weights if not torch.equal(weights[name], loaded[name])] == []
    assert not any(part.training for network in others for part in network.modules())


LOGIT = "discriminator.logit.bias"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({LOGIT: torch.zeros(2)}, r"logit\.bias is \(2,\), wanted is \(1,\)"),
        ({LOGIT: torch.zeros(1, dtype=torch.bool)}, r"logit\.bias is torch\.bool, wanted is torch\.float32"),
        ({LOGIT: torch.tensor([torch.nan])}, r"'discriminator\.logit\.bias' holds NaN or infinity"),
        ({"decoder.more": torch.zeros(1)}, r"decoder\.more is \(1,\), wanted is nothing"),
        ({LOGIT: None}, r"logit\.bias is nothing, wanted is \(1,\)"),
    ],
)
def test_weights_that_do_not_fit_the_networks_are_refused(changed, message):
    networks = build_networks(Spec((4,), 2, 3, bounded=False, widths=(8,)), with_detail=False)
    weights = model_folder.network_weights(networks) | changed
    with pytest.raises(ValueError, match=message):
        model_folder.load_networks(networks, {name: t for name, t in weights.items() if t is not None})
