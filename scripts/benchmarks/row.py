"""One line of the benchmark: how it is measured goes in, a median and its spread come out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


class Result(NamedTuple):
    """The median of what was measured, half the distance between its quartiles as a share, and what else to tell."""

    ratio: float
    spread: float
    more: dict[str, Any] = {}  # noqa: RUF012

    @classmethod
    def of(cls, values: Sequence[float], **more: Any) -> Result:
        """Sum up repeated measurements."""
        low, median, high = map(float, np.quantile(values, (0.25, 0.5, 0.75)))
        return cls(median, (high - low) / 2 / median if median else 0.0, more)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a row is called, what it should be, and how it is measured."""

    id: str
    measure: Callable[[], Result] = field(repr=False)
    wanted: str  # "at least 4"
    unit: str
    corpora: tuple[str, ...] = ()  # named corpora of which it needs a local copy
