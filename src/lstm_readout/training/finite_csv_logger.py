"""Logged metrics go in, ``metrics.csv`` comes out, with an empty cell where a metric is undefined."""

from __future__ import annotations

import math
from collections.abc import Mapping

from lightning.pytorch.loggers import CSVLogger
from torch import Tensor


class FiniteCSVLogger(CSVLogger):
    """Lightning's ``CSVLogger`` without ``nan`` and ``inf``, which few readers of csv files know."""

    def log_metrics(self, metrics: Mapping[str, Tensor | float], step: int | None = None) -> None:
        """Log the finite values."""
        super().log_metrics({name: value for name, value in metrics.items() if math.isfinite(float(value))}, step)
