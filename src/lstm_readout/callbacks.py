"""What watches a run: speed, one line an epoch, the state of chance, and a stop that loses nothing."""

from __future__ import annotations

import logging
import random
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
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
        """Return the counts, so that a resumed run goes on counting."""
        return {"tokens": self.tokens, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the counts up."""
        self.tokens, self.seconds = state_dict["tokens"], state_dict["seconds"]
        self._last = (self.tokens, self.seconds)

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
    """Log one line an epoch: what was learned so far, and how fast."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the epoch's metrics."""
        metrics = trainer.callback_metrics
        shown = ["train/loss_epoch", *(name for name in metrics if name.startswith("val/"))]
        told = ", ".join(f"{name} {float(metrics[name]):.4g}" for name in shown if name in metrics)
        speed = next((c.tokens_per_second for c in _callbacks(trainer) if isinstance(c, Throughput)), 0.0)
        log.info(
            "epoch %d of %s: %s, %s tokens/s",
            trainer.current_epoch + 1,
            trainer.max_epochs,
            told,
            f"{speed:,.0f}",
        )


class RandomState(Callback):
    """Save the random number generators in every checkpoint: Lightning does not, and a resumed run would differ."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Store Python's, NumPy's and torch's state as plain values."""
        version, words, gauss = random.getstate()
        name, keys, position, has_gauss, cached = np.random.get_state()
        state: dict[str, Any] = {
            "python": [version, list(words), gauss],
            "numpy": [str(name), keys.tolist(), int(position), int(has_gauss), float(cached)],  # pyright: ignore
            "torch": torch.get_rng_state(),
        }
        if torch.cuda.is_available():
            state["cuda"] = torch.cuda.get_rng_state_all()
        checkpoint["random_state"] = state

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the state until training starts: building the loaders draws numbers."""
        self._loaded = checkpoint.get("random_state")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the state up."""
        if self._loaded is None:
            return
        version, words, gauss = self._loaded["python"]
        random.setstate((version, tuple(words), gauss))
        name, keys, position, has_gauss, cached = self._loaded["numpy"]
        np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
        torch.set_rng_state(self._loaded["torch"].cpu())
        if "cuda" in self._loaded and torch.cuda.is_available():
            torch.cuda.set_rng_state_all([state.cpu() for state in self._loaded["cuda"]])
        self._loaded = None


class GracefulStop(Callback):
    """On Ctrl-C or SIGTERM finish the batch, save ``last.ckpt``, and stop; a second signal stops at once.

    Saved as the next batch is about to start: at a batch's end Lightning's count of batches is one behind.

    Args:
        folder: where ``last.ckpt`` goes.
    """

    def __init__(self, folder: str) -> None:
        self.path = Path(folder) / "last.ckpt"
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen, in place of Lightning's own handlers, which end a SIGTERM with exit code 0."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._remember)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Save and stop, if asked to."""
        if self.signal is not None:
            trainer.save_checkpoint(self.path)
            raise Stopped(self.signal, self.path)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the signals back."""
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the signals back."""
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        log.warning("stopping after this batch; once more to stop at once")
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}


class Stopped(Exception):
    """The run was stopped by a signal and can be resumed from ``path``."""

    def __init__(self, number: int, path: Path) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number
        self.path = path


def _callbacks(trainer: Trainer) -> list[Callback]:
    return trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
