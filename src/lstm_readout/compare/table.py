"""Results of all runs go in; one row for each variant, with intervals and paired tests, comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lstm_readout.compare.runs import Result
from lstm_readout.compare.statistics import Draws, Metric, p_value, resampled, scores
from lstm_readout.compare.variants import Variant


class Row(NamedTuple):
    """One variant's line of the table."""

    variant: Variant
    scores: list[float]  # one a seed
    interval: tuple[float, float]  # of the mean, 95 %
    against: str | None  # name of the right one
    difference: float | None  # to it; negative is always worse
    difference_interval: tuple[float, float] | None
    p: float | None
    seconds: float  # of training, mean
    parameters: int

    @property
    def mean(self) -> float:
        """Return the mean over seeds."""
        return float(np.mean(self.scores))

    @property
    def verdict(self) -> str:
        """Say whether it is better or worse than the right one; ``unsure`` where p is 0.05 or more."""
        if self.p is None or self.difference is None:
            return ""
        if self.difference_interval == (0.0, 0.0):
            return "same"
        if self.p >= 0.05:
            return "unsure"
        return "worse" if self.difference < 0 else "better"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "key": self.variant.key,
            "name": self.variant.name,
            "overrides": self.variant.overrides,
            "wrong": self.variant.wrong,
            "scores": self.scores,
            "mean": self.mean,
            "interval": list(self.interval),
            "against": self.against,
            "difference": self.difference,
            "difference_interval": None if self.difference_interval is None else list(self.difference_interval),
            "p": self.p,
            "verdict": self.verdict,
            "seconds": self.seconds,
            "parameters": self.parameters,
        }


class Comparison(NamedTuple):
    """The whole table, and what it is of."""

    task: str
    split: str
    metric: Metric
    seeds: list[int]
    scored: int  # held-out rows; windows of a stream
    rows: list[Row]

    def failed(self) -> list[Row]:
        """Return the mistakes that did not lose as they should have."""
        return [row for row in self.rows if row.variant.wrong and row.verdict != "worse"]


def compared(
    metric: Metric, variants: Sequence[Variant], seeds: Sequence[int], results: Mapping[tuple[str, int], Result]
) -> list[Row]:
    """Score every variant, and measure it by the right one on the same rows and seeds."""
    statistics = {v.key: np.stack([results[v.key, seed].statistics for seed in seeds]) for v in variants}
    draws = {v.key: resampled(metric, statistics[v.key]) for v in variants}
    names = {v.key: v.name for v in variants}
    sign = 1 if metric.higher_is_better else -1
    rows = []
    for variant in variants:
        own = scores(metric, statistics[variant.key])
        difference = interval = p = None
        if variant.against is not None:
            right = scores(metric, statistics[variant.against])
            drawn = Draws(sign * (draws[variant.key].scores - draws[variant.against].scores))
            difference = float(sign * (own.mean() - right.mean()))
            interval, p = drawn.interval(), p_value(drawn.scores)
        of_seeds = [results[variant.key, seed] for seed in seeds]
        rows.append(
            Row(
                variant=variant,
                scores=own.tolist(),
                interval=draws[variant.key].interval(),
                against=None if variant.against is None else names[variant.against],
                difference=difference,
                difference_interval=interval,
                p=p,
                seconds=float(np.mean([result.seconds for result in of_seeds])),
                parameters=of_seeds[0].parameters,
            )
        )
    return rows
