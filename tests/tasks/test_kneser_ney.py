"""Kneser-Ney n-grams against their formulas, written out with dictionaries."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lstm_readout.tasks.metrics import kneser_ney
from lstm_readout.tasks.metrics.baselines import unigram_loss
from lstm_readout.tasks.metrics.kneser_ney import FALLBACK, KneserNey, discounts, kneser_ney_loss, longest_order
from lstm_readout.tasks.metrics.predictions import ScoredRows
from lstm_readout.tokenizer import BOS, EOS
from lstm_readout.tokenizer.ragged import Ragged

V = 8
LONGEST = 4
texts = st.lists(st.lists(st.integers(3, V - 1), max_size=30), min_size=1, max_size=6)


def rows_of(written: list[list[int]], stream: bool = False) -> ScoredRows:
    return ScoredRows.of(Ragged.from_lists([[*text, EOS] for text in written]), stream)


def sequences(rows: ScoredRows) -> list[list[int]]:
    """Return the first input and all targets of each row."""
    return [
        [int(rows.inputs[begin]), *rows.targets[begin:end].tolist()]
        for begin, end in pairwise(rows.offsets.tolist())
        if end > begin
    ]


class Naive:
    """The same model from sets and dictionaries."""

    def __init__(self, rows: ScoredRows, order: int) -> None:
        self.order = order
        self.occurrences: list[Any] = [Counter() for _ in range(order + 2)]
        preceded: list[Any] = [set() for _ in range(order + 2)]
        for number, row in enumerate(sequences(rows)):
            for n in range(1, order + 2):
                for end in range(max(n, 2), len(row) + 1):
                    ngram = tuple(row[end - n : end])
                    self.occurrences[n][ngram] += 1
                    before = row[end - n - 1] if end > n else ("start", number)
                    preceded[n].add((before, ngram))
        self.preceded = [Counter(ngram for _, ngram in pairs) for pairs in preceded]

    def probability(self, *ngram: int, longest: bool = True) -> float:
        """Return that of the last token after those before it."""
        if not ngram:
            return 1 / V
        counts = self.occurrences[len(ngram)] if longest else self.preceded[len(ngram)]
        same_context = {one: count for one, count in counts.items() if one[:-1] == ngram[:-1]}
        shorter = self.probability(*ngram[1:], longest=False)
        if not same_context:
            return shorter
        taken, total = self.discounts(counts), sum(same_context.values())
        given_away = sum(taken[min(count, 3) - 1] for count in same_context.values())
        kept = counts[ngram] - taken[min(counts[ngram], 3) - 1] if ngram in counts else 0
        return kept / total + given_away / total * shorter

    def probabilities(self, rows: ScoredRows) -> list[float]:
        """Return that of each target; near the start of a row the context is short, and counted like a shorter one."""
        return [
            self.probability(*row[max(0, end - self.order) : end], longest=end >= self.order)
            for row in sequences(rows)
            for end in range(2, len(row) + 1)
        ]

    def discounts(self, counts: Any) -> list[float]:
        n = [sum(count == often for count in counts.values()) for often in range(5)]
        if not all(n[1:]):
            return list(FALLBACK)
        y = n[1] / (n[1] + 2 * n[2])
        taken = [often - (often + 1) * y * n[often + 1] / n[often] for often in (1, 2, 3)]
        return taken if min(taken) > 0 else list(FALLBACK)


def with_each_token(context: list[int]) -> ScoredRows:
    """Return V rows that read the same context, each with another last token."""
    rows = [[*context[1:], token] for token in range(V)]
    inputs = [[*context] for _ in range(V)]
    size = len(context)
    return ScoredRows(np.concatenate(inputs), np.concatenate(rows), np.arange(V + 1) * size)


@given(texts, st.lists(st.integers(0, V - 1), min_size=1, max_size=6), st.booleans())
@example([[3]], [3, 3], False)
@example([[]], [BOS], False)
@example([[3, 3, 3, 3, 3, 3]], [BOS, 3, 3, 3], False)
def test_the_probabilities_of_all_tokens_sum_to_one(written, context, stream):
    train = rows_of(written, stream)
    if not len(train.targets):
        return
    found = KneserNey(train, V, LONGEST).probabilities(with_each_token(context))  # (order, V * len(context))
    last = found.reshape(LONGEST, V, len(context))[:, :, -1]
    assert last.sum(axis=1) == pytest.approx(np.ones(LONGEST), abs=1e-12)
    assert (last > 0).all()


@given(texts, texts, st.booleans())
def test_each_probability_is_that_of_the_formulas_for_every_order(written, other, stream):
    train, held_out = rows_of(written, stream), rows_of(other, stream)
    if not (len(train.targets) and len(held_out.targets)):
        return
    model = KneserNey(train, V, LONGEST)
    found, losses = model.probabilities(held_out), model.losses(held_out)
    for order in range(1, LONGEST + 1):
        expected = Naive(train, order).probabilities(held_out)
        assert found[order - 1].tolist() == pytest.approx(expected, rel=1e-9), order
        assert losses[order - 1] == pytest.approx(-np.mean(np.log(expected)), rel=1e-9), order


def zipfian(tokens: int, vocab_size: int, seed: int = 0) -> list[int]:
    """Return tokens of which each follows from the one before it, three times of four."""
    random = np.random.default_rng(seed)
    drawn = np.minimum(random.zipf(1.3, tokens) + 2, vocab_size - 1)
    for i in range(1, tokens):
        if random.random() < 0.75:
            drawn[i] = 3 + (7 * drawn[i - 1]) % (vocab_size - 3)
    return drawn.tolist()


def test_the_estimated_discounts_are_those_of_the_formulas():
    rows = rows_of([zipfian(3000, V * 50)])
    bigrams = Naive(rows, 2).occurrences[2]
    taken = discounts(np.array(list(bigrams.values())))
    assert taken != FALLBACK
    assert taken == pytest.approx(Naive(rows, 2).discounts(bigrams))
    assert 0 < taken[0] < 1


def test_text_without_the_counts_to_estimate_from_has_fixed_discounts():
    assert discounts(np.array([1, 1, 2, 3])) == FALLBACK  # none that is seen four times
    assert discounts(np.array([2, 2, 2])) == FALLBACK


def test_validation_chooses_the_order_and_the_held_out_rows_do_not():
    """Each token follows from the one before it: bigrams tell all there is."""
    size = 100
    train, validation, held_out = (rows_of([zipfian(6000, size, seed)], stream=True) for seed in (0, 1, 2))
    scores = kneser_ney_loss(train, validation, held_out, size, full=False)
    losses = KneserNey(train, size, longest_order(size)).losses(held_out)
    chosen = int(KneserNey(train, size, longest_order(size)).losses(validation).argmin()) + 1
    assert scores["kneser_ney_order"] == chosen > 1
    assert scores["kneser_ney_loss"] == pytest.approx(losses[chosen - 1], rel=1e-12)
    assert scores["kneser_ney_perplexity"] == pytest.approx(math.exp(losses[chosen - 1]))
    assert losses[chosen - 1] < unigram_loss(train, held_out, size) - 0.5


def test_without_validation_the_end_of_the_training_text_chooses_and_then_counts_too():
    """Random letters, but the last tenth repeats a phrase: only it asks for long contexts."""
    random = np.random.default_rng(0)
    noise, phrase = random.integers(3, V, 2000).tolist(), random.integers(3, V, 40).tolist()
    train, held_out = rows_of([noise + phrase * 6], stream=True), rows_of([phrase], stream=True)
    scores = kneser_ney_loss(train, None, held_out, V, full=True)
    first, last = train.split(len(train.targets) * 9 // 10)
    order = int(KneserNey(first, V, 8).losses(last).argmin()) + 1
    assert scores["kneser_ney_order"] == order
    assert scores["kneser_ney_loss"] == pytest.approx(KneserNey(train, V, order).losses(held_out)[-1])


def test_few_ids_have_longer_ngrams():
    assert longest_order(300) == 8
    assert longest_order(10_000) == 5


def test_long_text_is_counted_in_part_unless_asked(monkeypatch):
    train, held_out = rows_of([zipfian(900, 30)], stream=True), rows_of([zipfian(200, 30, 1)], stream=True)
    whole = kneser_ney_loss(train, held_out, held_out, 30, full=False)
    monkeypatch.setattr(kneser_ney, "_MOST_TOKENS", 300)
    part = kneser_ney_loss(train, held_out, held_out, 30, full=False)
    assert part["kneser_ney_note"] == "counted the last 300 of 900 training tokens; baselines=full counts all"
    assert part["kneser_ney_loss"] > whole["kneser_ney_loss"]
    assert kneser_ney_loss(train, held_out, held_out, 30, full=True) == whole
    assert "kneser_ney_note" not in whole


def test_keys_of_many_ids_do_not_overflow():
    size = 2**21
    last = size - 1
    model = KneserNey(rows_of([[last, last, last, last]]), size, 5)
    often, never = (model.probabilities(rows_of([[last, token]]))[-1][1] for token in (last, 3))
    assert 0 < never < often < 1
