"""The plain values of a configuration go in; its trainer comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning import Trainer

from lstm_readout.config.build import instantiate
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError
from lstm_readout.training.library_errors import told_as


def build_trainer(config: Mapping[str, Any], data: TextDataModule, *, progress_bar: bool) -> Trainer:
    """Return the Trainer of a training run, with its callbacks and loggers.

    Raises:
        UserError: Lightning refuses a setting, on its own or for this data.
    """
    _check_limits(config, data)
    callbacks, loggers = (
        {name: node for name, node in (config.get(group) or {}).items() if node is not None}
        for group in ("callbacks", "logger")
    )
    progress_bar = progress_bar and config["trainer"].get("enable_progress_bar") is not False
    if not progress_bar:
        callbacks.pop("progress_bar", None)
    if not loggers:
        callbacks.pop("learning_rate", None)  # it writes to the loggers
    if not _validates(config, data):  # no metric to choose by: the last is the best
        callbacks.pop("early_stopping", None)
        callbacks |= {"best": callbacks["best"] | {"monitor": None}} if "best" in callbacks else {}
    with told_as("callbacks, logger"):
        parts = [[instantiate(node) for node in nodes.values()] for nodes in (callbacks, loggers)]
    return bare_trainer(config, callbacks=parts[0], logger=parts[1] or False, enable_progress_bar=progress_bar)


def _check_limits(config: Mapping[str, Any], data: TextDataModule) -> None:
    """Refuse a share of a split that is less than one batch: Lightning would do so after the training."""
    for split, key in (("validation", "limit_val_batches"), ("test", "limit_test_batches")):
        share = config["trainer"].get(key)
        if split not in data.columns or type(share) is not float or not 0 < share < 1:
            continue
        batches = len(data.val_dataloader() if split == "validation" else data.test_dataloader())
        if int(share * batches) < 1:
            raise UserError(
                f"trainer.{key}={share}: less than one of {batches} batches. Try {1 / batches:.2g} or more."
            )


def _validates(config: Mapping[str, Any], data: TextDataModule) -> bool:
    return "validation" in data.columns and config["trainer"].get("limit_val_batches") != 0


def bare_trainer(config: Mapping[str, Any], **options: Any) -> Trainer:
    """Return the Trainer that ``trainer`` describes; ``options`` of Lightning's Trainer replace its own."""
    with told_as("trainer"):
        # The batches are already split by process
        return instantiate(config["trainer"], **options, use_distributed_sampler=False)
