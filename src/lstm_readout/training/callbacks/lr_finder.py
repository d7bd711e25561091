"""A task in training goes in; its loss over a rising learning rate and a suggestion come out: the range test (Smith
2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3).

Not Lightning's own: it validates meanwhile, sets all groups of parameters to one rate, and looks for the steepest fall
over the rate itself, not its logarithm, which is nearly always at the smallest rates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from lightning import Callback, LightningModule, Trainer

from lstm_readout.errors import UserError

STEPS = 100
LOWEST, HIGHEST = 1e-6, 100.0
MEMORY = 0.9  # of the running mean of the loss
DIVERGED = 4.0  # times the least loss
SKIPPED = 10  # the first steps, whose loss hardly changes


class Found(NamedTuple):
    """What the test saw."""

    lr: list[float]  # of each step
    loss: list[float]  # before it, in nats
    smoothed: list[float]
    suggestion: float  # where the smoothed loss falls steepest over the logarithm of the learning rate
    lowest: float  # where it is least


class LearningRateFinder(Callback):
    """Raise the learning rate by a constant factor with every step, and write down the loss; stop once it diverges.

    Groups of parameters keep their ratio to ``optimizer.lr``.
    """

    def __init__(self) -> None:
        self.lr: list[float] = []
        self.loss: list[list[float]] = []  # of each step, one a batch
        self.smoothed: list[float] = []
        self._scales: list[float] = []
        self._mean = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """See how the groups' rates stand to each other."""
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
        """Write the loss down, and stop where it is none any more."""
        self.loss[-1].append(float(outputs["loss"]) * trainer.accumulate_grad_batches)  # which Lightning divides by
        if len(self.lr) > trainer.global_step:
            return  # the step has more batches
        self._mean = MEMORY * self._mean + (1 - MEMORY) * float(np.mean(self.loss[-1]))
        self.smoothed.append(self._mean / (1 - MEMORY ** len(self.lr)))
        if not self.smoothed[-1] <= DIVERGED * min(self.smoothed):  # also of nan
            trainer.should_stop = True

    def found(self) -> Found:
        """Return what was seen.

        Raises:
            UserError: too few steps had a loss.
        """
        loss = [float(np.mean(batches)) for batches in self.loss if batches][: len(self.smoothed)]
        return read_curve(self.lr[: len(loss)], loss, self.smoothed)


def read_curve(lr: Sequence[float], loss: Sequence[float], smoothed: Sequence[float]) -> Found:
    """Return what to learn from the loss over the learning rate.

    Raises:
        UserError: fewer than ``SKIPPED + 3`` steps had a finite loss.
    """
    number = next((i for i, value in enumerate(smoothed) if not math.isfinite(value)), len(smoothed))
    if number < SKIPPED + 3:
        raise UserError(
            f"find_lr: the loss was finite in {number} steps only, too few to read anything from. Look for what is "
            "wrong with the data or the model: debug=one_batch, doctor=default."
        )
    values = np.asarray(smoothed[:number])
    lowest = max(int(values.argmin()), SKIPPED + 2)
    slopes = np.gradient(values, np.log(lr[:number]))[SKIPPED : lowest + 1]
    suggestion = lr[SKIPPED + int(slopes.argmin())]
    return Found(list(lr[:number]), list(loss[:number]), values.tolist(), suggestion, lr[lowest])
