"""Callbacks that report a run's progress: tokens per second, and one log line per epoch."""

from __future__ import annotations

import logging
import time
from typing import Any

from lightning import Callback, LightningModule, Trainer

log = logging.getLogger(__name__)


class Throughput(Callback):
    """Measure real tokens per second of training; validation does not count.

    Args:
        every: steps between two updates of ``train/tokens_per_second`` in the loggers and the progress bar.
    """

    def __init__(self, every: int = 50) -> None:
        self.every = every
        self.tokens = 0
        self.seconds = 0.0
        self._last = (0, 0.0)
        self._began = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the counts, so that a resumed run continues them."""
        return {"tokens": self.tokens, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the counts."""
        self.tokens, self.seconds = state_dict["tokens"], state_dict["seconds"]
        self._last = (self.tokens, self.seconds)

    @classmethod
    def of(cls, trainer: Trainer) -> Throughput | None:
        """Return the trainer's ``Throughput``, or None if it has none."""
        callbacks: list[Callback] = getattr(trainer, "callbacks", [])
        return next((callback for callback in callbacks if isinstance(callback, cls)), None)

    @property
    def tokens_per_second(self) -> float:
        """Return the mean over the run so far."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock while validating inside an epoch."""
        if trainer.training or trainer.validating or trainer.sanity_checking:
            self._lap()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock again."""
        self._began = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch's tokens."""
        self.tokens += batch.tokens
        if (batch_idx + 1) % self.every == 0:
            self._lap()
            tokens, seconds = self.tokens - self._last[0], self.seconds - self._last[1]
            self._last = (self.tokens, self.seconds)
            pl_module.log("train/tokens_per_second", tokens / max(seconds, 1e-9), batch_size=1)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._lap()

    def _lap(self) -> None:
        now = time.perf_counter()
        if self._began:
            self.seconds += now - self._began
        self._began = now


class EpochLine(Callback):
    """Log one line per epoch: loss, validation metrics and speed."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch's metrics."""
        metrics = trainer.callback_metrics
        shown = ["train/loss_epoch", *(name for name in metrics if name.startswith("val/"))]
        values = ", ".join(f"{name} {float(metrics[name]):.4g}" for name in shown if name in metrics)
        throughput = Throughput.of(trainer)
        speed = f", {throughput.tokens_per_second:,.0f} tokens/s" if throughput else ""
        log.info("epoch %d of %s: %s%s", trainer.current_epoch + 1, trainer.max_epochs, values, speed)
