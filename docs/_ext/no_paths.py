"""A warning, which fails the build, where a page shows a path of the machine that built it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

LOCAL = (str(Path(__file__).resolve().parents[2]), f"{tempfile.gettempdir()}/tmp", "site-packages")


def local_paths(text: str) -> list[str]:
    """Return the lines that show a path of this machine."""
    return [line.strip() for line in text.splitlines() if any(path in line for path in LOCAL)]


def check(app: Sphinx, doctree: nodes.document) -> None:
    """Warn of each such line of a page that is a notebook."""
    if app.env.docname.startswith("tutorials/"):
        for line in local_paths(doctree.astext()):
            logging.getLogger(__name__).warning(f"a path of this machine: {line}", location=app.env.docname)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the check with Sphinx."""
    app.connect("doctree-read", check)
    return {"parallel_read_safe": True}
