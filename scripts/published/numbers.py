"""Scores of several seeds go in; their mean, spread and interval come out, and how a page writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

DIGITS = {"accuracy": 3, "macro_f1": 3, "bleu": 1, "chrf": 1, "loss": 3, "perplexity": 2}
OTHER_DIGITS = 3  # bits per something


class Scores(NamedTuple):
    """A metric over seeds."""

    name: str  # test/accuracy
    values: list[float]

    @property
    def mean(self) -> float:
        """Return the mean over seeds."""
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float | None:
        """Return the standard deviation over seeds; None of a single one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    @property
    def digits(self) -> int:
        """Return how many digits a page shows behind the point."""
        return digits_of(self.name)

    def __str__(self) -> str:
        spread = "" if self.deviation is None else f" ± {self.deviation:.{self.digits}f}"
        return f"{self.mean:.{self.digits}f}{spread}"


def digits_of(metric: str) -> int:
    """Return how many digits behind the point a metric is shown with."""
    return next((number for name, number in DIGITS.items() if metric.endswith(name)), OTHER_DIGITS)


def t_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean by Student's t; None of a single value."""
    if len(values) < 2:
        return None
    half = student_quantile(len(values) - 1) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    mean = float(np.mean(values))
    return mean - half, mean + half


def student_quantile(freedom: int) -> float:
    """Return t with P(-t < T < t) = 0.95 for Student's distribution.

    With T = sqrt(freedom) tan(angle) the density becomes cos(angle) ** (freedom - 1), which is summed up on a grid.
    """
    angle = np.linspace(0.0, np.pi / 2, 200_001)
    density = np.cos(angle) ** (freedom - 1)
    area = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return float(np.sqrt(freedom) * np.tan(np.interp(0.95, area / area[-1], angle)))


def minutes(seconds: float) -> str:
    """Write a time: ``64 seconds``, ``7.8 minutes``, ``14 minutes``."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.1f} minutes" if seconds < 600 else f"{seconds / 60:.0f} minutes"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
