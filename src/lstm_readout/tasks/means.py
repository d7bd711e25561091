"""Mean losses of batches go in, the mean over all of their predictions comes out."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

Stage = Literal["train", "val", "test"]


class RunningMean:
    """A mean accumulated on the device of the losses, so that no step waits for it."""

    def __init__(self) -> None:
        self.total, self.number = torch.zeros(()), 0

    def add(self, mean: Tensor, number: int) -> None:
        """Add the mean of ``number`` more values."""
        self.total = self.total.add_(mean.detach(), alpha=number) if self.number else mean.detach() * number
        self.number += number

    def take(self) -> tuple[Tensor, int]:
        """Return the mean and the number of values it covers, and reset."""
        mean_and_number = self.total / self.number, self.number
        self.number = 0
        return mean_and_number


class SplitMeans(nn.Module):
    """The mean loss of validation and of test, each over all batches of all processes."""

    def __init__(self) -> None:
        super().__init__()
        # A nan stays nan: torchmetrics would leave it out of the mean
        self.val, self.test = MeanMetric(nan_strategy=math.nan), MeanMetric(nan_strategy=math.nan)

    def add(self, stage: Stage, loss: Tensor, number: int) -> None:
        """Add the mean loss of ``number`` predictions."""
        self._of(stage).update(loss, weight=number)

    def take(self, stage: Stage) -> float:
        """Return the mean over all predictions, and reset."""
        mean = float(self._of(stage).compute())
        self._of(stage).reset()
        return mean

    def _of(self, stage: Stage) -> MeanMetric:
        return self.val if stage == "val" else self.test
