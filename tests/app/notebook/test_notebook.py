"""The explorer in a notebook: what is selected and labelled in the frame comes back to Python."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest

import ssavae
from ssavae import SSAVAE

pytest.importorskip("anywidget", reason="the extra `notebook` is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from ssavae.app.notebook.widget import SCRIPT, Explorer  # noqa: E402

CHROMIUM = os.environ.get("SSAVAE_CHROMIUM") or shutil.which("chromium")
BROWSER = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
# what a notebook does with a widget: a model that both sides write to, and a place for its output
HOST = """async (source) => {
    const script = new Blob([source], { type: "text/javascript" });
    const { default: widget } = await import(URL.createObjectURL(script));
    const state = { _page: window.page, _height: 700 };
    window.state = state;
    const [get, set] = [(name) => state[name], (name, value) => (state[name] = value)];
    const model = { get, set, save_changes: () => {} };
    widget.render({ model, el: document.body });
}"""


def table() -> pd.DataFrame:
    """60 rows of three classes, with a column of text."""
    c = np.arange(60) % 3
    frame = pd.DataFrame({"width": np.random.default_rng(0).normal(c, 0.2), "parts": 10 * c})
    return frame.assign(colour=np.array(["red", "green", "blue"], dtype=object)[c])


@pytest.fixture(scope="module")
def model() -> SSAVAE:
    small = SSAVAE(n_epochs=3, n_epochs_decoder=2, widths=(16,), batch_size=16, random_state=0)
    return small.fit(table(), ["one", "two", "three"] * 20)


@pytest.fixture(scope="module")
def explorer(model: SSAVAE) -> Explorer:
    return ssavae.explore(model, table(), np.array(["one", "two", None] * 20, dtype=object))


def test_selection_and_labels_come_back(explorer):
    assert explorer.selected.tolist() == [] and explorer.labels.tolist() == [None] * 60
    explorer._selected, explorer._labels = [3, 1], {"5": "rust"}
    assert explorer.selected.tolist() == [3, 1]
    assert explorer.labels[5] == "rust" and sum(label is not None for label in explorer.labels) == 1


def test_figures_of_rows_at_hand(model):
    x, y = table(), np.array(["one", "two", "three"] * 20)
    figures = [
        ssavae.plot_map(model, x, y),
        ssavae.plot_reconstructions(model, x, y, n=3),
        ssavae.plot_samples(model, x),
        ssavae.plot_history(model),
        ssavae.plot_confusion(model, x, y),
        ssavae.plot_interpolation(model, x, y, n=2),
        ssavae.plot_traversal(model, x, row=59),
        ssavae.plot_novelty(model, x[:40], x[40:]),
        ssavae.plot_explanation(model, x, row=1),
    ]
    assert all(isinstance(figure, matplotlib.figure.Figure) for figure in figures)
    with pytest.raises(ValueError, match="nothing to compare"):
        ssavae.plot_confusion(model, x, ["other"] * 60)
    with pytest.raises(ValueError, match="y has 2 labels, X has 60 rows"):
        ssavae.plot_map(model, x, ["one", "two"])
    for plot in (ssavae.plot_traversal, ssavae.plot_explanation):
        with pytest.raises(ValueError, match="row=60: X has rows 0 to 59"):
            plot(model, x, row=60)


@pytest.mark.browser
@needs_browser
@pytest.mark.parametrize("width", [pytest.param(1280, marks=pytest.mark.slow), 390])
def test_the_frame_reports_to_its_notebook(explorer, width):
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=BROWSER)
        page = browser.new_context(viewport={"width": width, "height": 800}).new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.evaluate("(html) => { window.page = html; }", explorer._page)
        page.evaluate(HOST, SCRIPT.read_text("utf-8"))
        frame = page.frame_locator("iframe")
        frame.locator("html[data-ready]").wait_for(timeout=60_000)
        frame.locator("#select-shown").click()
        frame.locator("#new-label").fill("rust")
        page.wait_for_function("() => state._selected?.length === 60")
        frame.get_by_role("button", name="Give this label").click()
        page.wait_for_function("() => Object.keys(state._labels ?? {}).length === 60")
        assert page.evaluate("state._labels['59']") == "rust" and errors == []
        browser.close()


CODE = """\
from sklearn.datasets import load_wine
import ssavae
X, y = load_wine(return_X_y=True)
model = ssavae.SSAVAE(n_epochs=3, n_epochs_decoder=2, random_state=0).fit(X, y)
map = ssavae.explore(model, X, height=600)
map"""
READ = "print('selected', len(map.selected), 'labels', sum(x is not None for x in map.labels))"


@pytest.mark.slow
@pytest.mark.browser
@needs_browser
def test_in_jupyterlab(tmp_path):
    """A notebook in a real JupyterLab: the map in its output, the selection printed by the next cell."""
    python = os.environ.get("SSAVAE_JUPYTER", sys.executable)
    if subprocess.run([python, "-c", "import jupyterlab, ipykernel"], capture_output=True).returncode:
        pytest.skip("jupyterlab is not installed")
    write_notebook(tmp_path / "map.ipynb", CODE, READ)
    options = ["--no-browser", "--allow-root", "--port=8899", "--IdentityProvider.token="]
    server = subprocess.Popen([python, "-m", "jupyterlab", *options], cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        with playwright.sync_playwright() as tools:
            browser = tools.chromium.launch(executable_path=CHROMIUM, args=BROWSER)
            page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
            open_when_ready(page, "http://127.0.0.1:8899/lab/tree/map.ipynb")
            run_cell(page, 0)
            frame = page.frame_locator("iframe[title='ssavae explorer']")
            frame.locator("html[data-ready]").wait_for(timeout=180_000)
            frame.locator("#select-shown").click()
            frame.locator("#new-label").fill("rust")
            frame.get_by_role("button", name="Give this label").click()
            page.screenshot(path=str(tmp_path / "jupyterlab.png"))
            run_cell(page, 1)
            page.get_by_text("selected 178 labels 178").wait_for(timeout=60_000)
            browser.close()
    finally:
        server.terminate()
        server.wait(20)


def write_notebook(path: Path, *cells: str) -> None:
    written = [
        {
            "cell_type": "code",
            "source": code,
            "metadata": {},
            "outputs": [],
            "execution_count": None,
            "id": f"c{i}",
        }
        for i, code in enumerate(cells)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(json.dumps({"cells": written, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))


def open_when_ready(page: Any, url: str) -> None:
    for _ in range(120):
        try:
            page.goto(url, timeout=60_000)
            break
        except playwright.Error:
            time.sleep(1)
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=120_000)
    page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").wait_for(timeout=120_000)


def run_cell(page: Any, index: int) -> None:
    page.locator(".jp-CodeCell .cm-content").nth(index).click()
    page.keyboard.press("Shift+Enter")
