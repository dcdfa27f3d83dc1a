"""The explorer as one file: what is packed into it can be read again, and it stays small."""

import base64
import gzip
import json
import re
from html.parser import HTMLParser
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


NASTY = ["</script><script>alert(1)", "<!--<script>", "]]>", "&lt;", "\u2028", "$x_$", '"\\', "中😀", "\0"]


def test_no_name_ends_or_begins_an_element_of_the_page(tmp_path):
    (tmp_path / "page.html").write_text(single_file.one_page(dict.fromkeys(NASTY, NASTY)), "utf-8")
    assert content_of(tmp_path / "page.html") == dict.fromkeys(NASTY, NASTY)
    elements = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: elements.append(tag)
    for content in ({}, dict.fromkeys(NASTY, NASTY)):
        parser.feed(single_file.one_page(content))
        parser.reset()
    assert elements[: len(elements) // 2] == elements[len(elements) // 2 :]


def images(n: int, side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, side, side), dtype=np.uint8)


def unpack(packed: dict[str, Any]) -> np.ndarray:
    """Undo `static_export.pack_gzip`, as the page does."""
    data = gzip.decompress(base64.b64decode(packed["gzip"]))
    return np.frombuffer(data, f"<{packed['dtype']}").reshape(packed["shape"])


def content_of(path: Path) -> dict[str, Any]:
    """The content embedded in an exported page."""
    match = re.search(r"window\.SSAVAE_EXPORT = (.*);</script>", path.read_text("utf-8"))
    assert match
    return json.loads(match[1])


def test_images_and_atlas_come_back(tmp_path):
    x = images(30, 12)
    model, api = quick(x)
    report = static_export.export_page(api, tmp_path / "map.html")
    content = content_of(tmp_path / "map.html")
    assert report["rows"] == "30 of 30" and report["bytes"] == (tmp_path / "map.html").stat().st_size
    assert content["model"]["classes"] == ["</script>", "b"]
    assert (unpack(content["rows"]["stack"]["values"]) == x).all()
    arrays = content["points"]["arrays"]
    assert np.allclose(np.stack([unpack(arrays[name]) for name in "xy"], 1), model.transform(x), atol=1e-5)
    atlas = content["atlas"]
    x0, x1, y0, y1 = atlas["extent"]
    corners = model.inverse_transform([[x0, y0], [x1, y0], [x0, y1], [x1, y1]])
    grid = unpack(atlas["stack"]["values"]).reshape(atlas["side"], atlas["side"], 12, 12).astype(int)
    assert np.abs(grid[[0, 0, -1, -1], [0, -1, 0, -1]] - corners.astype(int)).max() <= 1


def test_a_table_keeps_gaps_and_words(tmp_path):
    words = pd.DataFrame({"a": np.arange(20.0), "b": ["x", "y"] * 10, "n": np.arange(20) % 5})
    words.loc[3, "a"] = np.nan
    _, api = quick(words)
    static_export.export_page(api, tmp_path / "map.html")
    content = content_of(tmp_path / "map.html")
    values, cells = unpack(content["rows"]["stack"]["values"]), content["rows"]["stack"]["cells"]
    assert np.isnan(values[3, 0]) and np.isfinite(values).sum() == values.size - 1
    assert [cells[1]["values"][int(i)] for i in values[:, 1]] == words["b"].tolist()
    assert np.allclose(values[:, 2], words["n"])
    column = content["columns"]["b"]
    assert [column["words"][i] for i in unpack(column["index"])] == words["b"].tolist()
    assert np.allclose(unpack(content["columns"]["a"]), words["a"], equal_nan=True)


def test_signals_keep_the_scale_of_each_channel(tmp_path):
    x = np.random.default_rng(0).normal(size=(20, 32, 2)) * [1, 1000]
    model, api = quick(x, latent_dim=3, kind="signal")
    static_export.export_page(api, tmp_path / "map.html")
    content = content_of(tmp_path / "map.html")
    for name, wanted in (("rows", x), ("decoded_rows", model.reconstruct(x))):  # K > 2: both are included
        stack = content[name]["stack"]
        low, step = (np.array([cell[key] for cell in stack["cells"]]) for key in ("low", "step"))
        assert np.allclose(
            low + step * unpack(stack["values"]), wanted, atol=1.01 * step.max() / 2, rtol=1e-4
        )
    assert len(content["points"]["projection"]["origin"]) == 3


def test_a_page_without_room_holds_some_rows_and_says_so(tmp_path, monkeypatch):
    _, api = quick(images(200, 32))
    static_export.export_page(api, tmp_path / "whole.html")
    whole = (tmp_path / "whole.html").stat().st_size
    monkeypatch.setattr(static_export, "FILE_BYTES", whole - 100_000)
    monkeypatch.setattr(static_export, "SCRIPT_BYTES", len(str(single_file.import_map())) + 20_000)
    report = static_export.export_page(api, tmp_path / "map.html")
    content = content_of(tmp_path / "map.html")["rows"]
    assert content["every"] > 1 and report["rows"] == f"{content['stack']['n']} of 200"
    assert content["stack"]["n"] == len(range(0, 200, content["every"]))
    assert report["bytes"] == (tmp_path / "map.html").stat().st_size <= whole - 100_000
    monkeypatch.setattr(static_export, "FILE_BYTES", 50_000)
    with pytest.raises(UsageError, match="bytes: show fewer rows"):
        static_export.export_page(api, tmp_path / "none.html")
    assert not (tmp_path / "none.html").exists()


def test_large_images_are_shrunk():
    picture = np.zeros((1, 128, 128, 3), dtype=np.uint8)
    picture[0, :64] = 200
    small = static_export.thumbnails(picture)
    assert small.shape == (1, 64, 64, 3)
    assert (small[0, :32] == 200).all() and (small[0, 32:] == 0).all()


def test_an_import_map_holds_every_module_of_the_page():
    urls = single_file.import_map()
    assert set(urls) == {path.name for path in single_file.PAGE.glob("*.js")}
    sources = {name: base64.b64decode(url.partition("base64,")[2]).decode() for name, url in urls.items()}
    imports = [
        name for source in sources.values() for name in re.findall(r'^import .* from "(.*)";', source, re.M)
    ]
    assert set(imports) == set(urls) - {"main.js"}, "all are used, and imported by name"
    assert "./" not in "".join(imports) and "export class Server" in sources["api.js"]


def test_explore_export_on_the_command_line(tmp_path, capsys):
    model, _ = quick(images(20, 8))
    model.save(tmp_path / "run")
    path = tmp_path / "new folder" / "page.html"
    with pytest.raises(SystemExit) as ended:
        main(["explore", str(tmp_path / "run"), "digits", "--part", "test", "--export", str(path)])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and f"wrote {path}" in said and "450 of 450" in said
    assert content_of(path)["points"]["n"] == 450
    with pytest.raises(SystemExit) as ended:
        main(["explore", str(tmp_path / "run"), "digits", "--export", str(tmp_path / "page.txt")])
    assert ended.value.code == 2
