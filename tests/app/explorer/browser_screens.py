"""The explorer's page in a browser (Debian's chromium), and servers in this process to open it from."""

import base64
import io
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ssavae import SSAVAE
from ssavae.data.labelled import LabelledData

uvicorn = pytest.importorskip("uvicorn", reason="the extra `explore` is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from ssavae.app.explorer.app import Api, create_app  # noqa: E402
from ssavae.app.explorer.points import Points, rows_to_show  # noqa: E402
from ssavae.app.explorer.serve import open_port  # noqa: E402
from ssavae.app.explorer.service import Service  # noqa: E402
from ssavae.app.explorer.static_export import export_page  # noqa: E402

CHROMIUM = os.environ.get("SSAVAE_CHROMIUM") or shutil.which("chromium")
SOFTWARE_WEBGL = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
WIDE, NARROW = (1280, 800), (390, 844)
# at 1280 pixels in `make test-slow`: the narrow page has all that the wide one has, and less room
SIZES = [pytest.param(WIDE, marks=pytest.mark.slow), NARROW]
NO_ROWS = np.empty(0, dtype=np.int64)

in_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium"),
]


@contextmanager
def serving(
    model: SSAVAE, loaded: LabelledData, token: str | None = None, umap: np.ndarray | None = None
) -> Iterator[str]:
    """A server in this process, on a free port."""
    points = replace(Points.of(model, rows_to_show(loaded, NO_ROWS)), umap=umap)
    listening = open_port("127.0.0.1", 0)
    config = uvicorn.Config(
        create_app(model, points, loaded.name, token=token), log_level="warning", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()


def frame(loaded: LabelledData) -> pd.DataFrame:
    return pd.DataFrame(loaded.x_train, columns=list(loaded.feature_names or ()))


def exported(model: SSAVAE, loaded: LabelledData, folder: Path) -> Path:
    """The exported page, written on a thread without playwright's event loop."""
    api = Api(Service(model, Points.of(model, rows_to_show(loaded, NO_ROWS))), loaded.name)
    path = folder / "map.html"
    with ThreadPoolExecutor(1) as other:
        other.submit(export_page, api, path).result()
    return path


class Screen:
    """An open page, and its errors."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, url: str) -> "Screen":
        self.page.goto(url)
        self.page.wait_for_selector("html[data-ready]", timeout=60_000)
        return self

    def panel(self, text: str) -> str:
        """Wait until the panel shows this text; return all of its text."""
        self.page.locator("#panel").get_by_text(text).first.wait_for(timeout=20_000)
        return self.page.inner_text("#panel")

    def point_at(self, pixel: np.ndarray) -> None:
        self.page.mouse.move(float(pixel[0]), float(pixel[1]))

    def drag(self, *pixels: Any) -> None:
        self.point_at(np.asarray(pixels[0]))
        self.page.mouse.down()
        for pixel in pixels[1:]:
            self.page.mouse.move(float(pixel[0]), float(pixel[1]), steps=4)
        self.page.mouse.up()

    def frame(self) -> np.ndarray:
        """Left, top, right and bottom of the plot on the screen."""
        box = self.page.locator("#map .points").bounding_box()
        return np.array([box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]])

    def view(self) -> np.ndarray:
        """Left, right, bottom and top of the plot on the map."""
        return np.array(self.page.evaluate("map.map.range"))

    def drawn(self) -> np.ndarray:
        """The positions (n, 2) of all points as drawn; NaN where one is hidden."""
        script = "['x', 'y'].map((k) => Array.from(map.map[k], (v, i) => (map.map.visible[i] ? v : null)))"
        return np.array(self.page.evaluate(script), dtype=float).T

    def pixels(self) -> np.ndarray:
        """Where on the screen all points lie, (n, 2)."""
        (left, top, right, bottom), (x0, x1, y0, y1) = self.frame(), self.view()
        fraction = (self.drawn() - [x0, y1]) / [x1 - x0, y0 - y1]
        return [left, top] + fraction * [right - left, bottom - top]

    def position(self, pixel: np.ndarray) -> np.ndarray:
        """The position of a pixel on the map."""
        (left, top, right, bottom), (x0, x1, y0, y1) = self.frame(), self.view()
        return [x0, y1] + (pixel - [left, top]) / [right - left, bottom - top] * [x1 - x0, y0 - y1]

    def isolated(self) -> tuple[int, np.ndarray]:
        """The item farthest from all others, and its pixel."""
        pixels = self.pixels()
        apart = np.linalg.norm(pixels[:, None] - pixels[None], axis=2) + 1e9 * np.eye(len(pixels))
        item = int(apart.min(axis=1).argmax())
        return item, pixels[item]

    def empty(self) -> np.ndarray:
        """The pixel farthest from all points."""
        left, top, right, bottom = self.frame()
        grid = np.stack(
            np.meshgrid(np.linspace(left + 20, right - 20, 30), np.linspace(top + 20, bottom - 20, 30)), -1
        )
        grid = grid.reshape(-1, 2).round()
        nearest = np.linalg.norm(grid[:, None] - self.pixels()[None], axis=2).min(axis=1)
        return grid[nearest.argmax()]

    def pictures(self, where: str = "#panel canvas") -> np.ndarray:
        """The gray of the panel's images, or of others, (n, H, W)."""
        script = """(canvases) => canvases.map((c) => {
            const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
            return [c.height, c.width, Array.from(data).filter((_, i) => i % 4 === 0)];
        })"""
        images = self.page.eval_on_selector_all(where, script)
        return np.array([np.reshape(gray, (height, width)) for height, width, gray in images])

    def drop(self, name: str, content: bytes) -> None:
        """Drop a file on the map."""
        script = """([name, text]) => {
            const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], name));
            for (const type of ["dragenter", "dragover", "drop"]) {
                map.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
            }
        }"""
        self.page.evaluate(script, [name, base64.b64encode(content).decode()])

    def colors(self) -> np.ndarray:
        """The colours of the map on the screen, (n, 3)."""
        shot = Image.open(io.BytesIO(self.page.locator("#map").screenshot())).convert("RGB")
        return np.asarray(shot).reshape(-1, 3).astype(int)

    def shows(self, color: str) -> bool:
        wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        return bool((np.abs(self.colors() - wanted).max(axis=1) <= 40).sum() > 20)
