"""The options of benchmarks that measure a saved model."""

from __future__ import annotations

import argparse
from pathlib import Path

from report import parser


def parse_model_options(description: str | None) -> argparse.Namespace:
    """Return the model folder, the data that it was trained on, and where the result goes."""
    options = parser(description)
    options.add_argument("model", type=Path, help="a model folder")
    options.add_argument("data", help="the images that it was trained on")
    options.add_argument("--out", type=Path, required=True)
    return options.parse_args()
