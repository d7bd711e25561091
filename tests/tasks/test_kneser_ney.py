"""Kneser-Ney trigrams against their formulas, written out with dictionaries."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lstm_readout.tasks.metrics import kneser_ney
from lstm_readout.tasks.metrics.baselines import unigram_loss
from lstm_readout.tasks.metrics.kneser_ney import FALLBACK, KneserNeyTrigrams, discounts, too_large
from lstm_readout.tasks.metrics.predictions import ScoredRows
from lstm_readout.tokenizer import BOS, EOS
from lstm_readout.tokenizer.ragged import Ragged

V = 8
texts = st.lists(st.lists(st.integers(3, V - 1), max_size=30), min_size=1, max_size=6)


def rows_of(written: list[list[int]], stream: bool = False) -> ScoredRows:
    return ScoredRows.of(Ragged.from_lists([[*text, EOS] for text in written]), stream)


def scored(written: list[list[int]], stream: bool) -> list[list[int]]:
    """Return the predicted tokens of each row."""
    ended = [[*text, EOS] for text in written]
    return [[token for text in ended for token in text][:-1]] if stream else ended


class Naive:
    """The same model from sets and dictionaries."""

    def __init__(self, rows: list[list[int]]) -> None:
        padded = [[BOS, BOS, *row] for row in rows]
        trigrams = Counter(tuple(row[i : i + 3]) for row in padded for i in range(len(row) - 2))
        bigrams = Counter(trigram[1:] for trigram in trigrams)
        self.counts: list[Any] = [Counter(bigram[1:] for bigram in bigrams), bigrams, trigrams]

    def probability(self, *ngram: int) -> float:
        if not ngram:
            return 1 / V
        counts = self.counts[len(ngram) - 1]
        same_context = {one: count for one, count in counts.items() if one[:-1] == ngram[:-1]}
        shorter = self.probability(*ngram[1:])
        if not same_context:
            return shorter
        taken, total = self.discounts(counts), sum(same_context.values())
        given_away = sum(taken[min(count, 3) - 1] for count in same_context.values())
        kept = counts[ngram] - taken[min(counts[ngram], 3) - 1] if ngram in counts else 0
        return kept / total + given_away / total * shorter

    def discounts(self, counts: Any) -> list[float]:
        n = [sum(count == often for count in counts.values()) for often in range(5)]
        if not all(n[1:]):
            return list(FALLBACK)
        y = n[1] / (n[1] + 2 * n[2])
        taken = [often - (often + 1) * y * n[often + 1] / n[often] for often in (1, 2, 3)]
        return taken if min(taken) > 0 else list(FALLBACK)


@given(texts, st.integers(0, V - 1), st.integers(0, V - 1), st.booleans())
@example([[3]], 3, 3, False)
@example([[]], BOS, BOS, False)
def test_the_probabilities_of_all_tokens_sum_to_one(written, before, last, stream):
    if stream and sum(map(len, scored(written, stream))) == 0:
        return
    model = KneserNeyTrigrams(rows_of(written, stream), V)
    ids = np.arange(V)
    found = model.probabilities(np.full(V, before), np.full(V, last), ids)
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert (found > 0).all()


@given(texts, texts, st.booleans())
def test_each_probability_is_that_of_the_formulas(written, other, stream):
    if stream and not (sum(map(len, scored(written, stream))) and sum(map(len, scored(other, stream)))):
        return
    model, naive = KneserNeyTrigrams(rows_of(written, stream), V), Naive(scored(written, stream))
    expected = [
        naive.probability(*padded[i : i + 3])
        for row in scored(other, stream)
        for padded in [[BOS, BOS, *row]]
        for i in range(len(row))
    ]
    rows = rows_of(other, stream)
    found = model.probabilities(rows.before(), rows.inputs, rows.targets)
    assert found.tolist() == pytest.approx(expected, rel=1e-9)
    assert model.loss(rows) == pytest.approx(-np.mean(np.log(expected)), rel=1e-9)


def zipfian(tokens: int, vocab_size: int, seed: int = 0) -> list[int]:
    """Return tokens of which each follows from the one before it, three times of four."""
    random = np.random.default_rng(seed)
    drawn = np.minimum(random.zipf(1.3, tokens) + 2, vocab_size - 1)
    for i in range(1, tokens):
        if random.random() < 0.75:
            drawn[i] = 3 + (7 * drawn[i - 1]) % (vocab_size - 3)
    return drawn.tolist()


def test_the_estimated_discounts_are_those_of_the_formulas():
    text = zipfian(3000, V * 50)
    rows = rows_of([text])
    trigrams = Counter(zip(rows.before().tolist(), rows.inputs.tolist(), rows.targets.tolist(), strict=True))
    taken = discounts(np.array(list(trigrams.values())))
    assert taken != FALLBACK
    assert taken == pytest.approx(Naive([[*text, EOS]]).discounts(trigrams))
    assert 0 < taken[0] < 1


def test_text_without_the_counts_to_estimate_from_has_fixed_discounts():
    assert discounts(np.array([1, 1, 2, 3])) == FALLBACK  # none that is seen four times
    assert discounts(np.array([2, 2, 2])) == FALLBACK


def test_a_trigram_model_beats_token_frequencies_and_blocks_change_nothing(monkeypatch):
    size = 100
    columns = [Ragged.from_lists([[*zipfian(4000, size, seed), EOS]]) for seed in (0, 1)]
    train, held_out = (ScoredRows.of(column, True) for column in columns)
    model = KneserNeyTrigrams(train, size)
    loss = model.loss(held_out)
    assert loss < unigram_loss(*columns, size) - 0.5
    assert loss < math.log(size)
    monkeypatch.setattr(kneser_ney, "BLOCK", 7)
    assert model.loss(held_out) == pytest.approx(loss, rel=1e-12)


def test_the_largest_vocabulary_has_keys_that_do_not_overflow():
    size = kneser_ney.MOST_IDS
    last = size - 1
    model = KneserNeyTrigrams(rows_of([[last, last, last, last]]), size)
    found = model.probabilities(np.array([last, 3]), np.array([last, 3]), np.array([last, last]))
    assert 0 < found[1] < found[0] < 1


def test_too_much_text_is_told():
    assert too_large(1000, 30_000) is None
    assert too_large(20_000_001, 30_000) == "20,000,001 tokens are more than 20,000,000"
    assert too_large(1000, 3_000_000) == "3,000,000 ids are more than 2,097,152"
