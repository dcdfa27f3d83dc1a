"""Exported models: onnxruntime gives torch's results without torch; broken folders get one clear error."""

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from hostile import check_results, results_of, rewrite
from ssavae import SSAVAE, Exported
from ssavae._checks import UsageError
from ssavae.onnx import export
from ssavae.onnx.export import export_onnx

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("image", "signal", "table")
SHORT: dict[str, Any] = {"n_epochs": 2, "n_epochs_decoder": 1, "random_state": 0}
# Makes the dependencies of the part of the library that uses torch impossible to import.
BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"{{name}} is blocked")

sys.meta_path.insert(0, Blocked())
"""
WITHOUT_TORCH = BLOCKED.format(names=("torch", "lightning_fabric", "safetensors", "sklearn", "matplotlib"))


class Pair(NamedTuple):
    """A trained model, its export and rows."""

    model: SSAVAE
    folder: Path
    X: np.ndarray | pd.DataFrame


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (90, 9, 11, 3), dtype=np.uint8)


def signals() -> np.ndarray:
    """Two channels of unlike scale, one far from 0: float32 would not do."""
    return np.random.default_rng(0).normal(size=(90, 40, 2)) * [1, 100] + [1e6, 5]


def cells() -> pd.DataFrame:
    """Numbers with missing values and an outlier, integers, categories with missing values, booleans."""
    rng, y = np.random.default_rng(0), np.arange(90) % 3
    kind = np.array([None, "red", "blue"], dtype=object)[y]
    frame = pd.DataFrame({"heat": rng.normal(size=90) * 50, "count": rng.integers(0, 9, 90)})
    frame["colour"], frame["open"] = kind, y == 0
    frame.loc[::7, "heat"] = np.nan
    frame.loc[3, "heat"] = 1e7
    return frame


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> dict[str, Pair]:
    folder, y = tmp_path_factory.mktemp("exported"), np.array(["x", "y", "z"])[np.arange(90) % 3]
    pairs = {}
    for kind, X in zip(KINDS, (images(), signals(), cells()), strict=True):
        model = SSAVAE(kind=kind, validation_fraction=0.3, **SHORT).fit(X, y)
        assert model.calibration_.temperature != 1.0  # otherwise a graph without it would pass
        export_onnx(model, folder / kind)
        pairs[kind] = Pair(model, folder / kind, X)
    return pairs


@pytest.fixture
def table(pairs, tmp_path) -> Path:
    """A copy of the table's export, to be broken."""
    return Path(shutil.copytree(pairs["table"].folder, tmp_path / "table"))


@pytest.mark.parametrize("kind", KINDS)
def test_onnxruntime_gives_the_results_of_torch(pairs, kind):
    model, folder, X = pairs[kind]
    exported = Exported(folder)
    np.testing.assert_allclose(exported.transform(X), model.transform(X), atol=1e-5)
    np.testing.assert_allclose(exported.predict_proba(X), model.predict_proba(X), atol=1e-5)
    assert exported.predict(X).tolist() == model.predict(X).tolist()
    assert exported.predict(X).dtype == model.predict(X).dtype


@pytest.mark.parametrize("kind", KINDS)
def test_decoded_rows_have_the_units_and_type_of_torchs(pairs, kind):
    model, folder, X = pairs[kind]
    result: Any = Exported(folder).reconstruct(X)
    expected: Any = model.reconstruct(X)
    assert type(result) is type(expected)
    if kind == "table":
        pd.testing.assert_frame_equal(result, expected, rtol=1e-4)
        return
    assert result.dtype == expected.dtype
    # a pixel of 12.5 may be rounded either way
    tolerance = {"image": 1, "signal": 1e-3}[kind]
    np.testing.assert_allclose(result.astype(float), expected.astype(float), atol=tolerance, rtol=0)
    codes = np.random.default_rng(1).normal(size=(3, 2))
    assert Exported(folder).inverse_transform(codes).shape == (3, *X.shape[1:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_does_not_depend_on_the_others(pairs, kind):
    model, folder, X = pairs[kind]
    exported, one = Exported(folder), X.iloc[[5]] if kind == "table" else X[[5]]
    np.testing.assert_allclose(exported.transform(one)[0], exported.transform(X)[5], atol=1e-5)
    many = pd.concat([X] * 25) if kind == "table" else np.concatenate([X] * 25)  # more than one batch
    np.testing.assert_allclose(exported.transform(many)[-90:], model.transform(X), atol=1e-5)


def test_the_classifiers_graph_holds_the_temperature(pairs):
    model, folder, X = pairs["image"]
    bare = model._infer(X, lambda predictor, x: predictor.logits(x).softmax(dim=1))
    assert np.abs(bare - Exported(folder).predict_proba(X)).max() > 1e-3


def test_plain_arrays_of_a_table_are_taken(tmp_path, toy_table):
    X, _ = toy_table
    model = SSAVAE(latent_dim=3, **SHORT).fit(X)
    export_onnx(model, tmp_path / "out")
    exported = Exported(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "decoder.onnx",
        "encoder.onnx",
        "exported.json",
    ]
    np.testing.assert_allclose(exported.transform(X.tolist()), model.transform(X), atol=1e-5)
    np.testing.assert_allclose(exported.reconstruct(X), model.reconstruct(X), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="trained without labels"):
        exported.predict(X)
    # NA of pandas' nullable types is treated as NaN
    frame = pd.DataFrame(X).astype("Float64")
    frame.iloc[0, 0], X[0, 0] = pd.NA, np.nan
    with pytest.warns(UserWarning, match="column '0' has no value"):
        np.testing.assert_array_equal(exported.transform(frame), exported.transform(X))


@pytest.mark.parametrize("kind", KINDS)
def test_it_runs_where_torch_cannot_be_imported(pairs, kind, tmp_path):
    model, folder, X = pairs[kind]
    source = f"np.load({str(tmp_path / 'x.npy')!r})"
    if kind == "table":
        X.to_csv(tmp_path / "x.csv", index=False)
        source = f"pd.read_csv({str(tmp_path / 'x.csv')!r})"
    else:
        np.save(tmp_path / "x.npy", X)
    program = f"""{WITHOUT_TORCH}
import numpy as np, pandas as pd
from ssavae.onnx.runtime import Exported
exported, X = Exported({str(folder)!r}), {source}
exported.reconstruct(X)
np.save({str(tmp_path / "probs.npy")!r}, exported.predict_proba(X))
print(*exported.predict(X))
assert not [name for name in sys.modules if name.partition(".")[0] == "torch"]
"""
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=env, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == model.predict(X).tolist()
    np.testing.assert_allclose(np.load(tmp_path / "probs.npy"), model.predict_proba(X), atol=1e-5)


# Errors


@pytest.fixture
def graphs_copied(pairs, monkeypatch) -> None:
    """Copy the table's graphs instead of exporting, which takes seconds."""

    def copied(path: Path, *_: object) -> None:
        shutil.copy(pairs["table"].folder / path.name, path)

    monkeypatch.setattr(export, "_write_graph", copied)


@pytest.mark.usefixtures("graphs_copied")
@pytest.mark.parametrize("name", ["encoder", "classifier", "decoder"])
def test_graphs_of_another_network_leave_nothing(pairs, tmp_path, name):
    """Parity is checked for every graph; without it no folder is written."""
    model = copy.deepcopy(pairs["table"].model)
    export_onnx(model, tmp_path / "same")
    changed = {
        "encoder": model.vec_.encoder.mu,
        "classifier": model.vec_.classifier[2],
        "decoder": model.decoder_.end,
    }
    changed[name].bias.data[0] += 0.01
    with pytest.raises(ValueError, match=f"the {name} as ONNX is not torch's: 1 rows differ by up to 0.0"):
        export_onnx(model, tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["same"]


def test_a_network_that_onnx_cannot_express_gets_one_line(toy_table, tmp_path):
    import torch

    class Odd(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(2, 5)

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return self.linear(z) * (2.0 if z.sum() > 0 else 1.0)  # a branch on values

    X, y = toy_table
    model = SSAVAE(decoder=Odd(), **SHORT).fit(X, y)
    with pytest.raises(ValueError, match="the decoder cannot be written as ONNX") as failed:
        export_onnx(model, tmp_path / "out")
    assert len(str(failed.value)) < 300 and "\n" not in str(failed.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("graphs_copied")
def test_a_folder_in_use_is_left_alone(pairs, table, tmp_path):
    model = pairs["table"].model
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(UsageError, match="holds something else than an exported model"):
        export_onnx(model, tmp_path / "mine", overwrite=True)
    with pytest.raises(UsageError, match="give --overwrite"):
        export_onnx(model, table)
    (table / "decoder.onnx").unlink()
    export_onnx(model, table, overwrite=True)
    assert Exported(table).predict(pairs["table"].X).tolist() == model.predict(pairs["table"].X).tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "table"]


def edited(folder: Path, **values: object) -> None:
    rewrite(folder / "exported.json", lambda document: document | values)


BROKEN = {
    "another checksum": (
        lambda folder: (folder / "exported.json").write_text(
            (folder / "exported.json").read_text().replace("heat", "cold")
        ),
        "its content does not match its checksum",
    ),
    "another code": (lambda folder: edited(folder, latent_dim=3), r"encoder.onnx does not fit exported.json"),
    "more names": (lambda folder: edited(folder, feature_names=["a"]), "feature_names must be 4, found 1"),
    "no folder": (lambda folder: shutil.rmtree(folder), "no folder of an exported model"),
    "no json": (lambda folder: (folder / "exported.json").unlink(), "exported.json is missing"),
    "half a json": (
        lambda folder: (folder / "exported.json").write_text('{"schema_version": 1,'),
        "exported.json is damaged",
    ),
    "another json": (lambda folder: (folder / "exported.json").write_text("[1]"), "exported.json is damaged"),
    "not text": (
        lambda folder: (folder / "exported.json").write_bytes(b"\xff\xfe"),
        "exported.json is damaged",
    ),
    "newer": (lambda folder: edited(folder, schema_version=99), "has schema version 99, this ssavae reads 2"),
    "no columns": (
        lambda folder: edited(folder, preprocess={}),
        "exported.json is damaged: preprocess.kind is missing",
    ),
    "no dtype": (lambda folder: edited(folder, classes={"names": ["a"], "dtype": "??"}), "damaged"),
    "no graphs": (lambda folder: edited(folder, graphs={}), r"graphs must be .*, found \[\]"),
    "paths": (lambda folder: edited(folder, graphs={"../encoder": ""}), "graphs must be"),
    "no graph": (lambda folder: (folder / "encoder.onnx").unlink(), "encoder.onnx is missing"),
    "half a graph": (
        lambda folder: (folder / "decoder.onnx").write_bytes((folder / "decoder.onnx").read_bytes()[:99]),
        "decoder.onnx is damaged: its checksum",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_folder_gets_one_clear_line(table, how):
    breaks, message = BROKEN[how]
    breaks(table)
    with pytest.raises((ValueError, OSError), match=message) as refused:
        Exported(table)
    assert "\n" not in str(refused.value)


def test_mutated_exports_get_one_clear_error(pairs, tmp_path):
    folders = []
    for kind in ("image", "signal"):
        folders.append(Path(shutil.copytree(pairs[kind].folder, tmp_path / kind)))
        np.save(folders[-1] / "rows.npy", pairs[kind].X[:4])
    check_results(results_of("export", 50, folders), 50)


def test_a_file_that_is_no_graph_gets_one_clear_line(table):
    import hashlib

    (table / "encoder.onnx").write_bytes(b"no graph")
    graphs = json.loads((table / "exported.json").read_text())["graphs"]
    edited(table, graphs=graphs | {"encoder": hashlib.sha256(b"no graph").hexdigest()})
    with pytest.raises(ValueError, match=r"encoder.onnx is not a graph that onnxruntime can run"):
        Exported(table)


def test_rows_that_do_not_fit_are_refused(pairs):
    exported, X = Exported(pairs["table"].folder), pairs["table"].X
    for wrong, message in (
        (X[["heat", "count", "open", "colour"]], "in another order"),
        (X.drop(columns="heat"), r"it lacks \['heat'\]"),
        (X.assign(more=1), r"has \['more'\] beside"),
        (X.to_numpy()[:, :2], "X has 2 features, but SSAVAE is expecting 4"),
        (X.iloc[:0], "at least one row"),
        (X.assign(heat=np.inf), "contains infinity: row 0, .* 'heat'"),
        ("text", "X must hold numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            exported.predict(wrong)
    images = Exported(pairs["image"].folder)
    with pytest.raises(ValueError, match=r"rows of shape \(9, 11\), but .* \(9, 11, 3\)"):
        images.transform(np.zeros((2, 9, 11)))
    with pytest.raises(ValueError, match="contains NaN"):
        images.transform(np.full((1, 9, 11, 3), np.nan))
    with pytest.raises(ValueError, match=r"codes of this model are \(n, 2\)"):
        images.inverse_transform([[0.0]])


def test_without_onnxruntime_it_says_what_to_install(table, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'needs onnxruntime: pip install "ssavae\[onnx\]"'):
        Exported(table)
