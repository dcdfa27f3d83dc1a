"""Train, export to ONNX, and run the model with numpy and onnxruntime alone."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_iris

from ssavae import SSAVAE
from ssavae.onnx.export import export_onnx

X, y = load_iris(return_X_y=True)
model = SSAVAE(random_state=0).fit(X, y)
folder = Path(tempfile.mkdtemp())
export_onnx(model, folder / "exported")
np.save(folder / "rows.npy", X)

PROGRAM = """
import sys, numpy as np
from ssavae import Exported
model = Exported(sys.argv[1] + "/exported")
print("classes", model.predict(np.load(sys.argv[1] + "/rows.npy"))[::30])
print("torch imported:", "torch" in sys.modules)
"""
subprocess.run([sys.executable, "-c", PROGRAM, str(folder)], check=True)
print("torch says", model.predict(X)[::30])
