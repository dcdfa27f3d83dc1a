"""Texts of a figure drawn as they are written: no formulas, and fonts that have their characters."""

from __future__ import annotations

import io
import unicodedata
import warnings
from collections.abc import Collection
from functools import lru_cache

import matplotlib
from matplotlib.axis import Axis
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, findfont, fontManager, get_font
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

BOX = "□"  # in place of a character that no font has


class PlainTextFigure(Figure):
    """A figure in which a name like ``$x_1$`` or ``中文`` is drawn as it is written."""

    def draw(self, renderer: RendererBase) -> None:
        """Prepare the texts, and draw."""
        prepare_texts(self)
        super().draw(renderer)

    def _repr_png_(self) -> bytes:
        """Return the picture for a notebook, which shows figures of pyplot alone by itself."""
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=110)
        return content.getvalue()


def prepare_texts(figure: Figure) -> None:
    """Turn off formulas in every text but ticks of numbers, and choose fonts that have its characters.

    Control characters become spaces, and characters that no font has become boxes, with one warning.
    """
    axes = set(figure.findobj(Axis))
    named = {axis for axis in axes if isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter)}
    texts = set(figure.findobj(Text)).difference(*map(_tick_texts, axes - named))
    absent = {text: _absent(text) for text in texts}
    families, no_font = _find_fonts(frozenset().union(*absent.values()))
    for text, characters in absent.items():
        text.set(parse_math=False, usetex=False, text=_drawable(text, no_font))
        if characters:
            text.set_fontfamily([*text.get_fontfamily(), *families])
    for axis in named:  # whose formatter would write the names again as they were
        labels = axis.get_ticklabels()
        if labels:  # an inner axis shows none, and shares its formatter with one that does
            axis.set_ticklabels([_drawable(label, no_font) for label in labels])
    if no_font:
        _warn_no_font(no_font)


def _warn_no_font(characters: Collection[str]) -> None:
    warnings.warn(
        f"no installed font has {''.join(sorted(characters))[:20]!r}: drawn as {BOX}. Install one that does, "
        "such as Noto Sans for that script, and delete matplotlib's list of fonts in "
        f"{matplotlib.get_cachedir()}",
        stacklevel=3,
    )


def _tick_texts(axis: Axis) -> list[Text]:
    """Return the texts that matplotlib writes at an axis itself, as formulas where it is logarithmic."""
    return [axis.get_offset_text(), *axis.get_ticklabels(), *axis.get_ticklabels(minor=True)]


def _drawable(text: Text, no_font: Collection[str]) -> str:
    spaced = (" " if unicodedata.category(c) == "Cc" and c != "\n" else c for c in text.get_text())
    return "".join(BOX if c in no_font else c for c in spaced)


def _absent(text: Text) -> frozenset[str]:
    """Return the characters that the font of the text lacks."""
    characters = {c for c in text.get_text() if not c.isascii() and unicodedata.category(c) != "Cc"}
    if not characters:
        return frozenset()
    font = get_font(findfont(text.get_fontproperties()))
    return frozenset(c for c in characters if not font.get_char_index(ord(c)))


@lru_cache(64)
def _find_fonts(characters: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """Return families that together have these characters, and the characters that no font has."""
    families: list[str] = []
    # matplotlib's Last Resort font has a box for every character
    entries = [entry for entry in fontManager.ttflist if "last resort" not in entry.name.lower()]
    for entry in sorted(entries, key=_unlike_default) if characters else []:
        font = get_font(entry.fname)
        drawable = {c for c in characters if font.get_char_index(ord(c))}
        if drawable:
            families.append(entry.name)
            characters -= drawable
        if not characters:
            break
    return families, characters


def _unlike_default(entry: FontEntry) -> tuple[bool, bool, bool]:
    return "sans" not in entry.name.lower(), entry.style != "normal", entry.weight != 400
