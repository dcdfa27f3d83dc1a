"""Sphinx configuration of the site: `make docs` builds it without network, warnings are errors."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent / "src")]
# what the kernels of the notebooks inherit: this checkout, and its `ssavae` command
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent / "src"), str(HERE / "_kernel")])
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("COLUMNS", "100")

from ssavae import __version__  # noqa: E402  # only after the path is set

project = "ssavae"
author = "ssavae developers"
copyright = "ssavae developers, MIT licence"
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "sphinx_copybutton",
    "drawn_math",
    "cli_reference",
    "changelog",
    "docstrings",
    "no_paths",
]
exclude_patterns = ["_build", "_ext", "_kernel", "**/.ipynb_checkpoints"]
source_suffix = {".md": "myst-nb"}
smartquotes = False  # options begin with two hyphens

# pages
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence", "attrs_inline"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
copybutton_prompt_text = "$ "

# notebooks: MyST Markdown, executed in the build, each in a temporary folder
nb_execution_mode = "cache"  # all in a fresh clone; later those whose code has changed
nb_execution_cache_path = str(HERE / "_build" / "jupyter_cache")
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

# reference
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_class_signature = "mixed"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_preprocess_types = False

# appearance; nothing comes from the network
html_theme = "pydata_sphinx_theme"
html_title = f"ssavae {release}"
html_static_path = ["_static"]
html_css_files = ["ssavae.css"]
html_theme_options = {
    "logo": {"text": "ssavae"},
    "navbar_align": "left",
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}
html_show_sourcelink = False
