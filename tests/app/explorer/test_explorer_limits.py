"""Budgets of the server: connections, times, waiting work, memory and log; costly clients beside others."""

import asyncio
import http.client
import io
import json
import logging
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from explorer_apps import app_of, client_of, model_and_points
from fastapi import FastAPI
from hostile_requests import Hostile, hostile_requests
from PIL import Image

from ssavae.app.explorer import in_flight, limits, serve, server
from ssavae.app.explorer.batching import Worker
from ssavae.app.explorer.errors import MEDIA_TYPE, Problem
from ssavae.app.explorer.service import Service

HEAD = b"POST /api/%s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


class Running:
    """A server on a thread of this process."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.listening = serve.open_port("127.0.0.1", 0)
        self.port = self.listening.getsockname()[1]
        self.server = server.server_of(app)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listening]})

    def __enter__(self) -> "Running":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(20)

    def connect(self, data: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(data)
        return connection

    def ask(self, path: str, body: bytes) -> httpx.Response:
        url = f"http://127.0.0.1:{self.port}/api/{path}"
        return httpx.post(url, content=body, headers={"content-type": "application/json"}, timeout=30)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with Running(app_of("image")) as started:
        yield started


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def posting(path: str, body: bytes) -> bytes:
    return HEAD % path.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


# ------------------------------------------------------------------------------------ connections


@pytest.mark.parametrize("sent", [b"", b"GET /api/model HT", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "])
def test_a_head_that_does_not_end_is_not_awaited(
    running: Running, monkeypatch: pytest.MonkeyPatch, sent: bytes
):
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.4)
    with closing(running.connect(sent)) as connection:
        start = time.monotonic()
        with suppress(OSError):  # the server has closed
            while time.monotonic() < start + 10:
                connection.settimeout(0.1)
                with suppress(TimeoutError):
                    if connection.recv(1) == b"":
                        break
                connection.sendall(b"a")  # a byte at a time starts no clock anew
        assert time.monotonic() - start < 8


def test_a_body_after_the_answer_is_not_awaited(running: Running, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.4)
    head = b"POST /api/decode HTTP/1.1\r\nHost: evil\r\nContent-Length: 1000000\r\n\r\n"
    with closing(running.connect(head)) as connection:
        assert b" 421 " in connection.recv(65536)
        with pytest.raises(OSError):
            for _ in range(200):
                connection.sendall(b"a")
                time.sleep(0.05)


def test_silent_connections_give_way_to_others(running: Running, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "CONNECTIONS", 4)
    silent = [running.connect() for _ in range(12)]
    answer = running.ask("decode", b'{"z": [[0, 0]]}')
    assert answer.status_code == 200
    wait_until(lambda: len(running.server.server_state.connections) <= 4)
    silent[0].settimeout(5)
    with suppress(ConnectionResetError):
        assert silent[0].recv(1) == b"", "the oldest is closed"
    for connection in silent:
        connection.close()


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\0", b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000]
)
def test_what_is_no_http_gets_a_problem_document(running: Running, sent: bytes):
    with closing(running.connect(sent + b"\r\n\r\n")) as connection:
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 400 and answer.getheader("content-type") == MEDIA_TYPE
        assert json.loads(answer.read())["status"] == 400


def test_replies_on_a_kept_connection_are_not_delayed(running: Running):
    """Without TCP_NODELAY each takes 40 ms."""
    with closing(http.client.HTTPConnection("127.0.0.1", running.port)) as connection:
        seconds = []
        for _ in range(30):
            start = time.perf_counter()
            connection.request("GET", "/api/model")
            connection.getresponse().read()
            seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.03
    assert running.listening.proto == socket.IPPROTO_TCP


def test_the_log_does_not_grow_with_messages():
    quiet = server.RateFilter()
    record = logging.LogRecord("asyncio", logging.ERROR, "", 0, "%s", ("again",), None)
    assert sum(quiet.filter(record) for _ in range(1000)) <= 2 * server.LOGGED  # two minutes, at most


# ----------------------------------------------------------------------------------- waiting work


def test_work_of_clients_that_left_is_dropped(monkeypatch: pytest.MonkeyPatch):
    drawn = []

    def slow_sample(self, n, *_):
        drawn.append(n)
        time.sleep(0.05)
        return np.zeros((n, 8, 8), dtype=np.uint8)

    monkeypatch.setattr("ssavae.estimator.SSAVAE.sample", slow_sample)
    app = app_of("image")
    with Running(app) as running:
        for _ in range(6):
            running.connect(posting("sample", b'{"n": 1000}')).close()
        wait_until(lambda: bool(running.server.server_state.total_requests or drawn))
        wait_until(lambda: not app.state.in_flight.tasks)
        n = len(drawn)
        assert running.ask("decode", b'{"z": [[0, 0]]}').status_code == 200
        time.sleep(0.2)
        assert len(drawn) <= n + 1 and sum(drawn) < 1000


def test_short_requests_go_first():
    order = []

    def job(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
        def run(rows: torch.Tensor) -> torch.Tensor:
            order.append(name)
            time.sleep(0.02)
            return rows

        return run

    async def ask() -> None:
        worker = Worker(batch_size=10)
        long = asyncio.create_task(worker.map_rows(job("long"), torch.zeros(50, 1)))
        other = asyncio.create_task(worker.map_rows(job("other"), torch.zeros(60, 1)))
        await asyncio.sleep(0.03)
        await worker.map_rows(job("short"), torch.zeros(1, 1))
        order.append("answered")
        await asyncio.gather(long, other)

    asyncio.run(ask())
    assert order.index("answered") <= 5 and order.count("long") == 5 and order.count("other") == 6


def test_a_large_request_is_refused_where_too_many_are_ahead(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "WAITING_SECONDS", 0.05)

    async def ask() -> Problem:
        slots = limits.Slots(1)
        async with slots.take():
            with pytest.raises(Problem) as refused:
                await slots.take().__aenter__()
        async with slots.take():  # free again
            return refused.value

    problem = asyncio.run(ask())
    assert problem.status == 503 and problem.headers["retry-after"]


def test_a_cancelled_request_leaves_its_place():
    async def ask() -> int:
        slots = limits.Slots(2)

        async def hold() -> None:
            async with slots.take():
                await asyncio.sleep(1)

        for _ in range(20):
            tasks = [asyncio.create_task(hold()) for _ in range(5)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results)
        return slots.free._value

    assert asyncio.run(ask()) == 2


def test_the_trust_of_a_plane_is_computed_once_for_all():
    service = Service(*model_and_points("image"))
    calls = []
    compute = service._is_trusted
    service._is_trusted = lambda z: calls.append(len(z)) or compute(z)  # pyright: ignore[reportAttributeAccessIssue]

    async def ask() -> list:
        plane = service.read_plane(0, 1, None)
        return await asyncio.gather(*(service.trust(plane) for _ in range(5)))

    first, *others = asyncio.run(ask())
    assert sum(calls) == 64 * 64 and all(other is first for other in others)


# -------------------------------------------------------------------------------------- the end


def test_a_server_that_ends_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(in_flight, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr("ssavae.estimator.SSAVAE.sample", lambda *_: time.sleep(0.3) or np.zeros((0, 8, 8)))
    app = app_of("image")
    answers: list[httpx.Response] = []
    with Running(app) as running:
        client = threading.Thread(target=lambda: answers.append(running.ask("sample", b'{"n": 1000}')))
        client.start()
        wait_until(lambda: bool(app.state.in_flight.tasks))
        start = time.monotonic()
    client.join()
    assert time.monotonic() - start < 5
    assert answers[0].status_code == 503 and answers[0].headers["content-type"] == MEDIA_TYPE
    assert answers[0].headers["retry-after"] and "ending" in answers[0].json()["detail"]
    late = client_of(app).get("/api/model")
    assert late.status_code == 503 and late.headers["retry-after"] and late.headers["connection"] == "close"


# ---------------------------------------------------------------------------- five hundred requests


def check(status: int, media_type: str, asked: Hostile) -> None:
    place = f"{asked.method} {asked.path[:80]} {asked.body[:80]!r}"
    assert status < 500, place
    assert status < 400 or media_type == MEDIA_TYPE, place


@pytest.mark.parametrize("kind", ["image", "table"])
def test_hostile_requests(kind: str):
    client = client_of(app_of(kind))
    statuses = set()
    for asked in hostile_requests(60, seed=1):
        headers = {"content-type": asked.media_type}
        answer = client.request(asked.method, asked.path, content=asked.body, headers=headers)
        check(answer.status_code, answer.headers["content-type"], asked)
        statuses.add(answer.status_code)
    assert statuses >= {400, 404, 405, 422}
    assert client.post("/api/decode", json={"z": [[0, 0]]}).status_code == 200


# ------------------------------------------------------------------- a server in a process of its own

PROGRAM = """
from explorer_apps import app_of
from ssavae.app.explorer import serve
listening = serve.open_port("127.0.0.1", 0)
app = app_of("image")
print(listening.getsockname()[1], flush=True)
serve.serve(app, listening)
print("ended", flush=True)
"""
MOST_SECONDS = 2.0
MOST_BYTES = 300_000_000
MOST_DELAY = 0.25  # of others, at the 99th percentile
AT_REST = 0.005  # seconds of a reply where nothing else runs; where it takes longer, the machine is busy


class Process:
    """A server in a process of its own, and what it costs."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        paths = [str(Path(__file__).parent), str(Path(__file__).parents[3] / "src")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
            )
        assert self.process.stdout is not None
        self.out = self.process.stdout
        self.port = int(self.out.readline())

    def bytes_of(self, name: str) -> int:
        """Memory in bytes: VmRSS of now, VmHWM of the peak."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))

    def measure_slowness(self) -> None:
        """Measure by what factor other programs slow this machine down."""
        with Others(self.port) as at_rest:
            time.sleep(2)
        self.slowness = max(1.0, statistics.median(at_rest.seconds) / AT_REST)

    def forget_peak(self) -> int:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        return self.bytes_of("VmRSS")

    def cpu_seconds(self) -> float:
        user, system = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def send(self, asked: Hostile) -> tuple[int, str, float]:
        """Send a request; return status, media type and seconds."""
        start = time.perf_counter()
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(asked.method, asked.path, asked.body, {"content-type": asked.media_type})
            answer = connection.getresponse()
            answer.read()
        return answer.status, answer.getheader("content-type", ""), time.perf_counter() - start

    def end(self) -> float:
        """Send Ctrl-C; return the seconds until the process has ended."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0 and "ended" in self.out.read()
        self.out.close()
        return time.monotonic() - start


PROBE = """
import http.client, sys, time
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
while True:
    start = time.perf_counter()
    try:
        connection.request("POST", "/api/decode", '{"z": [[0, 0]]}', {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        print(answer.status, time.perf_counter() - start, flush=True)
    except (OSError, http.client.HTTPException):  # dropped as the oldest of many: a client connects again
        connection.close()
    time.sleep(0.01)
"""


class Others:
    """Another client, in a process of its own, that asks for a decoded row again and again."""

    def __init__(self, port: int) -> None:
        command = [sys.executable, "-c", PROBE, str(port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> "Others":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        lines = [line.split() for line in self.process.communicate()[0].splitlines()]
        self.statuses = {status for status, _ in lines}
        self.seconds = [float(seconds) for _, seconds in lines]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = Process(tmp_path_factory.mktemp("server"))
    yield process
    process.process.kill()
    process.process.wait()
    process.out.close()


def ask(path: str, body: bytes, media_type: str = "application/json") -> Callable[[Process], None]:
    def send(served: Process) -> None:
        status, answered, seconds = served.send(Hostile("POST", f"/api/{path}", media_type, body))
        assert (
            status < 500
            and (status < 400 or answered == MEDIA_TYPE)
            and seconds < MOST_SECONDS * served.slowness
        )

    return send


def png_of(mode: str) -> bytes:
    content = io.BytesIO()
    Image.new(mode, (4000, 4000)).save(content, "PNG", compress_level=9)
    return content.getvalue()


def sample_and_leave(served: Process) -> None:
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", served.port)) as connection:
            connection.sendall(posting("sample", b'{"n": 1000}'))


def open_many(sent: bytes) -> Callable[[Process], None]:
    """Open 1000 connections; keep the last 300 open, and send a byte on each now and then."""

    def connect(served: Process) -> None:
        connections: list[socket.socket] = []
        for _ in range(1000):
            connections.append(socket.create_connection(("127.0.0.1", served.port)))
            connections[-1].sendall(sent)
            if len(connections) > 300:
                connections.pop(0).close()
        for _ in range(5):
            time.sleep(0.2)
            for connection in connections:
                with suppress(OSError):
                    connection.sendall(sent[-1:])
        for connection in connections:
            connection.close()

    return connect


ROWS = json.dumps({"x": np.random.default_rng(0).integers(0, 255, (1000, 8, 8)).tolist()}).encode()
COSTLY = {
    "700,000 keys": ask("select", b"{" + b",".join(b'"%d":1' % i for i in range(700_000)) + b"}"),
    "400,000 keys": ask("select", b"{" + b",".join(b'"%d":1' % i for i in range(400_000)) + b"}"),
    "9.9 MB of bad items": ask("select", b'{"items":[' + b'"a",' * 2_470_000 + b"1]}"),
    "0.9 MB of bad items": ask("select", b'{"items":[' + b'"a",' * 225_000 + b"1]}"),
    "as many lists as allowed": ask("encode", b'{"x":[' + b"[]," * 490_000 + b"1]}"),
    "as many texts as allowed": ask("decode", b'{"z":[' + b'"abcdef",' * 990_000 + b"1]}"),
    "as many rows as allowed": ask("encode", ROWS),
    "a csv of 10 MB": ask("land", b"11," * 3_300_000 + b"1", "text/csv"),
    "as many cells as allowed": ask("land", (b"11," * 63 + b"1\n") * 4_600, "text/csv"),
    **{f"a PNG in {mode}": ask("land", png_of(mode), "image/png") for mode in ("RGBA", "I;16", "LA", "P")},
    "100 clients that leave": sample_and_leave,
    "silent connections": open_many(b""),
    "heads without end": open_many(b"GET /api/model HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a"),
    "bodies without end": open_many(HEAD % b"decode" + b"Content-Length: 1000\r\n\r\n{"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COSTLY)
def test_a_costly_client_costs_little_and_others_are_served(served: Process, name: str):
    served.measure_slowness()
    before = served.forget_peak()
    cpu = served.cpu_seconds()
    with Others(served.port) as others:
        wait_until(lambda: served.cpu_seconds() > cpu)
        COSTLY[name](served)
        time.sleep(2)
    assert served.bytes_of("VmHWM") - before < MOST_BYTES
    assert others.statuses == {"200"}
    assert np.percentile(others.seconds, 99) < MOST_DELAY * served.slowness
    assert served.log.stat().st_size < 10_000


@pytest.mark.slow
def test_500_hostile_requests(served: Process):
    sizes = []
    served.measure_slowness()
    for asked in hostile_requests(500, seed=2):
        status, media_type, seconds = served.send(asked)
        check(status, media_type, asked)
        assert seconds < MOST_SECONDS * served.slowness, asked.body[:80]
        sizes.append(served.bytes_of("VmRSS"))
    assert max(sizes) - sizes[100] < 50_000_000, "memory is flat"
    assert served.log.stat().st_size < 10_000


@pytest.mark.slow
def test_16_clients_and_ctrl_c(tmp_path: Path):
    served = Process(tmp_path)
    statuses = []

    def keep_asking() -> None:
        with suppress(OSError, http.client.HTTPException):  # until the server has gone
            while True:
                statuses.append(
                    served.send(Hostile("POST", "/api/sample", "application/json", b'{"n": 1000}'))[0]
                )

    clients = [threading.Thread(target=keep_asking) for _ in range(16)]
    for client in clients:
        client.start()
    wait_until(lambda: len(statuses) > 16)
    assert served.end() < 5
    for client in clients:
        client.join(20)
    assert set(statuses) <= {200, 503} and served.log.read_text() == ""
