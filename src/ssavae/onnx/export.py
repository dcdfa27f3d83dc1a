"""Export to ONNX: graphs that take rows in the user's units, checked against torch's results."""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ssavae._checks import UsageError, require_package
from ssavae._serialize import is_leftover, sha256_of, write_together
from ssavae._version import __version__
from ssavae.estimator import SSAVAE
from ssavae.networks import VEC
from ssavae.onnx.runtime import DESCRIPTION_FILE, SCHEMA_VERSION, Exported, turn_off_telemetry
from ssavae.persistence.schema import document_sha256
from ssavae.preprocessing.preprocessor import Preprocessor
from ssavae.training.distributed.launcher import scratch_folder

PARITY_ROWS = (1, 2, 257)  # batch sizes at which onnxruntime is compared with torch
TOLERANCE = 1e-4


def export_onnx(
    model: SSAVAE, folder: str | Path, *, reading: Mapping[str, object] | None = None, overwrite: bool = False
) -> list[Path]:
    """Write encoder, classifier and decoder as ONNX, and exported.json, which describes them.

    Parameters
    ----------
    model : SSAVAE
        Fitted.
    folder : path
        Written completely or not at all.
    reading : mapping or None
        Options with which the training data was read: ``asdict`` of a ``Reading``.
    overwrite : bool
        Whether to replace an earlier export in ``folder``.

    Returns
    -------
    list of Path
        Every file written.

    Raises
    ------
    UsageError
        If the folder is not empty.
    ImportError
        If onnx, onnxscript or onnxruntime is not installed.
    ValueError
        If a network cannot be written as ONNX, or onnxruntime's results differ from torch's.
    """
    folder = Path(folder)
    _check_free(folder, overwrite)
    for module in ("onnx", "onnxscript", "onnxruntime"):
        require_package(module, "onnx", "writing ONNX")
    turn_off_telemetry()  # torch's exporter may import onnxruntime too
    graphs = _graphs(model)
    with scratch_folder() as scratch:
        for name, graph in graphs.items():
            _write_graph(scratch / f"{name}.onnx", graph)
        _write_description(scratch, model, list(graphs), reading)
        _check_parity(model, Exported(scratch))
        contents = {path.name: path.read_bytes() for path in scratch.iterdir()}
    write_together(folder, DESCRIPTION_FILE, contents)
    for path in set(folder.glob("*.onnx")) - {folder / name for name in contents}:
        path.unlink()  # the classifier of an earlier model
    return [folder / DESCRIPTION_FILE, *(folder / f"{name}.onnx" for name in graphs)]


def _check_free(folder: Path, overwrite: bool) -> None:
    if not folder.exists() or (folder.is_dir() and all(map(is_leftover, folder.iterdir()))):
        return
    if not (folder / DESCRIPTION_FILE).is_file():
        raise UsageError(f"{folder} holds something else than an exported model: choose another folder")
    if not overwrite:
        raise UsageError(f"{folder} holds an exported model: choose another folder, or give --overwrite")


class RowEncoder(nn.Module):
    """Scaling, then encoder or student: rows in the user's units -> mu; of a table network inputs -> mu."""

    def __init__(self, vec: VEC, preprocess: Preprocessor) -> None:
        super().__init__()
        self.vec = vec
        self.preprocess = preprocess

    def forward(self, x: Tensor) -> Tensor:
        if self.preprocess.kind != "table":
            low, scale = map(torch.from_numpy, self.preprocess.scaling)
            *sides, channels = np.roll(self.preprocess.input_shape, -1).tolist()
            scaled = ((x - low) / scale).float()
            x = scaled.reshape(-1, *sides, channels).movedim(-1, 1)
        return self.vec.code(x)


class RowDecoder(nn.Module):
    """Decoder before the inverse scaling: codes -> unrounded rows; of a table network inputs."""

    def __init__(self, decoder: nn.Module, preprocess: Preprocessor) -> None:
        super().__init__()
        self.decoder = decoder
        self.preprocess = preprocess

    def forward(self, z: Tensor) -> Tensor:
        x = self.decoder(z)
        if self.preprocess.kind == "table":
            return x
        low, scale = map(torch.from_numpy, self.preprocess.scaling)
        return x.movedim(1, -1).reshape(-1, *self.preprocess.row_shape) * scale + low


class CalibratedClassifier(nn.Module):
    """Classifier with its temperature: codes -> probabilities."""

    def __init__(self, classifier: nn.Module, temperature: float) -> None:
        super().__init__()
        self.classifier = classifier
        self.temperature = temperature

    def forward(self, z: Tensor) -> Tensor:
        return (self.classifier(z) / self.temperature).softmax(dim=1)


class Graph(NamedTuple):
    """A network to write, and an example of its input."""

    network: nn.Module
    example: np.ndarray
    input_name: str
    output_name: str


def _graphs(model: SSAVAE) -> dict[str, Graph]:
    """Return copies of the model's networks, by the names of their files."""
    vec = copy.deepcopy(model.vec_)
    decoder = copy.deepcopy(model.decoder_)
    preprocess = model.preprocess_
    codes = np.zeros((2, model.spec_.latent_dim), dtype=np.float32)
    if preprocess.kind == "table":
        rows = np.zeros((2, *preprocess.input_shape), dtype=np.float32)
    else:
        rows = np.zeros((2, *preprocess.row_shape), dtype=preprocess.working_dtype)
    graphs = {"encoder": Graph(RowEncoder(vec, preprocess), rows, "x", "mu")}
    if len(model.classes_):
        calibrated = CalibratedClassifier(vec.classifier, model.calibration_.temperature)
        graphs["classifier"] = Graph(calibrated, codes, "z", "probabilities")
    graphs["decoder"] = Graph(RowDecoder(decoder, preprocess), codes, "z", "x")
    return graphs


def _write_graph(path: Path, graph: Graph) -> None:
    try:
        with _exporter_silenced():
            program = torch.onnx.export(
                graph.network.cpu().eval(),
                (torch.from_numpy(graph.example),),
                input_names=[graph.input_name],
                output_names=[graph.output_name],
                dynamic_shapes=({0: torch.export.Dim("n")},),
                dynamo=True,
                verbose=False,
            )
            assert program is not None  # only the older exporter returns None
            program.save(path)
    except torch.onnx.errors.OnnxExporterError as error:
        raise ValueError(f"the {path.stem} cannot be written as ONNX: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    """Return the first line of the root cause, which the exporter wraps in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    message = str(error).strip() or " "
    return f"{type(error).__name__}: {message.splitlines()[0].strip()}"


@contextmanager
def _exporter_silenced() -> Iterator[None]:
    """Hide the exporter's warnings and log messages, which address its developers."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _write_description(
    folder: Path, model: SSAVAE, graphs: list[str], reading: Mapping[str, object] | None
) -> None:
    description = {
        "schema_version": SCHEMA_VERSION,
        "versions": {"ssavae": __version__, "torch": str(torch.__version__)},
        "graphs": {name: sha256_of(folder / f"{name}.onnx") for name in graphs},
        "latent_dim": model.spec_.latent_dim,
        "classes": {"dtype": model.classes_.dtype.str, "names": model.classes_.tolist()},
        "feature_names": getattr(model, "feature_names_in_", np.empty(0)).tolist(),
        "preprocess": asdict(model.preprocess_),
        "input_shape": model.preprocess_.input_shape,
        "input_names": model.preprocess_.input_names,
        "temperature": model.calibration_.temperature,  # for information: the classifier's graph applies it
        "reading": None if reading is None else dict(reading),
    }
    if model.whitening_ is not None:
        whitening = {name: values.tolist() for name, values in vars(model.whitening_).items()}
        description |= {"map_dim": model.spec_.map_dim, "whitening": whitening}
    description = json.loads(json.dumps(description, allow_nan=False))
    description["sha256"] = document_sha256(description)
    (folder / DESCRIPTION_FILE).write_text(json.dumps(description, indent=1, allow_nan=False), "utf-8")


def _check_parity(model: SSAVAE, exported: Exported) -> None:
    """Raise ValueError unless onnxruntime's results on random rows are torch's."""
    # A GPU may round more than is allowed here.
    networks = (copy.deepcopy(each).cpu() for each in (model.vec_, model.decoder_))
    predictor = Predictor(*networks, whitening=model.whitening_)
    preprocess = model.preprocess_
    for n in PARITY_ROWS:
        rows = _random_rows(preprocess, n)
        mu = predictor.encode(torch.from_numpy(preprocess.forward(rows)))
        _compare("encoder", mu.numpy(), exported.transform(rows, detail=True), n)
        if len(model.classes_):
            probs = (predictor.classify(mu) / model.calibration_.temperature).softmax(dim=1)
            _compare("classifier", probs.numpy(), exported.predict_proba(rows), n)
        x_rec = predictor.decode(mu).numpy()
        decoded = exported.decode(mu.numpy())
        if preprocess.kind == "table":
            _compare("decoder", x_rec, decoded, n)
        else:
            _compare("decoder", preprocess.unscale(x_rec), decoded, n, preprocess.scaling[1])


def _random_rows(preprocess: Preprocessor, n: int) -> np.ndarray:
    """Draw rows in the user's units and types of cell."""
    rng = np.random.default_rng(0)
    shape = (n, *preprocess.input_shape)
    noise = rng.random(shape) if preprocess.bounded else rng.normal(size=shape)
    return preprocess.inverse(noise.astype(np.float32))


def _compare(
    name: str, expected: np.ndarray, result: np.ndarray, n: int, scale: float | np.ndarray = 1.0
) -> None:
    """Raise ValueError unless the results of n rows agree to the tolerance, in units of ``scale``."""
    # the last digit of a float32 may exceed the tolerance if a signal is far from 0
    error = (np.abs(expected - result) - np.spacing(np.abs(expected))) / scale
    if not error.max() <= TOLERANCE:  # false for NaN too
        raise ValueError(
            f"the {name} as ONNX is not torch's: {n} rows differ by up to {error.max():.2g}, "
            f"{TOLERANCE:g} is allowed; nothing was written"
        )
