"""The explorer's server: its port, its token, the browser, and a clean end on Ctrl-C."""

from __future__ import annotations

import errno
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress

from fastapi import FastAPI

from ssavae._checks import UsageError

HOST = "127.0.0.1"
PORT = 8765
PORTS_TRIED = 20
LEAST_TOKEN = 12  # characters


def open_port(host: str, port: int | None) -> socket.socket:
    """Listen on a port: the given one, else the first free one from ``PORT`` on.

    Raises
    ------
    UsageError
        If the port is taken, or the host is not an address of this machine.
    """
    ports = range(PORT, PORT + PORTS_TRIED) if port is None else [port]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in ports:
        try:
            listening = socket.create_server((host, number), family=family, backlog=128)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                reason = error.strerror or error
                raise UsageError(f"cannot listen on {host}, port {number}: {reason}") from error
        else:
            # with its protocol named, asyncio sets TCP_NODELAY; else each kept connection waits 40 ms a reply
            return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, listening.detach())
    taken = f"port {port} is taken" if port is not None else f"ports {PORT} to {ports[-1]} are taken"
    raise UsageError(f"{taken}: choose another with --port, or end the program that uses it")


def check_token(host: str | None, token: str | None) -> None:
    """Raise UsageError if a server that others can reach has no token, or a token is too weak."""
    if host is not None and token is None:
        raise UsageError(f"--host {host} lets others connect: require a --token (or $SSAVAE_TOKEN)")
    if token is not None and (len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable()):
        raise UsageError(
            f"--token must have at least {LEAST_TOKEN} ASCII characters, e.g. from `openssl rand -hex 16`"
        )


def address_of(listening: socket.socket, token: str | None) -> str:
    """Return the address to open, with the token in its fragment, which browsers do not send."""
    host, port = listening.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    if host in ("0.0.0.0", "::"):
        name = socket.gethostname()
    return f"http://{name}:{port}/" + (f"#token={token}" if token else "")


def serve(app: FastAPI, listening: socket.socket, ready: Callable[[], None] = lambda: None) -> None:
    """Serve until Ctrl-C or SIGTERM; requests in flight get a short grace."""
    import gc

    import torch

    from ssavae.app.explorer.server import server_of

    torch.set_num_threads(1)  # as in Worker, for the classifier, which runs on this thread
    server = server_of(app)
    gc.freeze()  # the model and the libraries: collections during requests need not look at them
    ready()
    with suppress(KeyboardInterrupt):  # uvicorn has finished by then, and raises the signal again
        server.run(sockets=[listening])


def open_browser(address: str) -> None:
    """Open a browser without blocking the server."""
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
