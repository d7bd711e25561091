"""The plain values of a configuration go in; its trainer comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException

from lstm_readout.config.build import instantiate
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError


def build_trainer(config: Mapping[str, Any], data: TextDataModule, *, progress_bar: bool) -> Trainer:
    """Return the Trainer of a training run, with its callbacks and loggers."""
    callbacks = {name: node for name, node in config["callbacks"].items() if node is not None}
    if not progress_bar:
        callbacks.pop("progress_bar", None)
    if "validation" not in data.columns and "best" in callbacks:  # no metric to choose by: the last is the best
        callbacks.pop("early_stopping", None)
        callbacks["best"] = callbacks["best"] | {"monitor": None}
    return bare_trainer(
        config,
        callbacks=[instantiate(node) for node in callbacks.values()],
        logger=[instantiate(node) for node in config["logger"].values() if node is not None] or False,
        enable_progress_bar=progress_bar,
    )


def bare_trainer(config: Mapping[str, Any], **options: Any) -> Trainer:
    """Return the Trainer that ``trainer`` describes; ``options`` of Lightning's Trainer replace its own."""
    try:
        return instantiate(
            config["trainer"], **options, use_distributed_sampler=False
        )  # the batches are already split by process
    except UserError:
        raise
    except (MisconfigurationException, ValueError) as error:
        raise UserError(f"trainer: {error}") from error
