"""A trained model as ONNX: graphs that take rows as they are measured, and give torch's results or none."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssavae._checks import UsageError, require_package
from ssavae._serialize import atomic_folder
from ssavae._version import __version__
from ssavae.estimator import SSAVAE
from ssavae.inference.predictor import Predictor
from ssavae.networks import VEC
from ssavae.onnx.runtime import DESCRIPTION_FILE, SCHEMA_VERSION, Exported
from ssavae.preprocessing.preprocessor import Preprocessor

PARITY_ROWS = (1, 2, 257)  # batches in which torch and onnxruntime must agree
TOLERANCE = 1e-4


def export_onnx(
    model: SSAVAE, folder: str | Path, *, reading: Mapping[str, Any] | None = None, overwrite: bool = False
) -> list[Path]:
    """Write encoder, classifier and decoder as ONNX, and exported.json with what goes in and comes out.

    Parameters
    ----------
    model : SSAVAE
        A fitted one.
    folder : path
        Is there whole at the end, or untouched.
    reading : mapping or None
        How the data was read that the model was trained on: ``asdict`` of a ``Reading``.
    overwrite : bool
        Replace an earlier export in ``folder``.

    Returns
    -------
    list of Path
        Every file written.

    Raises
    ------
    UsageError
        The folder holds something.
    ImportError
        onnx, onnxscript or onnxruntime is not installed.
    ValueError
        A network cannot be written as ONNX, or onnxruntime's results are not torch's.
    """
    folder = Path(folder)
    _check_free(folder, overwrite)
    for module in ("onnx", "onnxscript", "onnxruntime"):
        require_package(module, "onnx", "writing ONNX")
    with atomic_folder(folder) as fresh:
        graphs = _graphs(model)
        for name, (network, example, ends) in graphs.items():
            _write_graph(fresh / f"{name}.onnx", network, example, *ends)
        _describe(fresh, model, list(graphs), reading)
        _check_parity(model, Exported(fresh))
        names = [DESCRIPTION_FILE, *(f"{name}.onnx" for name in graphs)]
    return [folder / name for name in names]


def _check_free(folder: Path, overwrite: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / DESCRIPTION_FILE).is_file():
        raise UsageError(f"{folder} holds something else than an exported model: choose another folder")
    if not overwrite:
        raise UsageError(f"{folder} holds an exported model: choose another folder, or give --overwrite")


class RowEncoder(nn.Module):
    """E, or S, with the scaling before it: rows as measured -> mu; of tables network inputs -> mu."""

    def __init__(self, vec: VEC, preprocess: Preprocessor) -> None:
        super().__init__()
        self.vec, self.preprocess = vec, preprocess

    def forward(self, x: Tensor) -> Tensor:
        if self.preprocess.kind != "table":
            low, scale = map(torch.from_numpy, self.preprocess.scaling)
            *sides, channels = np.roll(self.preprocess.input_shape, -1).tolist()
            scaled = ((x - low) / scale).float()
            x = scaled.reshape(-1, *sides, channels).movedim(-1, 1)
        return self.vec.code(x)


class RowDecoder(nn.Module):
    """G with the units after it: codes -> rows, not yet rounded; of tables network inputs."""

    def __init__(self, decoder: nn.Module, preprocess: Preprocessor) -> None:
        super().__init__()
        self.decoder, self.preprocess = decoder, preprocess

    def forward(self, z: Tensor) -> Tensor:
        x = self.decoder(z)
        if self.preprocess.kind == "table":
            return x
        low, scale = map(torch.from_numpy, self.preprocess.scaling)
        return x.movedim(1, -1).reshape(-1, *self.preprocess.row_shape) * scale + low


class CalibratedClassifier(nn.Module):
    """C and its temperature: codes -> probabilities."""

    def __init__(self, classifier: nn.Module, temperature: float) -> None:
        super().__init__()
        self.classifier, self.temperature = classifier, temperature

    def forward(self, z: Tensor) -> Tensor:
        return (self.classifier(z) / self.temperature).softmax(dim=1)


Graph = tuple[nn.Module, np.ndarray, tuple[str, str]]  # network, example, names of input and output


def _graphs(model: SSAVAE) -> dict[str, Graph]:
    """Return the networks to write; those of the model stay as they are."""
    vec, decoder, preprocess = copy.deepcopy(model.vec_), copy.deepcopy(model.decoder_), model.preprocess_
    codes = np.zeros((2, model.spec_.latent_dim), dtype=np.float32)
    if preprocess.kind == "table":
        rows = np.zeros((2, *preprocess.input_shape), dtype=np.float32)
    else:
        rows = np.zeros((2, *preprocess.row_shape), dtype=preprocess.working_dtype)
    graphs: dict[str, Graph] = {"encoder": (RowEncoder(vec, preprocess), rows, ("x", "mu"))}
    if len(model.classes_):
        calibrated = CalibratedClassifier(vec.classifier, model.calibration_.temperature)
        graphs["classifier"] = (calibrated, codes, ("z", "probabilities"))
    return graphs | {"decoder": (RowDecoder(decoder, preprocess), codes, ("z", "x"))}


def _write_graph(path: Path, network: nn.Module, example: np.ndarray, takes: str, gives: str) -> None:
    try:
        with _silence():
            program = torch.onnx.export(
                network.cpu().eval(),
                (torch.from_numpy(example),),
                input_names=[takes],
                output_names=[gives],
                dynamic_shapes=({0: torch.export.Dim("n")},),
                dynamo=True,
                verbose=False,
            )
            assert program is not None  # only the older exporter returns nothing
            program.save(path)
    except torch.onnx.errors.OnnxExporterError as error:
        raise ValueError(f"the {path.stem} cannot be written as ONNX: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    """Say what went wrong first: the exporter wraps its causes in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter's warnings and notes, which are for its programmers, from the user."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _describe(folder: Path, model: SSAVAE, graphs: list[str], reading: Mapping[str, Any] | None) -> None:
    sha256 = {name: hashlib.sha256((folder / f"{name}.onnx").read_bytes()).hexdigest() for name in graphs}
    told = {
        "schema_version": SCHEMA_VERSION,
        "versions": {"ssavae": __version__, "torch": str(torch.__version__)},
        "graphs": sha256,
        "latent_dim": model.spec_.latent_dim,
        "classes": {"dtype": model.classes_.dtype.str, "names": model.classes_.tolist()},
        "feature_names": getattr(model, "feature_names_in_", np.empty(0)).tolist(),
        "preprocess": asdict(model.preprocess_),
        "input_shape": model.preprocess_.input_shape,
        "input_names": model.preprocess_.input_names,
        "temperature": model.calibration_.temperature,  # is in the classifier's graph already
        "reading": None if reading is None else dict(reading),
    }
    (folder / DESCRIPTION_FILE).write_text(json.dumps(told, indent=1, allow_nan=False), "utf-8")


def _check_parity(model: SSAVAE, exported: Exported) -> None:
    """Raise ValueError unless onnxruntime says of made rows what torch says."""
    predictor, preprocess = Predictor(model.vec_, model.decoder_), model.preprocess_
    for n in PARITY_ROWS:
        rows = _made_rows(preprocess, n)
        mu = predictor.encode(torch.from_numpy(preprocess.forward(rows)))
        _compare("encoder", mu.numpy(), exported.transform(rows), n)
        if len(model.classes_):
            probs = (predictor.classify(mu) / model.calibration_.temperature).softmax(dim=1)
            _compare("classifier", probs.numpy(), exported.predict_proba(rows), n)
        x_rec, found = predictor.decode(mu).numpy(), exported.decode(mu.numpy())
        if preprocess.kind == "table":
            _compare("decoder", x_rec, found, n)
        else:
            _compare("decoder", preprocess.unscale(x_rec), found, n, preprocess.scaling[1])


def _made_rows(preprocess: Preprocessor, n: int) -> np.ndarray:
    """Return rows of the user's units and sorts of cell, drawn at random."""
    rng, shape = np.random.default_rng(0), (n, *preprocess.input_shape)
    noise = rng.random(shape) if preprocess.bounded else rng.normal(size=shape)
    return preprocess.inverse(noise.astype(np.float32))


def _compare(name: str, wanted: np.ndarray, found: np.ndarray, n: int, unit: Any = 1.0) -> None:
    """Raise ValueError unless both are the same to the tolerance, in units of 1 or of a row's scale."""
    # the last digit of a float32 may be more than the tolerance, where a signal is far from 0
    error = (np.abs(wanted - found) - np.spacing(np.abs(wanted))) / unit
    if not error.max() <= TOLERANCE:  # NaN is no parity either
        raise ValueError(
            f"the {name} as ONNX is not torch's: {n} rows differ by up to {error.max():.2g}, "
            f"{TOLERANCE:g} is allowed; nothing was written"
        )
