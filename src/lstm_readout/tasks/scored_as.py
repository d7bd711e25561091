"""A trainer goes in, what its scores depend on besides the task's own settings comes out: a checkpoint saves it."""

from __future__ import annotations

from typing import Any

import torch
from lightning import Trainer

from lstm_readout.data.module import data_of


def scored_as(trainer: Trainer) -> dict[str, Any]:
    """Return plain values for the configuration in a checkpoint.

    Returns:
        ``trainer``: its precision (never ``auto``) and how much of each split it measures; ``machine``: on what, which
        decides the last digits of sums; ``rows``: the hash of each held-out split.
    """
    data = data_of(trainer)
    limits = {"limit_val_batches": trainer.limit_val_batches, "limit_test_batches": trainer.limit_test_batches}
    return {
        "trainer": {"precision": str(trainer.precision), **limits},
        "machine": machine_of(trainer),
        "rows": {} if data is None else data.held_out_hashes,
    }


def machine_of(trainer: Trainer) -> dict[str, Any]:
    """Return the kind of device, the number of processes and the threads of each."""
    device = trainer.strategy.root_device.type
    return {"device": device, "processes": trainer.world_size, "threads": torch.get_num_threads()}
