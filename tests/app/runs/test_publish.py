"""Model cards and the hub: what a card says comes from the run; what is pushed is listed, and loads again."""

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import ModelCard

from ssavae import SSAVAE, load
from ssavae._checks import UsageError
from ssavae.app.runs import publish
from ssavae.app.runs.folder import Run, RunFolder
from ssavae.app.runs.model_card import model_card
from ssavae.data.labelled import Reading

PROTOCOL = {"rows_train": 120, "rows_labelled": 100, "rows_test": 30, "error_unit": "standard deviations"}


@pytest.fixture
def run(toy_table, tmp_path) -> Path:
    """A run folder with what training leaves and what is nobody else's."""
    X, y = toy_table
    folder = tmp_path / "trees"
    names = np.array(["oak", "elm", "ash: a 'tree'"])
    SSAVAE(n_epochs=1, n_epochs_decoder=1, random_state=0).fit(X, names[y]).save(folder)
    told = asdict(Run("/home/me/trees.csv", Reading(label="kind"), 0.2, None, {}))
    (folder / "run.json").write_text(json.dumps(told))
    protocol = {**PROTOCOL, "command": "ssavae train trees.csv", "seconds_vec": 3.2, "git_commit": "abc"}
    measured = {"rows": 30, "accuracy": 0.875, "reconstruction_error": 0.25, "protocol": protocol}
    measured["evaluate"] = {
        "data": "/home/me/other.csv",
        "rows": 9,
        "accuracy": 0.5,
        "judge": {"variety_ratio": 0.7},
    }
    (folder / "metrics.json").write_text(json.dumps(measured))
    for name in ("map.png", "samples.svg", "private.pkl", "judge.safetensors", "notes.txt"):
        (folder / name).write_bytes(b"something")
    return folder


class Hub:
    """A hub in memory, in place of HfApi and snapshot_download."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder, []

    def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> None:
        self.calls.append(("create_repo", repo, private))

    def create_branch(self, repo: str, *, branch: str, exist_ok: bool) -> None:
        self.calls.append(("create_branch", repo, branch))

    def upload_folder(self, **given: Any) -> SimpleNamespace:
        place = self.folder / (given["revision"] or "main")
        place.mkdir(parents=True)
        for path in Path(given["folder_path"]).iterdir():
            if path.name in given["allow_patterns"]:
                shutil.copy(path, place)
        return SimpleNamespace(commit_url=f"https://hub/{given['repo_id']}/commit/1")

    def snapshot_download(self, repo: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        self.calls.append(("snapshot_download", repo, revision))
        return str(self.folder / (revision or "main"))


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Hub:
    made = Hub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: made)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.snapshot_download)
    return made


def test_a_card_says_what_the_run_knows(run):
    path = publish.write_card(RunFolder(run), license_id="cc-by-4.0")
    text = path.read_text("utf-8")
    for part in (
        "# trees",
        "trees.csv",
        "100 of them with a label",
        "oak",
        "On 30 rows of the test part, which was not trained on:\n\n| | |\n|---|---|\n| accuracy | 0.875 |",
        "On 9 rows of other.csv, by `ssavae evaluate`:\n\n| | |\n|---|---|\n| accuracy | 0.5 |",
        "| variety of `sample(y=c)` | 0.7 |",
        "standard deviations",
        "![Codes by class](map.png)",
        "![Samples](samples.svg)",
        "$ ssavae train trees.csv",
        "No rows were held out to calibrate on",
        "git commit: abc",
        "latent_dim = 2",
        'load("hf://USER/trees")',
    ):
        assert part in text, part
    assert "/home/me" not in text
    assert "notes" not in text and "NaN" not in text


NASTY = "<b>$x_$ ![p](q) | `a`\n# b ``` \x7f 中😀"


def test_names_stay_text_in_a_card(toy_table):
    model = {"params": {}, "classes": {"names": [NASTY]}, "feature_names": [NASTY], "data_sha256": "0"}
    model |= {"preprocess": {"kind": "table", "row_shape": [1]}, "spec": {"latent_dim": 2}, "custom": []}
    model |= {"novelty_held_out": True, "seed": 0, "versions": {}}
    run = Run(f"/home/{NASTY}", Reading(label=NASTY), 0.2, None, {})
    metrics = {"accuracy": 0.5, "protocol": {"command": f"ssavae train '{NASTY}'"}}
    text = model_card(NASTY, model, run, metrics, [])
    card = ModelCard(text)
    header = card.data.to_dict()["model-index"][0]
    one_line = "<b>$x_$ ![p](q) | `a` # b ``` 中😀"
    assert header["name"] == header["results"][0]["dataset"]["name"] == one_line
    shown = re.sub(r"(?ms)^(`{3,})\w+$.*?^\1$", "", card.text)
    assert NASTY.split()[0] not in shown
    assert (
        shown.count(r"\<b\>\$x\_\$ \!\[p\](q) \| \`a\` \# b \`\`\` 中😀") == 4
    )  # title, data, class, column
    assert "\n# b" not in shown


def test_the_hub_reads_the_cards_front_matter(run):
    publish.write_card(RunFolder(run), license_id="cc-by-4.0")
    data: Any = ModelCard.load(run / "README.md").data
    assert (data.library_name, data.license, data.pipeline_tag) == (
        "ssavae",
        "cc-by-4.0",
        "tabular-classification",
    )
    (result,) = data.eval_results
    assert (result.dataset_name, result.metric_type, result.metric_value) == ("trees.csv", "accuracy", 0.875)


def test_a_run_that_was_never_measured_gets_a_card_that_says_so(run):
    (run / "metrics.json").unlink()
    (run / "run.json").unlink()
    text = publish.write_card(RunFolder(run)).read_text("utf-8")
    assert "Nothing was measured" in text and "## Results" not in text


def test_someone_elses_readme_is_kept(run):
    publish.write_card(RunFolder(run))
    publish.write_card(RunFolder(run))  # its own is renewed
    (run / "README.md").write_text("mine")
    with pytest.raises(UsageError, match=r"README\.md was not made by `ssavae card`"):
        publish.write_card(RunFolder(run))
    assert (run / "README.md").read_text() == "mine"
    publish.write_card(RunFolder(run), overwrite=True)
    assert "# trees" in (run / "README.md").read_text()


def test_what_is_pushed_is_what_is_needed(run, hub):
    (run / "README.md").write_text("mine")
    assert (
        publish.push_run(RunFolder(run), "me/trees", revision=None, private=True)
        == "https://hub/me/trees/commit/1"
    )
    assert hub.calls == [("create_repo", "me/trees", True)]
    assert sorted(path.name for path in (hub.folder / "main").iterdir()) == [
        "README.md",
        "history.csv",
        "map.png",
        "metrics.json",
        "model.json",
        "run.json",
        "samples.svg",
        "weights.safetensors",
    ]
    assert (hub.folder / "main" / "README.md").read_text() == "mine"


def test_a_pushed_model_comes_back_at_its_revision(run, hub, toy_table):
    X, _ = toy_table
    publish.push_run(RunFolder(run), "me/trees", revision="v1", private=False)
    assert (run / "README.md").is_file()  # a card goes with it
    loaded = load("hf://me/trees", revision="v1")
    np.testing.assert_array_equal(loaded.transform(X), load(run).transform(X))
    assert hub.calls[1:] == [("create_branch", "me/trees", "v1"), ("snapshot_download", "me/trees", "v1")]


def test_a_damaged_model_is_neither_pushed_nor_loaded(run, hub):
    publish.push_run(RunFolder(run), "me/trees", revision=None, private=False)
    for folder in (run, hub.folder / "main"):
        content = bytearray((folder / "weights.safetensors").read_bytes())
        content[-1] ^= 1
        (folder / "weights.safetensors").write_bytes(content)
    n_calls = len(hub.calls)
    with pytest.raises(ValueError, match="damaged"):
        publish.push_run(RunFolder(run), "me/trees", revision=None, private=False)
    assert len(hub.calls) == n_calls
    with pytest.raises(ValueError, match="damaged"):
        load("hf://me/trees")


def test_wrong_names_are_refused(run, monkeypatch):
    for name in ("hf://trees", "hf://a/b/c", "hf:///b"):
        with pytest.raises(ValueError, match="wanted is hf://user/name"):
            load(name)
    with pytest.raises(ValueError, match="revision='v1' needs a model on the hub"):
        load(run, revision="v1")
    with pytest.raises(UsageError, match="no model folder at nowhere"):
        publish.write_card(RunFolder(Path("nowhere")))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "ssavae\[hub\]"'):
        load("hf://me/trees")
