"""Pictures of a run: what each shows, read from the figure, for tables, images and signals."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle
from sklearn.datasets import load_digits

from ssavae import SSAVAE, figures
from ssavae.analysis.explain import why
from ssavae.app.runs import pictures, walks
from ssavae.app.runs.pictures import draw_map
from ssavae.data.labelled import Reading
from ssavae.data.partition import Part

QUICK = {"n_epochs": 1, "n_epochs_decoder": 1, "widths": (16,), "random_state": 0}


@pytest.mark.parametrize(
    ("latent_dim", "title"), [(1, "the height is random"), (3, "PCA of mu, 3 dimensions")]
)
def test_a_map_is_drawn_for_every_number_of_dimensions(toy_table, latent_dim, title):
    X, y = toy_table
    model = SSAVAE(latent_dim=latent_dim, n_epochs=1, n_epochs_decoder=1, random_state=0).fit(X, y)
    figure = draw_map(model, Part(np.asarray(X), np.asarray(y)))
    assert isinstance(figure, figures.Figure)
    texts = [axes.get_title(loc) for axes in figure.axes for loc in ("left", "center", "right")]
    assert any(title in text for text in [*texts, figure.get_suptitle()])


@pytest.fixture(scope="module")
def of_table() -> tuple[SSAVAE, Part]:
    rng, y = np.random.default_rng(0), np.arange(60) % 3
    frame = pd.DataFrame({"width": 100 + rng.normal(y, 0.2), "parts": rng.integers(5, 90, 60)})
    frame["colour"] = np.array(["red", "green", "blue"], dtype=object)[y]
    names = np.array(["one", "two", "three"], dtype=object)[y]
    return SSAVAE(**QUICK, batch_size=16, latent_dim=3).fit(frame, names), Part(frame, names)


@pytest.fixture(scope="module")
def of_images() -> tuple[SSAVAE, Part]:
    pixels, y = (np.asarray(part[:120]) for part in load_digits(return_X_y=True))
    x = pixels.reshape(-1, 8, 8)
    return SSAVAE(**{**QUICK, "widths": None}, map_dim=2, latent_dim=6).fit(x, y), Part(x, y)


@pytest.fixture(scope="module")
def of_signals() -> tuple[SSAVAE, Part]:
    rng, y = np.random.default_rng(0), np.arange(40) % 2
    x = rng.normal(5, 0.1, (40, 64, 2)) + y[:, None, None]
    names = np.array(["sound", "worn"], dtype=object)[y]
    return SSAVAE(**{**QUICK, "widths": None}, kind="signal").fit(x, names), Part(x, names)


@pytest.fixture
def sheet(monkeypatch):
    """What `figures.strips` is given: rows, and the names of lines and steps."""
    given = {}

    def strips(rows, line_names, step_names, **options):
        given.update(rows=rows, lines=list(line_names), steps=list(step_names), **options)
        return figures.Figure()

    monkeypatch.setattr(figures, "strips", strips)
    return given


@pytest.mark.parametrize("name", ["of_table", "of_images", "of_signals"])
def test_a_way_leads_from_one_row_to_another(name, request, sheet):
    model, part = request.getfixturevalue(name)
    walks.draw_interpolation(model, part, 1)
    a, b = pictures.pick(pictures.label_indices(model, part.y, len(part.x)), 2)
    rows = pictures.drawn(model, part.take(np.array([a, b])).x)
    again = pictures.drawn(model, model.reconstruct(part.take(np.array([a, b])).x))
    assert sheet["lines"] == [f"{part.y[a]} to {part.y[b]}"]
    assert (sheet["steps"][0], sheet["steps"][1], sheet["steps"][-1]) == ("row", "0%", "row")
    shown = sheet["rows"][0]
    np.testing.assert_allclose(shown[[0, -1]], rows, rtol=1e-5)
    np.testing.assert_allclose(shown[[1, -2]], again, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["of_table", "of_images", "of_signals"])
def test_a_traversal_moves_one_dimension_and_leaves_the_others(name, request, sheet):
    model, part = request.getfixturevalue(name)
    walks.draw_traversal(model, part, 5)
    codes = model.transform(part.x, detail=True)
    k = codes.shape[1] - 1
    low = codes[5].copy()
    low[k] = codes[:, k].mean() - 2 * codes[:, k].std()
    expected = pictures.drawn(model, model.inverse_transform(low[None]))[0]
    np.testing.assert_allclose(sheet["rows"][-1][0], expected, rtol=1e-4, atol=1e-4)
    assert sheet["steps"][0] == "-2.0 sd" and sheet["steps"][-1] == "+2.0 sd"
    assert sheet["lines"][-1] == ("detail z5" if model.spec_.n_map < codes.shape[1] else f"z{k}")


def test_of_many_dimensions_those_are_shown_that_change_the_row_most(of_images, sheet, monkeypatch):
    model, part = of_images
    monkeypatch.setattr(walks, "MOST_LINES", 2)
    walks.draw_traversal(model, part)
    changes = np.square(sheet["rows"][:, 0] - sheet["rows"][:, -1]).reshape(2, -1).mean(axis=1)
    monkeypatch.setattr(walks, "MOST_LINES", 10)
    walks.draw_traversal(model, part)
    every = np.square(sheet["rows"][:, 0] - sheet["rows"][:, -1]).reshape(6, -1).mean(axis=1)
    np.testing.assert_allclose(sorted(changes), sorted(every)[-2:], rtol=1e-5)


def test_signals_are_drawn_in_their_unit_with_the_axis_of_their_reading(of_signals):
    model, part = of_signals
    figure = pictures.draw_new_rows(model, part)
    assert figure.get_supylabel() == "value, in the data's unit"
    assert figure.get_supxlabel().startswith("sample")
    drawn = np.concatenate([line.get_ydata() for axes in figure.axes for line in axes.lines])
    assert 4 < np.median(drawn) < 7, "not in the data's unit"
    spectrum = pictures.axis_labels(Reading(spectrum=True))
    assert pictures.draw_new_rows(model, part, labels=spectrum).get_supxlabel().startswith("cycles a window")
    pairs = pictures.draw_reconstructions(model, part, 4)
    np.testing.assert_allclose(np.asarray(pairs.axes[0].lines[0].get_ydata()), part.x[0, :, 0])
    assert pairs.get_supylabel() == "value, in the data's unit"


@pytest.mark.parametrize("name", ["of_table", "of_images", "of_signals"])
def test_an_explanation_shows_every_value_of_the_row(name, request, tmp_path: Path):
    pytest.importorskip("captum")
    model, part = request.getfixturevalue(name)
    x = part.take(slice(1, 2)).x
    explanation = why(model, x)
    figure = walks.draw_explanation(model, x, explanation, title="why")
    figures.save(figure, tmp_path / "why.png")
    row = pictures.drawn(model, x)[0]
    if name == "of_images":
        assert (np.asarray(figure.axes[0].images[0].get_array()) == row[..., 0]).all()
        heat = np.asarray(figure.axes[1].images[-1].get_array())
        np.testing.assert_allclose(heat, explanation.attribution.sum(axis=0))
    elif name == "of_signals":
        channel = int(np.abs(explanation.attribution).sum(axis=1).argmax())
        np.testing.assert_allclose(np.asarray(figure.axes[0].lines[0].get_ydata()), x[0, :, channel])
        assert f"channel {channel} of 2" in figure.get_suptitle()
    else:
        widths = sorted(bar.get_width() for bar in figure.axes[0].patches if isinstance(bar, Rectangle))
        np.testing.assert_allclose(widths, sorted(explanation.share))


def test_novelty_is_drawn_where_there_are_rows_of_other_classes(of_table):
    model, part = of_table
    assert pictures.draw_novelty(model, part) is None
    assert pictures.draw_novelty(model, Part(part.x, None)) is None
    other = part.y.copy()
    other[:7] = "rust"
    other[7:9] = None  # not new: nobody has looked
    figure = pictures.draw_novelty(model, Part(part.x, other))
    assert figure is not None and figure.get_suptitle() == "novelty of 51 known and 7 new rows"
    legend = figure.axes[0].get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["known (51)", "rust (7)", "limit"]
    both = pictures.draw_novelty(model, part.take(slice(30)), part.take(slice(30, 60)))
    assert both is not None and both.get_suptitle() == "novelty of 30 known and 30 new rows"


def test_names_above_pictures_are_not_cut():
    name = "Ojibwe (Canadian Aboriginal Syllabics)"
    caption = pictures._caption(name, "Tifinagh", "image")
    assert caption.replace("\n", " ") == f"{name} → Tifinagh"
    assert max(map(len, caption.splitlines())) <= 13
