"""Comparisons in alternation: the sides' work goes in, the ratio of their speeds comes out, as a row of the benchmark.

A machine that is busy with something else slows whichever side is running. So the sides take turns in short slices, and
what counts is the ratio within each round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

Side = Callable[[], int]  # does one piece of work (a training step), and returns how many units (tokens) it was
Run = Callable[[float], float]  # runs a slice of this many seconds, and returns units per second
Speeds = Mapping[str, Sequence[float]]  # side -> units per second in each round

SLICE, BUDGET = 0.5, 60.0  # seconds
LEAST, MOST = 5, 15  # rounds
BATCHES = 16  # that a side draws before it is timed


class Result(NamedTuple):
    """The median of what was measured, half its interquartile range as a share of it, and further values."""

    ratio: float
    spread: float
    more: dict[str, Any] = {}  # noqa: RUF012

    @classmethod
    def of(cls, values: Sequence[float], **more: Any) -> Result:
        """Summarise repeated measurements."""
        low, median, high = map(float, np.quantile(values, (0.25, 0.5, 0.75)))
        return cls(median, (high - low) / 2 / median if median else 0.0, more)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a row is called, what it should be, and how it is measured."""

    id: str
    measure: Callable[[], Result] = field(repr=False)
    wanted: str  # "at least 4"
    unit: str
    corpora: tuple[str, ...] = ()  # named corpora that need a local copy


def run_slice(side: Side, seconds: float) -> float:
    """Repeat a side's work for this many seconds, at least once; return its units per second."""
    units, began = 0, time.perf_counter()
    while True:
        units += side()
        taken = time.perf_counter() - began
        if taken >= seconds:
            return units / taken


def alternate(
    runs: Mapping[str, Run], *, seconds: float = SLICE, budget: float = BUDGET, least: int = LEAST, most: int = MOST
) -> dict[str, list[float]]:
    """Let all sides run slices in turn.

    Args:
        runs: side -> what runs a slice of it.
        seconds: of a slice; a side's piece of work is never cut, so a slice may take longer.
        budget: seconds after which no further round begins.
        least, most: rounds; ``least`` whatever the budget.

    Returns:
        Side -> units per second in each round.
    """
    for run in runs.values():  # warm up: one piece of work each
        run(0.0)
    speeds: dict[str, list[float]] = {name: [] for name in runs}
    began = time.perf_counter()
    for number in range(most):
        if number >= least and time.perf_counter() - began > budget:
            break
        names = list(runs)[:: -1 if number % 2 else 1]  # no side always goes first
        for name in names:
            speeds[name].append(runs[name](seconds))
    return speeds


def ratio(speeds: Speeds, ours: str, peer: str, **more: Any) -> Result:
    """Return how many times faster ``ours`` was than ``peer``: the median over rounds.

    ``fastest`` is the ratio of the fastest slice of each: what interrupts a slice can only slow it.
    """
    found = Result.of([a / b for a, b in zip(speeds[ours], speeds[peer], strict=True)])
    measured = {
        "fastest": max(speeds[ours]) / max(speeds[peer]),
        "rounds": len(speeds[ours]),
        "units_per_second": {name: float(np.median(speeds[name])) for name in (ours, peer)},
    }
    return found._replace(more={**measured, **more})
