"""The loop of labelling in the explorer: label, download, train, look again.

    python benchmarks/explorer_loop.py --folder runs/loop

Of 6,000 training images of MNIST no label is known. A driven browser labels 200 of them, drawn at random, one
by one with their true class, in the page of a model that was trained without labels; the file that the page
saves is taken by `ssavae train --labels-from`; the page of the new model shows the labels it learned from.
Once more with the class 7 called "seven". Measured: accuracy on 1,000 test images, and how many points
the page shows in the colours of the labels.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from report import PROGRAM, command, parser, write_json

from ssavae.app.runs.environment import machine
from ssavae.data.loading import load_dataset

SEED = 0
N_TRAIN, N_TEST, N_LABELS = 6000, 1000, 200
SHORT = ("--latent-dim", "2", "--set", "n_epochs=6", "--set", "n_epochs_decoder=2")
SHORT += ("--set", "validation_fraction=0.1", "--overwrite")
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
SIZES: dict[str, tuple[int, int, Any, int]] = {
    "wide": (1280, 800, "light", 1),
    "phone": (390, 844, "dark", 2),
    "wide_dark": (1280, 800, "dark", 1),
}


def write_rows(path: Path) -> np.ndarray:
    """Write the rows, those of training without labels; return the classes of these."""
    mnist = load_dataset("mnist")
    assert mnist.x_test is not None
    rng = np.random.default_rng(SEED)
    train = rng.permutation(len(mnist.x_train))[:N_TRAIN]
    test = rng.permutation(len(mnist.x_test))[:N_TEST]
    unknown = np.full(N_TRAIN, -1)
    y_test = np.asarray(mnist.y_test)[test]
    np.savez(path, x_train=mnist.x_train[train], y_train=unknown, x_test=mnist.x_test[test], y_test=y_test)
    return np.asarray(mnist.y_train)[train]


def ssavae(*words: str | Path) -> list[str]:
    """Return the command line of a command of ours, as a process takes it."""
    return [sys.executable, "-c", PROGRAM, *map(str, words)]


def train(rows: Path, out: Path, *words: str | Path) -> dict[str, object]:
    """Train a run; return what it measured."""
    subprocess.run(ssavae("train", rows, "--out", out, *SHORT, *words), check=True)
    return {k: v for k, v in json.loads((out / "metrics.json").read_text()).items() if k != "protocol"}


@contextmanager
def page_of(run: Path, rows: Path | str, size: str = "wide") -> Iterator:
    """Open the page of a run in a browser."""
    from playwright.sync_api import sync_playwright

    served = ssavae("explore", run, rows, "--no-browser", "--port", "9333")
    server = subprocess.Popen(served, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    server.stdout.readline()
    server.stdout.readline()
    try:
        with sync_playwright() as tools:
            browser = tools.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
            width, height, scheme, scale = SIZES[size]
            viewport: Any = {"width": width, "height": height}
            page = browser.new_page(viewport=viewport, color_scheme=scheme, device_scale_factor=scale)
            page.goto("http://127.0.0.1:9333/")
            page.wait_for_selector("html[data-ready]", timeout=120_000)
            yield page
            browser.close()
    finally:
        server.terminate()
        server.wait()


def label(page, words: dict[int, str], path: Path) -> int:
    """Give labels to rows on the page, and save the file; return how many points have their colour."""
    for row, word in words.items():
        page.fill("#find-row", str(row))
        page.press("#find-row", "Enter")
        page.get_by_role("heading", name=f"row {row:,}").wait_for()
        page.fill("#new-label", word)
        page.press("#new-label", "Enter")
        page.get_by_role("heading", name="Explore the map").wait_for()
    page.select_option("#color-by", "given")
    page.locator("#legend button", has_text="none given").wait_for()
    with page.expect_download() as waiting:
        page.click("#download")
    waiting.value.save_as(path)
    return coloured(page)


def coloured(page) -> int:
    """Return how many points the legend counts in groups with a name."""
    counts = page.locator("#legend button:not([data-class='-1']) .count").all_inner_texts()
    return sum(int(text.replace(",", "")) for text in counts)


def loop(folder: Path, name: str, words: dict[int, str]) -> dict[str, object]:
    """Label rows in the page of the first run, train a run on the file, and look at its page."""
    rows, labels = folder / "rows.npz", folder / f"{name}.csv"
    with page_of(folder / "unlabelled", rows) as page:
        given = label(page, words, labels)
        page.screenshot(path=folder / f"{name}_given.png")
    measured = train(rows, folder / name, "--labels-from", labels)
    for size in ("wide", "phone"):
        with page_of(folder / name, rows, size) as page:
            page.select_option("#color-by", "column learned label")
            page.locator("#legend button", has_text="missing").wait_for()
            learned = coloured(page)
            page.screenshot(path=folder / f"{name}_{size}.png")
    return measured | {"points_coloured_as_given": given, "points_coloured_as_learned": learned}


def main() -> None:
    """Run the loop twice."""
    options = parser(__doc__)
    options.add_argument("--folder", type=Path, required=True, help="for the runs")
    options.add_argument("--out", type=Path, default=Path("benchmarks/results/explorer_loop.json"))
    given = options.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    y = write_rows(given.folder / "rows.npz")
    results = {"without labels": train(given.folder / "rows.npz", given.folder / "unlabelled")}
    drawn = np.random.default_rng(SEED).permutation(N_TRAIN)[:N_LABELS]
    words = {int(row): str(y[row]) for row in drawn}
    with_word = {row: "seven" if word == "7" else word for row, word in words.items()}
    for name, each in (("digits", words), ("word", with_word)):
        results[name] = loop(given.folder, name, each)
    result = {"command": command(), "seed": SEED, "n_labels": N_LABELS, "results": results, **machine()}
    write_json(given.out, result)


if __name__ == "__main__":
    main()
