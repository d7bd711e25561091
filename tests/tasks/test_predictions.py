from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lstm_readout.tasks.metrics.predictions import ScoredRows
from lstm_readout.tokenizer import BOS, EOS
from lstm_readout.tokenizer.ragged import Ragged

texts = st.lists(st.lists(st.integers(3, 9), max_size=12), min_size=1, max_size=6)


def column_of(written: list[list[int]]) -> Ragged:
    return Ragged.from_lists([[*text, EOS] for text in written])


def test_documents_begin_anew_and_end_in_eos():
    rows = ScoredRows.of(column_of([[5, 6], [], [7]]), stream=False)
    assert rows.inputs.tolist() == [BOS, 5, 6, BOS, BOS, 7]
    assert rows.targets.tolist() == [5, 6, EOS, EOS, 7, EOS]
    assert rows.offsets.tolist() == [0, 3, 4, 6]


def test_a_stream_is_one_row_without_an_end():
    rows = ScoredRows.of(column_of([[5, 6], [], [7]]), stream=True)
    assert rows.inputs.tolist() == [BOS, 5, 6, EOS, EOS]
    assert rows.targets.tolist() == [5, 6, EOS, EOS, 7]
    assert rows.offsets.tolist() == [0, 5]


@given(texts, st.integers(1, 14))
def test_rows_are_cut_into_windows_none_of_which_crosses_a_row(written, length):
    rows = ScoredRows.of(column_of(written), stream=False)
    cut = rows.cut(length)
    expected = [
        border
        for begin, end in zip(rows.offsets, rows.offsets[1:], strict=False)
        for border in range(begin, end, length)
    ]
    assert cut.offsets.tolist() == [*expected, rows.offsets[-1]]
    assert np.diff(cut.offsets).min() >= 1
    assert cut.inputs is rows.inputs


@given(texts, st.data())
def test_a_split_keeps_every_prediction_and_its_input(written, data):
    rows = ScoredRows.of(column_of(written), stream=False)
    place = data.draw(st.integers(0, len(rows.targets)))
    first, second = rows.split(place)
    assert len(first.targets) == place
    assert np.concatenate([first.targets, second.targets]).tolist() == rows.targets.tolist()
    assert np.concatenate([first.inputs, second.inputs]).tolist() == rows.inputs.tolist()
    borders = [*first.offsets.tolist(), *(second.offsets + place).tolist()]
    assert set(borders) == {*rows.offsets.tolist(), place}
