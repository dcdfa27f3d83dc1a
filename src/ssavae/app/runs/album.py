"""Every picture of a run, written to its folder."""

from __future__ import annotations

from pathlib import Path

from ssavae import figures
from ssavae.app.runs import pictures, walks
from ssavae.data.labelled import DEFAULT_READING, Reading
from ssavae.data.partition import Part
from ssavae.estimator import SSAVAE


def draw_pictures(
    model: SSAVAE, part: Part, folder: Path, suffix: str = ".png", reading: Reading = DEFAULT_READING
) -> list[Path]:
    """Draw the pictures of a run.

    Map, decoded grid (images, in the plane), reconstructions, interpolations, traversals, samples, confusion,
    reliability, novelty (where there are rows of classes that the model does not know) and losses.
    """
    labels = pictures.axis_labels(reading)
    drawn = {
        "map": pictures.draw_map(model, part),
        "decoded_grid": pictures.draw_grid(model, part),
        "reconstructions": pictures.draw_reconstructions(model, part, 20, labels),
        "interpolations": walks.draw_interpolation(model, part, labels=labels),
        "traversals": walks.draw_traversal(model, part, labels=labels),
        "samples": pictures.draw_new_rows(model, part, labels=labels),
        "confusion": pictures.draw_confusion(model, part),
        "reliability": pictures.draw_reliability(model, part),
        "novelty": pictures.draw_novelty(model, part),
        "curves": pictures.draw_history(model),
    }
    folder.mkdir(parents=True, exist_ok=True)
    return [
        figures.save(figure, folder / f"{name}{suffix}")
        for name, figure in drawn.items()
        if figure is not None
    ]
