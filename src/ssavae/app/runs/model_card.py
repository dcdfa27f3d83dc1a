"""Model cards: the content of model.json, run.json and metrics.json as the Hugging Face hub reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeGuard

from ssavae._serialize import JSONObject
from ssavae.app.runs.folder import SECONDS, Run
from ssavae.data.catalog import CAUTIONS, SETS

CARD_MARK = "<!-- made by `ssavae card` from model.json, run.json and metrics.json -->"
PAPER = "https://doi.org/10.3390/make2030020"
MAX_NAMES = 40  # of classes or columns in a card
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
    model: JSONObject,
    run: Run | None,
    metrics: JSONObject,
    pictures: Sequence[str],
    license_id: str | None = None,
) -> str:
    """Return the text of a model card.

    Parameters
    ----------
    name : str
        Title.
    model, run, metrics : dict, Run or None, dict
        Content of model.json, run.json and metrics.json; the last may be empty.
    pictures : sequence of str
        File names of the pictures beside it.
    license_id : str or None
        The hub's identifier of the model's licence.
    """
    protocol = metrics.get("protocol", {})
    name = _printable(name)
    sections = [
        _front_matter(name, model, run, metrics, license_id),
        f"{CARD_MARK}\n# {_escape(name)}",
        _introduction(model),
        _data(model, run, protocol),
        _results(metrics),
        _pictures(pictures),
        _limits(model, run, metrics),
        _usage(model, name),
        _protocol(model, protocol),
    ]
    return "\n\n".join(each for each in sections if each) + "\n"


def _printable(text: object) -> str:
    """Return text in one line, without control characters, which YAML forbids."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def _escape(text: object) -> str:
    r"""Return text that Markdown shows as it is written, in one line.

    >>> print(_escape("<b> $x_1$"))
    \<b\> \$x_1\$
    """
    return re.sub(r"[\\`*{}\[\]<>#|!$~&]|(?<!\w)_|_(?!\w)", r"\\\g<0>", _printable(text))


def _fenced(language: str, *lines: str) -> str:
    """Return a block of code, in a fence longer than any inside it."""
    text = "\n".join(lines)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _data_name(run: Run) -> str:
    """Return the name of the data; of a path only the last part, since the rest is private."""
    return _printable(Path(run.data).name)


def _front_matter(
    name: str, model: JSONObject, run: Run | None, metrics: JSONObject, license_id: str | None
) -> str:
    kind = model["preprocess"]["kind"]
    header: JSONObject = {"library_name": "ssavae"}
    if license_id is not None:
        header["license"] = license_id
    header["tags"] = ["ssavae", "semi-supervised-learning", "variational-autoencoder", kind]
    task = TASKS.get(kind) if model["classes"]["names"] else None
    if task is not None:
        header["pipeline_tag"] = task
    scores = [{"type": key, "value": metrics[key]} for key in ("accuracy", "macro_f1") if key in metrics]
    if scores and task is not None and run is not None:
        dataset = {"name": _data_name(run), "type": _data_name(run)}
        result = {"task": {"type": task}, "dataset": dataset, "metrics": scores}
        header["model-index"] = [{"name": name, "results": [result]}]
    # JSON is YAML too but for surrogate pairs, and quotes what has to be quoted
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in header.items()]
    return "\n".join(["---", *lines, "---"])


def _introduction(model: JSONObject) -> str:
    n_classes = len(model["classes"]["names"])
    classes = f"classifies into {n_classes} classes, " if n_classes else ""
    rows = f"{model['preprocess']['kind']} rows of shape {tuple(model['preprocess']['row_shape'])}"
    return (
        f"A semi-supervised adversarial variational autoencoder ([Zemouri 2020]({PAPER})) of {rows}: it maps "
        f"them to {model['spec']['latent_dim']} dimensions, {_map_note(model)}{classes}decodes any point of "
        "the map and generates new rows."
    )


def _map_note(model: JSONObject) -> str:
    map_dim = model["spec"].get("map_dim")
    if map_dim is None:
        return ""
    return f"of which the first {map_dim} are the map that the classifier reads and the others the detail, "


def _data(model: JSONObject, run: Run | None, protocol: JSONObject) -> str:
    lines = ["## Data"]
    if run is not None:
        lines += _data_source(run)
    counts = {
        "rows_train": "training rows",
        "rows_labelled": "of them with a label",
        "rows_test": "test rows",
    }
    lines += [f"- {protocol[key]:,} {text}" for key, text in counts.items() if key in protocol]
    lines.append(f"- sha256 of the training rows as network inputs: {model['data_sha256']}")
    if model["classes"]["names"]:
        lines.append(f"- classes: {_listed(model['classes']['names'])}")
    if model["feature_names"]:
        lines.append(f"- columns: {_listed(model['feature_names'])}")
    return "\n".join(lines)


def _data_source(run: Run) -> list[str]:
    lines = [f"- {_escape(_data_name(run))}"]
    known = SETS.get(run.data)
    if known is not None:
        lines = [
            f"- {_data_name(run)}: {known.description}",
            f"- licence: {known.licence}; from {known.source}",
        ]
    given = [_escape(f"{k} = {v!r}") for k, v in vars(run.reading).items() if v not in (None, (), False)]
    if given:
        lines.append(f"- read with {', '.join(given)}")
    if run.labels.given():
        lines.append(f"- labels by {_escape(' '.join(run.labels.given()))}")
    return lines


def _listed(names: Sequence[object]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(_escape(name) for name in names[:MAX_NAMES]) + more


def _results(metrics: JSONObject) -> str:
    """Return a table of the metrics of training, and one of those of ``ssavae evaluate``."""
    evaluated = metrics.get("evaluate", {})
    title = f"{_escape(Path(str(evaluated.get('data'))).name)}, by `ssavae evaluate`"
    tables = [
        _table("the test part, which was not trained on", metrics),
        _table(title, evaluated | evaluated.get("judge", {})),
    ]
    tables = [table for table in tables if table]
    if not tables:
        return ""
    unit = metrics.get("protocol", {}).get("error_unit")
    note = [f"Errors of reconstructions are mean squares; {unit}."] if unit else []
    return "\n\n".join(["## Results", *tables, *note])


def _table(title: str, metrics: JSONObject) -> str:
    values = {text: metrics.get(key) for key, text in MEASURES.items()}
    rows = [f"| {text} | {value:.4g} |" for text, value in values.items() if _is_number(value)]
    n_rows = f"{metrics['rows']:,} rows of " if "rows" in metrics else ""
    return "\n".join([f"On {n_rows}{title}:", "", "| | |", "|---|---|", *rows]) if rows else ""


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _pictures(names: Sequence[str]) -> str:
    lines = [
        f"![{text}]({name})" for stem, text in PICTURES.items() for name in names if Path(name).stem == stem
    ]
    return "\n\n".join(["## Pictures", *lines]) if lines else ""


def _limits(model: JSONObject, run: Run | None, metrics: JSONObject) -> str:
    lines = ["## Limits of use"]
    if model["classes"]["names"]:
        lines.append(
            "- Every row is given one of the classes above, rows of none of them too: ask `is_novel` before "
            "`predict` is relied on."
        )
    if not model["novelty_held_out"]:
        lines.append(
            "- No rows were held out to calibrate on: `is_novel` calls more new rows novel than its alpha "
            "says; `calibrate` with rows that were not trained on corrects that."
        )
    if model["spec"]["latent_dim"] == 2:
        lines.append(
            "- Two dimensions hold the class and a little more: decoded rows are examples of their kind."
        )
    else:
        lines.append('- Samples from N(0, I) (`sampler="prior"`) are poor: take the default sampler.')
    if not any(key in metrics for key in ("accuracy", "reconstruction_error")):
        lines.append("- Nothing was measured on rows that were not trained on.")
    if run is not None and run.data in CAUTIONS:
        lines.append(f"- {CAUTIONS[run.data]}")
    lines.append("- It says nothing of rows from other sources, devices or times than those of its data.")
    return "\n".join(lines)


def _usage(model: JSONObject, name: str) -> str:
    modules = "".join(f", {part}=..." for part in model["custom"])
    address = json.dumps(f"hf://USER/{name}", ensure_ascii=False)
    lines = [
        "from ssavae import load",
        "",
        f"model = load({address}{modules})  # or the folder of this file",
        "model.transform(X), model.reconstruct(X), model.inverse_transform(Z), model.novelty(X)",
    ]
    if model["classes"]["names"]:
        lines.append("model.predict(X), model.predict_proba(X), model.sample(10, y=model.classes_[0])")
    return "## How to use it\n" + _fenced("python", *lines)


def _protocol(model: JSONObject, protocol: JSONObject) -> str:
    lines = ["## How it was made"]
    if "command" in protocol:
        lines.append(_fenced("console", f"$ {protocol['command']}"))
    parameters = {name: value for name, value in model["params"].items() if value is not None}
    lines.append(_fenced("toml", *(f"{name} = {json.dumps(value)}" for name, value in parameters.items())))
    seconds = {name: protocol.get(name) for name in SECONDS}
    lines += [f"- {name.replace('_', ' of ')}: {n:.0f}" for name, n in seconds.items() if _is_number(n)]
    machine = {
        k: protocol[k] for k in ("date", "cpu", "cores", "gpu", "python", "git_commit") if protocol.get(k)
    }
    origin = {"seed": model["seed"], **model["versions"], **machine}
    return "\n".join(lines + [f"- {name.replace('_', ' ')}: {value}" for name, value in origin.items()])
