"""What ``python train.py`` would train: overrides go in, a configuration, its run or its encoded data come out."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict

from lstm_readout.config.build import build_data
from lstm_readout.config.values import plain_values
from lstm_readout.data.encoding import lengths_of
from lstm_readout.data.module import TextDataModule


def configuration(*overrides: str) -> dict[str, Any]:
    """Compose the data and the task that ``python train.py OVERRIDES`` would train."""
    with initialize_config_module("lstm_readout.configs", version_base="1.3"):
        config = compose("train", ["settings=fixed", *overrides])
    with open_dict(config):
        for part in ("trainer", "callbacks", "logger"):  # these name the run's folder; there is none here
            del config[part]
    return plain_values(config)


@contextlib.contextmanager
def run_configuration(folder: str, *overrides: str) -> Iterator[dict[str, Any]]:
    """Compose what ``python train.py OVERRIDES`` would run in a folder, with its trainer, callbacks and loggers."""
    with initialize_config_module("lstm_readout.configs", version_base="1.3"):
        config = compose("train", ["settings=fixed", *overrides], return_hydra_config=True)
    with open_dict(config):
        config.hydra.runtime.output_dir = folder
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    try:
        yield plain_values(config)
    finally:
        HydraConfig.instance().cfg = None


@functools.cache
def encoded_data(*overrides: str) -> TextDataModule:
    """Return the data of a configuration, encoded."""
    return build_data(configuration(*overrides))


def training_lengths(*overrides: str) -> np.ndarray:
    """Return the tokens of each training row in each text role: (rows, text roles)."""
    data = encoded_data(*overrides)
    return lengths_of(data.columns["train"], data.roles)
