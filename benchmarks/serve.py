"""What `ssavae explore` bears: clients that ask without a pause, how long they wait, what memory it takes.

    python benchmarks/serve.py runs/mnist mnist --out benchmarks/results/serve.json

Starts the command itself with the rows of DATA, training and test part, repeated up to --points. Each client
is a thread with a connection of its own that asks for a code to be decoded and an image to be classified in
turn, the next as soon as the last is answered. Clients and server share the machine. Memory is the server's
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
from pathlib import Path
from typing import Any

import numpy as np
from status import status_mb

from ssavae import load
from ssavae.app.runs.environment import machine
from ssavae.data.loading import load_dataset
from ssavae.persistence.model_folder import write_atomically

WARM_SECONDS = 10.0
MAIN = "from ssavae.app.cli import main; main()"


def repeated(data: str, n: int, path: Path) -> np.ndarray:
    """Write n rows of a data set, the first ones again where there are fewer; return them."""
    loaded = load_dataset(data)
    assert loaded.x_test is not None and loaded.y_train is not None and loaded.y_test is not None
    x, y = (
        np.concatenate(pair) for pair in ((loaded.x_train, loaded.x_test), (loaded.y_train, loaded.y_test))
    )
    rows = np.resize(np.arange(len(x)), n)
    np.savez(path, X=x[rows], y=y[rows])
    return x[rows]


@contextlib.contextmanager
def server(run: Path, data: Path) -> Iterator[tuple[int, int, float]]:
    """Run `ssavae explore`; yield its port, its process id, and the seconds until it listened."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-c",
        MAIN,
        "explore",
        str(run),
        str(data),
        "--port",
        str(port),
        "--no-browser",
    ]
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ctrl-C" in line:
                break
        assert process.poll() is None, "the server ended before it began"
        yield port, process.pid, time.perf_counter() - started
    finally:
        process.terminate()
        process.wait(30)


def asked(connection: http.client.HTTPConnection, path: str, body: bytes) -> Any:
    """Return what is answered to a POST."""
    connection.request("POST", path, body, {"content-type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise ValueError(f"{path}: {answer.status} {content[:200]!r}")
    return json.loads(content)


def client(
    port: int,
    x: np.ndarray,
    wanted: np.ndarray,
    until: float,
    seed: int,
    found: list[tuple[str, float, bool]],
) -> None:
    """Ask in turn for a code to be decoded and a row to be classified, and note how long each took."""
    rng = np.random.default_rng(seed)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while time.perf_counter() < until:
        i, z = int(rng.integers(len(x))), rng.normal(size=(1, 2)).tolist()
        for path, told in (("/api/decode", {"z": z}), ("/api/predict", {"x": x[i : i + 1].tolist()})):
            body, start = json.dumps(told).encode(), time.perf_counter()
            try:
                answer = asked(connection, path, body)
                right = "x" in answer if path == "/api/decode" else answer["predicted"] == [str(wanted[i])]
            except (OSError, ValueError, http.client.HTTPException) as error:
                print(error, file=sys.stderr)
                connection.close()
                right = False
            found.append((path, time.perf_counter() - start, right))


def load_on(
    port: int, pid: int, args: argparse.Namespace, x: np.ndarray, wanted: np.ndarray
) -> dict[str, Any]:
    """Let all clients ask, and return what was measured."""
    for query in ("", "?x_axis=1&y_axis=0"):  # the map itself, as a page asks for it
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", f"/api/points{query}")
        points = json.loads(connection.getresponse().read())
    found: list[tuple[str, float, bool]] = []
    until = time.perf_counter() + args.seconds
    threads = [
        threading.Thread(target=client, args=(port, x, wanted, until, seed, found))
        for seed in range(args.clients)
    ]
    for thread in threads:
        thread.start()
    memory = []
    while time.perf_counter() < until - 1:
        time.sleep(min(WARM_SECONDS, max(0.1, until - 1 - time.perf_counter())))
        memory.append(round(status_mb("VmRSS", pid), 1))
    for thread in threads:
        thread.join()
    return (
        {"points": points["n"], "errors": sum(not right for *_, right in found)}
        | _waited(found)
        | {"resident_mb": memory}
    )


def _waited(found: list[tuple[str, float, bool]]) -> dict[str, Any]:
    told: dict[str, Any] = {"requests": len(found)}
    for name, path in (("all", None), ("decode", "/api/decode"), ("predict", "/api/predict")):
        took = 1000 * np.array([seconds for each, seconds, _ in found if path in (None, each)])
        told[f"{name}_ms"] = {f"p{q}": round(float(np.percentile(took, q)), 1) for q in (50, 99)}
        told[f"{name}_ms"]["most"] = round(float(took.max()), 1)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("data")
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/serve.json"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        x = repeated(args.data, args.points, Path(folder) / "rows.npz")
        few = x[:500]  # what the clients send, with the answer that the model itself gives
        with server(args.run, Path(folder) / "rows.npz") as (port, pid, seconds):
            wanted = load(args.run).predict(few)
            found = load_on(port, pid, args, few, wanted)
    protocol = {"command": "python " + " ".join(sys.argv), "clients": args.clients, "seconds": args.seconds}
    protocol |= {"seconds_to_start": round(seconds, 1), "clients_share_the_machine": True}
    write_atomically(args.out, json.dumps(protocol | found | machine(), indent=1).encode())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
