"""A model that says when it does not know: prediction sets, novelty, calibrated on rows of one's own."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_breast_cancer

from ssavae import SSAVAE

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
order = np.random.default_rng(0).permutation(len(X))
train, calibration, test = np.split(order, [300, 430])
model = SSAVAE(random_state=0).fit(X.iloc[train], y.iloc[train])
model.calibrate(X.iloc[calibration], y.iloc[calibration])

sets = model.predict_set(X.iloc[test], alpha=0.05)
covered = sets[np.arange(len(test)), y.iloc[test]]
print(f"the true class is in {covered.mean():.3f} of the sets, aim 0.95; classes in a set: {sets.sum(axis=1).mean():.2f}")
shuffled = X.iloc[test].apply(lambda column: column.sample(frac=1, random_state=len(column.name)).to_numpy())
print(f"novel: {model.is_novel(X.iloc[test]).mean():.3f} of the test rows, aim 0.05")
print(f"novel: {model.is_novel(shuffled).mean():.3f} of rows whose columns were shuffled")
