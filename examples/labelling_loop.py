"""Active learning: suggest rows, have them labelled, train again."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from ssavae import SSAVAE

X, truth = load_digits(return_X_y=True)
train, test = np.arange(1297), np.arange(1297, 1797)
y = np.full(len(train), -1)
y[:30] = truth[:30]

for _ in range(4):
    model = SSAVAE(latent_dim=10, widths=(128, 64), n_epochs=60, n_epochs_decoder=0, random_state=0)
    model.fit(X[train], y)
    print(f"{(y >= 0).sum()} labels: accuracy {model.score(X[test], truth[test]):.3f}")
    rows = model.suggest(X[train], n=20, y=y)
    y[rows] = truth[rows]  # here somebody would look at the rows
