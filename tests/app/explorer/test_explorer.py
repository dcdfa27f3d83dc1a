"""The explorer's server: same answers as the model itself, for every kind of rows."""

import base64
import csv
import gzip
import io
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from explorer_apps import ROWS, app_of, client_of, images, model_and_points, signals, table
from fastapi.testclient import TestClient
from PIL import Image

from ssavae._checks import UsageError
from ssavae.app.explorer import points as points_module
from ssavae.app.explorer import serve
from ssavae.app.explorer.app import create_app
from ssavae.app.explorer.batching import Worker
from ssavae.app.explorer.http import replies
from ssavae.app.explorer.latent import umap_map
from ssavae.app.explorer.points import Plane, Points, SelectedRows, rows_to_show, with_learned_labels
from ssavae.app.runs.folder import POINTS_FILE, Run, RunFolder
from ssavae.data.label_budget import LabelBudget, grant_labels
from ssavae.data.labelled import LabelledData, Reading
from ssavae.data.partition import Part
from ssavae.inference.calibration import conformal_limit

KINDS = list(ROWS)


def array(packed: dict) -> np.ndarray:
    dtype = {"f4": "<f4", "i4": "<i4", "u1": "u1"}[packed["dtype"]]
    return np.frombuffer(base64.b64decode(packed["bdata"]), dtype).reshape(packed["shape"])


def sent(kind: str, n: int) -> list:
    """The first rows of a kind as JSON, with null where a value is missing."""
    rows = ROWS[kind]()[:n]
    if kind != "table":
        return rows.tolist()
    return [{k: None if v != v else v for k, v in row.items()} for row in rows.to_dict("records")]


def ok(response) -> dict:
    assert response.status_code == 200, response.text
    return response.json()


@pytest.fixture(scope="module", params=KINDS)
def served(request):
    return request.param, client_of(app_of(request.param)), *model_and_points(request.param)


def test_rows_are_read_as_the_model_reads_them(served):
    kind, client, model, _ = served
    rows, body = ROWS[kind]()[:7], {"x": sent(kind, 7)}
    reply = ok(client.post("/api/predict", json=body))
    np.testing.assert_allclose(reply["z"], model.transform(rows), atol=1e-5)
    np.testing.assert_allclose(reply["probabilities"], model.predict_proba(rows), atol=1e-5)
    assert reply["predicted"] == model.predict(rows).tolist() and reply["warnings"] == []
    assert ok(client.post("/api/encode", json=body))["z"] == reply["z"]
    judged = ok(client.post("/api/novelty", json=body | {"alpha": 0.2}))
    np.testing.assert_allclose(judged["novelty"], model.novelty(rows), rtol=1e-4, atol=1e-4)
    limit = conformal_limit(model.calibration_.novelty_scores, 0.2)
    is_clear = np.abs(model.novelty(rows) - limit) > 1e-3  # a calibration row may lie on the limit itself
    assert is_clear.any()
    assert (np.array(judged["is_novel"]) == model.is_novel(rows, alpha=0.2))[is_clear].all()


def test_codes_are_decoded_as_the_model_decodes_them(served):
    kind, client, model, _ = served
    codes = [[0.3, -0.2], [1.0, 1.0]]
    values = ok(client.post("/api/decode", json={"z": codes}))["x"]
    decoded = model.inverse_transform(codes)
    if kind == "table":
        for value, (_, row) in zip(values, decoded.iterrows(), strict=True):
            width = np.nan if value["width"] is None else value["width"]  # JSON has no NaN
            assert width == pytest.approx(row["width"], rel=1e-4, nan_ok=True)
            assert (value["parts"], value["colour"]) == (row["parts"], row["colour"])
            assert value["a/b"] == str(row["a/b"])
    elif kind == "signal":
        np.testing.assert_allclose([array(v) for v in values], decoded, atol=1e-4)
    else:
        np.testing.assert_allclose([array(v) for v in values], decoded, atol=1)


def test_items_and_points_are_rows_of_the_data(served):
    kind, client, model, points = served
    reply = ok(client.get("/api/points"))
    assert reply["n"] == reply["n_all"] == len(points) == 60
    z = np.column_stack([array(reply["x"]), array(reply["y"])])
    np.testing.assert_allclose(z, model.transform(ROWS[kind]()), atol=1e-5)
    label = array(reply["label"])
    assert label[5] == -1 and label[6] == model.classes_.tolist().index("one")
    assert array(reply["row"]).tolist() == [*range(40), *[-1] * 20]
    np.testing.assert_allclose(array(reply["novelty"]), model.novelty(ROWS[kind]()), rtol=1e-4, atol=1e-4)
    item = ok(client.get("/api/items/45"))
    assert item["label"] == "one" and item["predicted"] == model.predict(ROWS[kind]()[45:46])[0]
    assert item["confidence"] == pytest.approx(float(array(reply["confidence"])[45]), abs=1e-5)
    assert item["z"] == pytest.approx(z[45].tolist(), abs=1e-5)
    if kind in ("image", "colour"):
        assert (array(item["x"]) == ROWS[kind]()[45]).all()
    assert ok(client.get("/api/columns/part"))["values"] == ["train"] * 40 + ["test"] * 20


def test_the_model_is_described(served):
    kind, client, model, _ = served
    reply = ok(client.get("/api/model"))
    assert reply["kind"] == model.preprocess_.kind and reply["shape"] == list(ROWS[kind]().shape[1:])
    assert reply["classes"] == ["one", "three", "two"] and reply["latent_dim"] == 2 and reply["has_trust"]
    assert (reply["columns"] is None) == (kind != "table") and "checkpoint_folder" not in reply["parameters"]


def test_samples_are_of_the_class_and_the_same_again(served):
    _, client, _, _ = served
    reply = ok(client.post("/api/sample", json={"n": 70, "seed": 3}))
    assert reply == ok(client.post("/api/sample", json={"n": 70, "seed": 3}))
    assert len(reply["x"]) == 70 and set(reply["y"]) == {"one", "two", "three"}
    assert ok(client.post("/api/sample", json={"n": 3, "y": "two"}))["y"] == ["two"] * 3
    assert ok(client.post("/api/sample", json={"n": 3, "sampler": "prior"}))["y"] is None


def test_a_group_has_mean_and_spread(served):
    kind, client, _, points = served
    reply = ok(client.post("/api/select", json={"items": [0, 3, 3, 6, 5]}))
    z = points.z[[0, 3, 5, 6]]
    assert reply["n"] == 4 and reply["z_mean"] == pytest.approx(z.mean(axis=0).tolist(), abs=1e-5)
    assert reply["by_class"].get("one", 0) >= 3 and sum(reply["by_class"].values()) == 4
    if kind == "image":
        wanted = images()[[0, 3, 5, 6]].astype(float).std(axis=0)
        np.testing.assert_allclose(array(reply["x_spread"]), wanted, atol=0.6)
    assert ok(client.post("/api/select", json={"items": [7]}))["x_spread"] is None


def test_trust_is_the_model_s_own(served):
    _, client, model, _ = served
    reply = ok(client.get("/api/trust"))
    grid = np.stack(np.meshgrid(reply["x"], reply["y"]), axis=-1).reshape(-1, 2)
    same = np.array(reply["trusted"]).ravel() == model.is_trusted(grid)
    assert same.mean() > 0.99  # except for rounding at the edges


def test_a_place_has_the_classes_that_the_model_reads_there(served):
    _, client, model, points = served
    codes = points.z[[0, 7, 20]].astype(float).round(3).tolist()
    reply = ok(client.post("/api/decode", json={"z": codes}))
    logits = model.predictor_.classify(torch.tensor(codes, dtype=torch.float32))
    wanted = (logits / model.calibration_.temperature).softmax(dim=1).numpy()
    np.testing.assert_allclose(reply["probabilities"], wanted, atol=1e-5)
    assert reply["predicted"] == model.classes_[wanted.argmax(axis=1)].tolist()


def test_neighbours_in_the_code_and_in_the_features(served):
    kind, client, model, points = served
    away = np.linalg.norm(points.z - points.z[9], axis=1)
    reply = ok(client.get("/api/items/9/neighbours?n=5"))
    assert reply["items"] == np.argsort(away)[1:6].tolist()
    np.testing.assert_allclose(reply["distances"], np.sort(away)[1:6], rtol=1e-5)
    features = model.predictor_.hidden(model.network_inputs(ROWS[kind]())).numpy()
    away = np.linalg.norm(features - features[9], axis=1)
    reply = ok(client.get("/api/items/9/neighbours?n=5&by=features"))
    assert 9 not in reply["items"]
    np.testing.assert_allclose(reply["distances"], np.sort(away)[1:6], rtol=1e-4)
    assert len(ok(client.get("/api/items/9/neighbours?n=100"))["items"]) == 59
    assert client.get("/api/items/60/neighbours").status_code == 404


# ------------------------------------------------------------------------------ forms of a reply

LISTS = {"accept": "application/json; arrays=lists"}


def without_arrays(value):
    """The JSON of a reply with lists in place of arrays, and null in place of NaN."""
    if isinstance(value, dict) and isinstance(value.get("shape"), list):
        numbers = array(value).astype(object)
        numbers[~np.isfinite(array(value))] = None
        return numbers.tolist()
    if isinstance(value, dict):
        return {name: without_arrays(each) for name, each in value.items()}
    return [without_arrays(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("path", ["points", "items/3", "columns/part", "trust"])
def test_accept_chooses_lists(served, path: str):
    _, client, _, _ = served
    wanted = without_arrays(ok(client.get(f"/api/{path}")))
    assert ok(client.get(f"/api/{path}", headers=LISTS)) == wanted
    assert ok(client.get(f"/api/{path}", headers={"accept": "text/html, */*;q=0.1"})) == ok(
        client.get(f"/api/{path}")
    )


def test_lists_have_null_where_a_number_is_missing():
    reply = ok(client_of(app_of("table")).get("/api/columns/width", headers=LISTS))
    assert reply["values"][:4] == [None] * 4 and isinstance(reply["values"][4], float)


def test_lists_have_a_limit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(replies, "JSON_VALUES", 100)
    client = client_of(app_of("image"))
    answer = client.get("/api/points", headers=LISTS)
    assert answer.status_code == 406 and "at most 100" in answer.json()["detail"]
    assert client.get("/api/points").status_code == 200


@pytest.mark.parametrize("kind", ["image", "colour"])
def test_one_image_comes_as_a_png(kind: str):
    client = client_of(app_of(kind))
    headers = {"accept": "image/avif,image/png,*/*;q=0.5"}  # as a browser asks for an <img>

    def read(answer) -> np.ndarray:
        assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
        return np.asarray(Image.open(io.BytesIO(answer.content)))

    assert (read(client.get("/api/items/4", headers=headers)) == ROWS[kind]()[4]).all()
    code = {"z": [[0.5, -1.0]]}
    decoded = array(ok(client.post("/api/decode", json=code))["x"][0])
    assert (read(client.post("/api/decode", json=code, headers=headers)) == decoded).all()
    for answer in (
        client.post("/api/decode", json={"z": [[0, 0], [1, 1]]}, headers=headers),
        client.get("/api/points", headers=headers),
    ):
        assert answer.status_code == 406 and "not a single image" in answer.json()["detail"]


@pytest.mark.parametrize("kind", ["table", "signal"])
def test_what_is_no_image_is_no_png(kind: str):
    answer = client_of(app_of(kind)).get("/api/items/0", headers={"accept": "image/png"})
    assert answer.status_code == 406


# --------------------------------------------------------------------------- a code in two parts


@pytest.mark.parametrize("kind", ["image", "table"])
def test_an_item_goes_through_all_classes(kind: str):
    client, (model, points) = client_of(app_of(kind, 6, map_dim=2)), model_and_points(kind, 6, map_dim=2)
    assert ok(client.get("/api/model"))["map_dim"] == 2
    reply = ok(client.get("/api/items/8/classes"))
    z = np.array(reply["z"])
    assert 1 <= len(reply["classes"]) == len(reply["x"]) <= 3
    np.testing.assert_allclose(z[:, 2:], np.tile(points.z[8, 2:], (len(z), 1)), atol=1e-6)
    assert reply["predicted"] == reply["classes"]  # the place of a class is read as that class
    like = table()[8:9] if kind == "table" else images()[8:9]
    wanted = model.inverse_transform(z[:, :2], like=like)
    if kind == "image":
        np.testing.assert_allclose([array(x) for x in reply["x"]], wanted, atol=1)
    else:
        np.testing.assert_allclose([x["width"] for x in reply["x"]], wanted["width"], rtol=1e-4)


def test_a_code_in_one_part_goes_through_no_classes():
    answer = client_of(app_of("image")).get("/api/items/8/classes")
    assert answer.status_code == 404 and "map_dim" in answer.json()["detail"]


@pytest.mark.parametrize(("map_dim", "free"), [(None, set(range(6))), (2, {2, 3, 4, 5})])
def test_dimensions_come_by_their_effect(map_dim: int | None, free: set[int]):
    client = client_of(app_of("image", 6, map_dim=map_dim))
    model, points = model_and_points("image", 6, map_dim=map_dim)
    found = ok(client.get("/api/dimensions"))["dimensions"]
    assert {each["index"] for each in found} == free
    effects = [each["effect"] for each in found]
    assert effects == sorted(effects, reverse=True) and effects[-1] < effects[0]
    k = found[0]["index"]
    probes = points.z[np.linspace(0, 59, 8).round().astype(int)]
    step = points.z[:, k].astype(np.float64).std() * np.eye(6)[k]
    lower, upper = (
        model.predictor_.decode(torch.tensor(probes + s, dtype=torch.float32)) for s in (-step, step)
    )
    assert effects[0] == pytest.approx(float((upper - lower).abs().mean()), rel=1e-4)
    assert found[0]["low"] == pytest.approx(np.percentile(points.z[:, k], 1), abs=1e-5)


# --------------------------------------------------------------------------------------- files


def landed(client: TestClient, content: bytes, media_type: str) -> list[dict]:
    return ok(client.post("/api/land", content=content, headers={"content-type": media_type}))["items"]


def assert_at_its_point(item: dict, kind: str, i: int) -> None:
    model, points = model_and_points(kind)
    assert item["z"] == pytest.approx(points.z[i].tolist(), abs=1e-4)
    assert item["novelty"] == pytest.approx(float(points.novelty[i]), rel=1e-3, abs=1e-3)
    assert item["predicted"] == model.classes_[points.predicted[i]]


@pytest.mark.parametrize("kind", ["image", "colour"])
def test_a_png_lands_where_its_row_is(kind: str):
    content = io.BytesIO()
    Image.fromarray(ROWS[kind]()[4]).save(content, "PNG")
    (item,) = landed(client_of(app_of(kind)), content.getvalue(), "image/png")
    assert_at_its_point(item, kind, 4)
    assert (array(item["x"]) == ROWS[kind]()[4]).all()


@pytest.mark.parametrize("kind", ["image", "signal"])
@pytest.mark.parametrize("which", [4, slice(4, 6)])
def test_an_npy_lands_where_its_rows_are(kind: str, which):
    content = io.BytesIO()
    np.save(content, np.asfortranarray(ROWS[kind]()[which]))
    items = landed(client_of(app_of(kind)), content.getvalue(), "application/x-npy")
    assert len(items) == (1 if which == 4 else 2)
    assert_at_its_point(items[0], kind, 4)


def test_csv_rows_land_where_they_are():
    frame = table()[2:6].assign(remark="unused")
    content = frame.to_csv(index=False).encode("utf-8-sig")
    items = landed(client_of(app_of("table")), content, "text/csv; charset=utf-8")
    for i, item in enumerate(items):
        assert_at_its_point(item, "table", 2 + i)
    assert items[0]["x"]["width"] is None and items[0]["x"]["colour"] == "blue"


def test_a_signal_lands_from_a_csv():
    text = io.StringIO()
    csv.writer(text).writerows([["left", "right"], *signals()[9].tolist()])
    (item,) = landed(client_of(app_of("signal")), text.getvalue().encode(), "text/csv")
    assert_at_its_point(item, "signal", 9)


def test_warning_of_an_unknown_category():
    row = {"width": 1.0, "parts": 3, "colour": "purple", "a/b": False}
    reply = ok(client_of(app_of("table")).post("/api/predict", json={"x": [row]}))
    assert "purple" in reply["warnings"][0]


# ------------------------------------------------------------------------------- other models


def test_a_model_without_labels():
    client = client_of(app_of("image", labelled=False))
    assert ok(client.get("/api/model"))["classes"] == []
    assert ok(client.get("/api/model"))["extra_columns"] == ["part", "label"]
    assert ok(client.get("/api/columns/label"))["values"][:6] == ["one", "two", "three", "one", "two", ""]
    item = ok(client.get("/api/items/0"))
    assert item["predicted"] is item["label"] is item["probabilities"] is item["confidence"] is None
    assert client.post("/api/predict", json={"x": sent("image", 1)}).status_code == 422
    assert ok(client.post("/api/sample", json={"n": 2}))["y"] is None
    assert np.isnan(array(ok(client.get("/api/points"))["confidence"])).all()


@pytest.mark.parametrize("query", ["", "?x_axis=3&y_axis=99", "?axes=pca"])
def test_a_code_of_100_dimensions_is_seen_in_planes(query: str):
    client, (_, points) = client_of(app_of("image", latent_dim=100)), model_and_points("image", 100)
    reply = ok(client.get(f"/api/points{query}"))
    origin, x_axis, y_axis = (np.array(reply["projection"][name]) for name in ("origin", "x_axis", "y_axis"))
    np.testing.assert_allclose([x_axis @ x_axis, y_axis @ y_axis, x_axis @ y_axis], [1, 1, 0], atol=1e-6)
    np.testing.assert_allclose((points.z - origin) @ x_axis, array(reply["x"]), atol=1e-4)
    np.testing.assert_allclose((points.z - origin) @ y_axis, array(reply["y"]), atol=1e-4)
    assert len(ok(client.get("/api/items/0"))["z"]) == 100
    assert len(ok(client.get(f"/api/trust{query}"))["x"]) == 64


def test_a_map_of_its_own_has_no_codes_between_its_points():
    model, points = model_and_points("image", 6)
    placed = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    client = client_of(create_app(model, replace(points, umap=placed), "toy"))
    assert ok(client.get("/api/model"))["has_umap"]
    reply = ok(client.get("/api/points?axes=umap"))
    np.testing.assert_array_equal(np.column_stack([array(reply["x"]), array(reply["y"])]), placed)
    assert reply["projection"] is None
    assert client.get("/api/trust?axes=umap").status_code == 422
    other = client_of(app_of("image", 6))
    assert not ok(other.get("/api/model"))["has_umap"]
    assert "--umap" in other.get("/api/points?axes=umap").json()["detail"]


def test_umap_keeps_neighbours_and_places_rows_that_it_was_not_fitted_to(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("umap")
    monkeypatch.setattr(umap_map, "FIT_ROWS", 200)
    rng = np.random.default_rng(0)
    group = np.arange(300) % 3
    z = (rng.normal(size=(3, 20)) * 5)[group] + rng.normal(size=(300, 20))
    placed = umap_map.umap_of(z)
    assert placed.shape == (300, 2) and placed.dtype == np.float32
    away = np.linalg.norm(placed[:, None] - placed[None], axis=2) + 1e9 * np.eye(300)
    assert (group[away.argmin(axis=1)] == group).mean() > 0.95
    np.testing.assert_array_equal(placed, umap_map.umap_of(z))


def test_a_code_of_one_dimension_is_a_line():
    client, (_, points) = client_of(app_of("image", latent_dim=1)), model_and_points("image", 1)
    reply = ok(client.get("/api/points"))
    np.testing.assert_allclose(array(reply["x"]), points.z[:, 0], atol=1e-5)
    assert np.ptp(array(reply["y"])) > 0 and reply["projection"]["y_axis"] == [0.0]
    assert len(ok(client.post("/api/decode", json={"z": [[0.5]]}))["x"]) == 1


def test_columns_of_a_table_to_colour_by():
    client = client_of(app_of("table"))
    assert np.isnan(array(ok(client.get("/api/columns/width"))["values"])[:4]).all()
    assert ok(client.get("/api/columns/colour"))["values"][:3] == ["red", "green", "blue"]
    assert ok(client.get("/api/columns/a%2Fb"))["values"][:2] == ["False", "True"]


def test_too_many_rows_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(points_module, "MOST_POINTS", 7)
    data = LabelledData("toy", np.zeros((40, 3)), np.arange(40))
    shown = rows_to_show(data, np.arange(20, 30))
    assert shown.n_all == 40 and len(shown.row) == len(shown.part.x) == 7
    assert (np.diff(shown.row[shown.row >= 0]) > 3).all() and (shown.row == -1).sum() == 2
    with pytest.raises(ValueError, match="no test part"):
        rows_to_show(data, np.empty(0, dtype=np.int64), "test")


def test_planes_lift_what_they_project():
    z = np.random.default_rng(0).normal(size=(30, 5))
    for plane in (Plane.pca(z), Plane.along(z, 1, 4)):
        xy = np.column_stack(plane.project(z)).astype(float)
        np.testing.assert_allclose(np.column_stack(plane.project(plane.lift(xy))), xy, atol=1e-5)


# ------------------------------------------------------------------------------------ the server


def test_waiting_requests_are_served_together():
    sizes = []

    def job(x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        time.sleep(0.05)
        return 2 * x

    async def ask() -> list[torch.Tensor]:
        import asyncio

        worker = Worker(batch_size=10)
        return await asyncio.gather(
            *(worker.map_rows(job, torch.full((n, 1), float(n))) for n in (1, 2, 3, 25))
        )

    import asyncio

    results = asyncio.run(ask())
    assert [(len(x), float(x[0, 0])) for x in results] == [(1, 2.0), (2, 4.0), (3, 6.0), (25, 50.0)]
    assert sum(sizes) == 31 and max(sizes) <= 10 and len(sizes) < 6


def test_large_replies_come_compressed():
    client = client_of(app_of("image"))
    codes = {"z": [[0.0, 0.0]] * 1000}
    plain = client.post("/api/decode", json=codes, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers and len(plain.json()["x"]) == 1000
    with client.stream("POST", "/api/decode", json=codes, headers={"accept-encoding": "gzip"}) as answer:
        content = b"".join(answer.iter_raw())
    assert len(content) < 0.5 * len(plain.content) and gzip.decompress(content) == plain.content


def test_a_port_that_is_taken_is_named_or_passed_over(monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} is taken"):
            serve.open_port("127.0.0.1", port)
        monkeypatch.setattr(serve, "PORT", port)
        with serve.open_port("127.0.0.1", None) as listening:
            assert port < listening.getsockname()[1] < port + serve.PORTS_TRIED
    with pytest.raises(UsageError, match="cannot listen"):
        serve.open_port("192.0.2.1", 0)


def test_the_command_serves_until_ctrl_c(tmp_path: Path):
    model, _ = model_and_points("image")
    model.save(tmp_path / "run")
    np.savez(tmp_path / "rows.npz", X=images(), y=np.arange(60) % 3)
    command = ["explore", str(tmp_path / "run"), str(tmp_path / "rows.npz"), "--no-browser"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "SSAVAE_TOKEN": "a-token-of-some-length"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[3] / "src")
    program = "from ssavae.app.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *command], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    address = process.stdout.readline().split()[-1]
    assert address.endswith("#token=a-token-of-some-length")
    asked = urllib.request.Request(
        address.partition("#")[0] + "api/model", headers={"authorization": "Bearer a-token-of-some-length"}
    )
    assert b'"name":"run"' in urllib.request.urlopen(asked, timeout=30).read()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0 and "ended" in process.stdout.read()
    process.stdout.close()


@pytest.mark.parametrize("kind", ["image", "table"])
def test_points_are_cached_for_the_same_model_and_rows(tmp_path, kind):
    model, _ = model_and_points(kind)
    model.save(tmp_path)
    x, progress = ROWS[kind](), []

    def points(rows) -> Points:
        number = np.arange(len(rows))
        shown = SelectedRows(Part(rows, None), number, number, {}, len(rows))
        return Points.of(model, shown, lambda done, total: progress.append(done), tmp_path)

    computed = points(x)
    assert progress == [len(x)]
    again = points(x)
    for name in points_module.READ:
        np.testing.assert_array_equal(getattr(again, name), getattr(computed, name))
    assert progress == [len(x)], "the second time nothing is computed"
    points(x[:-1])
    assert progress == [len(x), len(x) - 1], "other rows"
    (tmp_path / POINTS_FILE).write_bytes(b"PK")
    np.testing.assert_array_equal(points(x).z, computed.z)
    assert progress == [len(x), len(x) - 1, len(x)], "a damaged file"
    (tmp_path / "model.json").write_text((tmp_path / "model.json").read_text() + "\n")
    points(x)
    assert progress[3:] == [len(x)], "another model"


def test_labels_that_a_run_learned_from_are_a_column(tmp_path):
    none = np.empty(0, dtype=np.int64)
    x = np.arange(20.0, dtype=np.float32).reshape(10, 2)
    loaded = LabelledData("toy", x, kind="table")
    (tmp_path / "labels.csv").write_text("row,label\n3,rust\n7,crack\n")
    budget = LabelBudget(source=str(tmp_path / "labels.csv"))
    run = Run("toy", Reading(), 0.2, None, {"random_state": 0}, budget)
    folder = RunFolder(tmp_path)
    folder.write_settings(run, loaded, grant_labels(loaded, budget, none, 0), none)
    shown = with_learned_labels(rows_to_show(loaded, none), folder.read_learned(loaded))
    assert {i: text for i, text in enumerate(shown.columns["learned label"]) if text} == {
        3: "rust",
        7: "crack",
    }
    (tmp_path / "labels.csv").unlink()
    assert folder.read_learned(loaded) is None
