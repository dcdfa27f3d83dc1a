"""Figure 7 of the paper: the 2-D latent space of each database, with training and test points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ssavae import figures
from ssavae._serialize import JSONObject
from ssavae.app.experiments.database import Study
from ssavae.app.experiments.results import write_results
from ssavae.app.runs.pictures import label_indices


def figure7(studies: Sequence[Study], root: Path, command: str, suffix: str = ".png") -> list[Path]:
    """Train and measure the map of each database, and draw all on one page; return the files written."""
    metrics = {study.data: study.measure_vec(2) for study in studies}
    panels = [_panel(study, metrics[study.data]) for study in studies]
    picture = figures.save(figures.map_panels(panels), root / f"figure7{suffix}")
    return [picture, write_results(root / "figure7.json", command, metrics)]


def _panel(study: Study, metrics: JSONObject) -> figures.MapPanel:
    model = study.vec(2)
    notes = (
        f"test accuracy {metrics['accuracy']:.3f}, 15-NN {metrics['knn_accuracy']:.3f}, "
        f"silhouette {metrics['silhouette']:.2f}, trustworthiness {metrics['trustworthiness']:.2f}"
    )
    return figures.MapPanel(
        name=study.title,
        z_train=model.transform(study.train.x),
        y_train=label_indices(model, study.train.y, len(study.train.x)),
        z_test=model.transform(study.test.x),
        y_test=label_indices(model, study.test.y, len(study.test.x)),
        class_names=[str(c) for c in model.classes_],
        notes=notes,
    )
