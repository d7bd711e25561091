"""A task and a trainer go in; the loss over a rising learning rate and a suggestion come out: the range test (Smith
2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3).

Not Lightning's own, which validates during the test, sets all parameter groups to one rate, and looks for the steepest
fall over the rate itself, not its logarithm: that is nearly always at the smallest rates.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from lightning import Callback, LightningDataModule, LightningModule, Trainer

from lstm_readout.errors import UserError

log = logging.getLogger(__name__)

STEPS = 100
LOWEST, HIGHEST = 1e-6, 100.0
SKIPPED = 10  # the first steps, whose loss hardly changes
_MEMORY = 0.9  # of the running mean of the loss
_DIVERGED = 4.0  # times the least loss
_TRAINER_OPTIONS: dict[str, Any] = {
    **{"devices": 1, "strategy": "auto", "max_epochs": -1, "max_steps": STEPS, "max_time": None},
    **{"fast_dev_run": False, "limit_val_batches": 0, "num_sanity_val_steps": 0, "log_every_n_steps": STEPS},
    **{"logger": False, "enable_checkpointing": False, "enable_model_summary": False, "enable_progress_bar": False},
}


class LossCurve(NamedTuple):
    """The loss over the learning rate."""

    lr: list[float]  # of each step
    loss: list[float]  # before it, in nats
    smoothed: list[float]
    suggestion: float  # where the smoothed loss falls steepest over the logarithm of the learning rate
    lowest: float  # where it is least


def range_test(trainer: Callable[..., Trainer], task: LightningModule, data: LightningDataModule) -> LossCurve:
    """Train for at most ``STEPS`` steps, each with a larger learning rate; nothing is saved.

    Args:
        trainer: options of Lightning's Trainer -> the Trainer of the run with these options.
        task: what is trained; it has no schedule.
        data: what it is trained on.

    Raises:
        UserError: too few steps had a finite loss.
    """
    warnings.filterwarnings("ignore", ".*(`val_dataloader`|validation loop).*")  # there is none here
    log.info("find_lr: up to %d steps, each with a larger learning rate", STEPS)
    finder = _LearningRateFinder()
    trainer(callbacks=[finder], **_TRAINER_OPTIONS).fit(task, datamodule=data)
    return finder.curve()


class _LearningRateFinder(Callback):
    """Raise the learning rate by a constant factor with every step and record the loss; stop once it diverges.

    Parameter groups keep their ratio to ``optimizer.lr``.
    """

    def __init__(self) -> None:
        self.lr: list[float] = []
        self.loss: list[list[float]] = []  # of each step, one per batch
        self.smoothed: list[float] = []
        self._scales: list[float] = []
        self._mean = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the ratios of the groups' rates."""
        (optimizer,) = trainer.optimizers
        self._scales = [group["lr"] / optimizer.defaults["lr"] for group in optimizer.param_groups]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Set the rate of the step that this batch belongs to."""
        if len(self.lr) == trainer.global_step:
            self.lr.append(LOWEST * (HIGHEST / LOWEST) ** (trainer.global_step / (STEPS - 1)))
            self.loss.append([])
        for group, scale in zip(trainer.optimizers[0].param_groups, self._scales, strict=True):
            group["lr"] = self.lr[-1] * scale

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record the loss, and stop where it diverges."""
        self.loss[-1].append(float(outputs["loss"]) * trainer.accumulate_grad_batches)  # which Lightning divides by
        if len(self.lr) > trainer.global_step:
            return  # the step has more batches
        self._mean = _MEMORY * self._mean + (1 - _MEMORY) * float(np.mean(self.loss[-1]))
        self.smoothed.append(self._mean / (1 - _MEMORY ** len(self.lr)))
        if not self.smoothed[-1] <= _DIVERGED * min(self.smoothed):  # also of nan
            trainer.should_stop = True

    def curve(self) -> LossCurve:
        """Return what was recorded.

        Raises:
            UserError: too few steps had a finite loss.
        """
        loss = [float(np.mean(batches)) for batches in self.loss if batches][: len(self.smoothed)]
        return read_curve(self.lr[: len(loss)], loss, self.smoothed)


def read_curve(lr: Sequence[float], loss: Sequence[float], smoothed: Sequence[float]) -> LossCurve:
    """Return the finite part of the loss over the learning rate, and what it suggests.

    Raises:
        UserError: fewer than ``SKIPPED + 3`` steps had a finite loss.
    """
    number = next((i for i, value in enumerate(smoothed) if not math.isfinite(value)), len(smoothed))
    if number < SKIPPED + 3:
        raise UserError(
            f"find_lr: the loss was finite in only {number} steps, too few to suggest a rate. Look for a mistake in "
            "the data or the model: debug=one_batch, doctor=default."
        )
    values = np.asarray(smoothed[:number])
    lowest = max(int(values.argmin()), SKIPPED + 2)
    slopes = np.gradient(values, np.log(lr[:number]))[SKIPPED : lowest + 1]
    suggestion = lr[SKIPPED + int(slopes.argmin())]
    return LossCurve(list(lr[:number]), list(loss[:number]), values.tolist(), suggestion, lr[lowest])
