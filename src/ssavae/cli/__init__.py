"""The command line: parse -> one call -> print. Heavy libraries are imported inside the commands."""

# each registers its commands, in the order of help
from ssavae.cli import training, data, using, diagnosis, explore, sharing, studies  # noqa: F401, I001
from ssavae.cli.app import main

__all__ = ["main"]
