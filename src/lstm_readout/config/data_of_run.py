"""Changes to the data of a checkpoint's run go in, such as ``data.path=moved/``; the changed data comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lstm_readout.config.check import check_targets, check_values
from lstm_readout.config.values import flatten, plain_values
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError

_TARGET = f"{TextDataModule.__module__}.{TextDataModule.__name__}"


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
    check_targets(DictConfig({"data": {**changes, "_target_": _TARGET}}))  # not the saved ones: they may name any class
    return plain_values(DictConfig(OmegaConf.merge(dict(saved), dict(changes))), resolve=False)


def data_of_checkpoint(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the run's ``TextDataModule``, whose class is chosen here.

    Args:
        config: of a checkpoint.

    Raises:
        UserError: there are none, one is not valid, or one names code.
    """
    saved = {key: value for key, value in (config.get("data") or {}).items() if key != "_target_"}
    code = next((key for key, _ in flatten(saved) if key.endswith("_target_")), None)
    try:
        if not saved or code is not None:
            raise UserError(
                f"data.{code}: it names code, which is not run" if saved else "data: it does not say which."
            )
        check_values({**saved, "_target_": _TARGET}, "data")
    except UserError as error:
        raise UserError(f"checkpoint: its data cannot be read: {error} Name other data: data=...") from error
    return saved
