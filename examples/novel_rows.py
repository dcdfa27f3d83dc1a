"""A model that says when it does not know: prediction sets and novelty, calibrated on rows of one's own."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from ssavae import SSAVAE

X, y = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(X))
train, calibration, test = np.split(order, [900, 1350])
model = SSAVAE(latent_dim=10, widths=(128, 64), random_state=0).fit(X[train], y[train])
model.calibrate(X[calibration], y[calibration])

sets = model.predict_set(X[test], alpha=0.05)
covered = sets[np.arange(len(test)), y[test]]
print(f"the true class is in {covered.mean():.3f} of the sets, aim 0.95")
print(f"classes in a set: {sets.sum(axis=1).mean():.2f}")
print(f"novel: {model.is_novel(X[test]).mean():.3f} of the test rows, aim 0.05")
turned = X[test].reshape(-1, 8, 8).transpose(0, 2, 1).reshape(-1, 64)
print(f"novel: {model.is_novel(turned).mean():.3f} of digits mirrored at the diagonal")
print(f"novel: {model.is_novel(16 - X[test]).mean():.3f} of digits with black and white exchanged")
