"""A model written by ``ssavae export``, run by onnxruntime without torch.

The folder holds one graph each for encoder, classifier and decoder, and exported.json, which describes
their inputs and outputs; docs/onnx.md documents it for other languages.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ssavae._checks import UsageError, check, require_package
from ssavae._serialize import read_together
from ssavae.inference.codes import Whitening, complete
from ssavae.persistence.schema import (
    Classes,
    ModelFolderError,
    check_preprocessor,
    damaged,
    parse_document,
    read,
)
from ssavae.preprocessing.columns import is_frame, object_cells, to_frame
from ssavae.preprocessing.inputs import check_finite, plain_array
from ssavae.preprocessing.preprocessor import Preprocessor

if TYPE_CHECKING:
    import pandas as pd
    from onnxruntime import InferenceSession

SCHEMA_VERSION = 2
DESCRIPTION_FILE = "exported.json"
GRAPHS = ("encoder", "decoder", "classifier")
BATCH = 1000  # rows per run of a graph; a row's result does not depend on it


@dataclass(frozen=True)
class WhiteningArrays:
    """The arrays of a :class:`Whitening` as JSON holds them."""

    means: tuple[tuple[float, ...], ...]
    roots: tuple[tuple[tuple[float, ...], ...], ...]

    def restore(self, n_classes: int, n_detail: int) -> Whitening:
        """Return the whitening of so many classes and dimensions of detail."""
        expected = ((n_classes, n_detail), (n_classes, n_detail, n_detail))
        for name, shape in zip(("means", "roots"), expected, strict=True):
            ragged = np.array(getattr(self, name), dtype=object)
            check(ragged.shape == shape, f"whitening.{name} must be {shape}, found {ragged.shape}")
        return Whitening(np.array(self.means), np.array(self.roots))


@dataclass(frozen=True)
class Description:
    """What exported.json holds: see docs/onnx.md."""

    schema_version: int
    sha256: str
    versions: dict[str, str]
    graphs: dict[str, str]
    latent_dim: int
    classes: Classes
    feature_names: tuple[str, ...]
    preprocess: Preprocessor
    input_shape: tuple[int, ...]
    input_names: tuple[str, ...]
    temperature: float
    reading: dict[str, Any] | None
    map_dim: int | None = None
    whitening: WhiteningArrays | None = None


class Exported:
    """An exported model, which takes rows like those the model was trained on.

    Parameters
    ----------
    folder : path
        Written by ``ssavae export RUN --onnx FOLDER`` or :func:`ssavae.onnx.export.export_onnx`.

    Attributes
    ----------
    classes_ : ndarray of the class names; empty if the model was trained without labels
    preprocess_ : Preprocessor
    latent_dim : int
    map_dim : int or None
        Dimensions of the map, where the code has two parts.
    reading : dict or None
        Options with which the training data was read, if the model came from a run folder.
    feature_names_in_ : ndarray of str
        Only if the model was trained on columns with names.

    Raises
    ------
    UsageError
        If there is no such folder.
    ImportError
        If onnxruntime is not installed.
    FileNotFoundError
        If a file is missing.
    ModelFolderError
        If a file is damaged, or of another schema version.

    Examples
    --------
    >>> Exported("nowhere")
    Traceback (most recent call last):
    ssavae._checks.UsageError: no folder of an exported model at nowhere
    """

    feature_names_in_: np.ndarray

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        if not folder.is_dir():
            raise UsageError(f"no folder of an exported model at {folder}")
        require_package("onnxruntime", "onnx", "running an exported model")
        turn_off_telemetry()
        path = _existing(folder / DESCRIPTION_FILE)
        parse = partial(_description, path)
        description, graphs = read_together(path, parse, partial(_files_of_graphs, folder))
        with damaged(path):
            self._restore(description)
        self._sessions = {path.stem: _session(path, graph) for path, graph in graphs.items()}
        for name, session in self._sessions.items():
            with damaged(folder / f"{name}.onnx", f"does not fit {DESCRIPTION_FILE}"):
                self._check_graph(name, session)

    def _restore(self, description: Description) -> None:
        """Set the attributes from exported.json."""
        check_preprocessor(description.preprocess)
        self.preprocess_ = description.preprocess
        self.classes_ = description.classes.array()
        names, n_columns = description.feature_names, self.preprocess_.row_shape[0]
        check(len(names) in (0, n_columns), f"feature_names must be {n_columns}, found {len(names)}")
        if names:
            self.feature_names_in_ = np.array(names, dtype=object)
        self.latent_dim = description.latent_dim
        self.map_dim = description.map_dim
        self._n_map = self.latent_dim if self.map_dim is None else self.map_dim
        self._whitening = self._read_whitening(description.whitening)
        self.reading = description.reading
        self._temperature = description.temperature
        expected = {"encoder", "decoder", *(["classifier"] if len(self.classes_) else [])}
        graphs = sorted(description.graphs)
        check(set(graphs) == expected, f"graphs must be {sorted(expected)}, found {graphs}")

    def _read_whitening(self, arrays: WhiteningArrays | None) -> Whitening | None:
        """Return the whitening of a code in two parts."""
        n_detail = self.latent_dim - self._n_map
        valid = 1 <= self._n_map <= self.latent_dim and (arrays is None) == (n_detail == 0)
        check(valid, f"map_dim {self.map_dim} and whitening do not fit latent_dim {self.latent_dim}")
        return None if arrays is None else arrays.restore(max(1, len(self.classes_)), n_detail)

    def _check_graph(self, name: str, session: InferenceSession) -> None:
        """Raise ValueError unless a graph takes and gives arrays of the described shapes."""
        is_table = self.preprocess_.kind == "table"
        row = self.preprocess_.input_shape if is_table else self.preprocess_.row_shape
        code = (self.latent_dim,)
        expected = {
            "encoder": (row, code),
            "decoder": (code, row),
            "classifier": (code, (len(self.classes_),)),
        }
        for sides, shape in zip((session.get_inputs(), session.get_outputs()), expected[name], strict=True):
            shapes = [tuple(side.shape[1:]) for side in sides]
            check(shapes == [shape], f"it has arrays of shape (n, ...) with {shapes}, wanted is {shape}")

    def transform(self, X: ArrayLike, *, detail: bool = False) -> np.ndarray:
        """Return the codes mu, each of which depends on its row alone.

        Of a code in two parts it is the map, (n, map_dim), or with ``detail`` all, (n, latent_dim).
        """
        rows = self._validate(X)
        codes = np.concatenate([self._run("encoder", self._graph_inputs(part)) for part in _batches(rows)])
        if not detail or self._whitening is None:
            return codes[:, : self._n_map]
        return self._whitening.whiten(codes, self._probs(codes))

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the calibrated class probabilities of mu, (n, n_classes)."""
        check(len(self.classes_) > 0, "this model was trained without labels: it has no classes to predict")
        points = complete(self.transform(X), np.zeros((1, self.latent_dim)), self._n_map)
        return self._run("classifier", points)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the most probable class of each row, (n,)."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def inverse_transform(self, X: ArrayLike) -> np.ndarray | pd.DataFrame:
        """Decode codes (n, latent_dim) to rows in the shape and units of the training rows.

        Points (n, map_dim) of the map of a code in two parts get the mean detail.
        """
        decoded = self.decode(X)
        if self.preprocess_.kind != "table":
            return self.preprocess_.finish(decoded)
        return to_frame(self.preprocess_.inverse(decoded), getattr(self, "feature_names_in_", None))

    def reconstruct(self, X: ArrayLike) -> np.ndarray | pd.DataFrame:
        """Return G(mu(x)), in the shape and units of X."""
        return self.inverse_transform(self.transform(X, detail=True))

    def decode(self, Z: ArrayLike) -> np.ndarray:
        """Return the output of the decoder's graph: unrounded rows; network inputs of a table."""
        codes = np.asarray(Z, dtype=np.float32)
        codes = complete(codes, np.zeros((1, self.latent_dim)), self._n_map)
        if self._whitening is not None:
            codes = self._whitening.colour(codes, self._probs(codes))
        return np.concatenate([self._run("decoder", part) for part in _batches(codes)])

    def _validate(self, X: ArrayLike) -> np.ndarray:
        """Return rows as an array, after checks of column names, shape, missing values and range."""
        names = getattr(self, "feature_names_in_", None)
        if names is not None and is_frame(X):
            _check_names([str(name) for name in X.columns], [str(name) for name in names])
        plain = plain_array(X)
        rows = object_cells(plain)
        rows = _numbers(plain) if rows is None else rows
        check(rows.ndim > 1 and len(rows) > 0, f"X has shape {rows.shape}: wanted is at least one row")
        check_finite(rows, names, missing_allowed=self.preprocess_.kind == "table")
        self.preprocess_.warn_of_range(rows)
        return rows

    def _graph_inputs(self, rows: np.ndarray) -> np.ndarray:
        """Return network inputs of a table; images and signals unscaled, since the graph scales them."""
        if self.preprocess_.kind == "table":
            return self.preprocess_.forward(rows)
        return rows.astype(self.preprocess_.working_dtype)

    def _probs(self, codes: np.ndarray) -> np.ndarray:
        """Return the class probabilities at codes before their temperature; 1 without classes."""
        if not len(self.classes_):
            return np.ones((len(codes), 1))
        powers = self._run("classifier", codes).astype(np.float64) ** self._temperature
        return powers / powers.sum(axis=1, keepdims=True)

    def _run(self, name: str, values: np.ndarray) -> np.ndarray:
        session = self._sessions[name]
        return np.asarray(session.run(None, {session.get_inputs()[0].name: values})[0])


def turn_off_telemetry() -> None:
    """Keep onnxruntime, not imported yet, from storing an identifier of the user and asking for a host."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def _batches(rows: np.ndarray) -> list[np.ndarray]:
    return np.array_split(rows, max(1, math.ceil(len(rows) / BATCH)))


def _numbers(X: object) -> np.ndarray:
    rows = np.asarray(X)
    if rows.dtype.kind in "biuf":
        return rows
    try:
        if is_frame(X):  # pandas' nullable types, with NA
            return X.to_numpy(dtype=np.float64, na_value=np.nan)
        return rows.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"X must hold numbers, found dtype {rows.dtype}: {error}") from error


def _check_names(names: list[str], expected: list[str]) -> None:
    if names == expected:
        return
    missing = sorted(set(expected) - set(names))
    extra = sorted(set(names) - set(expected))
    difference = f"it lacks {missing[:5]}, has {extra[:5]} beside"
    if not missing and not extra:
        difference = "they are in another order"
    raise ValueError(f"X has not the columns that the model was trained on: {difference}")


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: wanted is a folder that `ssavae export` wrote")
    return path


def _description(path: Path, content: bytes) -> Description:
    with damaged(path):
        return read(Description, parse_document(content, SCHEMA_VERSION, "export the model again"), "")


def _files_of_graphs(folder: Path, description: Description) -> dict[Path, str]:
    """Return the files of the graphs, with their sha256."""
    graphs = description.graphs
    return {folder / f"{name}.onnx": graphs[name] for name in GRAPHS if name in graphs}


def _session(path: Path, graph: bytes | None) -> InferenceSession:
    """Open a graph; it is None where its checksum is not the one in exported.json."""
    import onnxruntime

    if graph is None:
        raise ModelFolderError(
            f"{_existing(path)} is damaged: its checksum is not the one in {DESCRIPTION_FILE}"
        )
    try:
        return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class
        raise ModelFolderError(f"{path} is not a graph that onnxruntime can run: {error}") from error
