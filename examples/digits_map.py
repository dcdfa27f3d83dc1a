"""A map of scikit-learn's digits, 100 of them labelled, as a picture: digits.png."""

from __future__ import annotations

from sklearn.datasets import load_digits

from ssavae import SSAVAE
from ssavae.figures import latent_map, save

X, digits = load_digits(return_X_y=True)
y = digits.copy()
y[100:] = -1  # no label
model = SSAVAE(latent_dim=2, n_epochs_decoder=0, random_state=0).fit(X, y)
print(f"accuracy of the rows without a label: {model.score(X[100:], digits[100:]):.2f}")
save(latent_map(model.transform(X), digits, [str(c) for c in range(10)]), "digits.png")
