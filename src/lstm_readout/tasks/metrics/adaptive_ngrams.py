"""N-grams that also count the text being scored: two texts go in, the log probability of every token of the second.

Modified Kneser-Ney smoothing (see ``kneser_ney``), with the counts that stand before each token: those of the training
text, and of the scored text up to there. All counts are found at once, by sorting: what an n-gram has counted before a
token is the number of its equal keys at earlier places.

Shapes: N tokens, of both texts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lstm_readout.tasks.metrics.adaptation_settings import check_whole_number
from lstm_readout.tasks.metrics.kneser_ney import discounts
from lstm_readout.tasks.metrics.predictions import ScoredRows

_RATE = 0.01  # of the share of the n-grams in a mean; between 0.002 and 0.05 it hardly matters


@dataclass(frozen=True)
class AdaptiveNgrams:
    """N-grams beside the model; see ``adaptive_log_probabilities`` and ``mean_with``.

    Args:
        order: tokens per n-gram, 1 or more; None: no n-grams.

    Raises:
        UserError: a value is out of range.
    """

    order: int | None = None

    def __post_init__(self) -> None:
        if self.order is not None:
            check_whole_number("task.adaptive_ngrams.order", self.order)


def adaptive_log_probabilities(train: ScoredRows, rows: ScoredRows, vocab_size: int, order: int) -> np.ndarray:
    """Return the log probability, in nats, of each token of ``rows``.

    Args:
        train: the training text.
        rows: what to predict, in this order: later rows know what the earlier ones had.
        vocab_size: V; where nothing was counted, all ids are equally likely.
        order: tokens per n-gram, 1 or more. Contexts end at the start of a row.
    """
    known = len(train.targets)
    targets = np.concatenate((train.targets, rows.targets)).astype(np.int64)
    counted, parts = np.ones(len(targets), bool), []
    for context in _contexts(train, rows, vocab_size, order)[::-1]:
        part, counted = _interpolation(context, targets, vocab_size, counted, known)
        parts.append(part)
    probability = np.full(len(rows.targets), 1 / vocab_size)
    for kept, given_away in parts[::-1]:  # from the shortest
        probability = kept + given_away * probability
    return np.log(probability)


def mean_with(ngrams: np.ndarray, model: np.ndarray) -> np.ndarray:
    """Return the log probabilities of a weighted mean of the n-grams' and the model's probabilities.

    The share of the n-grams begins at a half, and after each token moves by ``_RATE`` of the way to the share that they
    had in its probability. So nothing has to be chosen, and no token affects its own score.

    Args:
        ngrams, model: log probabilities of the tokens, (N,), in nats.
    """
    share, mixed = 0.5, np.empty(len(model))
    for place, (first, second) in enumerate(zip(np.exp(ngrams).tolist(), np.exp(model).tolist(), strict=True)):
        part = share * first
        mixed[place] = total = part + (1 - share) * second
        share += _RATE * (part / total - share)
    return np.log(mixed)


def _contexts(train: ScoredRows, rows: ScoredRows, vocab_size: int, order: int) -> list[np.ndarray]:
    """Return for each length from 0 to ``order - 1`` a number of the context before each token, (N,)."""
    inputs = np.concatenate((train.inputs, rows.inputs)).astype(np.int64)
    starts = np.concatenate((train.offsets[:-1], rows.offsets[:-1] + len(train.inputs)))
    contexts = [np.zeros(len(inputs), np.int64)]
    for _ in range(order - 1):
        shorter = np.empty_like(inputs)
        shorter[1:] = contexts[-1][:-1]
        shorter[starts] = len(inputs)  # a number that no context has: nothing is before a row
        contexts.append(np.unique(shorter * vocab_size + inputs, return_inverse=True)[1])
    return contexts


def _interpolation(
    context: np.ndarray, targets: np.ndarray, vocab_size: int, counted: np.ndarray, known: int
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Return how one length of n-grams changes the probability of the shorter: ``kept + given_away * shorter``.

    Args:
        context: before each token.
        targets: the tokens.
        vocab_size: V.
        counted: the places where an n-gram counts. Shorter n-grams count the different tokens before them: only where
            a longer one is new.
        known: N of the training text.

    Returns:
        ``kept`` and ``given_away`` of each token of the scored text, and the places where shorter n-grams count.
    """
    ngram = context * vocab_size + targets
    count = _before(ngram, counted[:, None])[:, 0]
    in_training = counted[:known]
    discount = np.array([0.0, *discounts(np.unique(ngram[:known][in_training], return_counts=True)[1])])
    seen = np.minimum(count, 3)
    # In whole numbers, so that no later token changes a rounding: how often a context went on to a token for the first,
    # the second and the third time, and how often in all; each time the discounts of its n-grams grow
    times = counted[:, None] & np.column_stack((seen == 0, seen == 1, seen == 2, np.ones_like(counted)))  # (N, 4)
    *grown, total = _before(context, times)[known:].T
    free = sum(number * step for number, step in zip(grown, np.diff(discount), strict=True))
    new = total == 0
    total = np.maximum(total, 1)
    kept = np.maximum(count - discount[seen], 0)[known:] / total
    return (kept, np.where(new, 1.0, free / total)), counted & (count == 0)


def _before(keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return at each place how many values, (N, K) booleans, are true at earlier places with the same key: (N, K)."""
    order = np.argsort(keys, kind="stable")
    ordered, values = keys[order], values[order]
    sums = np.cumsum(values, axis=0) - values
    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    earlier = np.empty_like(sums)
    earlier[order] = sums - np.repeat(sums[first], np.diff(np.append(first, len(keys))), axis=0)
    return earlier
