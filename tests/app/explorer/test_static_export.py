"""The explorer as one file: what is packed into it can be read again, and it stays small."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ssavae import SSAVAE
from ssavae._checks import UsageError
from ssavae.app.cli import main
from ssavae.data.labelled import LabelledData

pytest.importorskip("fastapi", reason="the extra `explore` is not installed")

from ssavae.app.explorer import service, single_file, static_export
from ssavae.app.explorer.app import Api
from ssavae.app.explorer.points import Points, rows_to_show
from ssavae.app.explorer.service import Service


@pytest.fixture(autouse=True)
def coarse_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few places are decoded, so that the tests are quick."""
    monkeypatch.setattr(static_export, "ATLAS_SIDE", 9)
    monkeypatch.setattr(static_export, "SAMPLES", 8)
    monkeypatch.setattr(service, "TRUST_SIDE", 9)


def quick(x: Any, latent_dim: int = 2, **settings: Any) -> tuple[SSAVAE, Api]:
    """A hardly trained model of two classes, and the API over its rows."""
    y = np.array(["</script>", "b"])[np.arange(len(x)) % 2]  # a name that would end a script
    model = SSAVAE(latent_dim, n_epochs=1, n_epochs_decoder=1, random_state=0, **settings).fit(x, y)
    names = tuple(x.columns) if hasattr(x, "columns") else None
    loaded = LabelledData("quick", np.asarray(x), y, feature_names=names)
    points = Points.of(model, rows_to_show(loaded, np.empty(0, dtype=np.int64)))
    return model, Api(Service(model, points), "quick")


def images(n: int, side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, side, side), dtype=np.uint8)


def unpacked(told: dict[str, Any]) -> np.ndarray:
    """Undo `static_export.packed`, as the page does."""
    data = gzip.decompress(base64.b64decode(told["gzip"]))
    return np.frombuffer(data, f"<{told['dtype']}").reshape(told["shape"])


def held_by(path: Path) -> dict[str, Any]:
    """What a page holds."""
    found = re.search(r"window\.SSAVAE_EXPORT = (.*);</script>", path.read_text("utf-8"))
    assert found
    return json.loads(found[1])


def test_images_and_atlas_come_back(tmp_path):
    x = images(30, 12)
    model, api = quick(x)
    told = static_export.export_page(api, tmp_path / "map.html")
    held = held_by(tmp_path / "map.html")
    assert told["rows"] == "30 of 30" and told["bytes"] == (tmp_path / "map.html").stat().st_size
    assert held["model"]["classes"] == ["</script>", "b"]
    assert (unpacked(held["rows"]["stack"]["values"]) == x).all()
    arrays = held["points"]["arrays"]
    assert np.allclose(np.stack([unpacked(arrays[name]) for name in "xy"], 1), model.transform(x), atol=1e-5)
    atlas = held["atlas"]
    x0, x1, y0, y1 = atlas["extent"]
    corners = model.inverse_transform([[x0, y0], [x1, y0], [x0, y1], [x1, y1]])
    grid = unpacked(atlas["stack"]["values"]).reshape(atlas["side"], atlas["side"], 12, 12).astype(int)
    assert np.abs(grid[[0, 0, -1, -1], [0, -1, 0, -1]] - corners.astype(int)).max() <= 1


def test_a_table_keeps_gaps_and_words(tmp_path):
    words = pd.DataFrame({"a": np.arange(20.0), "b": ["x", "y"] * 10, "n": np.arange(20) % 5})
    words.loc[3, "a"] = np.nan
    _, api = quick(words)
    static_export.export_page(api, tmp_path / "map.html")
    held = held_by(tmp_path / "map.html")
    values, cells = unpacked(held["rows"]["stack"]["values"]), held["rows"]["stack"]["cells"]
    assert np.isnan(values[3, 0]) and np.isfinite(values).sum() == values.size - 1
    assert [cells[1]["values"][int(i)] for i in values[:, 1]] == words["b"].tolist()
    assert np.allclose(values[:, 2], words["n"])
    column = held["columns"]["b"]
    assert [column["words"][i] for i in unpacked(column["index"])] == words["b"].tolist()
    assert np.allclose(unpacked(held["columns"]["a"]), words["a"], equal_nan=True)


def test_signals_keep_the_scale_of_each_channel(tmp_path):
    x = np.random.default_rng(0).normal(size=(20, 32, 2)) * [1, 1000]
    model, api = quick(x, latent_dim=3, kind="signal")
    static_export.export_page(api, tmp_path / "map.html")
    held = held_by(tmp_path / "map.html")
    for name, wanted in (("rows", x), ("decoded_rows", model.reconstruct(x))):  # K > 2: both are held
        stack = held[name]["stack"]
        low, step = (np.array([cell[key] for cell in stack["cells"]]) for key in ("low", "step"))
        assert np.allclose(
            low + step * unpacked(stack["values"]), wanted, atol=1.01 * step.max() / 2, rtol=1e-4
        )
    assert len(held["points"]["projection"]["origin"]) == 3


def test_a_page_without_room_holds_some_rows_and_says_so(tmp_path, monkeypatch):
    _, api = quick(images(200, 32))
    whole = static_export.export_page(api, tmp_path / "whole.html")["bytes"]
    monkeypatch.setattr(static_export, "FILE_BYTES", whole - 100_000)
    monkeypatch.setattr(static_export, "SCRIPT_BYTES", len(single_file.one_script()) + 20_000)
    told = static_export.export_page(api, tmp_path / "map.html")
    held = held_by(tmp_path / "map.html")["rows"]
    assert held["every"] > 1 and told["rows"] == f"{held['stack']['n']} of 200"
    assert held["stack"]["n"] == len(range(0, 200, held["every"]))
    assert told["bytes"] <= whole - 100_000
    monkeypatch.setattr(static_export, "FILE_BYTES", 1_000_000)
    with pytest.raises(UsageError, match="bytes: show fewer rows"):
        static_export.export_page(api, tmp_path / "none.html")
    assert not (tmp_path / "none.html").exists()


def test_large_images_are_shrunk():
    picture = np.zeros((1, 128, 128, 3), dtype=np.uint8)
    picture[0, :64] = 200
    small = static_export.thumbnails(picture)
    assert small.shape == (1, 64, 64, 3)
    assert (small[0, :32] == 200).all() and (small[0, 32:] == 0).all()


def test_modules_become_one_script(tmp_path):
    (tmp_path / "a.js").write_text('import { b } from "./b.js";\nexport const a = b + 1;\n')
    (tmp_path / "b.js").write_text("export const b = 1;\n")
    assert single_file.in_order(tmp_path, "a.js") == ["b.js", "a.js"]
    script = single_file.one_script(tmp_path, "a.js")
    assert script.index("const b = 1") < script.index("const a = b + 1")
    assert "import" not in script and "export" not in script
    (tmp_path / "b.js").write_text("export const b = 1;\nconst a = 2;\n")
    with pytest.raises(ValueError, match="both define a"):
        single_file.one_script(tmp_path, "a.js")
    (tmp_path / "b.js").write_text("export default 1;\n")
    with pytest.raises(ValueError, match="not understood: export default"):
        single_file.one_script(tmp_path, "a.js")


def test_every_module_of_the_page_is_used():
    assert set(single_file.in_order(single_file.PAGE)) == {
        path.name for path in single_file.PAGE.glob("*.js")
    }


def test_explore_export_on_the_command_line(tmp_path, capsys):
    model, _ = quick(images(20, 8))
    model.save(tmp_path / "run")
    path = tmp_path / "new folder" / "page.html"
    with pytest.raises(SystemExit) as ended:
        main(["explore", str(tmp_path / "run"), "digits", "--part", "test", "--export", str(path)])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and f"wrote {path}" in said and "450 of 450" in said
    assert held_by(path)["points"]["n"] == 450
    with pytest.raises(SystemExit) as ended:
        main(["explore", str(tmp_path / "run"), "digits", "--export", str(tmp_path / "page.txt")])
    assert ended.value.code == 2
