"""The page as one HTML file: style sheet, modules and content, all inside index.html.

From disk, browsers import no modules by path: an import map of data URLs takes their place.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

PAGE = Path(__file__).with_name("page")
# forbids every network request
OFFLINE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; img-src data: blob:"
)


def import_map(folder: Path = PAGE) -> dict[str, str]:
    """Return a data URL for each module of a folder; inside, modules import each other by name."""
    urls = {}
    for path in sorted(folder.glob("*.js")):
        text = path.read_text("utf-8").replace('from "./', 'from "')
        urls[path.name] = f"data:text/javascript;base64,{base64.b64encode(text.encode()).decode()}"
    return urls


def one_page(content: Mapping[str, object]) -> str:
    """Return index.html with everything inside; the page finds its content in ``window.SSAVAE_EXPORT``.

    Parameters
    ----------
    content : mapping
        JSON values; see ``ssavae.app.explorer.static_export``.
    """
    # a "<" in a string could end the script element
    data = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    scripts = (
        f"<script>window.SSAVAE_EXPORT = {data};</script>\n"
        f'<script type="importmap">{json.dumps({"imports": import_map()})}</script>\n'
        '<script type="module">import "main.js";</script>\n'
    )
    policy = f'<meta http-equiv="Content-Security-Policy" content="{OFFLINE_POLICY}">'
    style = (PAGE / "explorer.css").read_text("utf-8")
    replacements = {
        '<meta charset="utf-8">': f'<meta charset="utf-8">\n{policy}',
        '<link rel="stylesheet" href="explorer.css">': f"<style>\n{style}</style>",
        '<script src="main.js" type="module"></script>\n': "",
        "</body>": f"{scripts}</body>",
    }
    page = (PAGE / "index.html").read_text("utf-8")
    for old, new in replacements.items():
        if page.count(old) != 1:
            raise ValueError(f"index.html should hold {old} once")
        page = page.replace(old, new)
    return page
