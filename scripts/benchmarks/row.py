"""One line of the benchmark: how it is measured goes in, a median and its spread come out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, open_dict


class Result(NamedTuple):
    """The median of what was measured, half the distance from least to most as a share of it, and what else to tell."""

    ratio: float
    spread: float
    more: dict[str, Any] = {}  # noqa: RUF012

    @classmethod
    def of(cls, values: Sequence[float], **more: Any) -> Result:
        """Sum up repeated measurements."""
        median = float(np.median(values))
        return cls(median, float(np.ptp(values)) / 2 / median if median else 0.0, more)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a row is called, what it should be, and how it is measured."""

    id: str
    measure: Callable[[], Result] = field(repr=False)
    wanted: str  # "at least 4"
    unit: str
    corpus: bool = False  # needs a local copy of a named corpus


def configuration(*overrides: str) -> DictConfig:
    """Compose the data and the task that ``python train.py OVERRIDES`` would train."""
    with initialize_config_module("lstm_readout.configs", version_base="1.3"):
        config = compose("train", list(overrides))
    with open_dict(config):
        for part in ("trainer", "callbacks", "logger"):  # these name the run's folder, which there is none of
            del config[part]
    return config
