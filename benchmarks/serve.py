"""Load on `ssavae explore`: latency of clients that request without a pause, and the memory of the server.

    python benchmarks/serve.py runs/mnist mnist --out benchmarks/results/serve.json

Starts the command itself with the rows of DATA, training and test part, repeated up to --points. Each client
is a thread with its own connection that requests in turn to decode a code and to classify an image, each as
soon as the last response is there. Clients and server share the machine. Memory is the server's
resident set: after the first ten seconds, and at the end. A wrong answer counts as an error too.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from report import PROGRAM, command, parser, write_json
from split import Split
from status import status_mb

from ssavae import load
from ssavae._serialize import JSONObject
from ssavae.app.runs.environment import machine

WARM_SECONDS = 10.0
N_IMAGES = 500  # that the clients send
DECODE = "/api/decode"
PREDICT = "/api/predict"


class Response(NamedTuple):
    """One request as a client sees it."""

    path: str
    seconds: float
    is_correct: bool


def write_repeated(data: str, n: int, path: Path) -> np.ndarray:
    """Write n rows of a data set, repeated where there are fewer; return them."""
    split = Split.load(data)
    x = np.concatenate([split.x, split.x_test])
    y = np.concatenate([split.y, split.y_test])
    rows = np.resize(np.arange(len(x)), n)
    np.savez(path, X=x[rows], y=y[rows])
    return x[rows]


@contextlib.contextmanager
def server(run: Path, data: Path) -> Iterator[tuple[int, int, float]]:
    """Run `ssavae explore`; yield its port, its process id, and the seconds until it listened."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["explore", str(run), str(data), "--port", str(port), "--no-browser"]
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ctrl-C" in line:
                break
        assert process.poll() is None, "the server ended before it began"
        yield port, process.pid, time.perf_counter() - begin
    finally:
        process.terminate()
        process.wait(30)


def post(connection: http.client.HTTPConnection, path: str, body: JSONObject) -> JSONObject:
    """Send a POST request and return its response."""
    connection.request("POST", path, json.dumps(body).encode(), {"content-type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise ValueError(f"{path}: {response.status} {content[:200]!r}")
    return json.loads(content)


@dataclass
class Client:
    """A client that requests to decode and to classify in turn.

    Parameters
    ----------
    port : int
    x : (n, ...)
        Images to classify.
    classes : (n,)
        The model's own predictions for them.
    """

    port: int
    x: np.ndarray
    classes: np.ndarray
    seed: int
    responses: list[Response]

    def run(self, end: float) -> None:
        """Send requests until a time of the clock."""
        rng = np.random.default_rng(self.seed)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while time.perf_counter() < end:
            i = int(rng.integers(len(self.x)))
            z = rng.normal(size=(1, 2)).tolist()
            self.request(connection, DECODE, {"z": z}, None)
            self.request(connection, PREDICT, {"x": self.x[i : i + 1].tolist()}, str(self.classes[i]))

    def request(
        self, connection: http.client.HTTPConnection, path: str, body: JSONObject, expected: str | None
    ) -> None:
        """Send one request and record its response; ``expected`` is the class of an image."""
        begin = time.perf_counter()
        try:
            response = post(connection, path, body)
            is_correct = "x" in response if expected is None else response["predicted"] == [expected]
        except (OSError, ValueError, http.client.HTTPException) as error:
            print(error, file=sys.stderr)
            connection.close()
            is_correct = False
        self.responses.append(Response(path, time.perf_counter() - begin, is_correct))


def measure(port: int, pid: int, options: argparse.Namespace, x: np.ndarray, y: np.ndarray) -> JSONObject:
    """Run all clients at once, and measure latency and memory."""
    n_points = 0
    for query in ("", "?x_axis=1&y_axis=0"):  # the map itself, as a page requests it
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", f"/api/points{query}")
        n_points = json.loads(connection.getresponse().read())["n"]
    responses: list[Response] = []
    end = time.perf_counter() + options.seconds
    clients = [Client(port, x, y, seed, responses) for seed in range(options.clients)]
    threads = [threading.Thread(target=client.run, args=(end,)) for client in clients]
    for thread in threads:
        thread.start()
    memory = []
    while time.perf_counter() < end - 1:
        time.sleep(min(WARM_SECONDS, max(0.1, end - 1 - time.perf_counter())))
        memory.append(round(status_mb("VmRSS", pid), 1))
    for thread in threads:
        thread.join()
    return {
        "points": n_points,
        "errors": sum(not response.is_correct for response in responses),
        "requests": len(responses),
        "all_ms": latency(responses),
        "decode_ms": latency([response for response in responses if response.path == DECODE]),
        "predict_ms": latency([response for response in responses if response.path == PREDICT]),
        "resident_mb": memory,
    }


def latency(responses: list[Response]) -> dict[str, float]:
    """Return the median, the 99th percentile and the maximum of the latency in milliseconds."""
    milliseconds = 1000 * np.array([response.seconds for response in responses])
    p50, p99 = np.percentile(milliseconds, [50, 99])
    values = {"p50": p50, "p99": p99, "most": milliseconds.max()}
    return {name: round(float(value), 1) for name, value in values.items()}


def main() -> None:
    """Start the server, measure, write the result."""
    options = parser(__doc__)
    options.add_argument("run", type=Path)
    options.add_argument("data")
    options.add_argument("--points", type=int, default=100_000)
    options.add_argument("--clients", type=int, default=20)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--out", type=Path, default=Path("benchmarks/results/serve.json"))
    parsed = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "rows.npz"
        x = write_repeated(parsed.data, parsed.points, data)[:N_IMAGES]
        with server(parsed.run, data) as (port, pid, seconds):
            measures = measure(port, pid, parsed, x, load(parsed.run).predict(x))
    protocol = {
        "command": command(),
        "clients": parsed.clients,
        "seconds": parsed.seconds,
        "seconds_to_start": round(seconds, 1),
        "clients_share_the_machine": True,
    }
    write_json(parsed.out, {**protocol, **measures, **machine()})
    print(json.dumps(measures))


if __name__ == "__main__":
    main()
