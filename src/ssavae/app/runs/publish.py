"""What a run hands on: its model as ONNX, a model card, a repository of the hub."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ssavae._checks import UsageError
from ssavae._serialize import write_atomically
from ssavae.app.runs.folder import METRICS_FILE, RUN_FILE, described, open_model, read_metrics
from ssavae.app.runs.model_card import MADE_BY, PICTURES, model_card
from ssavae.data.label_budget import LABELS_FILE, SPLIT_FILE
from ssavae.onnx.export import export_onnx
from ssavae.persistence import hub
from ssavae.persistence.model_folder import load_model

CARD_FILE = "README.md"
DRAWN = (".png", ".svg")  # what the hub shows
PUSHED = (*hub.MODEL_FILES, RUN_FILE, METRICS_FILE, SPLIT_FILE, LABELS_FILE, CARD_FILE)


def export_run(folder: Path, onnx: Path, *, overwrite: bool) -> list[Path]:
    """Write the model of a run folder as ONNX, with how its data is to be read."""
    model, run = open_model(folder), described(folder)
    reading = None if run is None else asdict(run.reading)
    return export_onnx(model, onnx, reading=reading, overwrite=overwrite)


def write_card(folder: Path, *, license_id: str | None = None, overwrite: bool = False) -> Path:
    """Write the model card of a run folder.

    Raises
    ------
    UsageError
        The folder is missing, or holds a README.md of someone else's.
    """
    if not folder.is_dir():
        raise UsageError(f"no model folder at {folder}")
    path = folder / CARD_FILE
    if path.is_file() and MADE_BY not in path.read_text("utf-8", errors="replace") and not overwrite:
        raise UsageError(f"{path} was not made by `ssavae card`: give --overwrite to replace it")
    told, _ = load_model(folder)
    text = model_card(
        folder.resolve().name, told, described(folder), read_metrics(folder), _pictures(folder), license_id
    )
    write_atomically(path, text.encode())
    return path


def push_run(folder: Path, repo: str, *, revision: str | None, private: bool) -> str:
    """Push what a run folder needs to be used, its card and pictures, no more; return the address."""
    if not (folder / CARD_FILE).is_file():
        write_card(folder)
    load_model(folder)  # a damaged one stays here
    files = [name for name in PUSHED if (folder / name).is_file()] + _pictures(folder)
    message = f"Model of ssavae: {folder.resolve().name}"
    return hub.push(folder, repo, files, revision=revision, private=private, message=message)


def _pictures(folder: Path) -> list[str]:
    """Return one file of each picture that a card shows."""
    found = [[f"{stem}{end}" for end in DRAWN if (folder / f"{stem}{end}").is_file()] for stem in PICTURES]
    return [names[0] for names in found if names]
