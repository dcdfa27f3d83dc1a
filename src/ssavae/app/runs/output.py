"""Tables of rows and predictions, of a trained or an exported model: nothing here needs torch."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike

from ssavae._checks import UsageError
from ssavae._serialize import lists_to_tuples, write_atomically
from ssavae.data.labelled import LabelledData, Reading
from ssavae.data.partition import Part, read_like
from ssavae.onnx.runtime import Exported

if TYPE_CHECKING:
    import pandas as pd


class Model(Protocol):
    """The part of SSAVAE and Exported that predictions need."""

    classes_: np.ndarray

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return the codes."""
        ...

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the class probabilities."""
        ...


def load_exported(folder: Path, data: str, options: Reading) -> tuple[Exported, LabelledData]:
    """Load an exported model and data for it, read as for training."""
    model = Exported(folder)
    reading = Reading() if model.reading is None else Reading(**lists_to_tuples(model.reading))
    return model, read_like(data, reading, model.preprocess_.kind, options)


def predictions(model: Model, part: Part) -> dict[str, np.ndarray]:
    """Return row number, class and its probability (where the model has classes), and code of each row."""
    columns: dict[str, np.ndarray] = {"row": np.arange(len(part.x))}
    if len(model.classes_):
        probs = model.predict_proba(part.x)
        columns["class"] = model.classes_[probs.argmax(axis=1)]
        columns["probability"] = probs.max(axis=1)
    columns["z"] = model.transform(part.x)
    return columns


def write_rows(model: Model, path: Path, arrays: Mapping[str, ArrayLike]) -> Path:
    """Write arrays of equal length to .npz as they are, or to .csv with one flat row each.

    The columns of ``x`` and ``x_rec`` get the names that the model knows. Raises UsageError else.
    """
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".csv"):
        raise UsageError(f"--out must end in .png, .npz or .csv, found {path.name!r}")
    columns = {name: np.asarray(array) for name, array in arrays.items()}
    content = io.BytesIO()
    if suffix == ".npz":
        plain = {name: a.astype(str) if a.dtype.kind == "O" else a for name, a in columns.items()}
        np.savez_compressed(content, **plain)  # pyright: ignore[reportArgumentType]
    else:
        to_frame(model, columns).to_csv(content, index=False)
    write_atomically(path, content.getvalue())
    return path


def to_frame(model: Model, arrays: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Return arrays of equal length as a DataFrame with one flat row each."""
    import pandas as pd

    frames = []
    row_columns = getattr(model, "feature_names_in_", None)
    for name, array in arrays.items():
        flat = array.reshape(len(array), -1)
        names = [name] if array.ndim == 1 else [f"{name}{i}" for i in range(flat.shape[1])]
        if row_columns is not None and name in ("x", "x_rec"):
            names = list(row_columns)
        frames.append(pd.DataFrame(flat, columns=names).infer_objects())
    return pd.concat(frames, axis=1)
