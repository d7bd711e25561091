"""Looking up the nearest training source."""

from __future__ import annotations

import pytest

from lstm_readout.tasks.metrics import nearest_source
from lstm_readout.tasks.metrics.nearest_source import Pairs, nearest_places, nearest_source_bleu

KNOWN = ["a man rides a horse", "two dogs play in the snow", "a woman reads a book in the park"]
ANSWERS = ["ein Mann reitet auf einem Pferd", "zwei Hunde spielen im Schnee", "eine Frau liest im Park ein Buch"]


def test_rare_shared_words_decide_not_frequent_ones():
    assert nearest_places(KNOWN, ["a horse", "Snow!", "a man in the park reads"]).tolist() == [0, 1, 2]


def test_equally_near_sources_give_the_first():
    assert nearest_places(["a b", "c d", "a b"], ["a b", "x"]).tolist() == [0, 0]


def test_blocks_change_nothing(monkeypatch):
    whole = nearest_places(KNOWN, KNOWN[::-1]).tolist()
    monkeypatch.setattr(nearest_source, "_BLOCK", 1)
    assert nearest_places(KNOWN, KNOWN[::-1]).tolist() == whole == [2, 1, 0]


def test_known_sources_have_a_perfect_bleu_and_their_order_matters_not():
    held_out = Pairs(KNOWN[::-1], ANSWERS[::-1])
    assert nearest_source_bleu(Pairs(KNOWN, ANSWERS), held_out, full=False) == {
        "nearest_source_bleu": pytest.approx(100)
    }


def test_many_pairs_are_looked_up_in_part_unless_asked(monkeypatch):
    monkeypatch.setattr(nearest_source, "_MOST", 4)  # 2 known sources for 2 to look up
    known, held_out = Pairs(KNOWN, ANSWERS), Pairs(KNOWN[1:], ANSWERS[1:])
    scores = nearest_source_bleu(known, held_out, full=False)
    assert scores["nearest_source_note"] == "looked up in 2 of 3 training rows; baselines=full uses all"
    assert float(scores["nearest_source_bleu"]) < 80  # the first and the last are known: not the dogs
    assert nearest_source_bleu(known, held_out, full=True)["nearest_source_bleu"] == pytest.approx(100)
