"""Publication of a run: its model as ONNX, a model card, a repository of the hub."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ssavae._checks import UsageError
from ssavae.app.runs.folder import CARD_FILE, LABELS_FILE, METRICS_FILE, RUN_FILE, SPLIT_FILE, RunFolder
from ssavae.app.runs.model_card import CARD_MARK, PICTURES, model_card
from ssavae.onnx.export import export_onnx
from ssavae.persistence import hub
from ssavae.persistence.model_folder import load_model

PICTURE_SUFFIXES = (".png", ".svg")  # the formats that the hub shows
PUSHED = (*hub.MODEL_FILES, RUN_FILE, METRICS_FILE, SPLIT_FILE, LABELS_FILE, CARD_FILE)


def export_run(folder: RunFolder, onnx: Path, *, overwrite: bool) -> list[Path]:
    """Write the model of a run folder as ONNX, with how its data is to be read."""
    model = folder.load_model()
    run = folder.read_run()
    return export_onnx(model, onnx, reading=None if run is None else asdict(run.reading), overwrite=overwrite)


def write_card(folder: RunFolder, *, license_id: str | None = None, overwrite: bool = False) -> Path:
    """Write the model card of a run folder.

    Raises
    ------
    UsageError
        The folder is missing, or holds a README.md of someone else's.
    """
    folder.check_exists()
    card = folder.read_card()
    if card is not None and CARD_MARK not in card and not overwrite:
        raise UsageError(
            f"{folder.path / CARD_FILE} was not made by `ssavae card`: give --overwrite to replace it"
        )
    model = load_model(folder.path)[0]
    run = folder.read_run()
    text = model_card(folder.name, model, run, folder.read_metrics(), _pictures(folder), license_id)
    return folder.write_card(text)


def push_run(folder: RunFolder, repo: str, *, revision: str | None, private: bool) -> str:
    """Push what a run folder needs to be used, its card and pictures, no more; return the address."""
    if folder.read_card() is None:
        write_card(folder)
    load_model(folder.path)  # a damaged one stays here
    files = folder.existing(PUSHED) + _pictures(folder)
    message = f"Model of ssavae: {folder.name}"
    return hub.push(folder.path, repo, files, revision=revision, private=private, message=message)


def _pictures(folder: RunFolder) -> list[str]:
    """Return one file of each picture that a card shows."""
    files = [folder.existing([f"{stem}{suffix}" for suffix in PICTURE_SUFFIXES]) for stem in PICTURES]
    return [names[0] for names in files if names]
