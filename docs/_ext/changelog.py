"""CHANGELOG.md as a page of the site, with links that start from there."""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx


def page(root: Path) -> str:
    """Return the changelog as seen from docs/."""
    return (root / "CHANGELOG.md").read_text("utf-8").replace("](docs/", "](")


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the page."""
    path = Path(app.srcdir) / "changelog.md"
    text = page(path.parents[1])
    if not path.is_file() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
