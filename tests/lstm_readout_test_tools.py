"""Callbacks that break a run on purpose, named from a test's command line, and whether torchtext is here."""

import os
from typing import Any

import pytest
import torch
from lightning import Callback


def has_torchtext() -> bool:
    """Return whether torchtext loads; in its own lane it must."""
    try:
        import torchtext
    except (ImportError, OSError):
        assert os.environ.get("LSTM_READOUT_LANE") != "torchtext", "make test-torchtext installs torchtext"
        return False
    torchtext.disable_torchtext_deprecation_warning()
    return True


needs_torchtext = pytest.mark.skipif(not has_torchtext(), reason="needs torchtext: make test-torchtext")


class SendSignal(Callback):
    """Send this process a signal, once or several times, after a number of steps or in validation."""

    def __init__(self, step: int, number: int, times: int = 1, in_validation: bool = False) -> None:
        self.step, self.number, self.times, self.in_validation = step, number, times, in_validation

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step and not self.in_validation:
            self._send()

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if self.in_validation and trainer.state.fn == "fit":
            self._send()

    def _send(self) -> None:
        for _ in range(self.times):
            os.kill(os.getpid(), self.number)


class FailAfterEpoch(Callback):
    """Raise as the epoch after the given one starts."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch + 1:
            raise RuntimeError("on purpose")


class SpoilWeights(Callback):
    """Write a nan into a weight after a number of steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            with torch.no_grad():
                next(pl_module.model.parameters()).fill_(float("nan"))


class KeepGradients(Callback):
    """Write all clipped gradients of the last step to a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        gradients = [parameter.grad.flatten() for parameter in pl_module.parameters() if parameter.grad is not None]
        if gradients:
            torch.save(torch.cat(gradients), self.path)


class KeepLosses(Callback):
    """Write the loss and the number of labels of every step to a file."""

    def __init__(self, path: str) -> None:
        self.path, self.steps = path, []

    def on_train_batch_end(self, trainer, pl_module, outputs: Any, batch, batch_idx):
        self.steps.append((trainer.current_epoch, float(outputs["loss"]), len(batch.labels)))
        torch.save(self.steps, self.path)


class KeepWeights(Callback):
    """Write the model's own weights after every step to a file."""

    def __init__(self, path: str) -> None:
        self.path, self.steps = path, []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.steps.append(torch.cat([parameter.detach().flatten() for parameter in pl_module.model.parameters()]))
        torch.save(self.steps, self.path)
