"""A table of numbers, words and gaps: decoded rows have the same sorts of cells."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ssavae import SSAVAE

rng = np.random.default_rng(0)
size = rng.normal(10, 3, 400).round(1)
material = np.where(size + rng.normal(0, 1, 400) > 10, "steel", "brass")
weight = np.where(rng.random(400) < 0.1, np.nan, size * np.where(material == "steel", 7.9, 8.5)).round(1)
table = pd.DataFrame({"size": size, "material": material, "weight": weight})
state = np.where(weight > 85, "heavy", "light").astype(object)
state[::3] = None  # every third has no label

model = SSAVAE(random_state=0).fit(table, state)
print("at the middle of the map:")
print(model.inverse_transform([[0.0, 0.0]]).to_string(index=False))
print("three new heavy parts:")
print(model.sample(3, y="heavy", random_state=0).to_string(index=False))
