"""Small fitted models and their applications, cached, for the tests of the explorer's server."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from fastapi import FastAPI
from fastapi.testclient import TestClient

from ssavae import SSAVAE
from ssavae.app.explorer.app import create_app
from ssavae.app.explorer.points import Points, rows_to_show
from ssavae.data.labelled import LabelledData

JSON = {"content-type": "application/json"}
NO_ROWS = np.empty(0, dtype=np.int64)


def images(n: int = 60, side: int = 8, channels: int | None = None) -> np.ndarray:
    """Gray or colour images in bytes, of three classes with a bright square at different positions."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 60, (n, side, side) if channels is None else (n, side, side, channels))
    for c, side_slice in enumerate((slice(0, 4), slice(4, 8), slice(2, 6))):
        x[c::3, side_slice, side_slice] += 150
    return x.astype(np.uint8)


def table(n: int = 60) -> pd.DataFrame:
    """Numbers with missing values, integers, text and booleans."""
    rng = np.random.default_rng(0)
    c = np.arange(n) % 3
    frame = pd.DataFrame({"width": rng.normal(c, 0.2), "parts": 10 * c + rng.integers(0, 3, n)})
    frame["colour"] = np.array(["red", "green", "blue"], dtype=object)[c]
    frame["a/b"] = np.array([bool(k % 2) for k in range(n)], dtype=object)
    frame.loc[:3, "width"] = np.nan
    return frame


def signals(n: int = 60) -> np.ndarray:
    """Signals of 32 samples and two channels, with three frequencies."""
    t = np.arange(32)[None, :, None] * (1 + np.arange(n) % 3)[:, None, None] / 5
    return np.sin(t + np.array([0.0, 1.0])) + np.random.default_rng(0).normal(0, 0.1, (n, 32, 2))


ROWS = {"image": images, "colour": lambda: images(channels=3), "table": table, "signal": signals}


@cache
def model_and_points(
    kind: str, latent_dim: int = 2, labelled: bool = True, map_dim: int | None = None
) -> tuple[SSAVAE, Points]:
    """A briefly trained model and its points: 40 training rows and 20 test rows."""
    x: Any = ROWS[kind]()
    y = np.array(["one", "two", "three"], dtype=object)[np.arange(len(x)) % 3]
    y[5] = None
    small: dict[str, Any] = {"widths": (4, 8) if kind != "table" else (16,), "batch_size": 16}
    model = SSAVAE(latent_dim, map_dim=map_dim, n_epochs=3, n_epochs_decoder=2, random_state=0, **small)
    model.set_params(kind="signal" if kind == "signal" else None)
    model.fit(x, y if labelled else None)
    cells = x.to_numpy(dtype=object) if kind == "table" else x
    names = tuple(x.columns) if kind == "table" else None
    data = LabelledData("toy", cells[:40], y[:40], cells[40:], y[40:], feature_names=names)
    return model, Points.of(model, rows_to_show(data, NO_ROWS))


def app_of(
    kind: str,
    latent_dim: int = 2,
    labelled: bool = True,
    token: str | None = None,
    map_dim: int | None = None,
) -> FastAPI:
    """The application of :func:`model_and_points`."""
    return create_app(*model_and_points(kind, latent_dim, labelled, map_dim), "toy", token=token)


def client_of(app: FastAPI) -> TestClient:
    """A client in the same process; server errors are replies with status 500, as over a network."""
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
