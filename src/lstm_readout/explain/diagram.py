"""One LSTM goes in; its grid is drawn: layers upwards, time to the right, what the task reads hatched.

Lengths are in inches: the axes cover the whole figure.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.text import Text

from lstm_readout.explain.fonts import fitted
from lstm_readout.explain.tensors import call_of
from lstm_readout.explain.trace import Side

INK, PAPER, MUTED, FAINT, READ = "#1b1c1d", "#fefefe", "#5b5c5d", "#e6e7e8", "#0a4f8f"
MOST_COLUMNS, MOST_LAYERS = 8, 4
PITCH, GAP_PITCH, CELL, CELL_HEIGHT = 1.0, 0.66, 0.72, 0.42
LABELS, END, END_HEIGHT, END_GAP, BUS = 1.25, 1.32, 0.25, 0.34, 0.2
ROW_PITCH, LAYER_GAP, BAR = 0.64, 0.4, 0.4


class Column(NamedTuple):
    """One place on the time axis."""

    kind: str  # step | gap | padding
    step: int
    x: float


class Line(NamedTuple):
    """One direction of one layer."""

    row: int  # of h_n; -1 for the layers left out
    y: float
    backward: bool


class Grid:
    """The layout of one LSTM, and how it is drawn.

    Args:
        side: the LSTM on its batch.
        row: the row of the batch whose tokens are shown.
        bottom: height of its lowest line.
        start: height at which its first state arrives from the LSTM below, if there is one.
    """

    def __init__(self, side: Side, row: int, bottom: float, start: float = 0.0) -> None:
        self.side, self.row, self.start = side, row, start
        self.length, self.steps = side.lengths[row], side.steps
        self.has_c = side.lstm.cell == "lstm"
        self.left = LABELS + BUS  # of the end boxes on the left
        self.columns = list(self._columns(self.left + END + END_GAP + CELL / 2))
        self.right = self.columns[-1].x + CELL / 2 + END_GAP  # of the end boxes on the right
        self.width = self.right + END + BUS + 0.3
        self.time, self.tokens = bottom + 0.1, bottom + 0.36
        self.lines = list(self._lines(self.tokens + 0.5 + CELL_HEIGHT / 2))
        self.output = self.lines[-1].y + CELL_HEIGHT / 2 + 0.36  # lower edge
        self.output_height = 0.34 if side.directions == 1 else 0.48
        self.bar = self.output + self.output_height + 0.42  # lower edge
        self.top = self.bar + BAR

    def draw(self, axes: Axes) -> list[Text]:
        """Draw everything; return the texts of the tokens."""
        self._draw_padding(axes)
        tokens = [text for column in self.columns for text in self._draw_step(axes, column)]
        for line in self.lines:
            self._draw_line(axes, line)
        self._draw_labels(axes)
        self._draw_bar(axes)
        return tokens

    def _columns(self, x: float):
        steps = list(range(self.length))
        if self.length > MOST_COLUMNS:
            steps = [*steps[: MOST_COLUMNS - 4], -1, *steps[-3:]]
        before = None
        for step in steps:
            if before is not None:
                x += GAP_PITCH + 0.06 if -1 in (before, step) else PITCH
            yield Column("gap" if step == -1 else "step", step, x)
            before = step
        if self.length < self.steps:
            yield Column("padding", self.length, x + PITCH)

    def _lines(self, y: float):
        layers = list(range(self.side.layers))
        if len(layers) > MOST_LAYERS:
            layers = [0, 1, -1, layers[-1]]
        for layer in layers:
            for direction in range(self.side.directions if layer >= 0 else 1):
                yield Line(layer * self.side.directions + direction if layer >= 0 else -1, y, direction == 1)
                y += ROW_PITCH
            y += LAYER_GAP if layer >= 0 else 0

    def _layers(self) -> list[list[Line]]:
        """Lines of the shown layers, the lowest first; omitted layers form a separate group."""
        groups: dict[int, list[Line]] = {}
        for line in self.lines:
            groups.setdefault(line.row // self.side.directions if line.row >= 0 else -1, []).append(line)
        return list(groups.values())

    def _draw_padding(self, axes: Axes) -> None:
        column = self.columns[-1]
        if column.kind != "padding":
            return
        bottom, top = self.time - 0.1, self.output + self.output_height
        x = column.x - CELL / 2 - 0.06
        axes.add_patch(Rectangle((x, bottom), CELL + 0.12, top - bottom, facecolor=FAINT, edgecolor="none", zorder=0))

    def _draw_step(self, axes: Axes, column: Column):
        x, size = column.x, 9.5
        if column.kind == "gap":
            write(axes, x, self.tokens, "…", size=size)
            write(axes, x, self.output + self.output_height / 2, "…", size=size)
            return
        if column.kind == "padding":
            last = self.steps - 1
            write(axes, x, self.tokens, "padding", size=8.5, color=MUTED, style="italic")
            text = f"t = {column.step}" if last == column.step else f"{column.step} … {last}"
            write(axes, x, self.time, text, size=8, color=MUTED)
            return
        token = self.side.tokens[self.row][column.step]
        yield write(axes, x, self.tokens, fitted(token, PITCH - 0.08, size), size=size, weight="bold")
        write(axes, x, self.time, f"t = {column.step}", size=8, color=MUTED)
        below = self.tokens + 0.14
        for lines in self._layers():
            if lines[0].row < 0:
                continue
            bottom, top = lines[0].y - CELL_HEIGHT / 2, lines[-1].y + CELL_HEIGHT / 2
            if len(lines) == 2:
                bottom, top = bottom - 0.05, top + 0.05
                frame = (x - CELL / 2 - 0.05, bottom), CELL + 0.1, top - bottom
                axes.add_patch(rounded(*frame, edgecolor=MUTED, linewidth=0.6, facecolor="none", zorder=1))
            arrow(axes, (x, below), (x, bottom))
            below = top
        arrow(axes, (x, below), (x, self.output))
        self._draw_output(axes, column)

    def _draw_output(self, axes: Axes, column: Column) -> None:
        reads = self.side.reading.output
        read = reads == "every real step" or (reads == "last real step" and column.step == self.length - 1)
        index = f"{self.row}, {column.step}" if self.side.lstm.rnn.batch_first else f"{column.step}, {self.row}"
        x, half = column.x - CELL / 2, 0.18 if self.side.directions == 2 else 0
        box(axes, x, self.output, CELL, self.output_height, "", read)
        if half:  # forward and backward, side by side
            axes.plot([x, x + CELL], [self.output + half] * 2, color=MUTED, linewidth=0.6, zorder=4)
            axes.plot([column.x] * 2, [self.output, self.output + half], color=MUTED, linewidth=0.6, zorder=4)
            for place, sign in ((x + CELL / 4, "→"), (x + 3 * CELL / 4, "←")):
                name(axes, place, self.output + half / 2, sign, read)
        name(axes, column.x, self.output + (self.output_height + half) / 2, f"[{index}]", read)
        if read:
            arrow(axes, (column.x, self.output + self.output_height), (column.x, self.bar), READ, 1.6)

    def _draw_line(self, axes: Axes, line: Line) -> None:
        y = line.y
        if line.row < 0:
            for column in self.columns:
                if column.kind == "step":
                    write(axes, column.x, y, "⋮", size=11, bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 2})
            return
        places = [column for column in self.columns if column.kind != "padding"]
        for column in places:
            if column.kind == "gap":
                write(axes, column.x, y, "…", size=10)
            else:
                corner = (column.x - CELL / 2, y - CELL_HEIGHT / 2)
                axes.add_patch(
                    rounded(corner, CELL, CELL_HEIGHT, edgecolor=INK, facecolor=PAPER, linewidth=1, zorder=2)
                )
                write(axes, column.x, y, self.side.lstm.cell.upper(), size=8.5)
        half = {"step": CELL / 2, "gap": 0.16}
        for left, right in pairwise(places):
            ends = (left.x + half[left.kind], y), (right.x - half[right.kind], y)
            arrow(axes, ends[line.backward], ends[not line.backward])
        near_left = (self.left + END, y), (places[0].x - CELL / 2, y)
        near_right = (places[-1].x + CELL / 2, y), (self.right, y)
        for ends in (near_left, near_right):
            arrow(axes, ends[line.backward], ends[not line.backward])
        first, last = (self.right, self.left) if line.backward else (self.left, self.right)
        self._draw_ends(axes, first, line, "0")
        self._draw_ends(axes, last, line, "n")

    def _draw_ends(self, axes: Axes, x: float, line: Line, when: str) -> None:
        """Draw h and c of one line, before its first step or after its last."""
        reading, zeros = self.side.reading, " = 0" if when == "0" and self.side.first is None else ""
        letters = ["h", "c"] if self.has_c else ["h"]
        for i, letter in enumerate(letters):
            y = line.y + (0.02 - i * (END_HEIGHT + 0.04) if self.has_c else -END_HEIGHT / 2)
            read = when == "n" and line.row in (reading.h_n if letter == "h" else reading.c_n)
            label = f"{letter}_{when}[{line.row}]{zeros}"
            if when == "n" and line.row >= (self.side.layers - 1) * self.side.directions:
                label += f" = {letter}_n[{line.row - self.side.layers * self.side.directions}]"
            box(axes, x, y, END, END_HEIGHT, label, read, dashed=when == "0")
            if read:
                self._draw_stub(axes, x, y + END_HEIGHT / 2)
            if when == "0" and self.side.first is not None:
                arrow(axes, (self.left - BUS, y + END_HEIGHT / 2), (x, y + END_HEIGHT / 2), READ, 1.6)
                axes.plot([self.left - BUS] * 2, [self.start, y + END_HEIGHT / 2], color=READ, linewidth=1.6, zorder=1)

    def _draw_stub(self, axes: Axes, x: float, y: float) -> None:
        """Connect a box that is read to the bus beside it, and to the bar above."""
        outer, bus = (x, self.left - BUS / 2) if x == self.left else (x + END, self.right + END + BUS / 2)
        axes.plot([outer, bus], [y, y], color=READ, linewidth=1.6, zorder=3, solid_capstyle="round")
        arrow(axes, (bus, y), (bus, self.bar), READ, 1.6)

    def _draw_labels(self, axes: Axes) -> None:
        style = {"ha": "left", "color": INK}
        batch = f"{self.row}, t" if self.side.lstm.rnn.batch_first else f"t, {self.row}"
        write(axes, 0.15, self.tokens, f"input[{batch}]", size=9, **style)
        write(axes, 0.15, self.output + self.output_height / 2, f"output[{batch}]", size=9, **style)
        write(axes, 0.15, self.time, "time t", size=8, ha="left", color=MUTED)
        for lines in self._layers():
            row, y = lines[0].row, (lines[0].y + lines[-1].y) / 2
            layer = row // self.side.directions
            if row < 0:
                write(axes, 0.15, y, "⋮", size=11, **style)
                continue
            top = layer == self.side.layers - 1
            write(axes, 0.15, y + (0.08 if top else 0), f"layer {layer}", size=9, **style)
            if top:
                write(axes, 0.15, y - 0.1, "= num_layers - 1", size=7, ha="left", color=MUTED)
            if len(lines) == 2:
                write(axes, 0.15, lines[0].y - 0.02, "forward →", size=8, ha="left", color=MUTED)
                write(axes, 0.15, lines[1].y + 0.02, "backward ←", size=8, ha="left", color=MUTED)

    def _draw_bar(self, axes: Axes) -> None:
        x, width = self.left - BUS, self.right + END + 2 * BUS - self.left
        axes.add_patch(rounded((x, self.bar), width, BAR, edgecolor=READ, facecolor=PAPER, linewidth=1.6, zorder=4))
        text = self.side.reading.expression
        write(axes, x + width / 2, self.bar + BAR / 2, text, size=10, family="DejaVu Sans Mono", weight="bold")
        if self.side.name != "lstm":
            write(axes, 0.15, self.bar + BAR / 2, self.side.name, size=10.5, ha="left", weight="bold")
        text = fitted(call_of(self.side), width, 9)
        write(axes, self.left, self.top + 0.15, text, size=8.5, ha="left", color=MUTED)


def box(
    axes: Axes, x: float, y: float, width: float, height: float, text: str, read: bool, dashed: bool = False
) -> None:
    """Draw a named box; a box that is read has a thick border and hatching, so that it stands out without colour."""
    patch = Rectangle(
        (x, y),
        width,
        height,
        facecolor=PAPER,
        edgecolor=READ if read else MUTED,
        hatch="////" if read else None,
        linewidth=2.2 if read else 0.8,
        linestyle="--" if dashed else "-",
        zorder=3,
    )
    axes.add_patch(patch)
    if text:
        name(axes, x + width / 2, y + height / 2, text, read, MUTED if dashed else INK)


def name(axes: Axes, x: float, y: float, text: str, read: bool, color: str = INK) -> None:
    """Write the name of a box, on a plain background if the box is hatched."""
    label = write(axes, x, y, text, size=8.5, color=color, weight="bold" if read else "normal")
    if read:
        label.set_bbox({"facecolor": PAPER, "edgecolor": "none", "pad": 0.8})


def rounded(corner: tuple[float, float], width: float, height: float, **style) -> FancyBboxPatch:
    """Return a box with round corners."""
    return FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=0.07", **style)


def arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str = INK, width: float = 1.0
) -> None:
    """Draw an arrow."""
    style = {"arrowstyle": "-|>", "color": color, "linewidth": width, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9}
    axes.annotate("", end, start, arrowprops=style, zorder=2)


def write(axes: Axes, x: float, y: float, text: str, **style) -> Text:
    """Write text literally: ``$`` and ``_`` have no special meaning."""
    style = {"ha": "center", "va": "center", "color": INK, "parse_math": False, "zorder": 5, **style}
    return axes.text(x, y, text, **style)
