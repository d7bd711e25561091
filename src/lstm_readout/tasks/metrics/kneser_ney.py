"""A trigram model with Kneser-Ney smoothing: the tokens of one text go in, the loss on another comes out.

It shows what counting alone achieves: a language model that does not beat it has learned no long dependencies.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lstm_readout.tasks.metrics.predictions import ScoredRows

_MOST_TOKENS = 20_000_000  # of both splits: a minute on one core, and 2 GB
MOST_IDS = 2**21  # three ids fit into 63 bits
BLOCK = 2**20  # tokens scored at a time
FALLBACK = (0.5, 1.0, 1.5)  # discounts for text too small or too regular to estimate them: KenLM's


class _Counts(NamedTuple):
    """The n-grams of one length, as numbers: their discounted shares, and the mass that each context leaves over."""

    keys: np.ndarray  # (n,) ascending; the context times V, plus the last token
    shares: np.ndarray  # (n,) (count - discount) / total of the context
    contexts: np.ndarray  # (m,) ascending
    given_away: np.ndarray  # (m,) mass that the shorter n-grams distribute

    def interpolate(self, keys: np.ndarray, vocab_size: int, shorter: np.ndarray) -> np.ndarray:
        """Return the probability of each n-gram, (N,), from that of the n-gram without its first token."""
        order = np.argsort(keys)  # sorted look-ups are several times faster
        ordered = keys[order]
        place, known = _find(self.keys, ordered)
        probability = np.where(known, self.shares[place], 0.0)
        place, known = _find(self.contexts, ordered // vocab_size)
        probability += np.where(known, self.given_away[place], 1.0) * shorter[order]
        interpolated = np.empty_like(probability)
        interpolated[order] = probability
        return interpolated


class KneserNeyTrigrams:
    """Interpolated, modified Kneser-Ney smoothing of trigrams.

    Kneser and Ney 1995, "Improved backing-off for m-gram language modeling"; with the three discounts of Chen and
    Goodman 1999, "An empirical study of smoothing techniques for language modeling". Shorter n-grams count the
    contexts in which they occur, and the unigrams back off to a uniform distribution over all ids, so no token has
    probability 0. Two ``<bos>`` precede each row.

    Args:
        rows: the training text.
        vocab_size: V.
    """

    def __init__(self, rows: ScoredRows, vocab_size: int) -> None:
        self.vocab_size = size = vocab_size
        keys = _joined(size, rows.before(), rows.inputs, rows.targets)
        trigrams, counts = np.unique(keys, return_counts=True)
        self.trigrams = _smooth(trigrams, counts, size)
        bigrams, counts = np.unique(trigrams % size**2, return_counts=True)
        self.bigrams = _smooth(bigrams, counts, size)
        unigrams, counts = np.unique(bigrams % size, return_counts=True)
        last = _smooth(unigrams, counts, size)  # their only context is the empty one
        self.unigrams = np.full(size, last.given_away[0] / size)  # (V,)
        self.unigrams[unigrams] += last.shares

    def probabilities(self, before: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the probability of each target after the two tokens before it: all (N,)."""
        keys = _joined(self.vocab_size, before, inputs, targets)
        by_bigrams = self.bigrams.interpolate(keys % self.vocab_size**2, self.vocab_size, self.unigrams[targets])
        return self.trigrams.interpolate(keys, self.vocab_size, by_bigrams)

    def loss(self, rows: ScoredRows) -> float:
        """Return the mean loss of a text, nats per token."""
        before, total = rows.before(), 0.0
        for start in range(0, len(before), BLOCK):
            block = slice(start, start + BLOCK)
            total -= np.log(self.probabilities(before[block], rows.inputs[block], rows.targets[block])).sum()
        return float(total / len(before))


def too_large(tokens: int, vocab_size: int) -> str | None:
    """Return why a text of this size is not counted, or None."""
    if tokens > _MOST_TOKENS:
        return f"{tokens:,} tokens are more than {_MOST_TOKENS:,}"
    return f"{vocab_size:,} ids are more than {MOST_IDS:,}" if vocab_size > MOST_IDS else None


def discounts(counts: np.ndarray) -> tuple[float, float, float]:
    """Return the discounts of n-grams seen once, twice and more often (Chen and Goodman 1999, equation 26)."""
    once, twice, thrice, four = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].tolist()
    if not (once and twice and thrice and four):
        return FALLBACK
    y = once / (once + 2 * twice)
    estimated = 1 - 2 * y * twice / once, 2 - 3 * y * thrice / twice, 3 - 4 * y * four / thrice
    return estimated if min(estimated) > 0 else FALLBACK


def _smooth(keys: np.ndarray, counts: np.ndarray, vocab_size: int) -> _Counts:
    discount = np.array(discounts(counts))[np.minimum(counts, 3) - 1]  # (n,)
    contexts, first, sizes = np.unique(keys // vocab_size, return_index=True, return_counts=True)
    totals = np.add.reduceat(counts, first)  # (m,)
    return _Counts(
        keys, (counts - discount) / np.repeat(totals, sizes), contexts, np.add.reduceat(discount, first) / totals
    )


def _joined(vocab_size: int, first: np.ndarray, second: np.ndarray, third: np.ndarray) -> np.ndarray:
    return (first.astype(np.int64) * vocab_size + second) * vocab_size + third


def _find(ordered: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the position of each wanted key (arbitrary if it is missing), and whether it is present."""
    place = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return place, ordered[place] == wanted
