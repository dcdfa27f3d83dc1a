"""Figure 7 of the paper: the 2-D latent space of each database, with training and test points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssavae import figures
from ssavae.app.experiments.database import Study, write_result
from ssavae.app.runs.pictures import label_indices
from ssavae.data.partition import Part


def figure7(studies: Sequence[Study], root: Path, command: str, suffix: str = ".png") -> list[Path]:
    """Train the map of each database, measure it, and draw all on one page; return the files written."""
    found = {study.data: study.measure_vec(2) for study in studies}
    panels = [_panel(study, found[study.data]) for study in studies]
    picture = figures.save(figures.map_panels(panels), root / f"figure7{suffix}")
    return [picture, write_result(root / "figure7.json", command, found)]


def _panel(study: Study, found: dict[str, Any]) -> figures.MapPanel:
    model = study.vec(2)
    codes = {name: model.transform(part.x) for name, part in (("train", study.train), ("test", study.test))}

    def labels(part: Part) -> Any:
        return label_indices(model, part.y, len(part.x))

    notes = (
        f"test accuracy {found['accuracy']:.3f}, 15-NN {found['knn_accuracy']:.3f}, "
        f"silhouette {found['silhouette']:.2f}, trustworthiness {found['trustworthiness']:.2f}"
    )
    names = [str(c) for c in model.classes_]
    return figures.MapPanel(
        study.title, codes["train"], labels(study.train), codes["test"], labels(study.test), names, notes
    )
