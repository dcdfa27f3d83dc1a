"""Results of batches on a device: those of each row alone, in their order, whatever is computed at once."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ssavae import SSAVAE, load
from ssavae.inference import transfer
from ssavae.inference.predictor import Predictor
from ssavae.inference.transfer import BATCH, BATCH_ON_DEVICE, one_behind, outputs, padded, rows_at_once
from ssavae.networks import Spec, build_networks

SPEC = Spec((1, 8, 8), 2, 3, bounded=True, widths=(4, 4))
QUICK: dict = {"n_epochs": 1, "n_epochs_decoder": 1, "widths": (4, 4), "random_state": 0}


def test_a_device_always_computes_as_many_rows():
    assert rows_at_once(torch.device("cpu")) == BATCH
    assert rows_at_once(torch.device("meta")) == BATCH_ON_DEVICE
    x = torch.arange(6.0).reshape(3, 2)
    assert torch.equal(padded(x, 5), x[[0, 1, 2, 0, 0]])
    assert padded(x, 3) is x


def test_a_result_is_waited_for_once_the_next_is_queued():
    events = []

    def queue(i: int) -> Callable[[], Tensor]:
        events.append(f"queue {i}")

        def wait() -> Tensor:
            events.append(f"wait {i}")
            return torch.tensor(i)

        return wait

    assert [int(each) for each in one_behind(queue(i) for i in range(3))] == [0, 1, 2]
    assert events == ["queue 0", "queue 1", "wait 0", "queue 2", "wait 1", "wait 2"]
    assert list(one_behind(iter(()))) == []


def test_a_device_is_given_full_batches_and_gives_back_the_rows_there_were():
    sizes = []

    def shape_of(batch: Tensor) -> Tensor:
        assert batch.device.type == "meta"
        sizes.append(len(batch))
        return batch.flatten(1)

    meta = torch.device("meta")
    waits = [transfer._queue(shape_of, batch, meta) for batch in torch.zeros(1500, 3).split(BATCH_ON_DEVICE)]
    assert sizes == [BATCH_ON_DEVICE, BATCH_ON_DEVICE]
    assert len(waits) == 2


@pytest.mark.parametrize("n", [1, 39, 40, 41, 100])
def test_full_batches_change_no_bit_and_no_order(n, monkeypatch):
    networks = build_networks(SPEC, with_detail=False)
    predictor = Predictor(networks.vec.eval(), networks.decoder.eval())
    x = torch.rand(n, 1, 8, 8)
    alone = torch.cat([predictor.reconstruct(padded(each, 40))[:1] for each in x.split(1)])

    def as_on_a_device(function: Callable[[Tensor], Tensor], batches, device: torch.device):
        return one_behind(transfer._queue(function, batch, device) for batch in batches)

    monkeypatch.setattr(transfer, "BATCH", 40)
    monkeypatch.setattr("ssavae.inference.predictor.outputs", as_on_a_device)
    assert torch.equal(predictor.reconstruct(x), alone)


def test_on_a_cpu_batches_are_not_filled_up():
    sizes = [len(each) for each in outputs(lambda batch: batch, [torch.zeros(3, 2)], torch.device("cpu"))]
    assert sizes == [3]


def test_networks_move_to_the_device_that_is_named():
    networks = build_networks(SPEC, with_detail=False)
    predictor = Predictor(networks.vec, networks.decoder)
    assert predictor.on(torch.device("cpu")) is predictor
    assert predictor.on(torch.device("meta")).device.type == "meta"
    assert {each.device.type for each in networks.decoder.parameters()} == {"meta"}


def test_a_model_is_applied_where_device_says(toy_images, monkeypatch):
    x, y = toy_images
    model = SSAVAE(**QUICK, device="cpu").fit(x, y)
    moves = []
    monkeypatch.setattr(Predictor, "on", lambda self, device: moves.append(device.type) or self)
    monkeypatch.setattr("ssavae.estimator.find_device", torch.device)
    model.set_params(device="meta")
    calls = [
        lambda: model.transform(x),
        lambda: model.predict(x),
        lambda: model.reconstruct(x),
        lambda: model.novelty(x),
        lambda: model.sample(3),
        lambda: model.inverse_transform(np.zeros((1, 2))),
        lambda: model.is_trusted(np.zeros((1, 2))),
        lambda: model.suggest(x, 2),
    ]
    for call in calls:
        moves.clear()
        call()
        assert set(moves) == {"meta"}


def test_a_device_that_is_not_there_is_named_when_a_model_is_used(toy_images):
    x, y = toy_images
    model = SSAVAE(**QUICK, device="cpu").fit(x, y)
    with pytest.raises(ValueError, match="device='warp'"):
        model.set_params(device="warp").transform(x)


def test_a_saved_folder_carries_no_device(toy_images, tmp_path):
    x, y = toy_images
    model = SSAVAE(**QUICK, device="cpu", deterministic=False).fit(x, y)
    model.save(tmp_path)
    text = (tmp_path / "model.json").read_text("utf-8")
    assert '"device"' not in text and '"deterministic"' not in text
    assert load(tmp_path).device == "auto"


@pytest.mark.gpu
def test_a_row_on_a_gpu_has_the_code_that_it_has_alone(toy_images, tmp_path):
    x, y = toy_images
    model = SSAVAE(**QUICK, device="cuda").fit(x, y)
    assert model.predictor_.device.type == "cuda"
    codes = model.transform(x)
    assert np.array_equal(np.concatenate([model.transform(row[None]) for row in x]), codes)
    model.save(tmp_path)
    on_cpu = load(tmp_path).set_params(device="cpu")
    np.testing.assert_allclose(on_cpu.transform(x), codes, atol=0.02)
