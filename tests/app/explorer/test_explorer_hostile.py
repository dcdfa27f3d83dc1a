"""Hostile input: answered by a problem document with status 4xx, after which the server still works."""

import http.client
import io
import json
import socket
import struct
import threading
import time
import zlib
from contextlib import closing

import numpy as np
import pytest
import uvicorn
from explorer_apps import JSON, app_of, client_of
from fastapi.testclient import TestClient
from PIL import Image

from ssavae._checks import UsageError
from ssavae.app.explorer import limits, serve
from ssavae.app.explorer.errors import MEDIA_TYPE

PNG, CSV, NPY = ({"content-type": t} for t in ("image/png", "text/csv", "application/x-npy"))
TOKEN = "a-token-of-some-length"


def npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array(content, array)
    return content.getvalue()


def npy_declaring(shape: str, dtype: str = "<f8", data: bytes = b"") -> bytes:
    header = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + data


def png_declaring(width: int, height: int, data: bytes = b"") -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def refused(answer, status: int, words: str = "") -> None:
    """Check that the answer is a problem document with this status and these words."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail"} and problem["status"] == status
    assert words in problem["detail"], problem["detail"]
    assert (
        "/root" not in answer.text and "Traceback" not in answer.text and "site-packages" not in answer.text
    )


@pytest.fixture(scope="module")
def client():
    return client_of(app_of("image"))


@pytest.fixture(scope="module")
def table_client():
    return client_of(app_of("table"))


@pytest.fixture(autouse=True)
def server_still_works(client: TestClient):
    yield
    assert client.post("/api/decode", json={"z": [[0.0, 0.0]]}).status_code == 200


ROW = np.zeros((8, 8)).tolist()
PACKED = {"dtype": "f4", "shape": [1, 8, 8], "bdata": ""}


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("decode", b"", 422, "required"),
        ("decode", b"{", 400, "cannot be read as JSON: EOF"),
        ("decode", b"\xff\xfe{}", 400, ""),
        ("decode", b"[" * 200_000, 400, ""),
        ("decode", b'{"z": ' + b"[" * 150 + b"]" * 150 + b"}", 422, "z[0]"),
        ("decode", b'{"a":' * 3000 + b"1" + b"}" * 3000, 400, "recursion limit"),
        ("decode", b"[" + b"{}," * 500_000 + b"{}]", 413, "1,000,000 values"),
        ("decode", b'{"z": [[NaN, 0]]}', 422, "finite"),
        ("decode", b'{"z": [[Infinity, 0]]}', 422, "finite"),
        ("decode", b'{"z": [[1e999, 0]]}', 422, "finite"),
        ("decode", b'{"z": [[' + b"9" * 400 + b", 0]]}", 422, "z[0][0]"),
        ("decode", b'{"z": [[' + b"9" * 6000 + b", 0]]}", 400, ""),
        ("decode", b'{"z": [[1e30, 0]]}', 422, "farther"),
        ("decode", b'{"z": [[true, 0]]}', 422, "z[0][0]"),
        ("decode", b'{"z": [["1", 0]]}', 422, "z[0][0]"),
        ("decode", b'{"z": [[1, 2, 3]]}', 422, "z[0]"),
        ("decode", b'{"z": []}', 422, "z"),
        ("decode", b'{"z": [[0, 0]], "more": 1}', 422, "more"),
        ("decode", json.dumps({"z": [[0, 0]] * 1001}).encode(), 422, "1000"),
        ("predict", json.dumps({"x": [ROW[:7]]}).encode(), 422, "x[0]"),
        ("predict", json.dumps({"x": [[*ROW[:7], None]]}).encode(), 422, "x[0][7]"),
        ("predict", json.dumps({"x": ROW}).encode(), 422, "x[0]"),
        ("predict", json.dumps({"x": [ROW] * 1001}).encode(), 422, "1000"),
        ("encode", json.dumps({"x": np.full((1, 8, 8), 1e300).tolist()}).encode(), 422, "x: X holds"),
        ("encode", json.dumps({"x": PACKED}).encode(), 422, "bytes"),
        ("encode", json.dumps({"x": PACKED | {"bdata": "%"}}).encode(), 422, "base64"),
        (
            "encode",
            json.dumps({"x": PACKED | {"shape": [10**30]}}).encode(),
            422,
            "x.shape[0]: input should be less",
        ),
        (
            "encode",
            json.dumps({"x": PACKED | {"shape": [-1]}}).encode(),
            422,
            "x.shape[0]: input should be greater",
        ),
        ("encode", json.dumps({"x": PACKED | {"shape": [0, 8, 8]}}).encode(), 422, "shape"),
        ("encode", json.dumps({"x": PACKED | {"shape": [0, *[2**31 - 1] * 5]}}).encode(), 422, "shape"),
        ("encode", json.dumps({"x": PACKED | {"dtype": "O"}}).encode(), 422, "dtype"),
        ("encode", json.dumps({"x": PACKED | {"bdata": "AADAfwAAwH8=", "shape": [2]}}).encode(), 422, "NaN"),
        ("novelty", json.dumps({"x": [ROW], "alpha": 0}).encode(), 422, "alpha"),
        ("novelty", json.dumps({"x": [ROW], "alpha": "NaN"}).encode(), 422, "alpha"),
        ("novelty", json.dumps({"x": [ROW], "alpha": float("nan")}).encode(), 422, "alpha"),
        ("sample", b'{"n": -1}', 422, "n"),
        ("sample", b'{"n": 0}', 422, "n"),
        ("sample", b'{"n": 1000000000}', 422, "at most"),
        ("sample", b'{"n": 1.5}', 422, "n"),
        ("sample", b'{"n": 1, "y": "nine"}', 422, "one, three, two"),
        ("sample", b'{"n": 1, "y": "\\ud800"}', 400, "escape"),
        ("sample", b'{"n": 1, "sampler": "best"}', 422, "sampler"),
        ("sample", b'{"n": 1, "y": "one", "sampler": "prior"}', 422, "sampler"),
        ("sample", b'{"n": 1, "seed": -5}', 422, "seed"),
        ("select", b'{"items": []}', 422, "items"),
        ("select", b'{"items": [60]}', 422, "0 to 59"),
        ("select", b'{"items": [-1]}', 422, "items"),
        ("select", b'{"items": [99999999999999999999999]}', 422, "0 to 59"),
    ],
)
def test_bodies(client: TestClient, path: str, body: bytes, status: int, words: str):
    refused(client.post(f"/api/{path}", content=body, headers=JSON), status, words)


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (b"", PNG, 422, "not a PNG"),
        (b"GIF89a", PNG, 422, "not a PNG"),
        (png_declaring(30_000, 30_000), PNG, 413, "30,000 x 30,000"),
        (png_declaring(2**32 - 1, 2**32 - 1), PNG, 413, "pixels"),
        (png_declaring(8, 8), PNG, 422, "damaged"),
        (png_declaring(8, 8, zlib.compress(b"\0" * 10)), PNG, 422, "damaged"),
        (png_declaring(0, 8, zlib.compress(b"\0" * 10)), PNG, 422, "damaged"),
        (b"not an array", NPY, 422, "not an .npy"),
        (npy_declaring("(1,)", "|O", b"\x80\x04."), NPY, 422, "object"),
        (npy_declaring("(1000000000000, 8, 8)"), NPY, 422, "declares"),
        (npy_declaring("(-1, 8, 8)"), NPY, 422, "declares"),
        (npy_declaring("(" * 2000), NPY, 422, "not an .npy"),
        (npy_declaring("(1,)", "<U5", b"\0" * 20), NPY, 422, "plain numbers"),
        (npy(np.full((8, 8), np.nan)), NPY, 422, "NaN"),
        (npy(np.zeros((8, 7))), NPY, 422, "8 x 8"),
        (npy(np.zeros((0, 8, 8))), NPY, 422, "8 x 8"),
        (npy(np.zeros((101, 8, 8))), NPY, 422, "at most 100"),
        (npy(np.zeros((8, 8), dtype=complex)), NPY, 422, "plain numbers"),
        (b"PK\x03\x04" + b"\0" * 100, NPY, 422, "not an .npy"),
        (b"", CSV, 422, "empty"),
        (b"\xff\xfe1,2", CSV, 422, "UTF-8"),
        (b"1,2\n3", CSV, 422, "different numbers"),
        (b"a,b\n1,x", CSV, 422, "row 2"),
        (b'"' + b"x" * 200_000, CSV, 422, "no readable csv"),
        (b"1\0,2", CSV, 422, ""),
        (b"x", {"content-type": "application/x-pickle"}, 415, "image/png"),
        (b"x", {}, 415, "Content-Type"),
    ],
)
def test_files(client: TestClient, body: bytes, headers: dict[str, str], status: int, words: str):
    refused(client.post("/api/land", content=body, headers=headers), status, words)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"width,parts,colour\n1,2,red", "'a/b'"),
        (b"width,parts,colour,a/b\n1,2,red", "3 cells"),
        (b"width,parts,colour,a/b\nwide,2,red,True", "'wide' is no number"),
        (b"width,parts,colour,a/b\ninf,2,red,True", "not finite"),
        (b"width,parts,colour,a/b\n1,2,red,perhaps", "true or false"),
        (b"width,parts,colour,a/b\n", "no rows"),
        (b"width,parts,colour,a/b\n" + b"1,2,red,True\n" * 101, "at most 100"),
    ],
)
def test_tables_of_other_columns(table_client: TestClient, body: bytes, words: str):
    refused(table_client.post("/api/land", content=body, headers=CSV), 422, words)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({}, "no column 'width' and 3 more"),
        ({"width": 1, "parts": 2, "colour": "red", "a/b": True, "price": 3}, "knows no column 'price'"),
        ({"width": "1", "parts": 2, "colour": "red", "a/b": True}, "x[0].width"),
        ({"width": 1, "parts": 2, "colour": 5, "a/b": True}, "x[0].colour"),
        ({"width": float("inf"), "parts": 2, "colour": "red", "a/b": True}, "finite"),
        ([1, 2, 3, 4], "object"),
    ],
)
def test_rows_of_other_columns(table_client: TestClient, row, words: str):
    body = json.dumps({"x": [row]})
    refused(table_client.post("/api/encode", content=body, headers=JSON), 422, words)


@pytest.mark.parametrize(
    "path",
    [
        *("/../app.py", "/..%2fapp.py", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/%00", "/page/"),
        *("/..\\app.py", "/app.py", "/api", "/api/", "/docs/x", "/redoc", "/openapi.json", "/api/items/60"),
        *("/api/items/0/..", "/api/columns/nothing", "/api/columns/../model/..", "/static/x"),
    ],
)
def test_paths(client: TestClient, path: str):
    refused(client.get(path), 404)


def test_methods_and_queries(client: TestClient):
    refused(client.get("/api/decode"), 405)
    assert client.get("/api/decode").headers["allow"] == "POST"
    refused(client.delete("/api/model"), 405)
    refused(client.options("/api/decode", headers={"origin": "http://evil.example"}), 405)
    for query in (
        "x_axis=2",
        "x_axis=-1",
        "x_axis=one",
        "x_axis=0&y_axis=0",
        "axes=tsne",
        "x_axis=" + "9" * 5000,
    ):
        refused(client.get(f"/api/points?{query}"), 422)
    refused(client.get("/api/items/zero"), 422)
    refused(client.post("/api/decode", content=b"{}", headers={"content-type": "text/plain"}), 415)


def test_foreign_host_names_are_rejected(client: TestClient):
    for host in (
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil:8765",
        "",
        "[::1",
        "127.0.0.1@evil",
    ):
        refused(client.get("/api/model", headers={"host": host}), 421)
    answer = client.get("/api/model", headers={"host": "LOCALHOST:8765", "origin": "http://evil.example"})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["x-content-type-options"] == "nosniff" and "server" not in answer.headers
    assert "default-src 'self'" in client.get("/nothing").headers["content-security-policy"]


def test_tokens():
    client = client_of(app_of("image", token=TOKEN))
    wrong = [
        {},
        *({"authorization": given} for given in (TOKEN, "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}")),
    ]
    for headers in [*wrong, {"authorization": b"Bearer \xff\xe9"}]:
        answer = client.get("/api/model", headers=headers)
        refused(answer, 401, "Bearer")
        assert answer.headers["www-authenticate"] == "Bearer" and TOKEN not in answer.text
    refused(client.get("/api/openapi.json"), 401)
    refused(client.get("/api/nothing"), 401)
    assert client.get("/api/model", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_other_machines_need_a_token():
    with pytest.raises(UsageError, match="--token"):
        serve.check_token("0.0.0.0", None)
    with pytest.raises(UsageError, match="12"):
        serve.check_token("0.0.0.0", "short")
    serve.check_token(None, None)
    serve.check_token("0.0.0.0", TOKEN)


def test_a_server_error_reveals_no_internals(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    broken = app_of("image")
    monkeypatch.setattr("ssavae.app.explorer.row_format.RowFormat.to_values", lambda *_: 1 / 0)
    answer = client_of(broken).post("/api/decode", json={"z": [[0, 0]]})
    monkeypatch.undo()
    refused(answer, 500, "console")
    assert "division" not in answer.text


# ------------------------------------------------------------------------------ over a real connection


@pytest.fixture(scope="module")
def port():
    listening = serve.open_port("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app_of("image"), log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join()


def problem_of(answer: http.client.HTTPResponse) -> tuple[int, str]:
    assert answer.getheader("content-type") == MEDIA_TYPE
    return answer.status, json.loads(answer.read())["detail"]


def posted(port: int, body, **headers: str) -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("POST", "/api/decode", body, JSON | headers)
        return problem_of(connection.getresponse())


def test_a_body_of_100_mb(port: int):
    status, detail = posted(port, b"[" * 100_000_000)
    assert status == 413 and "10,000,000 bytes" in detail


def test_a_body_of_100_mb_without_content_length(port: int):
    assert posted(port, (b"[" * 1_000_000 for _ in range(100)))[0] == 413


def test_a_body_without_end_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "DRAINED_BYTES", 20_000_000)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        head = b"POST /api/decode HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        with pytest.raises(OSError):
            for _ in range(200):
                connection.sendall(b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n")


def test_a_wrong_content_length(port: int):
    """Content-Length too small: the rest is no request; too large: the server is not blocked."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(
            b"POST /api/decode HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        )
        connection.sendall(b"Content-Length: 3\r\n\r\n{}!" + b"x" * 100 + b"\r\n\r\n")
        time.sleep(0.2)
        assert b" 400 " in connection.recv(65536)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"POST /api/decode HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{}")
    assert posted(port, b"{}")[0] == 422


def test_a_body_that_never_comes(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.3)
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.putrequest("POST", "/api/decode")
        connection.putheader("content-type", "application/json")
        connection.putheader("content-length", "10")
        connection.endheaders(b"{")
        assert problem_of(connection.getresponse())[0] == 408


def test_an_image_of_another_size_is_accepted(client: TestClient):
    content = io.BytesIO()
    Image.fromarray(np.zeros((30, 20, 4), dtype=np.uint8)).save(content, "PNG")
    assert client.post("/api/land", content=content.getvalue(), headers=PNG).status_code == 200
