"""Model cards: what model.json, run.json and metrics.json say, as the Hugging Face hub reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssavae.app.runs.folder import SECONDS, Run
from ssavae.data.catalog import CAUTIONS, SETS

MADE_BY = "<!-- made by `ssavae card` from model.json, run.json and metrics.json -->"
PAPER = "https://doi.org/10.3390/make2030020"
MOST_NAMES = 40  # of classes or columns in a card
TASKS = {"image": "image-classification", "table": "tabular-classification"}  # the hub has none for signals
PICTURES = {
    "map": "Codes by class",
    "decoded_grid": "Decoded over the map",
    "reconstructions": "Rows and their reconstructions",
    "samples": "Samples",
    "reliability": "How far confidence can be believed",
    "curves": "Losses by epoch",
}
MEASURES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "expected_calibration_error": "expected calibration error",
    "set_coverage": "coverage of `predict_set(alpha=0.1)`",
    "set_size": "classes in such a set",
    "novel_share": "rows that `is_novel(alpha=0.05)` calls so",
    "reconstruction_error": "reconstruction error",
    "knn_accuracy": "k-NN accuracy in the map (k = 15)",
    "silhouette": "silhouette of the classes",
    "trustworthiness": "trustworthiness of the map",
    "test_accuracy": "the judge's own accuracy",
    "agreement_reconstructions": "judge sees the row's class in its reconstruction",
    "agreement_class_samples": "judge sees class c in `sample(y=c)`",
    "variety_ratio": "variety of `sample(y=c)`",
    "frechet_reconstructions": "Fréchet distance of reconstructions",
    "frechet_class_samples": "Fréchet distance of samples by class",
    "frechet_prior_samples": "Fréchet distance of samples from N(0, I)",
}


def model_card(
    name: str,
    model: Mapping[str, Any],
    run: Run | None,
    metrics: Mapping[str, Any],
    pictures: Sequence[str],
    license_id: str | None = None,
) -> str:
    """Return the text of a model card.

    Parameters
    ----------
    name : str
        What to call the model.
    model, metrics : mapping
        What model.json and metrics.json hold; metrics may be empty.
    run : Run or None
        What run.json holds.
    pictures : sequence of str
        File names of pictures that exist beside it.
    license_id : str or None
        The hub's identifier of the model's licence.
    """
    sections = [
        _front_matter(name, model, run, metrics, license_id),
        f"{MADE_BY}\n# {name}",
        _what_it_is(model),
        _data(model, run, metrics.get("protocol", {})),
        _results(metrics),
        _pictures(pictures),
        _limits(model, run, metrics),
        _usage(model, name),
        _protocol(model, metrics.get("protocol", {})),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _kind(model: Mapping[str, Any]) -> str:
    return str(model["preprocess"]["kind"])


def _data_name(run: Run | None) -> str | None:
    """Return the data's name; of a path, which is the user's own affair, the last part."""
    return None if run is None else Path(run.data).name


def _front_matter(
    name: str, model: Mapping[str, Any], run: Run | None, metrics: Mapping[str, Any], license_id: str | None
) -> str:
    kind, data = _kind(model), _data_name(run)
    told: dict[str, Any] = {"library_name": "ssavae"}
    if license_id is not None:
        told["license"] = license_id
    told["tags"] = ["ssavae", "semi-supervised-learning", "variational-autoencoder", kind]
    task = TASKS.get(kind) if model["classes"]["names"] else None
    if task is not None:
        told["pipeline_tag"] = task
    scores = [{"type": key, "value": metrics[key]} for key in ("accuracy", "macro_f1") if key in metrics]
    if scores and task is not None and data is not None:
        result = {"task": {"type": task}, "dataset": {"name": data, "type": data}, "metrics": scores}
        told["model-index"] = [{"name": name, "results": [result]}]
    # JSON is YAML too, and quotes what has to be quoted
    return "\n".join(["---", *(f"{key}: {json.dumps(told[key])}" for key in told), "---"])


def _what_it_is(model: Mapping[str, Any]) -> str:
    n_classes, spec = len(model["classes"]["names"]), model["spec"]
    classes = f"classifies into {n_classes} classes, " if n_classes else ""
    rows = f"{_kind(model)} rows of shape {tuple(model['preprocess']['row_shape'])}"
    return (
        f"A semi-supervised adversarial variational autoencoder ([Zemouri 2020]({PAPER})) of {rows}: it maps "
        f"them to {spec['latent_dim']} dimensions, {classes}decodes any point of the map and "
        "generates new rows."
    )


def _data(model: Mapping[str, Any], run: Run | None, protocol: Mapping[str, Any]) -> str:
    lines = ["## Data"]
    if run is not None:
        known = SETS.get(run.data)
        lines.append(f"- {_data_name(run)}{'' if known is None else f': {known.description}'}")
        lines += [f"- licence: {known.licence}; from {known.source}"] if known is not None else []
        given = {k: v for k, v in vars(run.reading).items() if v not in (None, (), False)}
        if given:
            lines.append(f"- read with {', '.join(f'{k} = {v!r}' for k, v in given.items())}")
        lines += [f"- labels by {' '.join(run.labels.given())}"] * bool(run.labels.given())
    names = {"rows_train": "training rows", "rows_labelled": "of them with a label", "rows_test": "test rows"}
    lines += [f"- {protocol[key]:,} {text}" for key, text in names.items() if key in protocol]
    lines.append(f"- sha256 of the training rows as network inputs: {model['data_sha256']}")
    lines += [f"- classes: {_listed(model['classes']['names'])}"] * bool(model["classes"]["names"])
    lines += [f"- columns: {_listed(model['feature_names'])}"] * bool(model["feature_names"])
    return "\n".join(lines)


def _listed(names: Sequence[Any]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(str(name) for name in names[:MOST_NAMES]) + more


def _results(metrics: Mapping[str, Any]) -> str:
    """Return a table of what training measured on its test part, and one of what ``ssavae evaluate`` did."""
    later = metrics.get("evaluate", {})
    tables = [_table("the test part, which was not trained on", metrics)]
    if later:
        on = f"{Path(str(later.get('data'))).name}, by `ssavae evaluate`"
        tables.append(_table(on, {**later, **later.get("judge", {})}))
    unit = metrics.get("protocol", {}).get("error_unit")
    note = f"Errors of reconstructions are mean squares; {unit}." if unit else ""
    found = [table for table in tables if table]
    return "\n\n".join(["## Results", *found, *[note] * bool(note)]) if found else ""


def _table(on: str, found: Mapping[str, Any]) -> str:
    rows = [f"| {text} | {found[key]:.4g} |" for key, text in MEASURES.items() if _is_number(found.get(key))]
    n_rows = f"{found['rows']:,} rows of " if "rows" in found else ""
    return "\n".join([f"On {n_rows}{on}:", "", "| | |", "|---|---|", *rows]) if rows else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _pictures(names: Sequence[str]) -> str:
    shown = [
        f"![{text}]({name})" for stem, text in PICTURES.items() for name in names if Path(name).stem == stem
    ]
    return "\n\n".join(["## Pictures", *shown]) if shown else ""


def _limits(model: Mapping[str, Any], run: Run | None, metrics: Mapping[str, Any]) -> str:
    lines = ["## Limits of use"]
    if model["classes"]["names"]:
        lines.append(
            "- Every row is given one of the classes above, rows of none of them too: ask `is_novel` before "
            "`predict` is believed."
        )
    if not model["novelty_held_out"]:
        lines.append(
            "- No rows were held out to calibrate on: `is_novel` calls more new rows novel than its alpha "
            "says; `calibrate` with rows that were not trained on mends that."
        )
    if model["spec"]["latent_dim"] == 2:
        lines.append(
            "- Two dimensions hold the class and a little more: decoded rows are examples of their kind."
        )
    else:
        lines.append('- Samples from N(0, I) (`sampler="prior"`) are poor: take the default sampler.')
    if not any(key in metrics for key in ("accuracy", "reconstruction_error")):
        lines.append("- Nothing was measured on rows that were not trained on.")
    caution = CAUTIONS.get(run.data) if run is not None else None
    lines += [f"- {caution}"] * (caution is not None)
    lines.append("- It says nothing of rows from other sources, devices or times than those of its data.")
    return "\n".join(lines)


def _usage(model: Mapping[str, Any], name: str) -> str:
    own = "".join(f", {part}=..." for part in model["custom"])
    lines = ["from ssavae import load", ""]
    lines.append(f'model = load("hf://USER/{name}"{own})  # or the folder of this file')
    lines.append("model.transform(X), model.reconstruct(X), model.inverse_transform(Z), model.novelty(X)")
    if model["classes"]["names"]:
        lines.append("model.predict(X), model.predict_proba(X), model.sample(10, y=model.classes_[0])")
    return "\n".join(["## How to use it", "```python", *lines, "```"])


def _protocol(model: Mapping[str, Any], protocol: Mapping[str, Any]) -> str:
    lines = ["## How it was made"]
    if "command" in protocol:
        lines += ["```console", f"$ {protocol['command']}", "```"]
    parameters = {k: v for k, v in model["params"].items() if v is not None}
    lines += ["```toml", *(f"{key} = {json.dumps(value)}" for key, value in parameters.items()), "```"]
    measured = {k: protocol[k] for k in SECONDS if _is_number(protocol.get(k))}
    lines += [f"- {name.replace('_', ' of ')}: {value:.0f}" for name, value in measured.items()]
    machine = {
        k: protocol[k] for k in ("date", "cpu", "cores", "gpu", "python", "git_commit") if protocol.get(k)
    }
    told = {"seed": model["seed"], **model["versions"], **machine}
    return "\n".join(lines + [f"- {name.replace('_', ' ')}: {value}" for name, value in told.items()])
