"""What a command shows on a terminal of 80 or 120 columns, and in a pipe, as text under docs/terminal.

    python benchmarks/terminal.py train wine.csv --label cultivar --out runs/wine --overwrite

Needs pyte, a terminal in memory: the picture during the training is the last one with a bar of progress.
"""

from __future__ import annotations

import fcntl
import os
import pty
import shlex
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pyte
from report import PROGRAM

FOLDER = Path("docs/terminal")
LINES = 60


def on_terminal(words: list[str], columns: int) -> tuple[str, str]:
    """Run a command on a terminal of so many columns; return its screen during and after the training."""
    screen = pyte.Screen(columns, LINES)
    stream = pyte.ByteStream(screen)
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-c", PROGRAM, *words])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
    during = ""
    while True:
        try:
            content = os.read(terminal, 4096)
        except OSError:  # the command has ended
            break
        if not content:
            break
        stream.feed(content)
        shown = text_of(screen)
        during = shown if "━" in shown and "calibrating" not in shown else during
    os.waitpid(process, 0)
    return during, text_of(screen)


def text_of(screen: pyte.Screen) -> str:
    """Return what a screen shows, without blanks at the ends."""
    return "\n".join(line.rstrip() for line in screen.display).rstrip() + "\n"


def main() -> None:
    """Capture a command at both widths and in a pipe."""
    words = sys.argv[1:]
    FOLDER.mkdir(parents=True, exist_ok=True)
    head = f"$ {shlex.join(['ssavae', *words])}\n"
    for columns in (80, 120):
        during, after = on_terminal(words, columns)
        text = f"{head}{during}\n... and at its end:\n\n{after}"
        (FOLDER / f"train-{columns}-columns.txt").write_text(text, "utf-8")
    command = [sys.executable, "-c", PROGRAM, *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    (FOLDER / "train-in-a-pipe.txt").write_text(f"{head.rstrip()} | cat\n{done.stdout}", "utf-8")


if __name__ == "__main__":
    main()
