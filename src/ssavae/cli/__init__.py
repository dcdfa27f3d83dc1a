"""The command line: parse -> one call -> print. Heavy libraries are imported inside the commands."""

from ssavae.cli import training, data, using, diagnosis, sharing, studies  # noqa: F401, I001  registers, in the order of help
from ssavae.cli.app import main

__all__ = ["main"]
