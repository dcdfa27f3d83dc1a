"""A model that ``ssavae export`` wrote, run by onnxruntime: nothing here imports torch.

The folder holds a graph each for encoder, classifier and decoder, and exported.json, which says what goes
into them and comes out; docs/onnx.md describes it for other languages.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ssavae._checks import UsageError, check, require_package
from ssavae.preprocessing.columns import object_cells, to_frame
from ssavae.preprocessing.preprocessor import Preprocessor, check_finite

SCHEMA_VERSION = 1
DESCRIPTION_FILE = "exported.json"
GRAPHS = ("encoder", "classifier", "decoder")
BATCH = 1000  # rows at once; a row's result does not depend on it


class Exported:
    """An exported model, ready to run on rows as the model was trained on.

    Parameters
    ----------
    folder : path
        What ``ssavae export RUN --onnx FOLDER`` or ``exporting.export_onnx`` wrote.

    Attributes
    ----------
    classes_ : ndarray of the class names; empty if the model was trained without labels
    preprocess_ : Preprocess
    latent_dim : int
    reading : dict or None
        How the data was read that the model was trained on, where a run says so.

    Raises
    ------
    UsageError
        If there is no such folder.
    ImportError
        If onnxruntime is not installed.
    FileNotFoundError, ValueError
        If a file is missing, damaged, or of another schema version.

    Examples
    --------
    >>> Exported("nowhere")
    Traceback (most recent call last):
    ssavae._checks.UsageError: no folder of an exported model at nowhere
    """

    feature_names_in_: np.ndarray  # where the model was trained on columns with names

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        if not folder.is_dir():
            raise UsageError(f"no folder of an exported model at {folder}")
        told = _read_description(folder / DESCRIPTION_FILE)
        try:
            self._take(told)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{folder / DESCRIPTION_FILE} is damaged: {_what(error)}") from error
        require_package("onnxruntime", "onnx", "running an exported model")
        self._sessions = {name: _session(folder / f"{name}.onnx", told) for name in told["graphs"]}

    def _take(self, told: Mapping[str, Any]) -> None:
        self.preprocess_ = Preprocessor.restored(told["preprocess"])
        self.classes_ = np.array(told["classes"]["names"], dtype=np.dtype(told["classes"]["dtype"]))
        if told["feature_names"]:
            self.feature_names_in_ = np.array(told["feature_names"], dtype=object)
        self.latent_dim, self.reading = int(told["latent_dim"]), told["reading"]
        wanted = set(GRAPHS) if len(self.classes_) else {"encoder", "decoder"}
        check(set(told["graphs"]) == wanted, f"it lists the graphs {sorted(told['graphs'])}")

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return the codes mu, (n, latent_dim); a row's code depends on that row alone."""
        rows = self._checked(X)
        parts = np.array_split(np.arange(len(rows)), -(-len(rows) // BATCH))
        return np.concatenate([self._run("encoder", self._graph_inputs(rows[part])) for part in parts])

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the calibrated class probabilities read from mu, (n, n_classes)."""
        check(len(self.classes_) > 0, "this model was trained without labels: it has no classes to predict")
        return self._run("classifier", self.transform(X))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the most probable class of each row, (n,)."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def inverse_transform(self, Z: ArrayLike) -> Any:
        """Decode codes (n, latent_dim) to rows in the shape and units of X."""
        decoded = self.decode(Z)
        if self.preprocess_.kind != "table":
            return self.preprocess_.finish(decoded)
        return to_frame(self.preprocess_.inverse(decoded), getattr(self, "feature_names_in_", None))

    def reconstruct(self, X: ArrayLike) -> Any:
        """Return G(mu(x)), in the shape and units of X."""
        return self.inverse_transform(self.transform(X))

    def decode(self, Z: ArrayLike) -> np.ndarray:
        """Return what the decoder's graph makes of codes: rows not yet rounded; of tables network inputs."""
        codes = np.asarray(Z, dtype=np.float32)
        wanted = f"Z has shape {codes.shape}: codes of this model are (n, {self.latent_dim})"
        check(codes.ndim == 2 and codes.shape[1] == self.latent_dim, wanted)
        parts = np.array_split(codes, max(1, -(-len(codes) // BATCH)))
        return np.concatenate([self._run("decoder", part) for part in parts])

    def _checked(self, X: Any) -> np.ndarray:
        """Check rows against the ones trained on: names of columns, numbers, gaps."""
        names = getattr(self, "feature_names_in_", None)
        if names is not None and hasattr(X, "iloc"):
            _check_names([str(name) for name in X.columns], [str(name) for name in names])
        rows = object_cells(X)
        rows = _numbers(X) if rows is None else rows
        check(rows.ndim > 1 and len(rows) > 0, f"X has shape {rows.shape}: wanted is at least one row")
        check_finite(rows, names, missing_allowed=self.preprocess_.kind == "table")
        return rows

    def _graph_inputs(self, rows: np.ndarray) -> np.ndarray:
        """Return network inputs of tables; images and signals, which the graph scales itself, as they are."""
        if self.preprocess_.kind == "table":
            return self.preprocess_.forward(rows)
        self.preprocess_.check_shape(rows)
        return rows.astype(self.preprocess_.working_dtype)

    def _run(self, name: str, values: np.ndarray) -> np.ndarray:
        session = self._sessions[name]
        return session.run(None, {session.get_inputs()[0].name: values})[0]


def _numbers(X: Any) -> np.ndarray:
    rows = np.asarray(X)
    if rows.dtype.kind in "biuf":
        return rows
    try:
        if hasattr(X, "to_numpy"):  # pandas' own types of number, with NA
            return X.to_numpy(dtype=np.float64, na_value=np.nan)
        return rows.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"X must hold numbers, found dtype {rows.dtype}: {error}") from error


def _check_names(found: list[str], wanted: list[str]) -> None:
    missing, extra = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    what = (
        f"it lacks {missing[:5]}, has {extra[:5]} beside" if missing or extra else "they are in another order"
    )
    check(found == wanted, f"X has not the columns that the model was trained on: {what}")


def _read_description(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: wanted is a folder that `ssavae export` wrote")
    try:
        told = json.loads(path.read_text("utf-8"))
        version, graphs = told["schema_version"], dict(told["graphs"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {_what(error)}") from error
    check(
        version == SCHEMA_VERSION,
        f"{path} has schema version {version}, this ssavae reads {SCHEMA_VERSION}: export the model again",
    )
    return told | {"graphs": graphs}


def _session(path: Path, told: Mapping[str, Any]) -> Any:
    """Open a graph, if it is the one that was exported."""
    import onnxruntime

    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: wanted is a folder that `ssavae export` wrote")
    if hashlib.sha256(path.read_bytes()).hexdigest() != told["graphs"][path.stem]:
        raise ValueError(f"{path} is damaged: its checksum is not the one in {DESCRIPTION_FILE}")
    try:
        return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own, which have no common class
        raise ValueError(f"{path} is not a graph that onnxruntime can run: {error}") from error


def _what(error: Exception) -> str:
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
