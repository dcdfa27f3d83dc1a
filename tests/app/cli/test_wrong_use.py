"""Wrong use: its one line comes before torch is imported, which takes seconds, and says what is meant."""

import subprocess
import sys
from pathlib import Path

import pytest

from ssavae.data.tables import _parse_labels
from ssavae.training.progress import fitting

# every command line in one process, in which torch cannot be imported
PROGRAM = """
import sys
sys.modules["torch"] = None
from ssavae.app.cli import main
for line in sys.stdin.read().splitlines():
    try:
        main(line.split())
    except SystemExit as stop:
        print(stop.code, file=sys.stderr)
"""
TRAIN = "train digits --out {0}/new"
CASES = {
    "train digts --out {0}/new": "did you mean 'digits'?",
    "train {0}/none.csv --out {0}/new": "no such file or folder",
    "train {0}/some.csv --label sort --out {0}/new": "no column 'sort'",
    f"{TRAIN} --preset fashon_mnist": "did you mean 'fashion_mnist'?",
    f"{TRAIN} --set n_epoch=3": "did you mean 'n_epochs'?",
    f"{TRAIN} --set n_epochs=many": "n_epochs must be int or none, found 'many'",
    f"{TRAIN} --epochs 3": "--set n_epochs=3",
    f"{TRAIN} --lr 0.1": "--set learning_rate=0.1",
    f"{TRAIN} --labels-per-class 3 --label-fraction 0.5": "not both",
    "sweep digits --out {0}/new --set n_epoch=3": "did you mean 'n_epochs'?",
    "evaluate {0}/none digits": "no model folder at",
    "explore {0} digts": "did you mean 'digits'?",
    "explore {0} digits --part tests": "--part must be one of",
    "sample {0} --sampler nearest": "--sampler must be one of",
    "draw {0} digits --format gif": "--format must be one of",
    "reproduce figure8": "WHAT must be one of",
    "reproduce cifar10 --judge no.safetensors": "file 'no.safetensors' does not exist",
}


def test_names_and_options_are_checked_before_torch_is_imported(tmp_path):
    (tmp_path / "some.csv").write_text("a,kind\n1,x\n2,y\n")
    lines = [line.format(tmp_path) for line in CASES]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input="\n".join(lines), capture_output=True, text=True, timeout=120
    )
    answers = done.stderr.splitlines()
    assert len(answers) == 2 * len(CASES), done.stderr
    for line, (error, status) in zip(CASES, zip(answers[::2], answers[1::2], strict=True), strict=True):
        assert error.startswith("error: ") and CASES[line] in error and int(status) in (1, 2), (line, error)
    assert not (tmp_path / "new").exists()


def test_a_label_of_many_integers_is_asked_about():
    quantity = [str(i % 1470) for i in range(4000)]
    with pytest.raises(ValueError, match=r"1470 different values .* If it is a quantity.* 'price 0'"):
        _parse_labels(Path("wine.csv"), quantity, "price")
    assert len(set(_parse_labels(Path("letters.csv"), [str(i % 1623) for i in range(32460)], "sign"))) == 1623


def test_as_many_losses_as_fit():
    losses = {"seconds": 1.5, "loss_class": 0.25, "epoch": 3, "loss_kl": 1e-5, "eval_accuracy": 0.5}
    assert fitting(losses) == "eval_accuracy 0.5  seconds 1.5  loss_class 0.25  loss_kl 1e-05"
    assert fitting(losses, 33) == "eval_accuracy 0.5  seconds 1.5"
    assert fitting(losses, 3) == ""
