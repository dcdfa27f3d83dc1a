"""The detail of a code in two parts, and its law in each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class DetailLaw:
    r"""Mean and root of the covariance of the detail d in each class, blended by class probabilities q.

    .. math:: m(q) = \sum_c q_c m_c, \quad S(q) = \sum_c q_c S_c

    Means m_c and roots S_c are those of :class:`ssavae.inference.codes.Whitening`.

    Parameters
    ----------
    means : (C, k)
    roots : (C, k, k)
    """

    means: Float[Tensor, "c k"]
    roots: Float[Tensor, "c k k"]

    def exchanged(self, z: Float[Tensor, "b n"], probs: Float[Tensor, "b c"]) -> Float[Tensor, "b n"]:
        r"""Return codes that keep their place on the map and take the detail of the next row.

        .. math:: d_i' = m(q_i) + S(q_i) \, S(q_j)^{-1} (d_j - m(q_j)), \quad j = i + 1

        Parameters
        ----------
        z : (B, K)
            The detail are the last k dimensions.
        probs : (B, C)
            Class probabilities at the places.

        Examples
        --------
        >>> law = DetailLaw(torch.tensor([[1.0], [5.0]]), torch.tensor([[[2.0]], [[4.0]]]))
        >>> law.exchanged(torch.tensor([[7.0, 3.0], [8.0, 3.0]]), torch.eye(2))
        tensor([[7., 0.],
                [8., 9.]])
        """
        k = self.means.shape[1]
        means = probs @ self.means
        roots = torch.einsum("bc,cij->bij", probs, self.roots)
        white, _ = torch.linalg.solve_ex(roots, (z[:, -k:] - means)[:, :, None])
        detail = means + (roots @ white.roll(-1, dims=0))[:, :, 0]
        return torch.cat([z[:, :-k], detail], dim=1)
