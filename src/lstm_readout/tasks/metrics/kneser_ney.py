"""An n-gram model with Kneser-Ney smoothing: the tokens of one text go in, the loss on another comes out.

It shows what counting alone achieves: a language model that does not beat it has learned no long dependencies.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch

from lstm_readout.tasks.metrics.predictions import ScoredRows
from lstm_readout.tasks.metrics.word_ngrams import numbered

_FEW_IDS, _LONGEST_OF_FEW, _LONGEST_OF_MANY = 512, 8, 5  # characters and bytes have few ids, words have many
_MOST_TOKENS = 20_000_000  # baselines=fast: tokens that are counted, in 15 seconds and 2 GB
FALLBACK = (0.5, 1.0, 1.5)  # discounts for text too small or too regular to estimate them: KenLM's


def longest_order(vocab_size: int) -> int:
    """Return the longest n-grams to try: 8 tokens for a vocabulary of at most 512 ids, else 5."""
    return _LONGEST_OF_FEW if vocab_size <= _FEW_IDS else _LONGEST_OF_MANY


def kneser_ney_loss(
    train: ScoredRows, validation: ScoredRows | None, held_out: ScoredRows, vocab_size: int, *, full: bool
) -> dict[str, float | str]:
    """Return loss, perplexity and order of n-grams whose order has the lowest validation loss.

    Args:
        train: to count.
        validation: chooses the order; None: the last tenth of the training tokens, left uncounted until it is chosen.
        held_out: to score.
        vocab_size: V.
        full: count all training tokens, however many they are; otherwise the last 20 million.
    """
    tokens = len(train.targets)
    counted = train if full or tokens <= _MOST_TOKENS else train.split(tokens - _MOST_TOKENS)[1]
    to_fit, to_choose = (counted, validation) if validation else counted.split(len(counted.targets) * 9 // 10)
    order = 1
    if len(to_fit.targets) and len(to_choose.targets):
        order = int(KneserNey(to_fit, vocab_size, longest_order(vocab_size)).losses(to_choose).argmin()) + 1
    loss = float(KneserNey(counted, vocab_size, order).losses(held_out)[-1])
    scores: dict[str, float | str] = {
        "kneser_ney_loss": loss,
        "kneser_ney_perplexity": math.exp(min(loss, 700)),
        "kneser_ney_order": order,
    }
    if counted is not train:
        how = f"counted the last {_MOST_TOKENS:,} of {tokens:,} training tokens; baselines=full counts all"
        scores["kneser_ney_note"] = how
    return scores


class _Shares(NamedTuple):
    """How n-grams of one length divide the probability after each context."""

    share: np.ndarray  # (n-grams,) (count - discount) / total of the context
    left: np.ndarray  # (contexts,) mass that the shorter n-grams distribute

    @classmethod
    def of(cls, counts: np.ndarray, contexts: np.ndarray, number: int) -> _Shares:
        """Smooth counts, (n-grams,), each of the context of that number."""
        discount = np.array([0.0, *discounts(counts)])[np.minimum(counts, 3)]
        totals = np.bincount(contexts, counts, number)
        left = np.divide(np.bincount(contexts, discount, number), totals, out=np.ones(number), where=totals > 0)
        return cls((counts - discount) / np.maximum(totals, 1)[contexts], left)


class _Level(NamedTuple):
    """The n-grams of one length: as the longest by how often, as shorter ones by how many tokens precede them."""

    keys: np.ndarray  # (n-grams,) ascending; the number of the context times V, plus the last token
    as_longest: _Shares
    as_shorter: _Shares


class KneserNey:
    """Interpolated, modified Kneser-Ney smoothing of n-grams.

    Kneser and Ney 1995, "Improved backing-off for m-gram language modeling"; with the three discounts of Chen and
    Goodman 1999, "An empirical study of smoothing techniques for language modeling". The longest n-grams are counted by
    their occurrences, shorter ones by the distinct tokens before them, each start of a row being distinct. Unigrams
    back off to a uniform distribution over all ids, so no token has probability 0. A token near the start of a row has
    a context that begins with the row.

    An n-gram's context is numbered among the n-grams that are shorter by one, so keys fit 63 bits for any order.

    Args:
        rows: the training text.
        vocab_size: V.
        order: tokens of the longest n-grams.
    """

    def __init__(self, rows: ScoredRows, vocab_size: int, order: int) -> None:
        self.vocab_size = size = vocab_size
        tokens, age = _sequence(rows)
        place = np.flatnonzero(age >= 1)
        keys, number = np.arange(size), tokens  # (n-grams,), and (tokens,) the n-gram that ends at each token
        counts, contexts = np.bincount(tokens[place], minlength=size), np.zeros(size, dtype=np.int64)
        self._levels: list[_Level] = []
        for longer in range(2, order + 2):
            place = place[age[place] >= longer - 1]
            longer_keys, found = numbered(number[place - 1] * size + tokens[place])
            example = np.empty(len(longer_keys), dtype=np.int64)
            example[found] = place
            preceded = np.bincount(number[example], minlength=len(keys))
            if longer > 2:  # the first token of a row is not predicted
                preceded += np.bincount(number[age == longer - 2], minlength=len(keys))
            width = 1 if longer == 2 else len(self._levels[-1].keys)
            shares = [_Shares.of(one, contexts, width) for one in (counts, preceded)]
            self._levels.append(_Level(keys, *shares))
            number = np.zeros_like(tokens)
            number[place] = found
            keys, counts, contexts = longer_keys, np.bincount(found), longer_keys // size

    def probabilities(self, rows: ScoredRows) -> np.ndarray:
        """Return the probability of each target, by n-grams of up to 1, 2, ... tokens: (order, tokens)."""
        tokens, age = _sequence(rows)
        predicted = np.flatnonzero(age >= 1)
        number = tokens  # of the n-gram that ends at each token; -1: not in the training text
        shorter = np.full(len(tokens), 1 / self.vocab_size)
        probabilities = np.empty((len(self._levels), len(predicted)))
        place, context = predicted, np.zeros(len(predicted), dtype=np.int64)
        for n, level in enumerate(self._levels, start=1):
            if n > 1:
                place = predicted[age[predicted] >= n - 1]
                context = number[place - 1]
                place, context = place[context >= 0], context[context >= 0]
            found = _find(level.keys, context * self.vocab_size + tokens[place])
            longest = shorter.copy()
            longest[place] = _interpolate(level.as_longest, found, context, shorter[place])
            shorter[place] = _interpolate(level.as_shorter, found, context, shorter[place])
            probabilities[n - 1] = longest[predicted]
            if n > 1:
                number = np.full(len(tokens), -1)
                number[place] = found
        return probabilities

    def losses(self, rows: ScoredRows) -> np.ndarray:
        """Return the mean loss of a text, nats per token, by n-grams of up to 1, 2, ... tokens: (order,)."""
        return -np.log(self.probabilities(rows)).mean(axis=1)


def discounts(counts: np.ndarray) -> tuple[float, float, float]:
    """Return the discounts of n-grams seen once, twice and more often (Chen and Goodman 1999, equation 26)."""
    once, twice, thrice, four = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].tolist()
    if not (once and twice and thrice and four):
        return FALLBACK
    y = once / (once + 2 * twice)
    estimated = 1 - 2 * y * twice / once, 2 - 3 * y * thrice / twice, 3 - 4 * y * four / thrice
    return estimated if min(estimated) > 0 else FALLBACK


def _interpolate(shares: _Shares, found: np.ndarray, context: np.ndarray, shorter: np.ndarray) -> np.ndarray:
    return np.append(shares.share, 0.0)[found] + shares.left[context] * shorter  # -1: not found, no share


def _sequence(rows: ScoredRows) -> tuple[np.ndarray, np.ndarray]:
    """Return all tokens, each row with its first input, and the number of tokens of the row before each: two (N,)."""
    lengths = np.diff(rows.offsets)
    lengths = lengths[lengths > 0]
    starts = np.cumsum(lengths + 1) - lengths - 1
    age = np.arange(lengths.sum() + len(lengths)) - np.repeat(starts, lengths + 1)
    tokens = np.empty(len(age), dtype=np.int64)
    tokens[age >= 1] = rows.targets
    tokens[starts] = rows.inputs[starts - np.arange(len(starts))]
    return tokens, age


def _find(ordered: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the place of each wanted key, -1 if it is missing."""
    if not len(ordered):
        return np.full(len(wanted), -1)
    values, order = (one.numpy() for one in torch.sort(torch.from_numpy(wanted)))  # sorted look-ups are much faster
    place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    found = np.empty(len(wanted), dtype=np.int64)
    found[order] = np.where(ordered[place] == values, place, -1)
    return found
