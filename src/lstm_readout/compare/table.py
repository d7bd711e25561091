"""Results of all runs go in; one row for each variant, with intervals and paired tests, comes out."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lstm_readout.compare.runs import Result
from lstm_readout.compare.statistics import DRAWS, Metric, interval, p_value, resampled, scores
from lstm_readout.compare.variants import Variant

HEADS = ["variant", "score", "by seed", "compared with", "difference", "p", ""]


class _Difference(NamedTuple):
    """A variant's score minus that of the one it is compared with, on the same rows and the seeds of both."""

    against: str  # name of the other
    mean: float  # negative is always worse
    interval: tuple[float, float]  # 95 %
    p: float

    @property
    def verdict(self) -> str:
        """Return ``better``, ``worse``, ``same``, or ``unsure`` where p is 0.05 or more."""
        if self.interval == (0.0, 0.0):
            return "same"
        if self.p >= 0.05:
            return "unsure"
        return "worse" if self.mean < 0 else "better"


class Row(NamedTuple):
    """One variant's line of the table."""

    variant: Variant
    scores: list[float]  # one per seed in seeds
    seeds: list[int]  # whose training succeeded
    failed: int  # seeds whose training failed
    interval: tuple[float, float]  # of the mean, 95 %
    difference: _Difference | None  # None: others are compared with it
    seconds: float  # of training, mean
    parameters: int

    @property
    def label(self) -> str:
        """Return its name, and how many of its seeds it is the mean of where some failed."""
        number = len(self.seeds)
        return self.variant.name + (f" ({number} of {number + self.failed} seeds)" if self.failed else "")

    @property
    def mean(self) -> float:
        """Return the mean over seeds."""
        return float(np.mean(self.scores))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        difference = self.difference
        return {
            "key": self.variant.key,
            "name": self.variant.name,
            "overrides": self.variant.overrides,
            "wrong": self.variant.wrong,
            "scores": self.scores,
            "seeds": self.seeds,
            "mean": self.mean,
            "interval": list(self.interval),
            "against": difference and difference.against,
            "difference": difference and difference.mean,
            "difference_interval": difference and list(difference.interval),
            "p": difference and difference.p,
            "verdict": difference.verdict if difference else "",
            "seconds": self.seconds,
            "parameters": self.parameters,
        }

    def cells(self, digits: int) -> list[str]:
        """Return the cells below ``HEADS``, with this number of digits after the decimal point."""
        own = f"{self.mean:.{digits}f} {_brackets(self.interval, f'.{digits}f')}"
        by_seed = " ".join(f"{score:.{digits}f}" for score in self.scores)
        if self.difference is None:
            return [self.label, own, by_seed, "", "", "", ""]
        against, mean, bounds, p = self.difference
        difference = f"{mean:+.{digits}f} {_brackets(bounds, f'+.{digits}f')}"
        shown = "< 0.001" if p <= 1 / DRAWS else f"{p:.3f}"
        return [self.label, own, by_seed, against, difference, shown, self.difference.verdict]


class Failure(NamedTuple):
    """A run that ended with an error; its seed is not in the row of its variant."""

    variant: str  # name
    seed: int
    error: str


class Comparison(NamedTuple):
    """The whole table, and what it describes."""

    task: str
    split: str
    metric: Metric
    seeds: list[int]
    scored: int  # held-out rows; windows of a stream
    rows: list[Row]
    failures: list[Failure]

    @property
    def unit(self) -> str:
        """Return what is scored: ``rows`` or ``windows``."""
        return "windows" if self.task == "generate" else "rows"

    def unexpected(self) -> list[Row]:
        """Return the mistakes that did not lose as they should have."""
        return [
            row for row in self.rows if row.variant.wrong and not (row.difference and row.difference.verdict == "worse")
        ]


def compared(
    metric: Metric, variants: Sequence[Variant], seeds: Sequence[int], results: Mapping[tuple[str, int], Result]
) -> list[Row]:
    """Score every variant with the seeds that it has results of, and compare it with the one it names in ``against``.

    Two variants are compared on the seeds that both have.
    """

    def statistics(key: str, seeds: tuple[int, ...]) -> np.ndarray:
        return np.stack([results[key, seed].statistics for seed in seeds])

    @functools.cache
    def draws(key: str, seeds: tuple[int, ...]) -> np.ndarray:
        return resampled(metric, statistics(key, seeds))

    names = {variant.key: variant.name for variant in variants}
    trained = {key: tuple(seed for seed in seeds if (key, seed) in results) for key in names}
    sign = 1 if metric.higher_is_better else -1
    rows = []
    for variant in variants:
        key, against, own = variant.key, variant.against, trained[variant.key]
        difference = None
        if against is not None:
            both = tuple(seed for seed in own if seed in trained[against])
            drawn = sign * (draws(key, both) - draws(against, both))
            means = [scores(metric, statistics(one, both)).mean() for one in (key, against)]
            difference = _Difference(
                names[against], float(sign * (means[0] - means[1])), interval(drawn), p_value(drawn)
            )
        rows.append(
            Row(
                variant,
                scores(metric, statistics(key, own)).tolist(),
                list(own),
                len(seeds) - len(own),
                interval(draws(key, own)),
                difference,
                float(np.mean([results[key, seed].seconds for seed in own])),
                results[key, own[0]].parameters,
            )
        )
    return rows


def _brackets(bounds: tuple[float, float], form: str) -> str:
    return f"[{bounds[0]:{form}}, {bounds[1]:{form}}]"
