"""Command line: each command parses its options, makes one call and prints the result."""

# Each module registers its commands; the order is that of `ssavae --help`.
from ssavae.app.cli import train, data, apply, diagnose, explore, publish, experiments  # noqa: F401, I001
from ssavae.app.cli.main import main

__all__ = ["main"]
