"""How certain is a difference? Statistics of every held-out row go in; scores, intervals and paired tests come out.

A *statistic* is k numbers per row. Their sums over rows give the score, so any resampling of rows can be scored:
(correct, 1) for accuracy, (nats, tokens) for the loss, n-gram counts for BLEU.
Shapes: S seeds, R rows, k numbers, N draws.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sacrebleu.metrics.bleu import BLEU

DRAWS = 2000
_CHUNK = 200  # draws at a time: the counts of a chunk are (chunk, R)


class Metric(NamedTuple):
    """What is compared."""

    name: str
    higher_is_better: bool
    digits: int  # after the decimal point, in tables
    score: Callable[[np.ndarray], np.ndarray]  # sums (..., k) -> (...)

    @property
    def better(self) -> str:
        """Return which scores are better, ``higher`` or ``lower`` ones."""
        return "higher" if self.higher_is_better else "lower"


def _ratio(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] / sums[..., 1]


def _bleu(sums: np.ndarray) -> np.ndarray:
    flat = sums.reshape(-1, sums.shape[-1])
    scores = [
        BLEU.compute_bleu(row[2:6].tolist(), row[6:].tolist(), int(row[0]), int(row[1]), smooth_method="exp").score
        for row in np.rint(flat).astype(int)
    ]
    return np.array(scores).reshape(sums.shape[:-1])


METRICS = {
    "classify": Metric("accuracy", True, 3, _ratio),
    "translate": Metric("BLEU", True, 2, _bleu),
    "generate": Metric("loss in nats per token", False, 3, _ratio),
}


def bleu_statistic(translation: str, reference: str) -> list[int]:
    """Return (2 lengths, 4 n-gram matches, 4 n-gram counts) of one sentence, as sacreBLEU counts them."""
    score = BLEU(effective_order=True).sentence_score(translation, [reference])
    return [score.sys_len, score.ref_len, *score.counts, *score.totals]


def scores(metric: Metric, statistics: np.ndarray) -> np.ndarray:
    """Return the score of each seed: (S, R, k) -> (S,)."""
    return metric.score(statistics.sum(1))


def resampled(metric: Metric, statistics: np.ndarray, seed: int = 0) -> np.ndarray:
    """Draw rows and seeds with replacement, and return the score of each draw: the mean over its seeds.

    Two variants resampled with the same ``seed`` get the same rows and seeds in every draw, so their difference is
    paired (Efron and Tibshirani 1993, "An Introduction to the Bootstrap"; Koehn 2004, "Statistical Significance
    Tests for Machine Translation Evaluation").

    Args:
        metric: how sums become a score.
        statistics: (S, R, k).
        seed: of the random draws.

    Returns:
        (N,)
    """
    seeds, rows, _ = statistics.shape
    random = np.random.default_rng(seed)
    drawn = []
    for start in range(0, DRAWS, _CHUNK):
        number = min(_CHUNK, DRAWS - start)
        of_rows = random.multinomial(rows, np.full(rows, 1 / rows), size=number)  # (chunk, R) how often each row
        of_seeds = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=number)  # (chunk, S)
        sums = np.einsum("nr,srk->nsk", of_rows.astype(np.float64), statistics, optimize=True)
        drawn.append((metric.score(sums) * of_seeds).sum(1) / seeds)
    return np.concatenate(drawn)


def interval(draws: np.ndarray) -> tuple[float, float]:
    """Return the middle 95 % of resampled scores or differences (N,)."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def p_value(difference: np.ndarray) -> float:
    """Return the two-sided share of paired differences (N,) on the wrong side of zero; at least 1 / N."""
    share = 2 * min(float((difference <= 0).mean()), float((difference >= 0).mean()))
    return min(1.0, max(share, 1 / len(difference)))
