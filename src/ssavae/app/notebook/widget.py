"""The explorer in a notebook: the exported page in a frame, with selection and labels back in Python."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ssavae._checks import require_package
from ssavae.app.explorer.app import Api
from ssavae.app.explorer.points import Points, SelectedRows
from ssavae.app.explorer.service import Service
from ssavae.app.explorer.static_export import page_of
from ssavae.app.notebook.plots import rows_of
from ssavae.estimator import SSAVAE, Data
from ssavae.preprocessing.labels import Labels

require_package("anywidget", "notebook", "explore")

import anywidget  # noqa: E402
import traitlets  # noqa: E402

SCRIPT = Path(__file__).with_name("widget.js")


class Explorer(anywidget.AnyWidget):
    """The map as an output of a notebook.

    ``selected`` and ``labels`` follow what is done on the page: read them in another cell.
    """

    _esm = SCRIPT
    _page = traitlets.Unicode().tag(sync=True)
    _height = traitlets.Int(760).tag(sync=True)
    _selected = traitlets.List(traitlets.Int()).tag(sync=True)
    _labels = traitlets.Dict().tag(sync=True)
    _n = traitlets.Int()

    @property
    def selected(self) -> np.ndarray:
        """Indices of the rows selected last, (m,)."""
        return np.array(self._selected, dtype=np.int64)

    @property
    def labels(self) -> np.ndarray:
        """Labels given on the page, (n,): text, None where there is none; ``fit`` takes them as y."""
        labels = np.full(self._n, None, dtype=object)
        for row, label in self._labels.items():
            labels[int(row)] = label
        return labels


def explore(model: SSAVAE, X: Data, y: Labels | None = None, *, height: int = 760) -> Explorer:
    """Return the map of rows, to look at and to label, as an output of a notebook.

    The page runs in the notebook alone, without a server: between the points it shows rows decoded
    beforehand, and it cannot place rows of other files; for these there is `ssavae explore`.

    Parameters
    ----------
    model : SSAVAE
        Fitted.
    X : rows as in ``fit``
    y : (n,) or None
        Labels; None or -1 where unknown.
    height : int
        Of the frame, in pixels.

    Raises
    ------
    ImportError
        Without the extra ``notebook``.
    """
    part = rows_of(X, y)
    n = len(part.x)
    number = np.arange(n)
    points = Points.of(model, SelectedRows(part, number, number, {}, n))
    api = Api(Service(model, points), "this notebook")
    with ThreadPoolExecutor(1) as other:  # it runs coroutines, and on this thread runs the notebook's loop
        page, _ = other.submit(page_of, api, True).result()
    return Explorer(_page=page.decode(), _height=height, _n=n)
