"""scikit-learn's search and pipelines on rows of which only some have a label."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV

from ssavae import SSAVAE
from ssavae.model_selection import SemiSupervisedSplit

X, y = load_wine(return_X_y=True)
y = y.copy()
y[np.random.default_rng(0).random(len(y)) < 0.5] = -1

search = GridSearchCV(
    SSAVAE(n_epochs=60, n_epochs_decoder=0, random_state=0),
    {"latent_dim": [2, 5], "weight_consistency": [0, 1]},
    cv=SemiSupervisedSplit(3),
)
search.fit(X, y)
print(f"best: {search.best_params_}, accuracy {search.best_score_:.3f}")
