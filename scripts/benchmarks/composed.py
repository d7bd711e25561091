"""What ``python train.py`` would train: overrides go in, a configuration or its encoded data come out."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from hydra import compose, initialize_config_module
from omegaconf import open_dict

from lstm_readout.config.build import build_data
from lstm_readout.config.values import plain_values
from lstm_readout.data.encoding import lengths_of
from lstm_readout.data.module import TextDataModule


def configuration(*overrides: str) -> dict[str, Any]:
    """Compose the data and the task that ``python train.py OVERRIDES`` would train."""
    with initialize_config_module("lstm_readout.configs", version_base="1.3"):
        config = compose("train", list(overrides))
    with open_dict(config):
        for part in ("trainer", "callbacks", "logger"):  # these name the run's folder; there is none here
            del config[part]
    return plain_values(config)


@functools.cache
def encoded_data(*overrides: str) -> TextDataModule:
    """Return the data of a configuration, encoded."""
    return build_data(configuration(*overrides))


def training_lengths(*overrides: str) -> np.ndarray:
    """Return the tokens of each training row in each text role: (rows, text roles)."""
    data = encoded_data(*overrides)
    return lengths_of(data.columns["train"], data.roles)
