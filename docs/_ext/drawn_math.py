"""Equations drawn by matplotlib as SVG in the page: without script, and without a font of the reader's."""

from __future__ import annotations

from html import escape

import numpy as np
from docutils import nodes
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

SIZE = 100.0  # units to the em
SYNONYMS = {
    r"\lVert": r"\Vert",
    r"\rVert": r"\Vert",
    r"\tfrac12": r"\frac{1}{2}",
    r"\ge ": r"\geq ",
    r"\le ": r"\leq ",
}
COMMANDS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C", Path.CLOSEPOLY: "Z"}


def outline(path: Path) -> str:
    """Return a path as SVG writes it, y downwards."""
    parts = []
    for vertices, code in path.iter_segments(curves=True, simplify=False):
        flipped = [] if code == Path.CLOSEPOLY else vertices * np.tile([1, -1], len(vertices) // 2)
        parts.append(COMMANDS[code] + " ".join(f"{value:.1f}" for value in flipped))
    return "".join(parts)


def drawing(latex: str) -> str:
    """Return an equation as an SVG whose baseline is that of the line."""
    text = " ".join(latex.split())
    known = text
    for command, same in SYNONYMS.items():  # which matplotlib does not know
        known = known.replace(command, same)
    path = TextPath((0, 0), f"${known}$", size=SIZE, prop=FontProperties(math_fontfamily="cm"))
    box = path.get_extents().padded(2)
    em = {"width": box.width, "height": box.height, "vertical-align": box.y0}
    style = ";".join(f"{name}:{value / SIZE:.3f}em" for name, value in em.items())
    view = f"{box.x0:.1f} {-box.y1:.1f} {box.width:.1f} {box.height:.1f}"
    head = f'<svg class="drawn-math" role="img" aria-label="{escape(text)}" style="{style}" viewBox="{view}">'
    return f'{head}<path d="{outline(path)}"/></svg>'


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    """Write an equation within a line."""
    self.body.append(drawing(node.astext()))
    raise nodes.SkipNode


def visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write an equation on a line of its own."""
    equation = drawing(node.astext().replace(r"\frac", r"\dfrac"))
    self.body.append(f'<div class="drawn-math-block">{equation}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the way in which HTML shows equations."""
    app.add_html_math_renderer("drawn", (visit_inline, None), (visit_block, None))
    app.config.html_math_renderer = "drawn"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
