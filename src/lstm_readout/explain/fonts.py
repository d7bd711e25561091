"""Text for a picture: any Unicode goes in; text that fits, in characters that the font has, comes out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.textpath import text_to_path

from lstm_readout.explain.batch import columns_of


def fitted(text: str, width: float, size: float) -> str:
    """Return the text, truncated with … if it is wider than ``width`` inches at ``size`` points."""
    cut = text
    while width_of(cut, size) > width and len(cut) > 2:
        cut = cut[:-2].rstrip("…") + "…"
    return cut


def width_of(text: str, size: float) -> float:
    """Return the width in inches, in bold; wide characters that the font lacks count as other fonts draw them."""
    measured, *_ = text_to_path.get_text_width_height_descent(
        text, FontProperties(size=size, weight="bold"), ismath=False
    )
    return max(measured, 0.6 * size * columns_of(text) if columns_of(text) > len(text) else 0) / 72


def drawable(text: str) -> str:
    """Write characters that the font lacks as their code point: a PNG has no fallback font."""
    seen = text.replace("\u200d", "").replace("\ufe0f", "")  # these only join or colour emoji
    return "".join(c if _in_font(c) else f"U+{ord(c):04X}" for c in seen)


@contextmanager
def quiet_fonts() -> Iterator[None]:
    """Ignore warnings about characters that the font lacks: in an SVG the reader's fonts draw them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


@cache
def _in_font(character: str) -> bool:
    return bool(get_font(findfont("DejaVu Sans")).get_char_index(ord(character)))
