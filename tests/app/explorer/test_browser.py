"""The explorer's page in a real browser (Debian's chromium): looked at, dropped on, lassoed, exported."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_screens import NARROW, NO_ROWS, SIZES, Screen, exported, frame, in_browser, serving
from matplotlib.colors import to_rgb
from PIL import Image

from ssavae import SSAVAE
from ssavae.app.explorer.static_export import FILE_BYTES
from ssavae.data.label_budget import LabelBudget, grant_labels
from ssavae.data.labelled import LabelledData
from ssavae.figures import class_colors

pytestmark = in_browser


@pytest.fixture(scope="module")
def many() -> tuple[SSAVAE, LabelledData]:
    """A code of 100 dimensions, 101 classes."""
    rng = np.random.default_rng(0)
    y = np.arange(606) % 101
    x = (rng.normal(size=(101, 12)) * 4)[y] + rng.normal(size=(606, 12))
    names = tuple(f"kind {c}" for c in range(101))
    loaded = LabelledData("many", x, y, class_names=names)
    model = SSAVAE(100, n_epochs=4, n_epochs_decoder=2, random_state=0).fit(x, np.array(names)[y])
    return model, loaded


# -------------------------------------------------------------------------------------------- the tests


def test_the_page_shows_the_map(screen, digits_url, digits):
    page = screen().open(digits_url)
    n = len(digits.x_train) + len(digits.x_test)
    assert f"{n:,} images" in page.page.inner_text("#facts")
    assert page.page.locator("#legend button").count() == 10
    assert np.isfinite(page.drawn()).all() and len(page.drawn()) == n
    assert page.shows("#0072B2") and page.shows("#D55E00")
    assert page.page.locator("#error").is_hidden()


def test_hover_shows_the_item_and_its_reconstruction(screen, digits_url, digits, digits_model):
    page = screen().open(digits_url)
    item, pixel = page.isolated()
    page.point_at(pixel)
    page.panel(f"Item {item:,}")
    row = np.concatenate([digits.x_train, digits.x_test])[item : item + 1]
    shown, rebuilt = page.pictures()
    assert np.abs(shown - 255 * row[0]).max() <= 1
    assert np.abs(rebuilt - 255 * digits_model.reconstruct(row)[0].clip(0, 1)).max() <= 1


def test_the_empty_map_is_decoded_live_one_request_at_a_time(screen, digits_url, digits_model):
    page = screen().open(digits_url)
    under_way, most = 0, 0

    def count(change: int) -> Callable[[Any], None]:
        def counted(request: Any) -> None:
            nonlocal under_way, most
            if "/api/" in request.url:
                under_way += change
                most = max(most, under_way)

        return counted

    page.page.on("request", count(1))
    page.page.on("requestfinished", count(-1))
    pixel = page.empty()
    for step in range(25):
        page.point_at(pixel + np.array([step - 24, 0]))
    x, y = page.position(pixel)
    page.panel(f"Decoded at {x:.2f}, {y:.2f}")
    wanted = 255 * digits_model.inverse_transform([[x, y]])[0].clip(0, 1)
    assert np.abs(page.pictures()[0] - wanted).max() <= 3  # a pixel is not a point
    assert most == 1


def test_a_drag_interpolates_between_two_positions(screen, digits_url, digits, digits_model):
    page = screen().open(digits_url)
    item, pixel = page.isolated()
    page.drag(pixel, page.empty())
    page.panel("of the path")
    slider = page.page.locator("#panel input[type=range]")
    slider.evaluate("(s) => { s.value = 0; s.dispatchEvent(new Event('input')); }")
    rows = np.concatenate([digits.x_train, digits.x_test])[item : item + 1]
    assert np.abs(page.pictures()[0] - 255 * digits_model.reconstruct(rows)[0].clip(0, 1)).max() <= 1
    page.page.get_by_role("button", name="Play").click()
    page.panel("100 % of the path")
    x, y = page.position(page.empty())
    wanted = 255 * digits_model.inverse_transform([[x, y]])[0].clip(0, 1)
    assert np.abs(page.pictures()[0] - wanted).max() <= 3


def test_a_png_lands(screen, digits_url, digits, digits_model):
    page = screen().open(digits_url)
    image = np.rint(255 * digits.x_test[3]).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    page.drop("a digit.png", content.getvalue())
    text = page.panel("position on the map")
    assert f"predicted {digits_model.predict(digits.x_test[3:4])[0]}" in text
    assert "novelty" in text and np.abs(page.pictures()[0] - image.astype(int)).max() <= 1
    page.drop("a digit.gif", b"GIF89a")
    page.page.locator("#error", has_text="drop a .png, .csv or .npy").wait_for()


def test_a_file_is_chosen_by_button(screen, digits_url, digits):
    page = screen().open(digits_url)
    content = io.BytesIO()
    np.save(content, digits.x_test[:3])
    page.page.set_input_files("#file", {"name": "three.npy", "mimeType": "", "buffer": content.getvalue()})
    page.panel("1 of 3")
    page.page.get_by_role("button", name="Next row").click()
    page.panel("2 of 3")


def test_a_csv_row_lands(screen, wine_url, wine, wine_model):
    page = screen().open(wine_url)
    row = frame(wine).iloc[[70]]
    page.drop("one.csv", row.to_csv(index=False).encode())
    text = page.panel("position on the map")
    assert f"predicted {wine_model.predict(row)[0]}" in text
    assert "cellar" in text and str(row["cellar"].iloc[0]) in text


def test_a_column_colours_the_map(screen, wine_url):
    page = screen().open(wine_url)
    page.page.select_option("#color-by", label="alcohol")
    page.page.locator("#scale .bar").wait_for()
    page.page.select_option("#color-by", label="cellar")
    page.page.locator("#legend button", has_text="upper").wait_for()
    assert page.page.locator("#scale").is_hidden()


def test_labels_given_to_a_lasso_are_taken_by_train(screen, digits_url, digits, tmp_path):
    page = screen().open(digits_url)
    pixels = page.pixels()
    page.page.get_by_text("Lasso", exact=True).click()
    left, top, right, bottom = page.frame()
    middle = (left + right) / 2
    page.drag((left + 1, top + 1), (middle, top + 1), (middle, bottom - 1), (left + 1, bottom - 1))
    inside = np.flatnonzero(pixels[:, 0] < middle)
    page.panel(f"{len(inside):,} points selected")
    page.page.fill("#new-label", "left, half")
    page.page.get_by_role("button", name="Give this label").click()
    n_test = (inside >= len(digits.x_train)).sum()
    assert f"{n_test} of them are test rows" in page.page.inner_text("#label-count")
    page.page.uncheck("#own-labels")
    path = downloaded(page, tmp_path / "labels.csv")
    granted = grant_labels(digits, LabelBudget(source=str(path)), NO_ROWS, 0).y_train
    assert granted is not None
    wanted = inside[inside < len(digits.x_train)]
    assert set(np.flatnonzero(granted == "left, half")) == set(wanted)
    assert (granted != None).sum() == len(wanted)  # noqa: E711
    page.page.check("#own-labels")
    path = downloaded(page, tmp_path / "all.csv")
    granted = grant_labels(digits, LabelBudget(source=str(path)), NO_ROWS, 0).y_train
    assert granted is not None
    others = np.setdiff1d(np.arange(len(digits.x_train)), wanted)
    assert (granted[others] == np.array(digits.class_names)[digits.y_train[others]]).all()  # type: ignore[index]


def downloaded(page: Screen, path: Path) -> Path:
    with page.page.expect_download() as waiting:
        page.page.click("#download")
    waiting.value.save_as(path)
    assert path.read_text("utf-8").startswith("row,label\n")
    return path


def test_the_legend_hides_a_class(screen, digits_url, digits):
    page = screen().open(digits_url)
    zeros = np.concatenate([digits.y_train, digits.y_test]) == 0  # type: ignore[list-item]
    entry = page.page.locator("#legend button").first
    entry.click()
    page.page.wait_for_function("() => map.map.visible.includes(0)")
    assert (np.isnan(page.drawn()[:, 0]) == zeros).all()
    assert entry.get_attribute("aria-pressed") == "false" and not page.shows("#0072B2")
    page.page.get_by_role("button", name="Hide all").click()
    page.page.wait_for_function("() => !map.map.visible.includes(1)")
    page.page.get_by_role("button", name="Show all").click()
    page.page.wait_for_function("() => !map.map.visible.includes(0)")
    assert page.shows("#0072B2")


def test_samples_of_a_class(screen, digits_url):
    page = screen().open(digits_url)
    page.page.select_option("#sample-class", "4")
    page.page.get_by_role("button", name="Sample", exact=True).click()
    page.panel("12 samples of 4")
    assert len(page.pictures()) == 12 and page.pictures().std(axis=(1, 2)).min() > 20


def test_a_code_of_100_dimensions_and_101_classes(screen, many):
    model, loaded = many
    with serving(model, loaded) as url:
        page = screen().open(url)
        z = model.transform(loaded.x_train)
        principal = page.drawn()
        assert np.allclose(np.cov(principal.T)[0, 1], 0, atol=1e-3)
        assert page.page.locator("#legend button").count() == 101
        names = page.page.locator("#legend .class-name").all_inner_texts()
        assert names[:12] == [f"kind {c}" for c in range(12)]  # 2 before 10
        boxes = np.array(page.page.evaluate(PLACED, names))
        assert len(boxes) > 40  # of 101 names at random positions, in this small map
        overlaps = (np.abs(boxes[:, None] - boxes[None]) < [60, 15]).all(axis=2)
        assert overlaps.sum() == len(boxes)  # each with itself alone
        page.page.fill("#class-filter", "kind 77")
        assert page.page.locator("#legend li:visible").count() == 1
        item, pixel = page.isolated()
        page.point_at(pixel)
        assert f"label kind {item % 101}" in page.panel(f"Item {item}")
        page.page.select_option("#axes-kind", "pair")
        page.page.select_option("#x-axis", "7")
        page.page.select_option("#y-axis", "42")
        page.page.wait_for_function("() => map.map.titles.join() === 'code 8,code 43'")
        page.page.wait_for_function(  # the points may follow the titles, on a busy machine
            "([x, y]) => Math.abs(map.map.x[0] - x) + Math.abs(map.map.y[0] - y) < 1e-4",
            arg=z[0, [7, 42]].tolist(),
        )
        assert np.allclose(page.drawn(), z[:, [7, 42]], atol=1e-5)
        pixel = page.empty()
        page.point_at(pixel)
        page.panel("Decoded at")
        code = z.mean(axis=0)
        code[[7, 42]] = page.position(pixel)
        shown = [float(cell) for cell in page.page.locator("#panel td").all_inner_texts()]
        assert np.allclose(shown, model.inverse_transform(code[None])[0], rtol=0.02, atol=0.02)
        page.page.close()  # before the server, which it may still be asking


# where names of one length stand, at positions that repeat themselves exactly
PLACED = """async (names) => {
    const { placed } = await import("/overlay.js");
    const [x0, x1, y0, y1] = map.map.range;
    const at = (k, low, high) => low + ((k * 0.618) % 1) * (high - low);
    const wanted = names.map((text, k) => ({ text, position: [at(k, x0, x1), at(k * k, y0, y1)] }));
    return placed(wanted, map.map, () => 60).map(({ at }) => at);
}"""


@pytest.mark.parametrize("size", SIZES)
def test_a_kept_theme_colours_points_and_legend_alike(screen, digits_url, size):
    page = screen(size).open(digits_url)
    page.page.click("#theme")
    page.page.reload()
    page.page.wait_for_selector("html[data-ready]")
    first = page.page.evaluate("[...map.map.cloud.rgba.slice(0, 3)]")
    label = page.page.evaluate("fetch('api/items/0').then((r) => r.json()).then((i) => i.label)")
    swatch = page.page.locator(f"#legend button[data-class='{label}'] .swatch")
    color = swatch.evaluate("(s) => getComputedStyle(s).backgroundColor")
    assert color == "rgb({}, {}, {})".format(*first)
    assert page.page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.shows("#181b21")


def test_fingers_play_the_way_and_pinch_the_map(screen, digits_url):
    page = screen(NARROW, has_touch=True).open(digits_url)
    left, top, right, bottom = page.frame()
    middle, height = (left + right) / 2, bottom - top
    touch = page.page.context.new_cdp_session(page.page)

    def move(kind: str, *fingers: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(fingers)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    move("touchStart", (middle, bottom - 0.1 * height))
    for step in range(1, 9):
        move("touchMove", (middle, bottom - (0.1 + 0.1 * step) * height))
    move("touchEnd")
    page.panel("of the path")
    assert page.page.evaluate("window.scrollY") == 0
    before = page.view()
    move("touchStart", (middle - 20, top + 90), (middle + 20, top + 90))
    for step in range(1, 9):
        move("touchMove", (middle - 20 - 8 * step, top + 90), (middle + 20 + 8 * step, top + 90))
    move("touchEnd")
    after = page.view()
    assert (after[1] - after[0]) / (before[1] - before[0]) == pytest.approx(20 / 84, rel=0.1)
    assert page.page.evaluate("visualViewport.scale") == 1


def test_one_impact_among_many_samples_is_drawn(screen, digits_url):
    """A signal of 3,000 samples, drawn by the page's own module, with an axis of amplitude and of time."""
    page = screen(NARROW).open(digits_url)
    script = """async () => {
        const { drawValues } = await import("/draw.js");
        const data = new Float32Array(3000).fill(1);
        [data[1501], data[2002]] = [8.5, -2.5];
        const drawn = drawValues([{ title: "item", value: { data, shape: [3000, 1] } }], "signal");
        panel.replaceChildren(drawn);
        return [drawn.querySelector("polyline").getAttribute("points"), panel.innerText];
    }"""
    points, text = page.page.evaluate(script)
    line = np.array([pair.split(",") for pair in points.split()], dtype=float)
    high, low = line[line[:, 1].argmin()], line[line[:, 1].argmax()]
    assert high == pytest.approx([300 * 1501 / 2999, 6], abs=0.06)
    assert low == pytest.approx([300 * 2002 / 2999, 94], abs=0.06)
    assert {"8.5", "-2.5", "2,999", "time in samples"} <= set(text.splitlines())


def test_labels_are_seen_listed_undone_and_kept(screen, digits_url):
    page = screen(NARROW).open(digits_url)
    asked: list[str] = []
    page.page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))

    def label(name: str, shown: int) -> None:
        page.page.get_by_role("button", name="Hide all").click()
        page.page.locator("#legend button").nth(shown).click()
        page.page.click("#select-shown")
        page.panel("points selected")
        page.page.fill("#new-label", name)
        page.page.get_by_role("button", name="Give this label").click()

    label("smudge", 3)
    label("blot", 4)
    entries = page.page.locator("#label-list li")
    assert sorted(entries.all_inner_texts()) == ["blot\n181", "smudge\n183"]
    page.page.click("#undo")
    assert entries.all_inner_texts() == ["smudge\n183"]
    page.page.reload()
    page.page.wait_for_selector("html[data-ready]")
    assert asked == ["beforeunload"]
    assert entries.all_inner_texts() == ["smudge\n183"]
    page.page.select_option("#color-by", "given")
    page.page.locator("#legend button", has_text="smudge").wait_for()
    page.page.locator("#legend button", has_text="none given").wait_for()
    entries.first.click()
    assert "replace" in page.panel("183 points selected")
    page.page.uncheck("#replace-own")
    page.page.fill("#new-label", "new")
    page.page.get_by_role("button", name="Give this label").click()
    # training rows keep the label of the data; test rows may be labelled, though training may not use it
    assert len(entries.all_inner_texts()) == 2
    page.page.click("#forget")
    assert entries.count() == 0


def test_colours_are_those_of_the_figures_and_gaps_have_a_legend(screen, wine_url):
    page = screen(NARROW).open(wine_url)
    for n in (3, 10, 11, 101):
        script = "async (n) => (await import('/palette.js')).classColors(n, false)"
        colors = [to_rgb(color) for color in page.page.evaluate(script, n)]
        assert np.allclose(colors, class_colors(n), atol=0.005)
    page.page.select_option("#color-by", label="ash")
    page.page.locator("#scale .missing").wait_for()
    text = page.page.inner_text("#scale")
    assert "missing: 20" in text and "1st and the 99th percentile" in text and "≤" in text
    gap = page.page.locator("#scale .swatch").evaluate("(s) => getComputedStyle(s).backgroundColor")
    assert contrast(gap) > 3
    corner, right, up = page.page.evaluate("[[0, 0], [1, 0], [0, 1]].map((p) => map.map.toPixel(p))")
    assert right[0] - corner[0] == pytest.approx(corner[1] - up[1])  # one scale for both axes


def contrast(css: str) -> float:
    """The contrast of a colour and white (WCAG)."""
    parts = np.array([float(part) for part in css[4:-1].split(",")]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05))


@pytest.mark.parametrize("size", SIZES)
def test_a_selection_is_a_grid_and_a_table_and_a_link_shows_a_row_again(screen, digits_url, size, tmp_path):
    page = screen(size).open(digits_url)
    page.page.click("#select-shown")
    page.panel("the first 60 of 1,797, sorted by row")
    page.page.wait_for_function("() => document.querySelectorAll('.items canvas').length === 60")
    page.page.get_by_role("button", name="confidence").click()
    page.panel("sorted by confidence")
    shown = [float(text) for text in page.page.locator(".items tbody td:nth-child(4)").all_inner_texts()]
    assert shown == sorted(shown) and len(shown) == 60
    number = page.page.locator(".items .link").first.inner_text()
    page.page.locator(".items .link").first.click()
    page.panel(f"row {number}")
    page.page.fill("#find-row", "1500")
    page.page.press("#find-row", "Enter")
    page.panel("Item 1,500 · row 1,500 (test)")
    page.page.select_option("#color-by", "right")
    page.page.wait_for_function(
        "() => location.hash.includes('color=right') && location.hash.includes('item=1500')"
    )
    again = screen(size).open(page.page.url)
    again.panel("Item 1,500 · row 1,500 (test)")
    assert again.page.locator("#legend .class-name").all_inner_texts() == ["right", "wrong"]
    page.page.fill("#find-row", "99999")
    page.page.press("#find-row", "Enter")
    page.page.locator("#error", has_text="no row 99999").wait_for()
    with page.page.expect_download() as waiting:
        page.page.click("#save-picture")
    waiting.value.save_as(tmp_path / "map.png")
    assert (
        len(np.unique(np.asarray(Image.open(tmp_path / "map.png").convert("RGB")).reshape(-1, 3), axis=0))
        > 50
    )


def test_the_map_by_keyboard(screen, digits_url):
    page = screen().open(digits_url)
    page.page.focus("#map")
    page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("Shift+ArrowUp")
    page.page.wait_for_function("() => /^(Decoded at|Item)/.test(panel.innerText)")
    page.page.keyboard.press("Enter")
    for _ in range(6):
        page.page.keyboard.press("Shift+ArrowLeft")
    page.page.keyboard.press("Enter")
    page.panel("of the path")
    page.page.keyboard.press("Escape")
    page.panel("Explore the map")
    before = page.view()
    page.page.keyboard.press("+")
    page.page.wait_for_function(f"() => map.map.range[1] - map.map.range[0] < {before[1] - before[0]}")
    reached = [page.page.evaluate("document.activeElement.id || document.activeElement.dataset.class")]
    for _ in range(48):
        page.page.keyboard.press("Tab")
        reached.append(
            page.page.evaluate("document.activeElement.id || document.activeElement.dataset.class")
        )
    assert {"color-by", "0", "9", "sample", "file", "select-shown"} <= set(reached)


def test_narrow_and_dark(screen, digits_url):
    page = screen(NARROW).open(digits_url)
    assert page.page.evaluate("document.scrollingElement.scrollWidth") <= NARROW[0]
    tops = [page.page.locator(name).bounding_box()["y"] for name in ("#stage", "#panel", "#controls")]
    assert tops == sorted(tops)
    light = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.page.click("#theme")
    page.page.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")
    assert page.page.evaluate("getComputedStyle(document.body).backgroundColor") != light


def test_a_token_is_taken_from_the_address_and_does_not_stay_there(screen, wine, wine_model):
    with serving(wine_model, wine, token="a token for this test") as url:
        page = screen().open(f"{url}#token=a+token+for+this+test")
        assert page.page.url == url
        page.point_at(page.empty())
        page.panel("Decoded at")
        page.page.reload()
        page.page.wait_for_selector("html[data-ready]")
        other = screen()
        other.page.goto(url)
        other.page.locator("#error", has_text="token").wait_for()
        other.errors.clear()  # the browser's own message about the failed request
        page.page.close()


def test_a_server_that_is_gone_is_reported(screen, wine, wine_model):
    with serving(wine_model, wine) as url:
        page = screen().open(url)
    page.point_at(page.empty())
    page.page.locator("#error", has_text="does not answer").wait_for()
    page.errors.clear()  # the browser's own message


def test_the_exported_file_works_without_network(screen, digits, digits_model, tmp_path):
    path = exported(digits_model, digits, tmp_path)
    assert path.stat().st_size < FILE_BYTES
    page = screen(offline=True)
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url.partition(":")[0]))
    page.open(path.as_uri())
    item, pixel = page.isolated()
    page.point_at(pixel)
    page.panel(f"Item {item:,}")
    row = np.concatenate([digits.x_train, digits.x_test])[item]
    assert np.abs(page.pictures()[0] - 255 * row).max() <= 1
    pixel = page.empty()
    page.point_at(pixel)
    page.panel("Decoded at")
    wanted = 255 * digits_model.inverse_transform(page.position(pixel)[None])[0].clip(0, 1)
    assert np.abs(page.pictures()[0] - wanted).mean() < 8  # between the atlas's points
    page.page.get_by_role("button", name="Sample", exact=True).click()
    page.panel("12 samples")
    page.page.locator("#legend button").first.click()
    page.page.wait_for_function("() => map.map.visible.includes(0)")
    page.page.click("#select-shown")
    page.panel("points selected")
    shown = np.concatenate([digits.y_train, digits.y_test]) != 0  # type: ignore[list-item]
    spread = 255 * np.concatenate([digits.x_train, digits.x_test])[shown].std(axis=0)
    assert np.abs(page.pictures()[1] - spread).mean() < 3  # of a thousand of them
    assert page.page.locator("#file").is_hidden()
    assert set(asked) <= {"file", "data", "blob"}


def test_an_exported_table_with_missing_values_and_text(screen, wine, wine_model, tmp_path):
    page = screen(offline=True).open(exported(wine_model, wine, tmp_path).as_uri())
    item, pixel = page.isolated()
    page.point_at(pixel)
    text = page.panel(f"Item {item}")
    assert str(frame(wine)["cellar"].iloc[item]) in text
    page.page.select_option("#color-by", label="cellar")
    page.page.locator("#legend button", has_text="upper").wait_for()
