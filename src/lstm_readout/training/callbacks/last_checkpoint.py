"""A training run goes in, its newest state as ``last.ckpt`` comes out; and the state goes in again, at the same batch.

Lightning counts a batch or an epoch as completed only after the hooks at its end, and guesses from its counters where a
run was interrupted. Here the position of the data module decides, and the counters are set to what they are there.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping

from lstm_readout.training.checkpoint_files import LAST

_STEPS = ("ready", "started", "processed", "completed")  # of one of Lightning's counters, in order


def save_last(trainer: Trainer, folder: Path) -> None:
    """Save the state of a run; within an epoch only where ``between_steps`` is true."""
    if not getattr(trainer, "fast_dev_run", False):  # Lightning sets it late
        trainer.save_checkpoint(folder / LAST, weights_only=False)


def between_steps(trainer: Trainer, batch_idx: int) -> bool:
    """Return whether no gradient is accumulated before this batch: a checkpoint holds none."""
    return batch_idx % trainer.accumulate_grad_batches == 0


class LastCheckpoint(Checkpoint):
    """Save ``last.ckpt`` after the first step, after every epoch, and after some minutes within one.

    Args:
        folder: where it goes, beside ``previous.ckpt``.
        every_minutes: the longest time between two checkpoints.
        every_n_train_steps: also save after this many optimizer steps; 0: no.
    """

    def __init__(self, folder: str, every_minutes: float = 10.0, every_n_train_steps: int = 0) -> None:
        self.folder = Path(folder)
        self.every_seconds, self.every_n_train_steps = 60 * every_minutes, every_n_train_steps
        self._saved_at = -float("inf")
        self._resumed: tuple[int, int] | None = None  # epoch, batches

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Set Lightning's counters to the position of the data module."""
        position = checkpoint.get("TextDataModule")
        if position and "loops" in checkpoint:
            self._resumed = position["epoch"], position["batches"]
            _set_counters(checkpoint["loops"]["fit_loop"], *self._resumed)
        self._saved_at = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start where the run was; a run that early stopping has ended stays ended."""
        if self._resumed is not None:
            _restart(trainer, at_start_of_epoch=self._resumed[1] == 0)
            self._resumed = None
        stops = (callback for callback in trainer.early_stopping_callbacks if callback.stopped_epoch)
        trainer.should_stop |= any(_is_exhausted(callback) for callback in stops)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Save if it is time to: before a batch, because after it Lightning's count is one behind."""
        if between_steps(trainer, batch_idx) and self._is_due(trainer):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after validation and after every other callback."""
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        save_last(trainer, self.folder)
        self._saved_at = time.monotonic()

    def _is_due(self, trainer: Trainer) -> bool:
        every, step = self.every_n_train_steps, trainer.global_step
        late = time.monotonic() - self._saved_at >= self.every_seconds
        if trainer.world_size > 1:  # their clocks differ
            late = trainer.strategy.broadcast(late)
        return step > 0 and (late or bool(every and step % every == 0))  # what fails at once leaves no checkpoint


def _is_exhausted(callback: EarlyStopping) -> bool:
    return callback.wait_count >= callback.patience


def _set_counters(loop: dict[str, Any], epoch: int, batches: int) -> None:
    """Make the saved state of a fit loop that of a run before a batch of an epoch."""
    begun = epoch + 1 if batches else epoch  # an epoch begins anew unless a batch of it is done
    for which in ("total", "current"):
        loop["epoch_progress"][which].update(dict(zip(_STEPS, (begun, begun, epoch, epoch), strict=True)))
    batch = loop["epoch_loop.batch_progress"]
    batch["is_last_batch"] = False
    batch["current"].update(dict.fromkeys(_STEPS, batches))
    # One more is ready than started: as Lightning sees it, the run was interrupted before a batch
    done = max(batch["total"][name] for name in ("processed", "completed"))
    batch["total"].update(dict.fromkeys(_STEPS, done) | {"ready": done + 1})


def _restart(trainer: Trainer, *, at_start_of_epoch: bool) -> None:
    """Correct what Lightning adds to its counters because it restarts."""
    fit_loop = trainer.fit_loop
    epoch_loop = fit_loop.epoch_loop
    epoch_loop.batch_progress.total.reset_on_restart()
    if at_start_of_epoch:
        fit_loop._restarting = epoch_loop.restarting = False
    else:
        epoch_loop._batches_that_stepped -= 1
