"""The page as one file: style sheet, modules, plotly.js and what it shows, all inside index.html.

Browsers import no module from disk. The modules are set one after the other instead, in one classic script;
so their names at top level must differ, and imports must be plain: ``import { a, b } from "./file.js";``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("page")
ENTRY = "main.js"
IMPORT = re.compile(r'^import \{[^}]*\} from "\./(?P<file>[\w-]+\.js)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let) )", re.MULTILINE)
TOP_LEVEL = re.compile(r"^(?:export )?(?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)
# nothing is fetched, whatever happens: the file holds all it needs
ALONE = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:"
)


def plotly_js() -> str:
    """Return plotly.js as the installed plotly package holds it."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def in_order(folder: Path, entry: str = ENTRY) -> list[str]:
    """Return the modules that a module needs, each behind those that it imports itself.

    Parameters
    ----------
    folder : Path
    entry : str
    """
    found: dict[str, None] = {}

    def visit(name: str) -> None:
        for needed in IMPORT.finditer((folder / name).read_text("utf-8")):
            if needed["file"] not in found:
                visit(needed["file"])
        found[name] = None

    visit(entry)
    return list(found)


def one_script(folder: Path = PAGE, entry: str = ENTRY) -> str:
    """Return all modules of a folder as one classic script.

    Raises
    ------
    ValueError
        If two modules use the same name, or one imports or exports in a way that is not understood.
    """
    owner: dict[str, str] = {}
    parts = []
    for name in in_order(folder, entry):
        text = (folder / name).read_text("utf-8")
        for word in TOP_LEVEL.findall(text):
            if word in owner:
                raise ValueError(
                    f"{name} and {owner[word]} both define {word}: one of them needs another name"
                )
            owner[word] = name
        parts.append(f"// {name}\n{EXPORT.sub('', IMPORT.sub('', text))}")
    script = "\n".join(parts)
    if odd := re.search(r"^\s*(?:import|export)\b.*", script, re.MULTILINE):
        raise ValueError(f"not understood: {odd[0].strip()}")
    return f'(() => {{\n"use strict";\n{script}}})();\n'


def one_page(told: dict[str, Any]) -> str:
    """Return index.html with everything inside, and what the page shows as ``window.SSAVAE_EXPORT``.

    Parameters
    ----------
    told : dict
        Values of JSON; see ``ssavae.app.explorer.static_export``.
    """
    # "<" would let a text inside end the script
    data = json.dumps(told, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    scripts = [plotly_js(), f"window.SSAVAE_EXPORT = {data};", one_script()]
    inline = "".join(f"<script>{script}</script>\n" for script in scripts)
    style = (PAGE / "explorer.css").read_text("utf-8")
    page = (PAGE / "index.html").read_text("utf-8")
    for old, new in (
        (
            '<meta charset="utf-8">',
            f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{ALONE}">',
        ),
        ('<link rel="stylesheet" href="explorer.css">', f"<style>\n{style}</style>"),
        ('<script src="plotly.min.js" defer></script>\n', ""),
        ('<script src="main.js" type="module"></script>\n', ""),
        ("</body>", f"{inline}</body>"),
    ):
        if page.count(old) != 1:
            raise ValueError(f"index.html should hold {old} once")
        page = page.replace(old, new)
    return page
