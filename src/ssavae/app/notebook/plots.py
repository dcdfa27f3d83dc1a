"""Figures of a model and rows at hand, for notebooks: ``ssavae.plot_map(model, X, y)`` and its like.

They are functions, not methods: the estimator must not import figures or the application, see
docs/architecture.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from ssavae.app.runs import pictures
from ssavae.data.labelled import RowsLike
from ssavae.data.partition import Part
from ssavae.estimator import SSAVAE, Data
from ssavae.preprocessing.labels import Labels

if TYPE_CHECKING:
    from ssavae.figures import Figure


def rows_of(X: Data, y: Labels | None = None) -> Part:
    """Return rows and labels, as a user passes them, as a part of a data set."""
    rows = cast(RowsLike, X if hasattr(X, "iloc") or isinstance(X, np.ndarray) else np.asarray(X))
    labels = None if y is None else np.array([*list(y), None], dtype=object)[:-1]
    if labels is not None and len(labels) != len(rows):
        raise ValueError(f"y has {len(labels)} labels, X has {len(rows)} rows")
    return Part(rows, labels)


def plot_map(model: SSAVAE, X: Data, y: Labels | None = None) -> Figure:
    """Return the latent map of rows, as `ssavae map` draws it.

    Parameters
    ----------
    model : SSAVAE
        Fitted.
    X : rows as in ``fit``
    y : (n,) or None
        Labels, by which points are coloured.
    """
    return pictures.draw_map(model, rows_of(X, y))


def plot_reconstructions(model: SSAVAE, X: Data, y: Labels | None = None, *, n: int = 20) -> Figure:
    """Return n rows, of every class in turn, beside their reconstructions."""
    return pictures.draw_reconstructions(model, rows_of(X, y), n)


def plot_samples(model: SSAVAE, X: Data | None = None, *, random_state: int | None = 0) -> Figure:
    """Return generated rows: ten of each class, or a table's columns beside those of X where it is given."""
    return pictures.draw_new_rows(model, None if X is None else rows_of(X), random_state)


def plot_history(model: SSAVAE) -> Figure:
    """Return the losses of both steps by epoch.

    Raises
    ------
    ValueError
        If the model holds no history.
    """
    figure = pictures.draw_history(model)
    if figure is None:
        raise ValueError("the model holds no history: it was not trained here")
    return figure


def plot_confusion(model: SSAVAE, X: Data, y: Labels) -> Figure:
    """Return which class is predicted as which.

    Raises
    ------
    ValueError
        If no row has a label that the model knows.
    """
    figure = pictures.draw_confusion(model, rows_of(X, y))
    if figure is None:
        raise ValueError("no row has a label that is a class of the model: there is nothing to compare")
    return figure
