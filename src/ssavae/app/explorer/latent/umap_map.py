"""A map of two dimensions for codes of many: UMAP (McInnes et al. 2018)."""

from __future__ import annotations

import numpy as np

from ssavae._checks import require_package

FIT_ROWS = 20_000  # evenly spaced; the others are placed among them


def umap_of(z: np.ndarray) -> np.ndarray:
    """Return positions (n, 2) of codes (n, K): rows that are near in the code are near on this map.

    Raises
    ------
    ImportError
        Without the extra ``umap``.
    """
    require_package("umap", "umap", "a map by UMAP")
    from umap import UMAP  # pyright: ignore[reportMissingImports]

    step = -(-len(z) // FIT_ROWS)
    rest = np.ones(len(z), dtype=bool)
    rest[::step] = False
    fitted = UMAP(random_state=0, n_jobs=1).fit(z[::step])
    positions = np.empty((len(z), 2), dtype=np.float32)
    positions[::step] = fitted.embedding_
    if rest.any():
        positions[rest] = fitted.transform(z[rest])
    return positions
