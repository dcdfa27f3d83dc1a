"""cli: every command end to end, and every wrong input with one error line and its exit status."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from ssavae import __version__
from ssavae.app import cli
from ssavae.app.experiments.reproduce import COLOUR
from ssavae.app.runs import evaluate, settings
from ssavae.data.loading import load_dataset

ROOT = Path(__file__).resolve().parents[3]
SHORT = ["--set", "n_epochs=1", "--set", "n_epochs_decoder=1"]
QUICK = [*SHORT, "--no-pictures"]  # which take longer than so short a training
PICTURES = [
    "confusion.png",
    "curves.png",
    "interpolations.png",
    "map.png",
    "reconstructions.png",
    "reliability.png",
    "samples.png",
    "traversals.png",
]
FILES = ["history.csv", "metrics.json", "model.json", "run.json", "weights.safetensors"]


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


Ssavae = Callable[..., Done]


@pytest.fixture
def ssavae(capfd) -> Ssavae:
    """Run a command line in this process."""

    def run(*words: object) -> Done:
        with pytest.raises(SystemExit) as stop:
            cli.main([str(word) for word in words])
        captured = capfd.readouterr()
        return Done(int(stop.value.code or 0), captured.out, captured.err)

    return run


def fails(done: Done, status: int, *parts: str) -> None:
    """Exactly one line on stderr, an error that holds the parts."""
    lines = done.err.strip().splitlines()
    assert (done.status, len(lines)) == (status, 1), done
    assert lines[0].startswith("error: ") and "Traceback" not in done.err
    for part in parts:
        assert part in lines[0]


def succeeds(done: Done, *written: Path) -> Done:
    """Nothing on stderr; the files are there and were named."""
    assert (done.status, done.err) == (0, ""), done
    for file in written:
        assert file.is_file() and f"wrote {file}" in done.out
    return done


def flowers(n: int = 60) -> np.ndarray:
    """Two blobs of three columns, class 0 first."""
    rows = np.random.default_rng(0).normal(size=(n, 3))
    rows[n // 2 :] += 4
    return rows


def write_csv(path: Path, rows: np.ndarray, kinds: list[str] | None = None) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["a", "b", "c", *["kind"] * (kinds is not None)])
        writer.writerows(
            [*row, *([] if kinds is None else [kinds[i]])] for i, row in enumerate(rows.tolist())
        )
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture
def table(tmp_path) -> Path:
    kinds = [("oak", "elm")[i >= 30] if i % 5 else "" for i in range(60)]
    return write_csv(tmp_path / "trees.csv", flowers(), kinds)


@pytest.fixture(scope="module")
def digits_npz(tmp_path_factory) -> Path:
    """A slice of the digits: class numbers with names, every fifth unlabelled, and a test part."""
    digits = load_dataset("digits")
    assert digits.y_train is not None and digits.x_test is not None and digits.y_test is not None
    y = digits.y_train[:200].copy()
    y[::5] = -1
    path = tmp_path_factory.mktemp("data") / "few.npz"
    names = np.array([f"digit {c}" for c in range(10)])
    x, x_test, y_test = digits.x_train[:200], digits.x_test[:60], digits.y_test[:60]
    np.savez(path, x_train=x, y_train=y, x_test=x_test, y_test=y_test, class_names=names)
    return path


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory, digits_npz) -> Path:
    """A run on images, latent_dim 2."""
    folder = tmp_path_factory.mktemp("runs") / "few"
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", str(digits_npz), "--out", str(folder), *SHORT])
    assert stop.value.code == 0
    return folder


@pytest.fixture
def table_run(table, ssavae, tmp_path) -> Path:
    """A run on a table, latent_dim 3, without pictures."""
    words = ["--label", "kind", "--out", tmp_path / "run", "--latent-dim", 3, *QUICK]
    done = succeeds(ssavae("train", table, *words), *(tmp_path / "run" / file for file in FILES))
    assert "accuracy" in done.out
    return tmp_path / "run"


# ---- the commands


def test_help_is_quick_and_has_examples(ssavae):
    check = (
        "import ssavae.app.cli, sys; print({'torch', 'sklearn', 'matplotlib', 'pandas'} & set(sys.modules))"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    assert (
        subprocess.run([sys.executable, "-c", check], env=env, capture_output=True, text=True).stdout
        == "set()\n"
    )
    for command in ("demo", "data", "train", "evaluate", "map", "reconstruct", "sample", "predict"):
        assert f"\n    ssavae {command}" in succeeds(ssavae(command, "--help")).out
    assert "train" in succeeds(ssavae()).out
    assert succeeds(ssavae("--version")).out == f"ssavae {__version__}\n"


def test_help_names_the_epochs_of_the_judge(ssavae):
    text = " ".join(succeeds(ssavae("reproduce", "--help")).out.split())
    assert f"Epochs of the judge of cifar10 [default: {COLOUR.judge_epochs}]" in text


def test_demo(ssavae, tmp_path, monkeypatch):
    preset = tmp_path / "digits.toml"
    preset.write_text("n_epochs = 1\nn_epochs_decoder = 1\nbatch_size = 512\n")
    monkeypatch.setattr(settings, "PRESETS", tmp_path)
    out = tmp_path / "demo"
    out.mkdir()
    (out / "model.json").write_text("of an earlier demo")
    done = succeeds(ssavae("demo", "--out", out), *(out / f for f in [*FILES, *PICTURES, "decoded_grid.png"]))
    assert "accuracy" in done.out


def test_data(ssavae, tmp_path, monkeypatch):
    monkeypatch.setenv("SSAVAE_DATA", str(tmp_path))
    out = succeeds(ssavae("data")).out
    assert "digits" in out and "embedded" in out and "tennessee_eastman" in out
    fails(ssavae("data", "get", "minst"), 2, "did you mean 'mnist'?")
    fails(ssavae("data", "get", "digits"), 1, "embedded")
    (tmp_path / "omniglot.npz").write_bytes(b"other")
    fails(ssavae("data", "get", "omniglot"), 1, "damaged or another version")


def test_train_on_images(digits_run, digits_npz):
    left = {f.name for f in digits_run.iterdir() if not f.name.startswith("events.")}  # of TensorBoard
    assert left == {*FILES, *PICTURES, "decoded_grid.png", "training.lock"}
    metrics = json.loads((digits_run / "metrics.json").read_text())
    protocol = metrics["protocol"]
    assert 0 <= metrics["accuracy"] <= 1 and 0 < metrics["reconstruction_error"] < 1
    assert (protocol["rows_train"], protocol["rows_labelled"], protocol["rows_test"]) == (200, 160, 60)
    assert protocol["seed"] == 0 and protocol["seconds_vec"] > 0 and protocol["seconds_decoder"] > 0
    assert (
        protocol["command"].startswith(f"ssavae train {digits_npz}") and protocol["torch"] and protocol["cpu"]
    )
    history = read_csv(digits_run / "history.csv")
    assert [row["step"] for row in history] == ["vec", "decoder"]
    assert float(history[0]["eval_accuracy"]) == pytest.approx(metrics["accuracy"])
    assert json.loads((digits_run / "model.json").read_text())["model"]["classes"]["names"][3] == "digit 3"


def test_pictures_can_be_left_out_and_drawn_later(ssavae, table, table_run):
    assert not list(table_run.glob("*.png"))
    succeeds(ssavae("draw", table_run, table, "--format", "png"), *(table_run / name for name in PICTURES))
    assert not (table_run / "decoded_grid.png").exists()  # of three dimensions


def test_evaluate_with_judge(ssavae, digits_run, digits_npz, monkeypatch):
    monkeypatch.setattr(evaluate, "JUDGE_UPDATES", 60)
    monkeypatch.setattr(evaluate, "JUDGED_PER_CLASS", 20)
    done = succeeds(ssavae("evaluate", digits_run, digits_npz, "--judge"), digits_run / "judge.safetensors")
    metrics = json.loads((digits_run / "metrics.json").read_text())
    found = metrics["evaluate"]
    assert "protocol" in metrics and found["accuracy"] == metrics["accuracy"] and found["rows"] == 60
    assert {"expected_calibration_error", "knn_accuracy", "silhouette", "reconstruction_error"} <= set(found)
    judge = found["judge"]
    assert judge["test_accuracy"] > 0.7 and sum(judge["prior_classes"].values()) == pytest.approx(1)
    assert {"agreement_reconstructions", "agreement_class_samples", "variety_ratio"} <= set(judge)
    assert {"frechet_reconstructions", "frechet_class_samples", "frechet_prior_samples"} <= set(judge)
    assert "judge: test accuracy" in done.out
    written = (digits_run / "judge.safetensors").stat().st_mtime_ns
    ssavae("evaluate", digits_run, digits_npz, "--judge")
    assert (digits_run / "judge.safetensors").stat().st_mtime_ns == written


def test_map_and_pictures(ssavae, digits_run, digits_npz, tmp_path):
    succeeds(
        ssavae("map", digits_run, digits_npz, "--out", tmp_path / "new" / "m.svg"), tmp_path / "new" / "m.svg"
    )
    succeeds(ssavae("map", digits_run, digits_npz), digits_run / "map.png")
    succeeds(ssavae("reconstruct", digits_run, digits_npz, "-n", 4), digits_run / "reconstructions.png")
    succeeds(ssavae("sample", digits_run, "--sampler", "prior", "-n", 25), digits_run / "samples.png")
    succeeds(
        ssavae("sample", digits_run, "--class", "digit 4", "--out", tmp_path / "4.png"), tmp_path / "4.png"
    )


def test_rows_to_npz(ssavae, digits_run, digits_npz, tmp_path):
    path = tmp_path / "rows.npz"
    succeeds(ssavae("reconstruct", digits_run, digits_npz, "--out", path), path)
    with np.load(path) as found:
        assert found["x"].shape == found["x_rec"].shape == (60, 8, 8)
    words = ["sample", digits_run, "-n", 2, "--seed", 1, "--out", path]
    succeeds(ssavae(*words), path)
    with np.load(path) as found:
        assert found["x"].shape == (20, 8, 8) and found["y"].tolist()[-1] == "digit 9"
        first = found["x"]
    succeeds(ssavae(*words), path)
    with np.load(path) as found:
        assert np.array_equal(found["x"], first)


def test_table_commands(ssavae, table, table_run, tmp_path):
    split = json.loads((table_run / "split.json").read_text())["test"]
    assert len(split) == 12
    done = succeeds(ssavae("evaluate", table_run, table), table_run / "metrics.json")
    assert (
        json.loads((table_run / "metrics.json").read_text())["evaluate"]["rows"] == 12 and "knn" in done.out
    )
    path = tmp_path / "rows.csv"
    succeeds(ssavae("sample", table_run, "--class", "oak", "-n", 3, "--out", path), path)
    lines = path.read_text().splitlines()
    assert lines[0] == "y,a,b,c" and len(lines) == 4 and lines[1].startswith("oak,")
    succeeds(ssavae("reconstruct", table_run, table, "--out", path), path)
    assert len(path.read_text().splitlines()) == 13
    fails(ssavae("evaluate", table_run, table, "--judge"), 2, "--judge needs images")


def test_predict_all_rows(ssavae, table, table_run, tmp_path):
    path = tmp_path / "new" / "predictions.csv"
    succeeds(ssavae("predict", table_run, table, "--out", path), path)
    rows = read_csv(path)
    assert len(rows) == 60 and list(rows[0]) == ["row", "class", "probability", "z0", "z1", "z2"]
    assert {row["class"] for row in rows} <= {"oak", "elm"}
    unlabelled = write_csv(tmp_path / "more.csv", flowers(5))
    succeeds(ssavae("predict", table_run, unlabelled), table_run / "predictions.csv")
    swapped = tmp_path / "swapped.csv"
    swapped.write_text("b,a,c\n1,2,3\n")
    fails(ssavae("predict", table_run, swapped), 1, "feature names")


def test_every_picture_can_be_a_vector_one(ssavae, digits_run, digits_npz, tmp_path):
    drawn = ["map", "decoded_grid", "reconstructions", "samples", "reliability", "curves"]
    files = [tmp_path / "new" / f"{name}.svg" for name in drawn]
    succeeds(ssavae("draw", digits_run, digits_npz, "--out", tmp_path / "new"), *files)
    for command in (["reconstruct", digits_run, digits_npz, "-n", 4], ["sample", digits_run, "-n", 2]):
        for suffix, head in ((".svg", b"<?xml"), (".pdf", b"%PDF")):
            path = tmp_path / f"{command[0]}{suffix}"
            succeeds(ssavae(*command, "--out", path), path)
            assert path.read_bytes().startswith(head)
    fails(ssavae("draw", digits_run, digits_npz, "--format", "jpg"), 2, "--format", "'jpg'")


def test_predict_without_torch_writes_the_same_file(ssavae, table, table_run, tmp_path):
    """The label's column is no input here either: how the run read its data goes with the export."""
    folder, found = tmp_path / "onnx", tmp_path / "onnx.csv"
    names = ["exported.json", "encoder.onnx", "classifier.onnx", "decoder.onnx"]
    succeeds(ssavae("export", table_run, "--onnx", folder), *(folder / name for name in names))
    succeeds(ssavae("predict", table_run, table))
    words = ["predict", "--onnx", str(folder), str(table), "--out", str(found)]
    program = f"import sys\nsys.modules['torch'] = None\nfrom ssavae.app.cli import main\nmain({words!r})"
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", f"wrote {found}\n")
    for one, other in zip(read_csv(found), read_csv(table_run / "predictions.csv"), strict=True):
        assert (one["row"], one["class"], list(one)) == (other["row"], other["class"], list(other))
        for name in ("probability", "z0", "z1", "z2"):
            assert float(one[name]) == pytest.approx(float(other[name]), abs=1e-5)
    fails(ssavae("export", table_run, "--onnx", folder), 2, "give --overwrite")
    fails(ssavae("export", table_run), 2, "--onnx")
    fails(ssavae("predict", "--onnx", table_run, table), 1, "exported.json is missing")
    fails(ssavae("predict", "--onnx", tmp_path / "none", table), 2, "no folder of an exported model")
    fails(ssavae("predict", folder, table), 1, "model.json is missing")


def test_a_card_is_written_into_the_run(ssavae, table, table_run, tmp_path):
    succeeds(ssavae("map", table_run, table), table_run / "map.png")
    succeeds(ssavae("card", table_run, "--license", "mit"), table_run / "README.md")
    text = (table_run / "README.md").read_text("utf-8")
    assert "![Codes by class](map.png)" in text and "| accuracy |" in text and 'license: "mit"' in text
    (table_run / "README.md").write_text("mine")
    fails(ssavae("card", table_run), 2, "give --overwrite")
    fails(ssavae("push", tmp_path / "none", "me/name"), 2, "no model folder")


# ---- parameters


def test_parameters_come_in_order(tmp_path):
    preset = tmp_path / "mine.toml"
    preset.write_text("latent_dim = 5\nbeta = 0.5\ngamma = 0.5\n")
    found = settings.plan_parameters(
        str(preset), {"latent_dim": 7, "kind": None}, ["gamma=1", "widths=[8, 4]"]
    )
    assert (found["latent_dim"], found["beta"], found["gamma"], found["widths"]) == (7, 0.5, 1, (8, 4))
    assert found["random_state"] == 0 and found["batch_size"] is None
    assert settings.plan_parameters(None, {}, ["patience=none", "device=cpu"])["device"] == "cpu"


@pytest.mark.parametrize("preset", ["digits", "mnist", "fashion_mnist"])
def test_presets_fit(preset):
    assert settings.plan_parameters(preset, {}, [])["latent_dim"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--preset", "fashon_mnist"], "did you mean 'fashion_mnist'?"),
        (["--set", "n_epoch=3"], "unknown parameter 'n_epoch' (did you mean 'n_epochs'?)"),
        (["--set", "n_epochs=many"], "n_epochs must be int or none, found 'many'"),
        (["--set", "n_epochs=1.5"], "n_epochs must be int or none, found 1.5"),
        (["--set", "widths=64,many"], "widths must be a list of int or none, found [64, 'many']"),
        (["--set", "beta=nan"], "beta must be 0 or more"),
        (["--set", "batch_size=0"], "batch_size must be 2 or more"),
        (["--set", "beta"], "--set takes key=value"),
        (["--set", "verbose=true"], "unknown parameter 'verbose'"),
        (["--test-fraction", "2"], "--test-fraction"),
        (["--sead", "2"], "--sead"),
        (["--resume"], "nothing to resume"),
    ],
)
def test_wrong_options(ssavae, tmp_path, words, message):
    fails(ssavae("train", "digits", "--out", tmp_path / "run", *words), 2, message)
    assert not (tmp_path / "run").exists()


def test_unknown_key_in_a_preset(ssavae, tmp_path):
    (tmp_path / "mine.toml").write_text("gama = 0.5\n")
    words = ["--preset", tmp_path / "mine.toml", "--out", tmp_path / "run"]
    fails(ssavae("train", "digits", *words), 2, "mine.toml", "did you mean 'gamma'?")


# ---- wrong data


def test_missing_and_unknown_data(ssavae, tmp_path):
    out = ["--out", tmp_path / "run"]
    fails(ssavae("train", tmp_path / "none.csv", *out), 2, "no such file or folder")
    fails(ssavae("train", "digit", *out), 2, "did you mean 'digits'?")
    fails(ssavae("train", "digits"), 2, "--out")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["is empty"]),
        ("a,b,kind\n", ["no rows"]),
        ("a,b,kind\n1,2,x\n3,four,y\n", ["column 'b' holds text in row 3", "'four'"]),
        ("a,b,kind\n1,2,x\n3,inf,y\n", ["infinity", "row 1", "'b'"]),
        ("a,b,kind\n1,2,x\n3,inf,y\n", ["infinity", "row 1", "'b'"]),
        ("a,b,kind\n1,2,x\n3,4,x\n5,6,x\n", ["one class only"]),
        ("a,b,sort\n1,2,x\n", ["no column 'kind'"]),
    ],
)
def test_wrong_csv(ssavae, tmp_path, text, parts):
    path = tmp_path / "table.csv"
    path.write_text(text)
    fails(ssavae("train", path, "--label", "kind", "--out", tmp_path / "run", *QUICK), 1, *parts)


def test_labels_longer_than_x(ssavae, tmp_path):
    np.savez(tmp_path / "long.npz", X=flowers(20), y=np.arange(21) % 2)
    fails(ssavae("train", tmp_path / "long.npz", "--out", tmp_path / "run"), 1, "20 rows", "21 labels")


def test_images_of_two_sizes(ssavae, tmp_path):
    for name, side in (("a", 8), ("b", 9)):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("L", (side, 8)).save(tmp_path / "images" / name / "1.png")
    fails(
        ssavae("train", tmp_path / "images", "--out", tmp_path / "run"),
        1,
        "images of 2 sizes",
        "8x9",
        "--resize",
    )


def test_no_labels_trains_and_says_what_is_off(ssavae, tmp_path):
    rows = flowers(20)  # fewer than a batch
    rows[:, 2] = 7
    path, run = write_csv(tmp_path / "plain.csv", rows), tmp_path / "run"
    done = ssavae("train", path, "--out", run, *QUICK)
    first, second = done.err.splitlines()
    assert done.status == 0 and first.startswith("warning: no labels") and "are off" in first
    assert second == "warning: constant column: c"
    assert "accuracy" not in json.loads((run / "metrics.json").read_text())
    succeeds(ssavae("sample", run), run / "samples.png")
    succeeds(ssavae("evaluate", run, path))
    done = ssavae("predict", run, path)
    assert done.status == 0 and done.err.startswith("warning: the model was trained without labels")
    assert (run / "predictions.csv").read_text().splitlines()[0] == "row,z0,z1"
    fails(ssavae("sample", run, "--class", "oak"), 2, "no class 'oak'")


def test_a_loss_that_is_not_finite(ssavae, table, tmp_path):
    words = ["--label", "kind", "--out", tmp_path / "run", "--set", "learning_rate=1e38", *SHORT[2:]]
    fails(ssavae("train", table, *words), 1, "became", "epoch")


# ---- wrong model folders


def test_wrong_model_folders(ssavae, digits_run, digits_npz, tmp_path):
    fails(ssavae("sample", tmp_path / "none"), 2, "no model folder")
    fails(ssavae("sample", digits_run, "--class", "digit 44"), 2, "did you mean 'digit 4'?")
    fails(ssavae("sample", digits_run, "--sampler", "classes"), 2, "class, aggregate, prior")
    fails(ssavae("sample", digits_run, "--out", tmp_path / "x.txt"), 2, ".npz")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    fails(ssavae("map", digits_run, tmp_path / "table.csv"), 1, "X has 2 features")


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_damaged_and_missing_files(ssavae, digits_run, tmp_path, name):
    for each in ("model.json", "weights.safetensors"):
        (tmp_path / each).write_bytes((digits_run / each).read_bytes())
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    fails(ssavae("sample", tmp_path), 1, f"{name} is damaged")
    (tmp_path / name).unlink()
    fails(ssavae("sample", tmp_path), 1, f"{name} is missing")


def test_newer_schema(ssavae, digits_run, tmp_path):
    document = json.loads((digits_run / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(document | {"schema_version": 99}))
    fails(ssavae("sample", tmp_path), 1, "schema version 99")


def test_debug_shows_the_traceback(ssavae, tmp_path):
    done = ssavae("--debug", "sample", tmp_path / "none")
    assert done.status == 2 and "Traceback" in done.err and done.err.splitlines()[-1].startswith("error: ")


# ---- stop, resume, overwrite


def test_a_finished_run_is_not_overwritten(ssavae, table, table_run):
    words = ["train", table, "--label", "kind", "--out", table_run, *QUICK]
    fails(ssavae(*words), 2, "holds a finished model", "--overwrite")
    assert (
        "is complete: nothing to resume"
        in succeeds(ssavae("train", table, "--out", table_run, "--resume")).out
    )
    succeeds(ssavae(*words, "--overwrite"), table_run / "model.json")


def test_stop_and_resume(ssavae, table, tmp_path):
    words = [
        "--label",
        "kind",
        "--set",
        "n_epochs=40",
        "--set",
        "n_epochs_decoder=1",
        "--set",
        "checkpoint_every=1",
        "--no-pictures",
    ]
    run, whole = tmp_path / "run", tmp_path / "whole"
    program = [
        sys.executable,
        "-c",
        "from ssavae.app.cli import main; main()",
        "train",
        str(table),
        "--out",
        str(run),
    ]
    env = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*program, *words], env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    state = run / "resume" / "state.safetensors"
    while not state.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "--resume" in err and len(err.strip().splitlines()) == 1
    fails(ssavae("train", table, "--out", run, *words), 2, "unfinished run", "--resume")
    fails(ssavae("train", table, "--out", run, "--resume", "--seed", 1), 2, "leave out --seed")
    fails(ssavae("train", "digits", "--out", run, "--resume"), 2, "was begun with")
    succeeds(ssavae("train", table, "--out", run, "--resume", "--no-pictures"), run / "model.json")
    succeeds(ssavae("train", table, "--out", whole, *words), whole / "model.json")
    assert not state.exists()
    assert (run / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()


def test_a_label_budget_is_kept_and_shared(ssavae, digits_npz, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    done = ssavae("train", digits_npz, "--out", first, "--labels-per-class", 3, *QUICK)
    succeeds(done, first / "labels.json")
    assert json.loads((first / "metrics.json").read_text())["protocol"]["rows_labelled"] == 30
    words = ["--labels-from", first / "labels.json", "--seed", 5, *QUICK]
    succeeds(ssavae("train", digits_npz, "--out", second, *words))
    assert (second / "labels.json").read_text() == (first / "labels.json").read_text()
    fails(
        ssavae("train", digits_npz, "--out", tmp_path / "third", "--labels-per-class", 100, *QUICK),
        1,
        "--labels-per-class 100",
        "has only",
    )
    words = ["--labels-per-class", 3, "--label-fraction", 0.5, *QUICK]
    fails(ssavae("train", digits_npz, "--out", tmp_path / "fourth", *words), 2, "not both")
    assert (first / "model.json").is_file()
    words = ["--labels-from", first / "missing.json", "--overwrite", *QUICK]
    fails(ssavae("train", digits_npz, "--out", first, *words), 1, "missing.json")
    assert (first / "model.json").is_file()  # what cannot be done clears nothing away


def test_one_new_word_as_label_costs_no_measure(ssavae, tmp_path):
    """Integer classes, and a word given in the explorer: all are text then, and the test part is measured."""
    run, x, y = tmp_path / "run", flowers(), np.repeat([0, 7], 30)
    parts = {"x_train": x, "x_test": x, "kind": "table"}
    of_all = {"whole": y, "texts": y.astype(str), "others": np.repeat(["a", "b"], 30)}
    of_all["some"] = np.where(np.arange(60) < 50, y.astype(str), "a")
    for name, labels in of_all.items():
        np.savez(tmp_path / f"{name}.npz", y_train=labels, y_test=labels, **parts)
    lines = [f"{i},{'smudge' if i % 9 == 0 else y[i]}\n" for i in range(60)]
    (tmp_path / "labels.csv").write_text("row,label\n" + "".join(lines))
    words = ["--labels-from", tmp_path / "labels.csv", "--set", "validation_fraction=0.2", *QUICK]
    succeeds(ssavae("train", tmp_path / "whole.npz", "--out", run, *words))
    metrics = json.loads((run / "metrics.json").read_text())
    assert "accuracy" in metrics and metrics["protocol"]["classes"] == 3
    succeeds(ssavae("evaluate", run, tmp_path / "texts.npz"))
    assert "accuracy" in json.loads((run / "metrics.json").read_text())["evaluate"]
    done = ssavae("evaluate", run, tmp_path / "others.npz")
    assert "classes that the model does not know (a, b): nothing is measured by them" in done.err
    assert done.status == 0 and "rows of unknown classes" in done.out
    assert not (run / "novelty.png").exists()  # there is no known row to compare with
    done = ssavae("evaluate", run, tmp_path / "some.npz")
    assert done.status == 0 and (run / "novelty.png").is_file() and "novelty.png" in done.out
    assert 0 <= json.loads((run / "metrics.json").read_text())["evaluate"]["novelty_auroc"] <= 1


def test_no_split_parts_a_group(ssavae, tmp_path):
    rows = flowers()
    cells = [[*row, f"m{i // 5}", "low" if i < 30 else "high"] for i, row in enumerate(rows)]
    table = tmp_path / "plants.csv"
    table.write_text("\n".join(["a,b,c,machine,kind", *(",".join(map(str, row)) for row in cells)]) + "\n")
    run = tmp_path / "run"
    words = ["--label", "kind", "--group", "machine", "--test-fraction", 0.3]
    succeeds(ssavae("train", table, "--out", run, *words, *QUICK), run / "split.json")
    held = json.loads((run / "split.json").read_text())["test"]
    assert len(held) == 20  # two of six machines of each kind
    assert {i // 5 for i in held}.isdisjoint({i // 5 for i in set(range(60)) - set(held)})
    succeeds(ssavae("evaluate", run, table))  # knows label and group columns again
    assert "accuracy" in json.loads((run / "metrics.json").read_text())["evaluate"]
    words = ["--label", "kind", "--group", "machin"]
    fails(ssavae("train", table, "--out", tmp_path / "other", *words), 1, "did you mean 'machine'")


def test_suggested_rows_have_no_label_yet_and_can_be_filled_in(ssavae, digits_npz, tmp_path):
    run = tmp_path / "run"
    succeeds(ssavae("train", digits_npz, "--out", run, "--labels-per-class", 3, *QUICK))
    done = ssavae("suggest", run, digits_npz, "-n", 7)
    succeeds(done, run / "suggestions.csv")
    with (run / "suggestions.csv").open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [*found[0]] == ["row", "label", "class", "probability"]
    rows = {int(line["row"]) for line in found}
    assert len(rows) == 7
    assert rows.isdisjoint(json.loads((run / "labels.json").read_text())["labelled"])
    table = write_csv(tmp_path / "trees.csv", flowers(), ["elm", "oak"] * 30)
    succeeds(ssavae("train", table, "--label", "kind", "--out", tmp_path / "whole", *QUICK))
    fails(ssavae("suggest", tmp_path / "whole", table), 2, "nothing to suggest")


def test_an_audit_passes_a_clean_split_and_fails_a_leak(ssavae, tmp_path):
    rows = flowers()
    clean, leaky = tmp_path / "clean.npz", tmp_path / "leaky.npz"
    groups, others = np.arange(40) // 8, np.arange(20) + 9
    np.savez(clean, x_train=rows[:40], x_test=rows[40:], run_train=groups, run_test=others)
    done = succeeds(ssavae("data", "audit", clean, "--group", "run_train"))
    assert "exact copies" in done.out and "0 groups" in done.out
    np.savez(leaky, x_train=rows[:40], x_test=rows[37:], run_train=groups, run_test=np.arange(23) // 8)
    done = ssavae("data", "audit", leaky, "--group", "run_train")
    fails(done, 1, "3 exact copies", "23 rows of 3 groups", "flatter")
    drawn = write_csv(tmp_path / "drawn.csv", np.repeat(rows, 2, axis=0))
    fails(ssavae("data", "audit", drawn), 1, "exact copies")
    fails(ssavae("data", "audit", drawn, "--test-fraction", 0), 2, "no split to audit")


def write_parts(path: Path, n: int = 60) -> Path:
    """A table of every sort of column: dates, a number with gaps, a whole number, a category, a truth."""
    rng = np.random.default_rng(0)
    lines = ["when,temperature,count,maker,running,state"]
    for i in range(n):
        temperature = "" if i % 9 == 0 else f"{rng.normal(20 + 10 * (i % 2), 2):.2f}"
        maker = ["ABB", "GE", ""][rng.integers(3)]
        cells = [f"2024-01-{1 + i % 28:02d}", temperature, str(rng.integers(9)), maker, str(i % 2 == 0)]
        lines.append(",".join([*cells, ["ok", "hot"][i % 2]]))
    path.write_text("\n".join(lines))
    return path


def test_a_table_of_every_sort_of_column(ssavae, tmp_path):
    data, run = write_parts(tmp_path / "parts.csv"), tmp_path / "run"
    fails(
        ssavae("train", data, "--label", "state", "--out", run), 1, "'when' holds dates, in row 2", "--drop"
    )
    words = ["--label", "state", "--drop", "when", "--out", run, "--no-pictures"]
    succeeds(ssavae("train", data, *words, "--set", "n_epochs=20", "--set", "n_epochs_decoder=20"))
    assert json.loads((run / "metrics.json").read_text())["accuracy"] >= 0.9
    succeeds(ssavae("evaluate", run, data))
    succeeds(ssavae("reconstruct", run, data, "--out", tmp_path / "back.csv"), tmp_path / "back.csv")
    back = read_csv(tmp_path / "back.csv")
    assert list(back[0]) == ["temperature", "count", "maker", "running"]
    assert {row["maker"] for row in back} <= {"ABB", "GE", ""}
    assert {row["running"] for row in back} <= {"True", "False"}
    assert all(float(row["count"]).is_integer() for row in back)
    succeeds(ssavae("sample", run, "-n", 3, "--out", tmp_path / "new.csv"), tmp_path / "new.csv")
    assert {row["y"] for row in read_csv(tmp_path / "new.csv")} == {"hot", "ok"}


def write_runs(path: Path, n_runs: int = 8) -> Path:
    """Runs of two sensors, normal for 24 rows; in every second one the pressure then goes up."""
    rng, lines = np.random.default_rng(0), ["run,pressure,flow,state"]
    for run in range(n_runs):
        for t in range(48):
            leak = run % 2 == 1 and t >= 24
            cells = [5.0 * leak + rng.normal(), rng.normal(), "leak" if leak else "Normal"]
            lines.append(f"run {run},{cells[0]},{cells[1]},{cells[2]}")
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def plant(tmp_path_factory) -> tuple[Path, Path]:
    """A run on windows of a plant's table, and the table."""
    folder = tmp_path_factory.mktemp("plant")
    data, out = write_runs(folder / "runs.csv"), folder / "out"
    words = ["--label", "state", "--group", "run", "--window", "16", "--hop", "4", "--summary"]
    words += ["--set", "n_epochs=60", "--set", "n_epochs_decoder=20", "--no-pictures", "--out", str(out)]
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", str(data), *words])
    assert not stop.value.code
    return data, out


def test_rows_in_time_become_windows_that_no_split_parts(ssavae, plant):
    data, out = plant
    told = json.loads((out / "metrics.json").read_text())["protocol"]
    assert (told["kind"], told["rows_train"] + told["rows_test"]) == ("table", 72)
    held_out = json.loads((out / "split.json").read_text())["test"]
    assert len(held_out) == 9 * len({row // 9 for row in held_out})  # nine windows a run: whole runs
    words = ["--label", "state", "--group", "run", "--window", 16, "--hop", 4]
    succeeds(ssavae("data", "audit", data, *words))
    fails(ssavae("train", data, "--hop", 4, "--out", out, "--overwrite"), 1, "needs a window")


def test_faults_are_measured_and_a_run_is_followed(ssavae, plant, tmp_path):
    data, out = plant
    done = succeeds(ssavae("evaluate", out, data))
    assert "correct diagnosis rate" in done.out and "detection rate" in done.out
    found = json.loads((out / "metrics.json").read_text())["evaluate"]["faults"]
    assert found["by_class"]["leak"]["recall"] >= 0.7 and found["detection_rate"] >= 0.8
    lines = data.read_text().splitlines(keepends=True)
    quiet = tmp_path / "quiet.csv"
    quiet.write_text("".join(line for line in lines if not line.endswith("leak\n")))
    assert "detection rate" not in succeeds(ssavae("evaluate", out, quiet)).out
    held_out = json.loads((out / "split.json").read_text())["test"]
    leaking = next(row // 9 for row in held_out if row // 9 % 2)
    table = tmp_path / "followed.csv"
    succeeds(
        ssavae("monitor", out, data, "--where", f"run=run {leaking}", "--out", table),
        table,
        table.with_suffix(".png"),
    )
    rows = read_csv(table)
    trained = next(i for i in range(8) if i not in {row // 9 for row in held_out})
    done = succeeds(
        ssavae("monitor", out, data, "--where", f"run=run {trained}", "--out", tmp_path / "other.csv")
    )
    assert "trained on" in done.out and len(read_csv(tmp_path / "other.csv")) == 9
    assert [row["row"] for row in rows] == [str(i) for i in range(9)]
    assert rows[-1]["class"] == "leak" and rows[-1]["alarm"] == "True" and rows[0]["alarm"] == "False"
    fails(ssavae("monitor", out, data, "--where", "run=run x"), 2, "no group 'run x'")
    fails(
        ssavae("monitor", out, data, "--where", "machine=run 1"), 2, "the group column 'run', not 'machine'"
    )
    fails(ssavae("monitor", out, data, "--where", "run 1"), 2, "--where takes COLUMN=VALUE, for example run=")
    fails(ssavae("monitor", out, data, "--normal", "fine"), 1, "no class 'fine': choose of Normal, leak")


def test_a_stream_is_followed_as_the_file_is(ssavae, plant, tmp_path, monkeypatch):
    data, out = plant
    held_out = json.loads((out / "split.json").read_text())["test"]
    one = f"run {held_out[0] // 9}"
    table = tmp_path / "followed.csv"
    succeeds(ssavae("monitor", out, data, "--where", f"run={one}", "--out", table))
    lines = data.read_text().splitlines(keepends=True)
    its = [lines[0], *[line for line in lines if line.startswith(f"{one},")]]
    monkeypatch.setattr("sys.stdin", iter(its))
    streamed = list(csv.DictReader(succeeds(ssavae("monitor", out, "-")).out.splitlines()))
    written = read_csv(table)
    assert [row["row"] for row in streamed] == [row["row"] for row in written]
    for one_by_one, at_once in zip(streamed, written, strict=True):
        assert (one_by_one["class"], one_by_one["alarm"]) == (at_once["class"], at_once["alarm"])
        assert float(one_by_one["novelty"]) == pytest.approx(float(at_once["novelty"]), abs=1e-3)
    indexed = ["," + its[0], *(f"{i},{line}" for i, line in enumerate(its[1:]))]
    monkeypatch.setattr("sys.stdin", iter(indexed))
    assert list(csv.DictReader(succeeds(ssavae("monitor", out, "-")).out.splitlines())) == streamed
    monkeypatch.setattr("sys.stdin", iter([its[0], "run 1,2\n"]))
    fails(ssavae("monitor", out, "-"), 1, "line 2 has 2 cells, the header 4")


def test_a_row_is_explained_by_its_columns(ssavae, plant):
    pytest.importorskip("captum")
    data, out = plant
    held_out = json.loads((out / "split.json").read_text())["test"]
    row = next(i for i, window in enumerate(held_out) if window // 9 % 2 and window % 9 == 8)
    succeeds(ssavae("why", out, data, "--row", row), out / "why.csv", out / "why.png")
    found = read_csv(out / "why.csv")
    assert found[0]["part"].startswith("pressure") and set(found[0]) == {
        "part",
        "share",
        "change",
        "now",
        "then",
    }
    assert len(found) == 6
    fails(ssavae("why", out, data, "--row", 99), 2, "--row 99: there are rows 0 to")
    fails(ssavae("why", out, data, "--row", row, "--to", "Leak"), 2, "no class 'Leak' (did you mean 'leak'?)")
