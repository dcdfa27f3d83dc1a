"""The method on the real data sets, reduced to minutes: ``make test-slow``."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ssavae import SSAVAE
from ssavae.app.cli import main
from ssavae.data.loading import load_dataset
from ssavae.metrics import classification, generation, latent
from ssavae.metrics.judge import judge_features, judge_logits, train_judge

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("real_data")]


@pytest.fixture
def real_data(data_folder, monkeypatch):
    monkeypatch.setenv("SSAVAE_DATA", str(data_folder))


def arrays(name: str) -> dict[str, np.ndarray]:
    """Return the rows and labels of a data set as arrays, those of a table without names of columns."""
    data = load_dataset(name)
    names = ("x_train", "y_train", "x_test", "y_test")
    return {key: np.asarray(getattr(data, key)) for key in names}


def unit(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32) / 255


def class_means_error(x, y, x_test, y_test) -> float:
    """Return the pixel error of a model that knows the class and nothing else."""
    means = np.stack([x[y == c].mean(axis=0) for c in range(y.max() + 1)])
    return generation.pixel_error(x_test, means[y_test])


@pytest.mark.parametrize(("name", "least"), [("mnist", 0.975), ("fashion_mnist", 0.86)])
def test_codes_of_100_dimensions_keep_class_and_detail(name, least):
    data = arrays(name)
    x = data["x_train"][:20000]
    y = data["y_train"][:20000]
    model = SSAVAE(latent_dim=100, n_epochs=4, n_epochs_decoder=3, random_state=0).fit(x, y)
    assert model.score(data["x_test"], data["y_test"]) >= least
    reconstructed = unit(np.asarray(model.reconstruct(data["x_test"])))
    by_class = class_means_error(unit(x), y, unit(data["x_test"]), data["y_test"])
    assert generation.pixel_error(unit(data["x_test"]), reconstructed) < 0.5 * by_class

    judge = train_judge(unit(x), y, n_epochs=4)
    classes = np.repeat(np.arange(10), 100)
    sampled = unit(np.asarray(model.sample(1000, y=classes, random_state=0)))
    agreement = classification.agreement(judge_logits(judge, sampled), classes)
    assert agreement >= (0.93 if name == "mnist" else 0.75)
    ratio = generation.variety(judge_features(judge, sampled), classes) / generation.variety(
        judge_features(judge, unit(data["x_test"])), data["y_test"]
    )
    assert ratio >= 0.75


def test_a_map_of_mnist_separates_the_digits():
    data = arrays("mnist")
    model = SSAVAE(n_epochs=5, n_epochs_decoder=1, random_state=0).fit(
        data["x_train"][:20000], data["y_train"][:20000]
    )
    assert model.score(data["x_test"], data["y_test"]) >= 0.95
    z, z_test = model.transform(data["x_train"][:20000]), model.transform(data["x_test"])
    assert latent.knn_accuracy(z, data["y_train"][:20000], z_test, data["y_test"]) >= 0.95


def test_a_table_of_a_plant_is_mapped_and_decoded_in_its_units():
    data = arrays("tennessee_eastman")
    model = SSAVAE(latent_dim=10, n_epochs=15, n_epochs_decoder=5, random_state=0)
    model.fit(data["x_train"], data["y_train"])
    majority = np.bincount(data["y_test"]).max() / len(data["y_test"])
    assert model.score(data["x_test"], data["y_test"]) > 2 * majority
    reconstructed = model.reconstruct(data["x_test"])
    scale = data["x_train"].std(axis=0)
    error_of_mean = np.mean(((data["x_test"] - data["x_train"].mean(axis=0)) / scale) ** 2)
    assert np.mean(((data["x_test"] - reconstructed) / scale) ** 2) < error_of_mean


def test_bearing_signals_are_classified():
    data = arrays("cwru_bearing")
    model = SSAVAE(kind="signal", n_epochs=12, n_epochs_decoder=1, random_state=0).fit(
        data["x_train"], data["y_train"]
    )
    assert model.score(data["x_test"], data["y_test"]) >= 0.9


@pytest.mark.parametrize(
    ("name", "least"),
    [("mnist", 0.8), ("fashion_mnist", 0.6), ("omniglot", 0.05), ("caltech101_silhouettes", 0.2)],
)
def test_figures_7_and_9_are_reproduced_with_few_epochs(name, least, tmp_path):
    for figure in ("figure7", "figure9"):
        with pytest.raises(SystemExit) as end:
            main(["reproduce", figure, "--fast", "--data", name, "--out", str(tmp_path)])
        assert not end.value.code
    assert json.loads((tmp_path / "figure7.json").read_text())[name]["accuracy"] > least
    assert (tmp_path / f"figure9_{name}.png").stat().st_size > 50_000
    cells = json.loads((tmp_path / f"figure9_{name}.json").read_text())["cells"]
    assert len(cells) == 12
    plain = {c["latent_dim"]: c for c in cells if c["beta"] == c["gamma"] == 0}
    # With reconstruction alone, a code of 100 dimensions is closer to the input than one of 2.
    assert plain[100]["pixel_error"] < plain[2]["pixel_error"]
    assert plain[100]["ssim"] > plain[2]["ssim"]


def test_onnxruntime_reads_every_test_digit_as_torch_does(tmp_path):
    """Through the command line, in a process in which torch cannot be imported."""
    short = ["--set", "n_epochs=1", "--set", "n_epochs_decoder=1", "--set", "batch_size_decoder=512"]
    run = tmp_path / "mnist"
    folder = tmp_path / "exported"
    for arguments in (
        ["train", "mnist", "--out", run, *short],
        ["export", run, "--onnx", folder],
        ["predict", run, "mnist", "--out", tmp_path / "torch.npz"],
    ):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        assert ended.value.code == 0
    command_line = ["predict", "--onnx", str(folder), "mnist", "--out", str(tmp_path / "onnx.npz")]
    program = (
        f"import sys\nsys.modules['torch'] = None\nfrom ssavae.app.cli import main\nmain({command_line!r})"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", program]
    process = subprocess.run(command, capture_output=True, text=True, env=env, timeout=600)
    assert process.returncode == 0, process.stderr
    with np.load(tmp_path / "torch.npz") as by_torch, np.load(tmp_path / "onnx.npz") as by_onnx:
        assert len(by_onnx["class"]) == 70000
        np.testing.assert_array_equal(by_onnx["class"], by_torch["class"])
        np.testing.assert_allclose(by_onnx["probability"], by_torch["probability"], atol=1e-4)
        np.testing.assert_allclose(by_onnx["z"], by_torch["z"], atol=1e-4)
        predicted = by_onnx["class"][-10000:].astype(int)
    assert (predicted == arrays("mnist")["y_test"]).mean() > 0.9  # or agreement would say little
