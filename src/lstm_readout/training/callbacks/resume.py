"""Callbacks that let a stopped run resume to the same weights: random state in checkpoints, and a graceful stop."""

from __future__ import annotations

import logging
import random
import signal
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer

log = logging.getLogger(__name__)


class RandomState(Callback):
    """Save the random state in every checkpoint: Lightning does not, and a resumed run would differ."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Store Python's, NumPy's and torch's state as plain values."""
        version, words, gauss = random.getstate()
        numpy = np.random.get_state(legacy=False)
        keys, position = numpy["state"]["key"].tolist(), int(numpy["state"]["pos"])
        state: dict[str, Any] = {
            "python": [version, list(words), gauss],
            "numpy": [numpy["bit_generator"], keys, position, int(numpy["has_gauss"]), float(numpy["gauss"])],
            "torch": torch.get_rng_state(),
        }
        if torch.cuda.is_available():
            state["cuda"] = torch.cuda.get_rng_state_all()
        checkpoint["random_state"] = state

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the state until training starts: building the loaders draws numbers."""
        self._loaded = checkpoint.get("random_state")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the state."""
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

    It saves just before the next batch: at the end of a batch Lightning's batch count is one behind.

    Args:
        folder: where ``last.ckpt`` goes.
    """

    def __init__(self, folder: str) -> None:
        self.path = Path(folder) / "last.ckpt"
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install handlers in place of Lightning's own, which end a SIGTERM with exit code 0."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._remember)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Save and stop after a signal."""
        if self.signal is not None:
            trainer.save_checkpoint(self.path)
            raise Stopped(self.signal, self.path)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore the previous handlers."""
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Restore the previous handlers."""
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        log.warning("stopping after this batch; send the signal again to stop at once")
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
