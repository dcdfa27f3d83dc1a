"""First paint, hover and zoom of the explorer's page in chromium, by number of points.

    python benchmarks/explorer_frames.py --points 10000 60000 1000000

The points are drawn from ten normal distributions, the model is a small one of four columns: what is measured
is the page, not the model. Frames are those in which the browser composed a picture while the wheel turned
for two seconds, beside those of the same page at rest, which is what the machine can do; hover is the time
from a movement of the pointer to the panel's new text (median of 9).
"""

from __future__ import annotations

import statistics
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from report import command, parser, read_json, write_json

from ssavae.app.runs.environment import machine

FRAMES = """() => new Promise((resolve) => {
  let n = 0; const start = performance.now();
  const count = () => {
    n += 1;
    performance.now() - start < 2000 ? requestAnimationFrame(count) : resolve(n / 2);
  };
  requestAnimationFrame(count);
})"""
CHANGED = "() => panel.innerText !== window.before"
SOFTWARE_WEBGL = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def points_of(model, n: int):
    """Return n points of ten blobs, with rows of four columns."""
    from ssavae.app.explorer.points import Points

    rng = np.random.default_rng(0)
    label = rng.integers(0, 10, n).astype(np.int32)
    z = (rng.normal(size=(10, 2)) * 3)[label] + rng.normal(size=(n, 2)) * 0.5
    rows = rng.normal(size=(n, 4)).astype(np.float32)
    ones = np.ones(n, dtype=np.float32)
    number = np.arange(n, dtype=np.int32)
    z = z.astype(np.float32)
    return Points(rows, z, label, label, ones * 0.9, ones, number, number, n)


def model_of_table():
    """Return a small model of four columns and ten classes."""
    from ssavae import SSAVAE

    rng = np.random.default_rng(0)
    y = np.arange(400) % 10
    x = (rng.normal(size=(10, 4)) * 4)[y] + rng.normal(size=(400, 4))
    return SSAVAE(n_epochs=2, n_epochs_decoder=1, random_state=0, validation_fraction=0.1).fit(x, y)


def measure(url: str) -> dict[str, float]:
    """Measure the page at an address in a browser of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path="/usr/bin/chromium", args=SOFTWARE_WEBGL)
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        start = time.perf_counter()
        page.goto(url)
        page.wait_for_selector("html[data-ready]", timeout=240_000)
        page.evaluate("() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")
        first_paint = time.perf_counter() - start
        box = page.locator("#map").bounding_box()
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        hover = hover_times(page, middle)
        at_rest = page.evaluate(FRAMES)
        frames = wheel_frames(page, middle)
        browser.close()
    return {
        "first_paint_s": first_paint,
        "hover_ms": hover,
        "zoom_frames_per_second": frames,
        "frames_per_second_at_rest": at_rest,
    }


def hover_times(page, middle: tuple[float, float]) -> float:
    """Return the median time from a movement to the panel's new text, in ms."""
    from playwright.sync_api import TimeoutError

    times = []
    for step in range(9):
        page.evaluate("() => { window.before = panel.innerText; }")
        start = time.perf_counter()
        page.mouse.move(middle[0] + 9 * step - 60, middle[1] + 7 * (step % 5))
        with suppress(TimeoutError):  # after which the text is as late as this
            page.wait_for_function(CHANGED, timeout=5_000, polling=5)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def wheel_frames(page, middle: tuple[float, float]) -> float:
    """Return the frames per second while the wheel zooms in and out."""
    page.mouse.move(*middle)
    turn = """([x, y]) => { let k = 0; window.turning = setInterval(() => {
      document.elementFromPoint(x, y).dispatchEvent(new WheelEvent("wheel",
        { deltaY: (k++ % 40) < 20 ? -40 : 40, clientX: x, clientY: y, bubbles: true, cancelable: true }));
    }, 16); }"""
    page.evaluate(turn, list(middle))
    frames = page.evaluate(FRAMES)
    page.evaluate("() => clearInterval(window.turning)")
    return frames


def serve(app) -> str:
    """Serve an application on a thread, and return its address."""
    import uvicorn

    from ssavae.app.explorer.serve import open_port

    listening = open_port("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
    threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True).start()
    return f"http://127.0.0.1:{listening.getsockname()[1]}/"


def main() -> None:
    """Measure every number of points, and add them to the result file."""
    from ssavae.app.explorer.app import create_app

    options = parser(__doc__)
    options.add_argument("--out", type=Path, default=Path("benchmarks/results/explorer_frames.json"))
    options.add_argument("--points", type=int, nargs="+", default=[10_000, 60_000, 1_000_000])
    options.add_argument("--renderer", default="own WebGL")
    given = options.parse_args()
    model = model_of_table()
    earlier = read_json(given.out).get("results", {})
    for n in given.points:
        measured = measure(serve(create_app(model, points_of(model, n), "frames")))
        print(n, measured, flush=True)
        of = {name: machine()[name] for name in ("git_commit", "date")}
        earlier.setdefault(f"{n} points", {})[given.renderer] = {**measured, **of}
    browser = "chromium with software WebGL (SwiftShader)"
    write_json(given.out, {"command": command(), "browser": browser, "results": earlier, **machine()})


if __name__ == "__main__":
    main()
