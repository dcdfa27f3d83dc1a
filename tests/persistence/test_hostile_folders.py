"""Model folders of strangers: one clear error, in little time and memory, or a model that can be used."""

import copy
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from crash_points import kill_at_each_write
from hostile import check_results, results_of, rewrite
from ssavae import SSAVAE, load
from ssavae.persistence.schema import ModelFolderError
from ssavae.persistence.training_state import save_state

FILES = {"model.json", "weights.safetensors", "history.csv"}
SHORT: dict = {"n_epochs": 1, "n_epochs_decoder": 1, "widths": (8,), "batch_size": 32, "random_state": 0}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> list[Path]:
    """Models of every kind, with rows to use them on."""
    rng = np.random.default_rng(0)
    y = np.array(["a", "b", "c"])[np.arange(60) % 3]
    rows = {
        "table": rng.normal(size=(60, 4)),
        "image": rng.integers(0, 256, (60, 8, 8), dtype=np.uint8),
        "signal": rng.normal(size=(60, 16, 2)),
    }
    folders = []
    for kind, X in rows.items():
        student = {"student_widths": (8,), "n_epochs_student": 1} if kind == "signal" else {}
        folders.append(tmp_path_factory.mktemp("models") / kind)
        SSAVAE(kind=kind, validation_fraction=0.3, **SHORT, **student).fit(X, y).save(folders[-1])
        np.save(folders[-1] / "rows.npy", X[:4])
    return folders


def test_mutated_folders_get_one_clear_error(folders):
    check_results(results_of("model", 75, folders), 75)


@pytest.mark.slow
def test_two_thousand_mutated_folders_get_one_clear_error(folders):
    results = results_of("model", 2000, folders)
    print(results)
    check_results(results, 2000)


def test_mutated_states_of_unfinished_runs_get_one_clear_error(tmp_path):
    tensors = {"w": torch.ones(3), "list": [torch.zeros(2, 2), {"n": 1}], 5: None}
    save_state(tmp_path, {"modules": tensors, "seed": 3, "done": ["vec"]})
    check_results(results_of("state", 75, [tmp_path]), 75)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spec": {"widths": [10**6]}}, "model.spec needs .* weights or more"),
        ({"spec": {"latent_dim": 10**9}}, "model.spec needs .* weights or more"),
        (
            {"spec": {"n_members": 10**9}},
            "model.spec needs .* weights or more|n_members=1000000000 is for tables",
        ),
        ({"spec": {"student_widths": [1] * 10**3}}, "model.spec has 1001 layers"),
        ({"spec": {"input_shape": [1, 10**6, 10**6]}}, "a row has 1000000000000 values"),
        ({"spec": {"n_classes": 2}}, "spec.n_classes is 2, but there are 3"),
        ({"spec": {"latent_dim": 2.5}}, r"model\.spec\.latent_dim must be int, found 2\.5"),
        ({"classes": {"names": ["a", "b"]}}, "spec.n_classes is 3, but there are 2"),
        ({"classes": {"names": ["a", "b", 3]}}, "mixes int, str"),
        ({"params": {"latent_dim": "2"}}, r"model\.params\.latent_dim must be int, found '2'"),
        ({"params": {"batch_size": 0}}, "batch_size"),
        ({"params": {"class_weight": "x" * 10**6}}, r"class_weight.*x \.\.\. \(1,000,\d\d\d characters\)$"),
        ({"params": {"checkpoint_folder": "/tmp/x"}}, "found checkpoint_folder"),
        ({"params": {"later": 1}}, r"model\.params\.later is unknown"),
        ({"preprocess": {"dtype": "nothing"}}, "preprocess.dtype 'nothing' is unknown"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"spec": {"widths": [1] * 9}}, "feature_weights must be 9, found 1"),
        ({"feature_weights": [1.0] * 7}, "feature_weights must be 1, found 7"),
        ({"class_shares": [0.9, 0.9, 0.9]}, "class_shares must add up to 1"),
    ],
)
def test_the_error_names_file_place_and_value(folders, tmp_path, change, message):
    folder = tmp_path / "model"
    folder.mkdir()
    for path in folders[0].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (name, values), *_ = change.items()

    def changed(document: dict) -> dict:
        model = document["model"]
        model[name] = {**model[name], **values} if isinstance(values, dict) else values
        return document

    rewrite(folder / "model.json", changed)
    with pytest.raises(ModelFolderError, match=rf"model\.json is damaged: .*{message}"):
        load(folder)


def small_model(seed: int) -> SSAVAE:
    rng = np.random.default_rng(0)
    return SSAVAE(**SHORT).set_params(random_state=seed).fit(rng.normal(size=(60, 4)), np.arange(60) % 3)


@pytest.fixture(scope="module")
def two_models() -> tuple[SSAVAE, SSAVAE]:
    return small_model(0), small_model(1)


def test_a_save_that_is_killed_anywhere_leaves_the_older_or_the_newer_model(two_models, tmp_path):
    old, new = two_models
    X = np.zeros((1, 4))
    codes = {model.transform(X).tobytes(): model for model in two_models}
    old.save(tmp_path)
    seen = []
    for _ in kill_at_each_write(lambda: new.save(tmp_path)):
        loaded = load(tmp_path)
        model = codes[loaded.transform(X).tobytes()]
        assert loaded.history_ == model.history_
        seen.append(model is new)
        old.save(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == FILES
    assert len(seen) > 12 and seen[0] is False and seen[-1] is True
    assert seen == sorted(seen)  # one moment of change


@pytest.mark.parametrize("n_reads", [40, pytest.param(300, marks=pytest.mark.slow)])
def test_models_saved_from_four_threads_and_read_meanwhile_never_mix(two_models, tmp_path, n_reads):
    X = np.zeros((1, 4))
    codes = {model.transform(X).tobytes(): model for model in two_models}
    two_models[0].save(tmp_path)
    stop = threading.Event()
    failed: list[BaseException] = []

    def save_often(model: SSAVAE) -> None:
        try:
            while not stop.is_set():
                model.save(tmp_path)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=save_often, args=[two_models[i % 2]]) for i in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(n_reads):
            loaded = load(tmp_path)
            assert loaded.history_ == codes[loaded.transform(X).tobytes()].history_
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_a_model_that_could_not_be_loaded_again_is_not_saved_over_an_older_one(two_models, tmp_path):
    two_models[0].save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    broken = copy.deepcopy(two_models[1])
    broken.samplers_["aggregate"].means[:] = np.nan
    with pytest.raises(ValueError, match=r"samplers\.aggregate\.means holds NaN or infinity"):
        broken.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
