"""The judge of a database of photographs, trained on all its rows, in the folder of a study."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ssavae._checks import UsageError
from ssavae._serialize import JSONObject, write_atomically
from ssavae.app.experiments.results import write_json
from ssavae.app.runs.environment import machine
from ssavae.app.runs.folder import JUDGE_FILE
from ssavae.data.partition import Part
from ssavae.metrics import classification
from ssavae.metrics import judge as judges
from ssavae.metrics.judge import Judge
from ssavae.preprocessing.labels import encode_labels
from ssavae.preprocessing.preprocessor import Preprocessor
from ssavae.training.distributed.fabric import find_device

PROTOCOL_FILE = "judge.json"  # beside JUDGE_FILE
UNFINISHED_FILE = "judge_unfinished.safetensors"
BATCH_SIZE = 500
TIMED_ROWS = 2 * BATCH_SIZE
AfterEpoch = Callable[[int, Judge], None]


def train_on_photographs(train: Part, test: Part, n_epochs: int, folder: Path, device: str) -> None:
    """Train a judge of photographs, and write it and its protocol to the folder; say how long that takes.

    A training that was stopped begins anew; its judge after the last whole epoch stays in the folder.
    """
    preprocess = Preprocessor.fit(np.asarray(train.x), "image")
    x, x_test = (np.moveaxis(preprocess.forward(np.asarray(p.x)), 1, -1).clip(0, 1) for p in (train, test))
    y, y_test = _class_indices(train, test)
    few = np.linspace(0, len(x) - 1, min(len(x), TIMED_ROWS)).astype(int)  # of all classes if they are sorted
    seconds = _timed(x[few], y[few], 1, device)[1] * len(x) / len(few) * n_epochs
    print(f"judge: {n_epochs} epochs of {len(x):,} photographs, about {seconds / 60:.0f} minutes", flush=True)
    unfinished = folder / UNFINISHED_FILE

    def after_epoch(n_done: int, judge: Judge) -> None:
        judges.save_judge(judge, unfinished)
        print(f"judge: epoch {n_done} of {n_epochs}", flush=True)

    judge, seconds = _timed(x, y, n_epochs, device, after_epoch)
    accuracy = classification.agreement(judges.judge_logits(judge, x_test), y_test)
    print(f"judge: reads {accuracy:.3f} of {len(x_test):,} test images", flush=True)
    protocol = {"network": judge.network, "n_epochs": n_epochs, "batch_size": BATCH_SIZE, "rows": len(x)}
    measures = {"test_rows": len(x_test), "accuracy": accuracy, "minutes": seconds / 60}
    write_json(folder / PROTOCOL_FILE, {**protocol, **measures, **machine()})
    unfinished.replace(folder / JUDGE_FILE)


def _class_indices(train: Part, test: Part) -> tuple[np.ndarray, np.ndarray]:
    assert train.y is not None and test.y is not None
    y, classes = encode_labels(train.y)
    return y, encode_labels(test.y, classes)[0]


def _timed(
    x: np.ndarray, y: np.ndarray, n_epochs: int, device: str, after_epoch: AfterEpoch | None = None
) -> tuple[Judge, float]:
    """Train a judge; return it and the seconds that this took."""
    start = time.perf_counter()
    judge = judges.train_judge(
        x,
        y,
        n_epochs=n_epochs,
        batch_size=BATCH_SIZE,
        network="photograph",
        after_epoch=after_epoch,
        device=str(find_device(device)),
    )
    return judge, time.perf_counter() - start


def adopt_judge(file: Path, test: Part, folder: Path) -> None:
    """Copy a trained judge, and its protocol if it lies beside it, to the folder of a study.

    Raises
    ------
    UsageError
        The judge is of other rows or classes than the test part, or the folder holds another judge.
    ValueError
        The file holds no judge.
    """
    judge = judges.load_judge(file)
    assert test.y is not None
    shape, n_classes = test.x.shape[1:], len(encode_labels(test.y)[1])
    if (judge.sample_shape, judge.n_classes) != (shape, n_classes):
        known = f"{judge.n_classes} classes of rows {judge.sample_shape}"
        raise UsageError(f"--judge {file} knows {known}, the data has {n_classes} of rows {shape}")
    own = folder / JUDGE_FILE
    if own.is_file() and own.read_bytes() != file.read_bytes():
        raise UsageError(f"{folder} holds results of another judge than {file}: choose another --out")
    write_atomically(own, file.read_bytes())
    protocol = file.with_name(PROTOCOL_FILE)
    document = json.loads(protocol.read_text("utf-8")) if protocol.is_file() else {"file": file.name}
    write_json(folder / PROTOCOL_FILE, document)


def judge_protocol(folder: Path) -> JSONObject:
    """Return how the judge in a folder was trained and what it reads; empty of a small judge."""
    file = folder / PROTOCOL_FILE
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}
