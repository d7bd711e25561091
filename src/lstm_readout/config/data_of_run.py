"""Changes to the data of a checkpoint's run go in, such as ``data.path=moved/``; the changed data comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lstm_readout.config.check import check_targets
from lstm_readout.config.values import plain_values
from lstm_readout.data.module import TextDataModule


def on_data_of_run(arguments: list[str]) -> list[str]:
    """Let Hydra accept ``data.key=value`` without ``data=corpus``: no config file has the run's data."""
    if any(argument.startswith("data=") for argument in arguments):
        return arguments
    return [f"+{argument}" if argument.startswith("data.") else argument for argument in arguments]


def only_changes(data: Mapping[str, Any] | None) -> bool:
    """Return whether a composed ``data`` is no corpus of its own, but changes to the run's."""
    return data is not None and "_target_" not in data


def with_changes(saved: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the run's data with some keys changed.

    Args:
        saved: ``data`` of the configuration in the checkpoint.
        changes: key -> value; a dict changes only the keys in it.

    Raises:
        UserError: a key or value is not valid.
    """
    target = f"{TextDataModule.__module__}.{TextDataModule.__name__}"
    check_targets(DictConfig({"data": {**changes, "_target_": target}}))  # not the saved ones: they may name any class
    return plain_values(DictConfig(OmegaConf.merge(dict(saved), dict(changes))), resolve=False)
