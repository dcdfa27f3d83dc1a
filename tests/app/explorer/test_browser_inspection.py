"""Inspection in a real browser: an item elsewhere on the map, its neighbours, filters, and density."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from browser_screens import SIZES, Screen, exported, frame, in_browser, playwright, serving

from ssavae import SSAVAE
from ssavae.data.labelled import LabelledData

pytestmark = [*in_browser, pytest.mark.parametrize("size", SIZES)]
K, N_MAP = 8, 2


@pytest.fixture(scope="module")
def two_part_model(digits: LabelledData) -> SSAVAE:
    short = {"weight_detail": 2.5, "n_epochs": 6, "n_epochs_decoder": 2}  # enough of detail in six epochs
    model = SSAVAE(K, map_dim=N_MAP, random_state=0, **short)
    return model.fit(digits.x_train, np.array(digits.class_names)[digits.y_train])


@pytest.fixture(scope="module")
def two_part_url(digits: LabelledData, two_part_model: SSAVAE) -> Iterator[str]:
    with serving(two_part_model, digits) as url:
        yield url


def rows_of(loaded: LabelledData) -> np.ndarray:
    assert loaded.x_test is not None
    return np.concatenate([np.asarray(loaded.x_train), np.asarray(loaded.x_test)])


def click_an_item(page: Screen) -> tuple[int, np.ndarray]:
    """Click an item until the panel shows it; return its number and its pixel."""
    item, pixel = page.isolated()
    page.page.mouse.click(float(pixel[0]), float(pixel[1]))
    page.panel(f"Item {item:,}")
    return item, pixel


def pin_an_item(page: Screen) -> int:
    """Click an item of a code that has more than a place; return its number."""
    item, _ = click_an_item(page)
    page.page.locator(".variation .note").wait_for()
    return item


def bytes_of(images: Any) -> np.ndarray:
    return 255 * np.asarray(images).clip(0, 1)


ELSEWHERE = ".variation figure:nth-child(2) canvas"


def elsewhere(page: Screen, x: float, y: float) -> np.ndarray:
    """The item as it would be at a position, once the page shows it."""
    page.page.locator(".variation figcaption", has_text=f"at {x:.2f}, {y:.2f}").wait_for()
    return page.pictures(ELSEWHERE)[0]


def test_a_pinned_item_is_shown_as_it_would_be_elsewhere(screen, two_part_url, two_part_model, digits, size):
    page = screen(size).open(two_part_url)
    assert f"{N_MAP} + {K - N_MAP} dimensions" in page.page.inner_text("#facts")
    item = pin_an_item(page)
    row = rows_of(digits)[item : item + 1]
    pixel = page.empty()
    page.point_at(pixel)
    x, y = page.position(pixel)
    there = elsewhere(page, x, y)
    wanted = bytes_of(two_part_model.inverse_transform([[x, y]], like=row))[0]
    plain = bytes_of(two_part_model.inverse_transform([[x, y]]))[0]
    assert np.abs(there - wanted).max() <= 3  # a pixel is not a point
    assert np.abs(plain - wanted).max() > 20  # and the mean detail is another image
    assert_bars(page, ".variation", probabilities(two_part_model, x, y), tolerance=0.03)
    page.page.mouse.move(5, 5)  # off the map it is itself again
    page.page.locator(".variation .note").wait_for()
    page.page.mouse.click(float(pixel[0]), float(pixel[1]))  # put there, it stays there
    page.page.mouse.move(5, 5)
    assert np.abs(elsewhere(page, x, y) - wanted).max() <= 3
    assert f"Item {item:,}" in page.page.inner_text("#panel h2")
    page.page.get_by_role("button", name="Back to itself").click()
    page.page.locator(".variation .note").wait_for()


def test_an_item_through_all_classes(screen, two_part_url, two_part_model, digits, size):
    page = screen(size).open(two_part_url)
    item = pin_an_item(page)
    page.panel("This item through all classes")
    reply = page.page.evaluate("(i) => fetch(`api/items/${i}/classes`).then((r) => r.json())", item)
    strip = page.page.locator(".strip", has=page.page.locator("[title^='as ']"))
    assert strip.locator("span").all_inner_texts() == reply["classes"]
    places = np.array(reply["z"])[:, :N_MAP]
    like = rows_of(digits)[item : item + 1]
    wanted = bytes_of(two_part_model.inverse_transform(places, like=like))
    pictures = page.pictures(".strip button[title^='as '] canvas")
    assert len(pictures) >= 8 and np.abs(pictures - wanted).max() <= 1
    strip.locator("button").nth(3).click()
    assert np.abs(elsewhere(page, *places[3]) - wanted[3]).max() <= 1
    likeliest = page.page.locator(".variation .bars .name").first.inner_text()
    assert likeliest == reply["classes"][3] == two_part_model.classes_[int(reply["classes"][3])]


def test_sliders_change_what_varies_most(screen, two_part_url, two_part_model, digits, size):
    page = screen(size).open(two_part_url)
    item = pin_an_item(page)
    sliders = page.page.locator(".sliders input")
    sliders.nth(4).wait_for()
    dimensions = page.page.evaluate("fetch('api/dimensions').then((r) => r.json())")["dimensions"]
    names = [sliders.nth(k).get_attribute("aria-label") for k in range(5)]
    assert names == [f"detail {each['index'] - N_MAP + 1}" for each in dimensions[:5]]
    code = two_part_model.transform(rows_of(digits)[item : item + 1], detail=True)[0]
    sliders.first.focus()
    page.page.keyboard.press("End")
    x, y = code[:N_MAP]
    shown = elsewhere(page, x, y)
    code[dimensions[0]["index"]] = float(sliders.first.input_value())
    assert np.abs(shown - bytes_of(two_part_model.inverse_transform(code[None]))[0]).max() <= 1
    assert page.page.locator(".sliders output").first.inner_text() != ""


def test_a_code_in_one_part_moves_along_its_plane(screen, digits, size):
    model = SSAVAE(5, n_epochs=4, n_epochs_decoder=1, random_state=0)
    model.fit(digits.x_train, np.array(digits.class_names)[digits.y_train])
    with serving(model, digits) as url:
        page = screen(size).open(url)
        item = pin_an_item(page)
        assert page.page.locator("button[title^='as ']").count() == 0
        pixel = page.empty()
        page.point_at(pixel)
        x, y = page.position(pixel)
        shown = elsewhere(page, x, y)
        plane = page.page.evaluate("fetch('api/points?axes=pca').then((r) => r.json())")["projection"]
        origin, *axes = (np.array(plane[name]) for name in ("origin", "x_axis", "y_axis"))
        code = model.transform(rows_of(digits)[item : item + 1])[0]
        off_plane = code - origin - sum(((code - origin) @ axis) * axis for axis in axes)
        wanted = model.inverse_transform((origin + off_plane + x * axes[0] + y * axes[1])[None])
        assert np.abs(shown - bytes_of(wanted)[0]).max() <= 3
        page.page.close()  # before the server, which it may still be asking


def test_an_item_is_varied_by_keyboard(screen, two_part_url, size):
    page = screen(size).open(two_part_url)
    item, _ = page.isolated()
    page.page.fill("#find-row", str(item))
    page.page.press("#find-row", "Enter")
    page.panel(f"Item {item:,}")
    page.page.focus("#map")
    elsewhere = page.page.locator(".variation figcaption", has_text="at ")
    for _ in range(60):  # until there is no item below
        page.page.keyboard.press("ArrowLeft")
        with suppress(
            playwright.TimeoutError
        ):  # an item below shows nothing; a slow server shows it after the next step
            elsewhere.wait_for(timeout=1000)
            break
    page.panel(f"Item {item:,}")
    elsewhere.wait_for()
    page.page.wait_for_function(
        "() => /^As it would be at/.test(document.getElementById('status').innerText)"
    )
    page.page.keyboard.press("Escape")
    page.panel("Explore the map")


def test_a_free_place_has_probabilities(screen, digits_url, digits_model, size):
    page = screen(size).open(digits_url)
    pixel = page.empty()
    page.point_at(pixel)
    x, y = page.position(pixel)
    page.panel(f"Decoded at {x:.2f}, {y:.2f}")
    assert_bars(page, "#panel", probabilities(digits_model, x, y), tolerance=0.02)


def probabilities(model: SSAVAE, x: float, y: float) -> dict[str, float]:
    import torch

    z = torch.zeros(1, model.spec_.latent_dim)
    z[0, :2] = torch.tensor([x, y])
    logits = model.predictor_.classify(z)
    values = (logits / model.calibration_.temperature).softmax(dim=1)[0].numpy()
    return dict(zip(map(str, model.classes_), values, strict=True))


def assert_bars(page: Screen, where: str, wanted: dict[str, float], tolerance: float) -> None:
    names = page.page.locator(f"{where} .bars .name").all_inner_texts()
    shown = page.page.locator(f"{where} .bars span:nth-child(3n)").all_inner_texts()
    assert len(names) == len(shown) == (5 if where == ".variation" else 8)
    for name, text in zip(names, shown, strict=True):
        assert float(text) == pytest.approx(wanted[name], abs=tolerance)


def test_neighbours_of_an_image(screen, digits_url, size):
    page = screen(size).open(digits_url)
    item, _ = click_an_item(page)
    pictures = page.page.locator(".neighbours button")
    pictures.nth(11).wait_for()

    def asked(kind: str) -> list[int]:
        script = "([i, by]) => fetch(`api/items/${i}/neighbours?n=12&by=${by}`).then((r) => r.json())"
        return page.page.evaluate(script, [item, kind])["items"]

    def titles() -> list[str]:
        return [str(pictures.nth(k).get_attribute("aria-label")) for k in range(12)]

    assert [text.split()[1].strip("(,") for text in titles()] == [f"{i:,}" for i in asked("code")]
    assert asked("features") != asked("code")
    nearest = asked("features")
    page.page.get_by_label("Neighbours by distance").select_option("features")
    names = [f"{i:,}" for i in nearest]
    changed = """(names) => [...document.querySelectorAll(".neighbours button")]
        .every((button, k) => button.title.startsWith(`row ${names[k]}`))"""
    page.page.wait_for_function(changed, arg=names)
    pictures.first.focus()
    page.page.keyboard.press("Enter")
    page.panel(f"Item {nearest[0]:,}")


def test_neighbours_of_a_table_s_row(screen, wine_url, size):
    """The row's own table stays whole above them."""
    page = screen(size).open(wine_url)
    item, _ = click_an_item(page)
    links = page.page.locator(".neighbours .link")
    links.nth(11).wait_for()
    heights = page.page.eval_on_selector_all(
        "#panel > .scroll, #panel > div", "(parts) => parts.map((p) => [p.clientHeight, p.scrollHeight])"
    )
    assert len(heights) > 3 and all(height >= needed for height, needed in heights)
    script = "(i) => fetch(`api/items/${i}/neighbours`).then((r) => r.json())"
    reply = page.page.evaluate(script, item)
    assert links.all_inner_texts() == [str(i) for i in reply["items"]]
    shown = page.page.locator(".neighbours td:nth-child(4)").all_inner_texts()
    assert np.allclose([float(text) for text in shown], reply["distances"], rtol=1e-3)
    links.nth(2).click()
    page.panel(f"Item {reply['items'][2]}")


def test_an_exported_page_has_neighbours_and_probabilities(screen, digits, digits_model, tmp_path, size):
    page = screen(size, offline=True).open(exported(digits_model, digits, tmp_path).as_uri())
    item, _ = click_an_item(page)
    page.page.locator(".neighbours button").nth(11).wait_for()
    drawn = page.drawn()
    nearest = np.linalg.norm(drawn - drawn[item], axis=1).argsort()[1:13]
    titles = [str(each.get_attribute("aria-label")) for each in page.page.locator(".neighbours button").all()]
    assert [text.split()[1].strip("(,") for text in titles] == [f"{i:,}" for i in nearest]
    assert page.page.locator(".variation").count() == 0
    page.page.keyboard.press("Escape")
    pixel = page.empty()
    page.point_at(pixel)
    page.panel("Decoded at")
    margin = 0.04 * np.ptp(drawn, axis=0)  # the page's grid ends there
    place = page.position(pixel).clip(drawn.min(axis=0) - margin, drawn.max(axis=0) + margin)
    assert_bars(page, "#panel", probabilities(digits_model, *place), tolerance=0.06)


def shown(page: Screen) -> np.ndarray:
    """Which items the map shows."""
    return ~np.isnan(page.drawn()[:, 0])


def wait_until_shown(page: Screen, wanted: np.ndarray) -> None:
    script = "(wanted) => wanted.every((is, i) => map.map.visible[i] === is)"
    page.page.wait_for_function(script, arg=wanted.astype(int).tolist())


def test_filters_cross_and_stand_in_the_address(screen, wine_url, wine, size):
    table = frame(wine)
    page = screen(size).open(wine_url)
    page.page.click("#filtering summary")
    page.page.locator(".filter").nth(4).wait_for()
    fields = [each.get_attribute("aria-label") for each in page.page.locator(".filter").all()]
    names = ["class", "right or wrong", "novelty", "alcohol", "malic_acid"]
    assert fields == [f"Filter by {name}" for name in names]
    page.page.get_by_label("Add a field to filter by").select_option(label="cellar")
    cellar = page.page.get_by_role("group", name="Filter by cellar")
    alcohol = page.page.get_by_role("group", name="Filter by alcohol")
    counts = cellar.locator(".count")
    alcohol.get_by_label("alcohol from").fill("12.5")
    alcohol.get_by_label("alcohol from").press("Tab")
    strong = (table["alcohol"].astype(float) >= 12.5).to_numpy()
    wait_until_shown(page, strong)
    lower = (table["cellar"] == "lower").to_numpy()
    assert counts.all_inner_texts()[:2] == [str((strong & lower).sum()), str((strong & ~lower).sum())]
    cellar.get_by_role("button", name="lower").click()
    wait_until_shown(page, strong & lower)
    assert counts.all_inner_texts()[:2] == [str((strong & lower).sum()), str((strong & ~lower).sum())]
    assert f"{(strong & lower).sum()} of 178 points pass" in page.page.inner_text("#filter-count")
    page.page.wait_for_function(
        "() => /range=.*alcohol/.test(location.hash) && /among=.*cellar/.test(location.hash)"
    )
    again = screen(size).open(page.page.url)
    wait_until_shown(again, strong & lower)
    assert again.page.get_by_label("alcohol from").input_value() == "12.5"
    page.page.get_by_role("group", name="Filter by cellar").get_by_role("button", name="Remove").click()
    wait_until_shown(page, strong)
    page.page.click("#filter-clear")
    wait_until_shown(page, np.ones(178, dtype=bool))
    page.page.wait_for_function("() => !/range=|among=/.test(location.hash)")


def test_the_selection_follows_the_filters(screen, digits_url, digits, digits_model, size):
    page = screen(size).open(digits_url)
    page.page.click("#select-shown")
    page.panel("1,797 points selected")
    page.page.click("#filtering summary")
    right = page.page.get_by_role("group", name="Filter by right or wrong")
    right.get_by_title("wrong", exact=True).click()
    truth = np.array(digits.class_names)[np.concatenate([digits.y_train, digits.y_test])]
    wrong = digits_model.predict(rows_of(digits)) != truth
    page.panel(f"{wrong.sum():,} points selected")
    wait_until_shown(page, wrong)
    novelty = page.page.get_by_role("group", name="Filter by novelty").locator("canvas")
    novelty.scroll_into_view_if_needed()
    box = novelty.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.drag((box["x"] + box["width"] / 2, middle), (box["x"] + box["width"] - 1, middle))
    novel = digits_model.novelty(rows_of(digits))
    low = float(page.page.get_by_label("novelty from").input_value())
    assert np.median(novel) < low and page.page.get_by_label("novelty to").input_value() == ""
    assert page.page.evaluate("map.map.visible.reduce((a, b) => a + b, 0)") == (wrong & (novel >= low)).sum()
    page.page.click("#filter-clear")
    page.panel("1,797 points selected")


def test_density_is_drawn_as_lines(screen, digits_url, size):
    page = screen(size).open(digits_url)
    page.page.uncheck("#trust")
    count = """() => {
        const { data } = overlay.getContext("2d").getImageData(0, 0, overlay.width, overlay.height);
        return data.filter((value, i) => i % 4 === 3 && value > 0).length;
    }"""
    page.page.wait_for_timeout(200)
    assert page.page.evaluate(count) == 0
    page.page.check("#density")
    page.page.wait_for_function(f"() => ({count})() > 500")
    page.page.wait_for_function("() => location.hash.includes('density=1')")
    again = screen(size).open(page.page.url)
    assert again.page.is_checked("#density")
    again.page.uncheck("#trust")
    again.page.wait_for_function(f"() => ({count})() > 500")
    before = again.page.evaluate(count)
    again.page.locator("#legend button").first.dblclick()  # a single class: fewer lines
    again.page.wait_for_function(
        f"(before) => {{ const n = ({count})(); return n > 50 && n < before; }}", arg=before
    )


def test_lines_of_density_hold_their_share(screen, digits_url, size):
    """Lines of a normal distribution are circles whose radius is known."""
    page = screen(size).open(digits_url)
    script = """async ([x, y]) => {
        const { contours } = await import("/contours.js");
        const extent = [Math.min(...x), Math.max(...x), Math.min(...y), Math.max(...y)];
        return contours(x, y, new Uint8Array(x.length).fill(1), extent);
    }"""
    x, y = np.random.default_rng(0).normal(size=(2, 20_000))
    lines = page.page.evaluate(script, [x.tolist(), (3 + y).tolist()])
    radii = [np.linalg.norm(np.reshape(line, (-1, 2)) - [0, 3], axis=1).mean() for line in lines]
    wanted = np.sqrt(-2 * np.log(1 - np.array([0.1, 0.3, 0.5, 0.7, 0.9])))
    assert np.allclose(radii, wanted, rtol=0.08)


def test_a_map_of_its_own_has_items_but_no_codes_between(screen, digits, two_part_model, size):
    placed = np.random.default_rng(0).normal(size=(len(rows_of(digits)), 2)).astype(np.float32)
    with serving(two_part_model, digits, umap=placed) as url:
        page = screen(size).open(url)
        page.page.select_option("#axes-kind", "umap")
        page.page.wait_for_function("() => map.map.titles.join() === 'UMAP 1,UMAP 2'")
        page.page.wait_for_function("(x) => Math.abs(map.map.x[0] - x) < 1e-5", arg=float(placed[0, 0]))
        assert np.allclose(page.drawn(), placed)
        assert page.page.locator("#trust-choice").is_hidden(), "regions of trust are of codes"
        item, pixel = click_an_item(page)
        assert page.page.locator(".variation").count() == 0
        page.page.locator(".neighbours button").nth(11).wait_for()
        page.page.keyboard.press("Escape")
        page.point_at(page.empty())
        page.panel("between the points of this map there are no codes")
        page.drag(page.empty(), pixel)
        page.page.locator("#error", has_text="from one item to another").wait_for()
        page.drag(*page.pixels()[[item, 3]])  # the error has moved the map down
        page.panel("of the path")
        page.page.close()  # before the server, which it may still be asking
