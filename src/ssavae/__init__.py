"""ssavae: partly labelled data in, a latent map out, to look at, classify with, decode and generate from."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ssavae._version import __version__

if TYPE_CHECKING:
    from ssavae.app.notebook.plots import (
        plot_confusion,
        plot_explanation,
        plot_history,
        plot_interpolation,
        plot_map,
        plot_novelty,
        plot_reconstructions,
        plot_samples,
        plot_traversal,
    )
    from ssavae.app.notebook.widget import explore
    from ssavae.estimator import SSAVAE, load
    from ssavae.onnx.runtime import Exported

__all__ = [
    "SSAVAE",
    "Exported",
    "__version__",
    "explore",
    "load",
    "plot_confusion",
    "plot_explanation",
    "plot_history",
    "plot_interpolation",
    "plot_map",
    "plot_novelty",
    "plot_reconstructions",
    "plot_samples",
    "plot_traversal",
]
_HOMES = {
    "SSAVAE": "ssavae.estimator",
    "load": "ssavae.estimator",
    "Exported": "ssavae.onnx.runtime",
    "explore": "ssavae.app.notebook.widget",
    **{name: "ssavae.app.notebook.plots" for name in __all__ if name.startswith("plot_")},
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: torch costs seconds that `--help` and `Exported` need not pay."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ssavae' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name the public names, those that are not imported yet too."""
    return sorted(__all__)
