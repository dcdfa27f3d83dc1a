"""Names from the folder above, which is not on the path of a script in this one."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measured import (  # only after the path is set
    BATCH,
    Images,
    JudgedImages,
    judge_for,
    measure_class_samples,
    measure_reconstructions,
)
from report import command, parser, plain_options, read_json, write_json, write_part
from split import Split, few_labels

__all__ = [
    "BATCH",
    "Images",
    "JudgedImages",
    "Split",
    "command",
    "few_labels",
    "judge_for",
    "measure_class_samples",
    "measure_reconstructions",
    "parser",
    "plain_options",
    "read_json",
    "write_json",
    "write_part",
]
