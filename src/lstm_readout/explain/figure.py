"""The LSTMs of a task on one batch go in; the diagram comes out as SVG and as PNG."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from lstm_readout.explain.diagram import FAINT, MUTED, Grid, box, write
from lstm_readout.explain.fonts import drawable, quiet_fonts
from lstm_readout.explain.trace import Side

_NARROWEST = 7.8  # inches: the longest title
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: the reader's fonts cover more scripts than ours
    "svg.hashsalt": "lstm-readout",  # the same picture gives the same file
    "font.family": "DejaVu Sans",
    "hatch.linewidth": 0.7,
}


class Picture(NamedTuple):
    """One diagram in two formats."""

    svg: str
    png: bytes


def picture_of(task: str, sides: list[Side]) -> Picture:
    """Draw the sides and return the diagram in both formats."""
    with rc_context(STYLE), quiet_fonts():
        figure, tokens = draw(task, sides)
        svg, png = io.StringIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Title": title_of(task, sides)})
        for text in tokens:
            text.set_text(drawable(text.get_text()))
        figure.savefig(png, format="png", dpi=150)
    return Picture(svg.getvalue(), png.getvalue())


def draw(task: str, sides: list[Side]) -> tuple[Figure, list[Text]]:
    """Return the figure, the encoder below the decoder, and the texts of its tokens."""
    row = row_to_show(sides[0].lengths)
    grids: list[Grid] = []
    for side in sides:
        below = grids[-1].top if grids else 0.33
        grids.append(Grid(side, row, below + 0.62, start=below))
    width, height = max(_NARROWEST, *(grid.width for grid in grids)), grids[-1].top + 0.75
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    tokens = [text for grid in grids for text in grid.draw(axes)]
    write(axes, 0.15, height - 0.28, title_of(task, sides), size=12, weight="bold", ha="left")
    _legend(axes, grids[0])
    return figure, tokens


def title_of(task: str, sides: list[Side]) -> str:
    """Return a one-line title of the picture."""
    if len(sides) == 2:
        attends = " and output" if sides[0].reading.output != "no step" else ""
        return f"{task} reads the encoder's state{attends}, then the decoder's output at every step"
    read = sides[0].reading.expression.removeprefix("head(")[:-1]
    return f"{task} reads {read}" + (" at every step" if read == "output" else "")


def row_to_show(lengths: list[int]) -> int:
    """Return the longest row that is padded and shown in full, else the shortest."""
    padded = [row for row, length in enumerate(lengths) if length < max(lengths) and length <= 8]
    return max(padded, key=lambda row: lengths[row]) if padded else lengths.index(min(lengths))


def _legend(axes, grid: Grid) -> None:
    text = f"row {grid.row} of the batch: {grid.length} of T = {grid.steps} steps are real; time t = 0 … T - 1"
    write(axes, 0.15, 0.55, text, size=8.5, ha="left")
    x = 0.15
    for text, read, shade in (
        ("read by this task", True, ""),
        ("not read", False, ""),
        ("padding: no step", False, FAINT),
    ):
        if shade:
            axes.add_patch(Rectangle((x, 0.14), 0.3, 0.2, facecolor=FAINT, edgecolor="none"))
        else:
            box(axes, x, 0.14, 0.3, 0.2, "", read)
        write(axes, x + 0.4, 0.24, text, size=8.5, ha="left", color=MUTED)
        x += 1.85
