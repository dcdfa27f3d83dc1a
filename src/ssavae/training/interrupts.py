"""Handlers of the signals that ask a training to stop, for the time of a ``with`` block."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = [  # Ctrl-C, the end asked for by another program, a closed terminal
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
PATIENCE = 30.0  # seconds after the first signal in which further ones change nothing


class StopRequest:
    """A handler that calls a function on the first signal; one after ``PATIENCE`` seconds stops at once.

    Those in between come from someone impatient, or from a program that sends several, while the state is
    being saved.
    """

    def __init__(self, on_first: Callable[[], object]) -> None:
        self.on_first = on_first
        self.deadline: float | None = None

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.deadline is None:
            self.deadline = time.monotonic() + PATIENCE
            self.on_first()
        elif time.monotonic() > self.deadline:
            raise KeyboardInterrupt


@contextmanager
def handle_stop_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Call a handler on ``STOP_SIGNALS``, except those ignored (``nohup``); only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    former = {number: signal.signal(number, handler) for number in heeded}
    try:
        yield
    finally:
        for number, previous in former.items():
            signal.signal(number, previous)
