"""Fingerprint what the library computes: sha256 of weights and of results, for runs of every kind.

usage: python benchmarks/fingerprint.py [--out benchmarks/results/fingerprint.json]
       python benchmarks/fingerprint.py --compare benchmarks/results/fingerprint.json

A refactoring leaves every fingerprint as it is on the same machine with the same libraries. Another
processor or another version of torch rounds differently, so there the file is written anew first.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits

from ssavae import SSAVAE, load

AUGMENT_IMAGES = ("translate", "flip", "erase")
AUGMENT_ROWS = ("noise", "mixup")
SEED = 0


def digest(value: Any) -> str:
    """Hash an array, DataFrame or tensor: shape, type and content."""
    values = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    content = (
        repr(values.tolist()).encode() if values.dtype.kind == "O" else np.ascontiguousarray(values).tobytes()
    )
    return hashlib.sha256(repr((values.shape, values.dtype.str)).encode() + content).hexdigest()[:32]


def fingerprint(model: SSAVAE, x: Any) -> dict[str, str]:
    """Hash all weights of a model and what it computes of some rows."""
    weights = hashlib.sha256()
    for network in (model.vec_, model.decoder_, model.discriminator_):
        for name, tensor in network.state_dict().items():
            weights.update(name.encode() + digest(tensor).encode())
    found = {
        "weights": weights.hexdigest()[:32],
        "transform": digest(model.transform(x)),
        "sample": digest(model.sample(20, random_state=1)),
        "novelty": digest(model.novelty(x)),
        "history": digest([[v for k, v in row.items() if k != "seconds"] for row in model.history_][-1]),
    }
    if len(model.classes_):
        found["predict_proba"] = digest(model.predict_proba(x))
    return found


def digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_digits(return_X_y=True)
    return (x.reshape(-1, 8, 8) / 16).astype(np.float32), y


def few(y: np.ndarray, n: int) -> np.ndarray:
    """Keep n labels of each class."""
    kept = np.full(len(y), -1)
    for c in np.unique(y):
        rows = np.flatnonzero(y == c)[:n]
        kept[rows] = c
    return kept


def table() -> tuple[pd.DataFrame, np.ndarray]:
    """300 rows with text, gaps, whole numbers, truth values and a heavy tail."""
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
    rng = np.random.default_rng(SEED)
    y = np.arange(240) % 3
    time = np.linspace(0, 1, 96)
    waves = np.sin(2 * np.pi * (3 + 4 * y)[:, None] * (time + rng.random((240, 1))))
    return np.stack([waves, 0.5 * waves**2], 2) + rng.normal(0, 0.1, (240, 96, 2)), y


def fit(x: Any, y: Any, folder: Path | None = None, **parameters: Any) -> SSAVAE:
    chosen = {"n_epochs": 2, "n_epochs_decoder": 1, "random_state": SEED, "device": "cpu"} | parameters
    return SSAVAE(**chosen, checkpoint_folder=folder).fit(x, y)


def digits_all() -> dict[str, str]:
    x, y = digits()
    return fingerprint(
        fit(x, y, augment=AUGMENT_IMAGES, validation_fraction=0.1, patience=1, beta=0.01), x[:300]
    )


def digits_few() -> dict[str, str]:
    x, y = digits()
    return fingerprint(fit(x, few(y, 5), calibration_folds=2), x[:300])


def digits_student() -> dict[str, str]:
    x, y = digits()
    return fingerprint(fit(x, y, student_widths=(32, 16), n_epochs_student=3, latent_dim=3), x[:300])


def digits_unlabelled() -> dict[str, str]:
    x, _ = digits()
    return fingerprint(fit(x[:600], None, beta=0.0), x[:300])


def digits_decoder_again() -> dict[str, str]:
    x, y = digits()
    return fingerprint(fit(x[:600], y[:600]).fit_decoder(x[:600], beta=0.02, gamma=0.0), x[:300])


def mixed_table() -> dict[str, str]:
    x, y = table()
    return fingerprint(fit(x, y, augment=AUGMENT_ROWS), x)


def table_few() -> dict[str, str]:
    x, y = table()
    y = np.where(np.arange(len(y)) < 30, y, None)
    return fingerprint(fit(x, y, batch_size=32), x)


def some_signals() -> dict[str, str]:
    x, y = signals()
    return fingerprint(fit(x, np.where(np.arange(240) < 24, y, -1), kind="signal"), x)


def two_processes() -> dict[str, str]:
    x, y = digits()
    found = fingerprint(
        fit(x[:600], few(y[:600], 5), devices=2, student_widths=(16,), n_epochs_student=2), x[:300]
    )
    return found


def grouped() -> dict[str, str]:
    x, y = digits()
    groups = np.arange(600) // 20
    model = SSAVAE(n_epochs=2, n_epochs_decoder=1, random_state=SEED, validation_fraction=0.2, device="cpu")
    return fingerprint(model.fit(x[:600], y[:600], groups=groups, eval_set=(x[600:700], y[600:700])), x[:300])


class Interrupted:
    """A data set that stops the run at some row, as Ctrl-C would."""


def resumed() -> dict[str, str]:
    """Stop at a checkpoint in step 1, go on from the state on disk."""
    x, y = digits()
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
        _stop_after(model, x, few(y, 5), folder)
        assert (folder / "resume").is_dir(), "the run was not stopped"
        model.fit(x, few(y, 5), resume=True)
        return fingerprint(model, x[:300])


def _stop_after(model: SSAVAE, x: np.ndarray, y: np.ndarray, folder: Path) -> None:
    """Send SIGINT to this process once the first checkpoint is on disk."""
    import os
    import signal
    import threading
    import time

    def watch() -> None:
        while not (folder / "resume" / "state.safetensors").is_file():
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()
    try:
        model.fit(x, y)
    except KeyboardInterrupt:
        return
    raise AssertionError("the run ended before it was stopped")


def memory_mapped() -> dict[str, str]:
    """Rows that are read from a file as they are needed."""
    rng = np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "x.npy"
        y = np.arange(1200) % 3
        np.save(path, (rng.normal(size=(1200, 300, 200)) + y[:, None, None]).astype(np.float32))
        x = np.load(path, mmap_mode="r")
        model = SSAVAE(
            kind="signal", n_epochs=1, n_epochs_decoder=1, widths=(4, 4), random_state=SEED, device="cpu"
        )
        return fingerprint(model.fit(x, y), x[:60])


def saved_and_exported() -> dict[str, str]:
    """Save, load, export to ONNX: results of the loaded model and of onnxruntime."""
    found = {}
    for name, (x, y) in {
        "table": table(),
        "image": (digits()[0][:600], digits()[1][:600]),
        "signal": signals(),
    }.items():
        kind = {"signal": "signal"}.get(name)
        model = fit(x, y, kind=kind)
        with tempfile.TemporaryDirectory() as folder:
            model.save(Path(folder) / "model")
            again = load(Path(folder) / "model")
            found[f"{name}_loaded"] = digest(again.predict_proba(x))
            exported = export(again, Path(folder) / "onnx")
            found[f"{name}_onnx_transform"] = digest(exported.transform(x))
            found[f"{name}_onnx_probs"] = digest(exported.predict_proba(x))
            found[f"{name}_onnx_decoded"] = digest(exported.inverse_transform(exported.transform(x)))
    return found


def export(model: SSAVAE, folder: Path) -> Any:
    from ssavae import Exported
    from ssavae.onnx.export import export_onnx

    export_onnx(model, folder)
    return Exported(folder)


CASES: dict[str, Callable[[], dict[str, str]]] = {
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


def compared(found: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    for name, case in found.items():
        for what, value in case.items():
            if wanted.get(name, {}).get(what) != value:
                yield f"{name}: {what} differs"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "fingerprint.json")
    parser.add_argument(
        "--compare", type=Path, help="a file written before: exit with 1 where anything differs"
    )
    parser.add_argument("--case", action="append", choices=list(CASES), help="this one only; may be repeated")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for name in arguments.case or CASES:
        found[name] = CASES[name]()
        print(name, json.dumps(found[name]), flush=True)
    if arguments.compare is not None:
        differences = list(compared(found, json.loads(arguments.compare.read_text())["cases"]))
        print("\n".join(differences) or f"all {sum(map(len, found.values()))} fingerprints are the same")
        raise SystemExit(bool(differences))
    versions = {"torch": torch.__version__, "numpy": np.__version__, "machine": platform.machine()}
    arguments.out.write_text(
        json.dumps({"versions": versions, "threads": 1, "cases": found}, indent=1) + "\n"
    )


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")
    main()
