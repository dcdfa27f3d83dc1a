"""ssavae: partly labelled data in, a latent map out, to look at, classify with, decode and generate from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssavae.estimator import SSAVAE, load

__version__ = "0.1.0"
__all__ = ["SSAVAE", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import the estimator on first use: torch and scikit-learn cost seconds that `--help` need not pay."""
    if name in ("SSAVAE", "load"):
        from ssavae import estimator

        return getattr(estimator, name)
    raise AttributeError(f"module 'ssavae' has no attribute {name!r}")
