"""The picture: what is read is hatched, nothing overlaps, and no token of any script breaks it."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree

import pytest
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from small_models import READOUTS, small_task

from lstm_readout.explain.diagram import Grid
from lstm_readout.explain.figure import STYLE, draw, picture_of, row_to_show
from lstm_readout.explain.fonts import drawable, fitted, quiet_fonts, width_of
from lstm_readout.explain.trace import sides_of

LENGTHS = [3, 9, 5, 30]
SHAPES = [
    ("classify", {}),
    ("classify", {"num_layers": 2, "bidirectional": True}),
    ("classify", {"num_layers": 6, "bidirectional": True, "readout": "concat"}),
    ("classify", {"num_layers": 5, "cell": "gru", "readout": "first_layer", "batch_first": True}),
    ("generate", {"cell": "rnn"}),
    ("translate", {"num_layers": 2, "bidirectional": True}),
    ("translate", {"encoder": {"num_layers": 3}, "decoder": {"cell": "gru"}}),
]
ODD = "$x_1$ a_b ${} \\frac 漢字 👨‍👩‍👧 مرحبا שלום " + "W" * 40 + " <b>&amp; [bold]"


def drawn(name, model, lengths=LENGTHS, texts=ODD):
    with rc_context(STYLE), quiet_fonts():
        figure, _ = draw(name, sides_of(*small_task(name, lengths, texts, **model)))
    return figure


def hatched(figure):
    """Return how many boxes are hatched, the one of the legend left out."""
    return sum(patch.get_hatch() is not None for patch in figure.axes[0].patches) - 1


CASES = [(*shape, LENGTHS) for shape in SHAPES]
CASES += [(*SHAPES[number], lengths) for number in (1, 5) for lengths in ([40, 120], [1], [12, 12])]


@pytest.mark.parametrize(("name", "model", "lengths"), CASES, ids=str)
def test_no_text_lies_on_another_or_outside(name, model, lengths):
    figure = drawn(name, model, lengths)
    with quiet_fonts():
        renderer = FigureCanvasAgg(figure).get_renderer()
        texts = [text for text in figure.axes[0].texts if text.get_text()]
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts]
    for i, (one, box) in enumerate(boxes):
        assert figure.bbox.padded(1).containsx(box.x0), one
        assert figure.bbox.padded(1).containsx(box.x1), one
        for other, neighbour in boxes[i + 1 :]:
            assert not box.padded(-1).overlaps(neighbour), (one, other)


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("two", [False, True])
def test_what_is_read_is_hatched(readout, two):
    figure = drawn("classify", {"readout": readout, "bidirectional": two, "num_layers": 2}, [3, 5])
    states = 2 if two else 1
    steps = 3  # row 0 is shown in full
    wanted = {"last": states, "first_layer": states, "cell": states, "last_step": 1, "concat": steps + states}
    assert hatched(figure) == wanted.get(readout, steps)


def test_of_a_translator_state_and_output_are_hatched():
    assert hatched(drawn("translate", {"num_layers": 2}, [3, 5])) == 4 + 5  # h_n and c_n of two layers; decoder steps


def test_long_rows_and_many_layers_are_cut_in_the_middle():
    (side,) = sides_of(*small_task("classify", [40, 60], num_layers=9))
    grid = Grid(side, 0, 0.0)
    assert [column.step for column in grid.columns] == [0, 1, 2, 3, -1, 37, 38, 39, 40]
    assert [column.kind for column in grid.columns[-2:]] == ["step", "padding"]
    assert [line.row for line in grid.lines] == [0, 1, -1, 8]


@pytest.mark.parametrize(
    ("lengths", "row"), [([3, 9, 5, 30], 2), ([30, 30], 0), ([20, 30], 0), ([1, 2, 3], 1), ([7], 0)], ids=str
)
def test_the_row_shown_is_padded_and_short(lengths, row):
    assert row_to_show(lengths) == row


def test_both_files_are_whole_for_tokens_of_any_script():
    sides = sides_of(*small_task("classify", LENGTHS, ODD))
    sides[0].tokens[2][:] = ["$x_1$", "漢字", "U+0000", "👨‍👩‍👧", "]]>&<b>"]
    picture = picture_of("classify", sides)
    texts = "".join(ElementTree.fromstring(picture.svg).itertext())
    for token in ("$x_1$", "漢字", "👨‍👩‍👧", "]]>&<b>"):
        assert token in texts
    with Image.open(io.BytesIO(picture.png)) as image:
        image.load()
        assert image.width > image.height > 300
        assert len(image.convert("L").getcolors() or []) > 10


def test_the_same_model_gives_the_same_files():
    sides = sides_of(*small_task("classify", LENGTHS))
    assert picture_of("classify", sides) == picture_of("classify", sides)


def test_what_the_font_lacks_becomes_a_code_point():
    assert drawable("a漢é") == "aU+6F22é"
    assert drawable("👨‍👩") == "U+1F468U+1F469"


def test_a_long_token_is_cut_to_its_place():
    with quiet_fonts():
        for token in ("W" * 50, "internationalization", "漢" * 30):
            cut = fitted(token, 0.9, 9.5)
            assert cut.endswith("…")
            assert width_of(cut, 9.5) <= 0.9
        assert fitted("short", 0.9, 9.5) == "short"
