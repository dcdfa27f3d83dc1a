"""Names of any characters, in every figure: drawn as they are written, in files that can be read."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text

from ssavae import figures as fg
from ssavae.figures import plain_text

RNG = np.random.default_rng(0)
Z, IMAGES, ROWS = RNG.random((12, 2)), RNG.random((12, 4, 4)), RNG.random((12, 3))
NO_FONT = "no installed font"

# each draws every one of its names at least once
DRAW: dict[str, Callable[[Sequence[str]], Figure]] = {
    "latent_map": lambda n: fg.latent_map(Z, np.arange(12) % len(n), n, title=n[0]),
    "latent_map of many": lambda n: fg.latent_map(Z, np.arange(12), [*n, *"abcdefghi"][:12], title=n[0]),
    "decoded_grid": lambda n: fg.decoded_grid(IMAGES[None], (0, 1, 0, 1), title="\n".join(n)),
    "reconstructions of images": lambda n: fg.reconstructions(IMAGES[: len(n)], IMAGES[: len(n)], n),
    "reconstructions of a table": lambda n: fg.reconstructions(
        ROWS[:1, : len(n)], ROWS[:1, : len(n)], n[:1], kind="table", columns=n
    ),
    "confusion_matrix": lambda n: fg.confusion_matrix(np.eye(len(n)), n, title=n[0]),
    "column_distributions": lambda n: fg.column_distributions(
        [(name, np.array(n, dtype=object), np.array(n, dtype=object)) for name in n], title=n[0]
    ),
    "image_sheet": lambda n: fg.image_sheet(IMAGES[:3].reshape(1, 3, *IMAGES.shape[1:]), n, title=n[0]),
    "novelty_roc": lambda n: fg.novelty_roc(Z[:, 0], dict.fromkeys(n, Z[:, 1]), 0.5, title=n[0]),
    "strips of images": lambda n: fg.strips(IMAGES[None, : len(n)], n[:1], n, title="\n".join(n)),
    "strips of a table": lambda n: fg.strips(
        ROWS[None, :, : len(n)], n[:1], [n[0]] * 12, kind="table", columns=n
    ),
    "strips of signals": lambda n: fg.strips(
        ROWS[None, : len(n)], n[:1], n, kind="signal", xlabel=n[0], ylabel=n[1]
    ),
    "saliency": lambda n: fg.saliency(
        ROWS[0], ROWS[1], ROWS[2:4], [0, 1], n[:2], kind="table", columns=n, title=n[0]
    ),
    "class_samples": lambda n: fg.class_samples(IMAGES, np.arange(12) % len(n), n),
    "loss_curves": lambda n: fg.loss_curves(
        [{"step": "s", "epoch": e, **dict.fromkeys(n, 10.0**e)} for e in (1, 9)]
    ),
    "regime_curves": lambda n: fg.regime_curves(
        [{"latent_dim": 2, "gamma": 0, "beta": 0.1, "ssim": 1}], title="\n".join(n)
    ),
    "reliability_diagram": lambda n: fg.reliability_diagram([0.5], [0.5], [1], title="\n".join(n)),
    "sweep_curves": lambda n: fg.sweep_curves(
        [{"p": name, n[0]: name, "m": 1.0} for name in n], ["p", n[0]], ["m"]
    ),
    "track": lambda n: fg.track(Z, Z[:, 0], 0.5, Z[:, 0] > 0.5, np.arange(12) % len(n), n),
    "map_panels": lambda n: fg.map_panels(
        [fg.MapPanel(n[0], Z, np.arange(12) % len(n), Z, np.arange(12) % len(n), n, notes="\n".join(n))]
    ),
    "beta_sheet": lambda n: fg.beta_sheet(
        IMAGES[:2],
        [fg.BetaLine(2, 0, beta, IMAGES[:2], [True, False], [name]) for beta, name in enumerate(n)],
        title=n[0],
        note_heads=n[:1],
    ),
}
NAMES = ["Ba$$in", "$x_$ & <b>", r"\frac{$\$"]


def test_every_figure_function_is_tried() -> None:
    functions = {name for name in fg.__all__ if inspect.isfunction(getattr(fg, name))}
    assert functions - {"class_colors", "save"} == {name.split()[0] for name in DRAW}


def texts_of_svg(figure: Figure, path: Path) -> str:
    with mpl.rc_context({"svg.fonttype": "none"}):
        fg.save(figure, path)
    return " ".join("".join(ElementTree.parse(path).getroot().itertext()).split())


@pytest.mark.parametrize("function", DRAW)
def test_names_are_drawn_as_they_are_written(tmp_path: Path, function: str) -> None:
    drawn = texts_of_svg(DRAW[function](NAMES), tmp_path / "a.svg")
    assert [name for name in NAMES if name not in drawn] == []


def test_logarithmic_ticks_stay_formulas(tmp_path: Path) -> None:
    drawn = texts_of_svg(DRAW["loss_curves"](["$a$"]), tmp_path / "a.svg")
    assert "mathdefault" not in drawn


CHARACTERS = st.characters() | st.sampled_from("$\\_^{}<>&%#\n\t\0中ก😀\u202e\u0301")


@pytest.mark.slow
@pytest.mark.parametrize("function", DRAW)
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_any_names_can_be_drawn(tmp_path_factory: pytest.TempPathFactory, function: str, suffix: str) -> None:
    path = tmp_path_factory.mktemp("any") / f"a.{suffix}"

    @settings(max_examples=5, deadline=None)
    @given(st.lists(st.text(CHARACTERS, min_size=1, max_size=12), min_size=3, max_size=3, unique=True))
    def check(names: list[str]) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", NO_FONT)
            fg.save(DRAW[function](names), path)
        if suffix == "svg":
            ElementTree.parse(path)

    check()


def make_font(path: Path, characters: str) -> None:
    """Write a font in which each of the characters is a square."""
    pen = TTGlyphPen(None)
    for step, point in zip(
        [pen.moveTo, *[pen.lineTo] * 3], [(0, 0), (0, 800), (800, 800), (800, 0)], strict=True
    ):
        step(point)
    pen.closePath()
    square = pen.glyph()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "square"])
    font.setupCharacterMap({ord(c): "square" for c in characters})
    font.setupGlyf({".notdef": square, "square": square})
    font.setupHorizontalMetrics({".notdef": (900, 0), "square": (900, 0)})
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Squares Sans", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)


@pytest.fixture
def no_other_fonts(monkeypatch: pytest.MonkeyPatch):
    """Only the fonts that come with matplotlib, and those that a test adds."""
    own = [entry for entry in fontManager.ttflist if Path(entry.fname).is_relative_to(mpl.get_data_path())]
    monkeypatch.setattr(fontManager, "ttflist", own)
    plain_text._find_fonts.cache_clear()
    yield
    plain_text._find_fonts.cache_clear()


def legend_of(figure: Figure) -> list[Text]:
    legend = figure.axes[0].get_legend()
    assert legend is not None
    return legend.get_texts()


@pytest.mark.usefixtures("no_other_fonts")
def test_characters_without_a_font_are_boxes_with_one_warning() -> None:
    figure = fg.latent_map(Z, np.arange(12) % 2, ["中文", "a"], title="中")
    with pytest.warns(UserWarning, match=f"{NO_FONT} has '中文'") as caught:
        figure.draw_without_rendering()
    figure.draw_without_rendering()
    assert len(caught) == 1
    assert [text.get_text() for text in legend_of(figure)] == ["□□", "a"]


@pytest.mark.usefixtures("no_other_fonts")
def test_an_installed_font_is_found_for_characters_that_the_default_lacks(tmp_path: Path) -> None:
    make_font(tmp_path / "squares.ttf", "中文")
    fontManager.addfont(tmp_path / "squares.ttf")
    figure = fg.latent_map(Z, np.arange(12) % 2, ["中文", "a"])
    figure.draw_without_rendering()
    first, second = legend_of(figure)
    assert first.get_text() == "中文" and first.get_fontfamily()[-1] == "Squares Sans"
    assert "Squares Sans" not in second.get_fontfamily()
