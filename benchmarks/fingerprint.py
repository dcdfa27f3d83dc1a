"""Fingerprints of the library's results: sha256 of weights and outputs, for trainings of every kind.

    python benchmarks/fingerprint.py [--out benchmarks/results/fingerprint.json]
    python benchmarks/fingerprint.py --compare benchmarks/results/fingerprint.json

A refactoring changes no fingerprint on the same machine with the same libraries. Another processor or
another version of torch rounds differently: there, write the file with the code before the change first.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from report import command, parser, read_json, write_json
from sklearn.datasets import load_digits

from ssavae import SSAVAE, Exported, load
from ssavae.app.runs.environment import machine
from ssavae.onnx.export import export_onnx

AUGMENT_IMAGES = ("translate", "flip", "erase")
AUGMENT_ROWS = ("noise", "mixup")
SEED = 0

Fingerprints = dict[str, str]  # of one case, by what was computed
Data = np.ndarray | pd.DataFrame


def digest(values: object) -> str:
    """Hash an array, DataFrame or tensor: shape, type and content."""
    array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    if array.dtype.kind == "O":
        content = repr(array.tolist()).encode()
    else:
        content = np.ascontiguousarray(array).tobytes()
    return hashlib.sha256(repr((array.shape, array.dtype.str)).encode() + content).hexdigest()[:32]


def fingerprint(model: SSAVAE, x: Data) -> Fingerprints:
    """Hash all weights of a model, and its outputs for some rows."""
    weights = hashlib.sha256()
    for network in (model.vec_, model.decoder_, model.discriminator_):
        for name, tensor in network.state_dict().items():
            weights.update(name.encode() + digest(tensor).encode())
    last_row = [value for name, value in model.history_[-1].items() if name != "seconds"]
    fingerprints = {
        "weights": weights.hexdigest()[:32],
        "transform": digest(model.transform(x)),
        "sample": digest(model.sample(20, random_state=1)),
        "novelty": digest(model.novelty(x)),
        "history": digest(last_row),
    }
    if len(model.classes_):
        fingerprints["predict_proba"] = digest(model.predict_proba(x))
    return fingerprints


# ------------------------------------------------------------------------------------------ data


def digits(n: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the first n digits as images of 8 x 8, or all."""
    x, y = map(np.asarray, load_digits(return_X_y=True))
    return (x.reshape(-1, 8, 8) / 16).astype(np.float32)[:n], y[:n]


def first_labels(y: np.ndarray, n: int) -> np.ndarray:
    """Return the labels of the first n rows of each class, -1 for all others."""
    labels = np.full(len(y), -1)
    for c in np.unique(y):
        labels[np.flatnonzero(y == c)[:n]] = c
    return labels


def table() -> tuple[pd.DataFrame, np.ndarray]:
    """Return 300 rows with text, gaps, integers, booleans and a heavy tail, and their classes."""
    rng = np.random.default_rng(SEED)
    y = np.arange(300) % 3
    frame = pd.DataFrame(
        {
            "length": y + rng.normal(0, 0.5, 300),
            "count": rng.poisson(3 + y),
            "colour": np.array(["red", "green", "blue", None], dtype=object)[rng.integers(0, 4, 300)],
            "open": rng.random(300) < 0.5,
            "price": np.where(rng.random(300) < 0.1, np.nan, rng.lognormal(y, 1.5)),
        }
    )
    return frame, np.array(["low", "middle", "high"])[y]


def signals() -> tuple[np.ndarray, np.ndarray]:
    """Return 240 signals of two channels, and their classes."""
    rng = np.random.default_rng(SEED)
    y = np.arange(240) % 3
    time = np.linspace(0, 1, 96)
    waves = np.sin(2 * np.pi * (3 + 4 * y)[:, None] * (time + rng.random((240, 1))))
    return np.stack([waves, 0.5 * waves**2], 2) + rng.normal(0, 0.1, (240, 96, 2)), y


# ----------------------------------------------------------------------------------------- cases


def fit(x: Data, y: np.ndarray | None, **parameters: Any) -> SSAVAE:
    """Train for two epochs and one, unless the parameters differ."""
    defaults = {"n_epochs": 2, "n_epochs_decoder": 1, "random_state": SEED, "device": "cpu"}
    return SSAVAE(**defaults | parameters).fit(x, y)


def digits_all() -> Fingerprints:
    x, y = digits()
    model = fit(x, y, augment=AUGMENT_IMAGES, validation_fraction=0.1, patience=1, beta=0.01)
    return fingerprint(model, x[:300])


def digits_few() -> Fingerprints:
    x, y = digits()
    return fingerprint(fit(x, first_labels(y, 5), calibration_folds=2), x[:300])


def digits_student() -> Fingerprints:
    x, y = digits()
    return fingerprint(fit(x, y, student_widths=(32, 16), n_epochs_student=3, latent_dim=3), x[:300])


def digits_unlabelled() -> Fingerprints:
    x, _ = digits(600)
    return fingerprint(fit(x, None, beta=0.0), x[:300])


def digits_decoder_again() -> Fingerprints:
    x, y = digits(600)
    return fingerprint(fit(x, y).fit_decoder(x, beta=0.02, gamma=0.0), x[:300])


def mixed_table() -> Fingerprints:
    x, y = table()
    return fingerprint(fit(x, y, augment=AUGMENT_ROWS), x)


def table_few() -> Fingerprints:
    x, y = table()
    few = y.astype(object)
    few[30:] = None
    return fingerprint(fit(x, few, batch_size=32), x)


def some_signals() -> Fingerprints:
    x, y = signals()
    return fingerprint(fit(x, np.where(np.arange(240) < 24, y, -1), kind="signal"), x)


def two_processes() -> Fingerprints:
    x, y = digits(600)
    model = fit(x, first_labels(y, 5), devices=2, student_widths=(16,), n_epochs_student=2)
    return fingerprint(model, x[:300])


def grouped() -> Fingerprints:
    x, y = digits(700)
    model = SSAVAE(n_epochs=2, n_epochs_decoder=1, random_state=SEED, validation_fraction=0.2, device="cpu")
    model.fit(x[:600], y[:600], groups=np.arange(600) // 20, eval_set=(x[600:], y[600:]))
    return fingerprint(model, x[:300])


def resumed() -> Fingerprints:
    """Stop at a checkpoint in step 1, and resume from the state on disk."""
    x, y = digits()
    few = first_labels(y, 5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = SSAVAE(
            n_epochs=3,
            n_epochs_decoder=1,
            random_state=SEED,
            checkpoint_folder=folder,
            checkpoint_every=7,
            device="cpu",
        )
        stop_after_checkpoint(model, x, few, folder)
        assert (folder / "resume").is_dir(), "the run was not stopped"
        return fingerprint(model.fit(x, few, resume=True), x[:300])


def stop_after_checkpoint(model: SSAVAE, x: np.ndarray, y: np.ndarray, folder: Path) -> None:
    """Train until the first checkpoint is on disk, then send SIGINT to this process."""

    def interrupt() -> None:
        while not (folder / "resume" / "state.safetensors").is_file():
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    try:
        model.fit(x, y)
    except KeyboardInterrupt:
        return
    raise AssertionError("the run ended before it was stopped")


def memory_mapped() -> Fingerprints:
    """Train on rows that are read from a file when they are needed."""
    rng = np.random.default_rng(SEED)
    y = np.arange(1200) % 3
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        np.save(path, (rng.normal(size=(1200, 300, 200)) + y[:, None, None]).astype(np.float32))
        x = np.load(path, mmap_mode="r")
        return fingerprint(fit(x, y, kind="signal", n_epochs=1, widths=(4, 4)), x[:60])


def saved_and_exported() -> Fingerprints:
    """Save, load and export to ONNX; hash outputs of the loaded and of the exported model."""
    fingerprints: Fingerprints = {}
    for name, (x, y), kind in (
        ("table", table(), None),
        ("image", digits(600), None),
        ("signal", signals(), "signal"),
    ):
        model = fit(x, y, kind=kind)
        with tempfile.TemporaryDirectory() as folder:
            model.save(Path(folder) / "model")
            loaded = load(Path(folder) / "model")
            export_onnx(loaded, Path(folder) / "onnx")
            exported = Exported(Path(folder) / "onnx")
            codes = exported.transform(x)
            fingerprints[f"{name}_loaded"] = digest(loaded.predict_proba(x))
            fingerprints[f"{name}_onnx_transform"] = digest(codes)
            fingerprints[f"{name}_onnx_probs"] = digest(exported.predict_proba(x))
            fingerprints[f"{name}_onnx_decoded"] = digest(exported.inverse_transform(codes))
    return fingerprints


CASES: dict[str, Callable[[], Fingerprints]] = {
    case.__name__: case
    for case in (
        digits_all,
        digits_few,
        digits_student,
        digits_unlabelled,
        digits_decoder_again,
        mixed_table,
        table_few,
        some_signals,
        two_processes,
        grouped,
        resumed,
        memory_mapped,
        saved_and_exported,
    )
}


def differences(cases: dict[str, Fingerprints], expected: dict[str, Fingerprints]) -> Iterator[str]:
    """Yield a line for each fingerprint that is not the expected one."""
    for case, fingerprints in cases.items():
        for name, value in fingerprints.items():
            if expected.get(case, {}).get(name) != value:
                yield f"{case}: {name} differs"


def main() -> None:
    """Run the cases, and write their fingerprints or compare them with those of a file."""
    options = parser(__doc__)
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "fingerprint.json")
    options.add_argument("--compare", type=Path, help="a file to compare with; exits with 1 if any differs")
    options.add_argument("--case", action="append", choices=list(CASES), help="only this one; repeatable")
    parsed = options.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    cases: dict[str, Fingerprints] = {}
    for name in parsed.case or CASES:
        cases[name] = CASES[name]()
        print(name, json.dumps(cases[name]), flush=True)
    if parsed.compare is not None:
        lines = list(differences(cases, read_json(parsed.compare)["cases"]))
        print("\n".join(lines) or f"all {sum(map(len, cases.values()))} fingerprints are the same")
        raise SystemExit(bool(lines))
    write_json(parsed.out, {"command": command(), **machine(), "numpy": np.__version__, "cases": cases})


if __name__ == "__main__":
    main()
