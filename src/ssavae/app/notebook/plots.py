"""Figures of a model and rows at hand, for notebooks: ``ssavae.plot_map(model, X, y)`` and its like.

They are functions, not methods: the estimator must not import figures or the application, see
docs/architecture.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from ssavae.app.runs import pictures, walks
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


def _rows_with(X: Data, row: int) -> Part:
    part = rows_of(X)
    if not 0 <= row < len(part.x):
        raise ValueError(f"row={row}: X has rows 0 to {len(part.x) - 1}")
    return part


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


def plot_interpolation(model: SSAVAE, X: Data, y: Labels | None = None, *, n: int = 5) -> Figure:
    """Return n walks between two rows, decoded step by step, of different classes where y is given."""
    return walks.draw_interpolation(model, rows_of(X, y), n)


def plot_traversal(model: SSAVAE, X: Data, *, row: int = 0) -> Figure:
    """Return one row of X decoded along single dimensions of its code, ten at most, the others as they are.

    Raises
    ------
    ValueError
        If X has no such row.
    """
    return walks.draw_traversal(model, _rows_with(X, row), row)


def plot_novelty(model: SSAVAE, X: Data, new: Data) -> Figure:
    """Return how well `novelty` tells the rows of ``new`` from those of X: distributions and ROC curve."""
    figure = pictures.draw_novelty(model, rows_of(X), rows_of(new))
    assert figure is not None  # there are rows of both
    return figure


def plot_explanation(model: SSAVAE, X: Data, *, row: int = 0, other: object = None) -> Figure:
    """Return what speaks for the class of one row of X, value by value, and the way to another class.

    Parameters
    ----------
    model : SSAVAE
        Fitted with labels.
    X : rows as in ``fit``
    row : int
    other : class name or None
        Class to compare with; None takes the second most probable one.

    Raises
    ------
    ImportError
        Without captum.
    ValueError
        If X has no such row, or the row is read as ``other`` already.
    """
    from ssavae.analysis import explain

    x = _rows_with(X, row).take(slice(row, row + 1)).x
    why = explain.why(model, x, other)
    return walks.draw_explanation(model, x, why, title=walks.title_of(row, why))


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
