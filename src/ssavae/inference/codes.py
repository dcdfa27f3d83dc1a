"""Codes in two parts: points of the map become whole codes, without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float


def complete(
    codes: Float[np.ndarray, "n m"], detail: Float[np.ndarray, "k"] | Float[np.ndarray, "n k"], n_map: int
) -> Float[np.ndarray, "n k"]:
    """Return whole codes as they are, and points of the map with the detail of other codes.

    Parameters
    ----------
    codes : (n, K) or (n, n_map)
    detail : (K,) or (n, K)
        Codes whose detail the points get.
    n_map : int
        Leading dimensions of a code that are the map.

    Raises
    ------
    ValueError
        If codes have another shape.

    Examples
    --------
    >>> complete(np.zeros((1, 1)), np.ones(3), n_map=1), complete(np.zeros((1, 3)), np.ones(3), n_map=1)
    (array([[0., 1., 1.]]), array([[0., 0., 0.]]))
    """
    latent_dim = detail.shape[-1]
    if codes.ndim == 2 and codes.shape[1] == latent_dim:
        return codes
    if codes.ndim != 2 or codes.shape[1] != n_map:
        points = f", points of its map (n, {n_map})" if n_map < latent_dim else ""
        raise ValueError(f"codes of this model are (n, {latent_dim}){points}, found {codes.shape}")
    whole = np.broadcast_to(detail, (len(codes), latent_dim)).astype(codes.dtype)
    whole[:, :n_map] = codes
    return whole
