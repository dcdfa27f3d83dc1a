"""What a model says of rows, as tables: a trained one or an exported one, so nothing here needs torch."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ssavae._checks import UsageError
from ssavae._serialize import lists_to_tuples, write_atomically
from ssavae.data.labelled import LabelledData, Reading
from ssavae.data.partition import Part, read_like
from ssavae.onnx.runtime import Exported


class Model(Protocol):
    """What SSAVAE and Exported have in common here."""

    classes_: np.ndarray

    def transform(self, X: Any) -> np.ndarray:
        """Return the codes."""
        ...

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the class probabilities."""
        ...


def open_exported(folder: Path, data: str, label: str | None) -> tuple[Exported, LabelledData]:
    """Load an exported model and data for it, read as for training."""
    model = Exported(folder)
    reading = Reading() if model.reading is None else Reading(**lists_to_tuples(model.reading))
    return model, read_like(data, reading, model.preprocess_.kind, label)


def predictions(model: Model, part: Part) -> dict[str, np.ndarray]:
    """Return row number, class and its probability (where the model has classes), and code of each row."""
    found: dict[str, np.ndarray] = {"row": np.arange(len(part.x))}
    if len(model.classes_):
        probs = model.predict_proba(part.x)
        found |= {"class": model.classes_[probs.argmax(axis=1)], "probability": probs.max(axis=1)}
    return found | {"z": model.transform(part.x)}


def write_rows(model: Model, path: Path, arrays: Mapping[str, Any]) -> Path:
    """Write arrays of equal length to .npz as they are, or to .csv with one flat row each.

    Values of rows in the shape of the model's get its column names, where it knows them.

    Raises
    ------
    UsageError
        The path ends in neither.
    """
    suffix, arrays = path.suffix.lower(), {name: np.asarray(a) for name, a in arrays.items()}
    if suffix not in (".npz", ".csv"):
        raise UsageError(f"--out must end in .png, .npz or .csv, found {path.name!r}")
    content = io.BytesIO()
    if suffix == ".npz":
        plain = {name: a.astype(str) if a.dtype.kind == "O" else a for name, a in arrays.items()}
        np.savez_compressed(content, **plain)  # pyright: ignore[reportArgumentType]
    else:
        frame_of(model, arrays).to_csv(content, index=False)
    write_atomically(path, content.getvalue())
    return path


def frame_of(model: Model, arrays: Mapping[str, np.ndarray]) -> Any:
    """Return arrays of equal length as a DataFrame with one flat row each."""
    import pandas as pd

    parts, columns = [], getattr(model, "feature_names_in_", None)
    for name, array in arrays.items():
        flat = array.reshape(len(array), -1)
        names = [name] if array.ndim == 1 else [f"{name}{i}" for i in range(flat.shape[1])]
        if columns is not None and name in ("x", "x_rec"):
            names = list(columns)
        parts.append(pd.DataFrame(flat, columns=names).infer_objects())
    return pd.concat(parts, axis=1)
