"""The server: a port that is free, a browser that opens, an end by Ctrl-C."""

from __future__ import annotations

import errno
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress

from fastapi import FastAPI

from ssavae._checks import UsageError

HOST, PORT = "127.0.0.1", 8765
PORTS_TRIED = 20
LEAST_TOKEN = 12
SECONDS_TO_FINISH = 5


def open_port(host: str, port: int | None) -> socket.socket:
    """Take a port: the one that is named, else the first free one from ``PORT`` on.

    Raises
    ------
    UsageError
        If the port is taken, or there is no such host on this machine.
    """
    tried = range(PORT, PORT + PORTS_TRIED) if port is None else [port]
    for number in tried:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            return socket.create_server((host, number), family=family, backlog=128)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise UsageError(
                    f"cannot listen on {host}, port {number}: {error.strerror or error}"
                ) from error
    named = f"port {port} is taken" if port is not None else f"ports {PORT} to {tried[-1]} are taken"
    raise UsageError(f"{named}: choose another with --port, or end the program that has it")


def check_token(host: str | None, token: str | None) -> None:
    """Raise UsageError where a server for others would be open to all of them."""
    if host is not None and token is None:
        raise UsageError(f"--host {host} lets others in: give them a --token (or $SSAVAE_TOKEN) to come with")
    if token is not None and (len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable()):
        raise UsageError(
            f"--token must have at least {LEAST_TOKEN} plain characters, as of `openssl rand -hex 16`"
        )


def address_of(listening: socket.socket, token: str | None) -> str:
    """Return the address to open; the token stands behind #, which browsers do not send."""
    host, port = listening.getsockname()[:2]
    name = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"#token={token}" if token else "")


def serve(app: FastAPI, listening: socket.socket, ready: Callable[[], None] = lambda: None) -> None:
    """Serve until Ctrl-C or SIGTERM; requests under way are finished."""
    import torch
    import uvicorn

    torch.set_num_threads(1)  # as in Worker, for the little that is reckoned here
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=SECONDS_TO_FINISH,
    )
    ready()
    with suppress(KeyboardInterrupt):  # uvicorn has finished by then, and passes the signal on
        uvicorn.Server(config).run(sockets=[listening])


def open_browser(address: str) -> None:
    """Open a browser, which must not hold the server up."""
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
