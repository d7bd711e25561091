"""Averaging the weights of many steps: the average often predicts better than the last weights.

Lightning's ``WeightAveraging`` holds the averaged model, swaps it in for validation and writes it to checkpoints; this
file decides when and how it is updated, and does not use it before its first update.
"""

from __future__ import annotations

import functools
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging as LightningWeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from lstm_readout.errors import UserError


class WeightAveraging(LightningWeightAveraging):
    """Validate, save and test with averaged weights; training continues with its own.

    With ``decay``, an exponential moving average: after each step ``average = d * average + (1 - d) * weights``, where
    d is ``min(decay, (1 + n) / (10 + n))`` after n steps, so that it soon forgets the random initial weights (Polyak
    and Juditsky 1992; the warm-up is that of TensorFlow's ``ExponentialMovingAverage``). Without it, the plain mean of
    the weights at the end of each epoch, which is the average of those epochs' checkpoints (Izmailov et al. 2018,
    "Averaging Weights Leads to Wider Optima and Better Generalization").

    Args:
        decay: of the moving average; None: the plain mean over epochs.
        from_epoch: how many epochs to skip at the start.

    Raises:
        UserError: for values out of range.
    """

    def __init__(self, decay: float | None = 0.999, from_epoch: int = 0) -> None:
        if decay is not None and not 0 < decay < 1:
            raise UserError(f"callbacks.weight_averaging.decay: wanted more than 0 and less than 1, got {decay}.")
        if from_epoch < 0:
            raise UserError(f"callbacks.weight_averaging.from_epoch: wanted 0 or more, got {from_epoch}.")
        options: dict[str, Any] = {} if decay is None else {"multi_avg_fn": functools.partial(_move, decay)}
        super().__init__(use_buffers=False, **options)
        self.decay, self.from_epoch = decay, from_epoch

    @property
    def averaged(self) -> int:
        """Return the number of updates of the average."""
        return 0 if self._average_model is None else int(self._average_model.get_buffer("n_averaged"))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average, if due: before the epoch's validation, which Lightning's own update would miss."""
        stepped = trainer.global_step > self._latest_update_step
        due = trainer.current_epoch >= self.from_epoch and (self.decay is not None or trainer.is_last_batch)
        if stepped and due and self._average_model is not None:
            self._average_model.update_parameters(pl_module)
            self._latest_update_step = trainer.global_step

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do nothing: the average was updated with the epoch's last batch."""

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the average in place of the weights, and the weights beside it, once there is an average."""
        if self.averaged:
            super().on_save_checkpoint(trainer, pl_module, checkpoint)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restore both; a checkpoint without an average starts one."""
        if "averaging_state" in checkpoint:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Drop the average: a later validation measures the weights that the task has."""
        self._average_model = None

    def _swap_models(self, pl_module: LightningModule) -> None:
        if self.averaged:
            super()._swap_models(pl_module)

    def _copy_average_to_current(self, pl_module: LightningModule) -> None:
        if self.averaged:
            super()._copy_average_to_current(pl_module)


def _move(decay: float, averages: list[Tensor], weights: list[Tensor], number: Tensor | int) -> None:
    """Update an exponential moving average whose decay is smaller in the first steps."""
    get_ema_multi_avg_fn(min(decay, (1 + int(number)) / (10 + int(number))))(averages, weights, number)
