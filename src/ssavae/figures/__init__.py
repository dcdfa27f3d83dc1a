"""Figures of a model: functions from arrays to one matplotlib Figure.

Only matplotlib's object interface is used, no pyplot and no global state, so a server may draw in threads.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from ssavae.figures.confusion import confusion_matrix
from ssavae.figures.curves import loss_curves, regime_curves
from ssavae.figures.distributions import column_distributions
from ssavae.figures.maps import decoded_grid, latent_map
from ssavae.figures.novelty import novelty_roc
from ssavae.figures.paper_figure7 import MapPanel, map_panels
from ssavae.figures.paper_figure9 import BetaLine, beta_sheet
from ssavae.figures.reconstructions import Kind, class_samples, image_sheet, reconstructions
from ssavae.figures.reliability import reliability_diagram
from ssavae.figures.saliency import saliency
from ssavae.figures.strips import strips
from ssavae.figures.style import class_colors, save
from ssavae.figures.sweeps import sweep_curves
from ssavae.figures.timeline import track

__all__ = [
    "BetaLine",
    "Figure",
    "Kind",
    "MapPanel",
    "beta_sheet",
    "class_colors",
    "class_samples",
    "column_distributions",
    "confusion_matrix",
    "decoded_grid",
    "image_sheet",
    "latent_map",
    "loss_curves",
    "map_panels",
    "novelty_roc",
    "reconstructions",
    "regime_curves",
    "reliability_diagram",
    "saliency",
    "save",
    "strips",
    "sweep_curves",
    "track",
]
