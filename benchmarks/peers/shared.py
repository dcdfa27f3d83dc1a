"""What all benchmarks share, which lies one folder up, where a script of this folder does not look."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measured import (  # the path has to be there first
    BATCH,
    Images,
    Seen,
    judge_of,
    measure_class_samples,
    measure_reconstructions,
)

__all__ = ["BATCH", "Images", "Seen", "judge_of", "measure_class_samples", "measure_reconstructions"]
