"""Docstrings as reStructuredText: |a| is an absolute value there, and *shape the rest of a shape."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

LITERAL_OR_SIGN = re.compile(r"(``.*?``|`.*?`)|(\||(?<![*\w])\*(?=\w+[,)])|_(?=,\)))")


def escape(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Escape signs that reStructuredText would take for markup, outside literals and examples."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith(">>>"):
            lines[i] = LITERAL_OR_SIGN.sub(lambda found: found[1] or f"\\{found[2]}", line)


def skip(app: Sphinx, what: str, name: str, obj: object, skipped: bool, options: object) -> bool | None:
    """Leave out what scikit-learn adds for its metadata routing, and properties that the class describes."""
    return True if re.fullmatch(r"set_\w+_request|n_iter_", name) else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect both."""
    app.connect("autodoc-process-docstring", escape, priority=400)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
