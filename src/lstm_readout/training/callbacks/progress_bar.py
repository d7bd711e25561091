"""The progress bar of a run, drawn a few times per second.

Lightning's own collects its metrics after every batch and draws in a second thread, which costs as much as a training
step of a small model.
"""

from __future__ import annotations

import math
import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch import callbacks
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_STAGES = {"train": "epoch {} of {}", "val": "validation", "test": "test"}


class ProgressBar(callbacks.ProgressBar):
    """Show epoch, batches, time, loss and whatever is logged with ``prog_bar=True``.

    Args:
        seconds: time between two updates.
    """

    def __init__(self, seconds: float = 0.3) -> None:
        super().__init__()
        self.seconds = seconds
        self.enabled = True
        self._progress: Progress | None = None
        self._tasks: dict[str, Any] = {}  # stage -> rich's id of its line
        self._drawn = 0.0
        self._metrics = ""  # of the training, when last drawn

    def disable(self) -> None:
        """Stop drawing: Lightning calls it in every process but one."""
        self.enabled = False

    def enable(self) -> None:
        """Draw again."""
        self.enabled = True

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the line of an epoch."""
        self._begin("train", self.total_train_batches, trainer.current_epoch + 1, trainer.max_epochs)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw, if it is time: only then is the loss copied from the device."""
        if self._is_time() or trainer.is_last_batch:
            metrics = self.get_metrics(trainer, pl_module)
            metrics.pop("v_num", None)
            loss = {"loss": float(outputs["loss"])} if outputs else {}
            self._metrics = "  ".join(f"{name} {_number(value)}" for name, value in (loss | metrics).items())
            self._draw("train", batch_idx + 1)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Begin a line below that of the epoch."""
        if batch_idx == 0:
            self.has_dataloader_changed(dataloader_idx)
            self._begin("val", self.total_val_batches_current_dataloader)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw, if it is time."""
        if self._is_time():
            self._draw("val", batch_idx + 1)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove the line."""
        self._end("val")

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Begin the line."""
        if batch_idx == 0:
            self.has_dataloader_changed(dataloader_idx)
            self._begin("test", self.total_test_batches_current_dataloader)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw, if it is time."""
        if self._is_time():
            self._draw("test", batch_idx + 1)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove the line."""
        self._end("test")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the last state on the screen."""
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Release the terminal before the error is printed."""
        self._stop()

    def _begin(self, stage: str, total: float, *of: Any) -> None:
        if not self.enabled:
            return
        if self._progress is None:
            times, metrics = (TimeElapsedColumn(), TimeRemainingColumn()), TextColumn("{task.fields[metrics]}")
            columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), *times, metrics)
            self._progress = Progress(*columns, auto_refresh=False)  # no second thread
            self._progress.start()
        self._end(stage)
        total_or_none = None if math.isinf(total) else total  # a streamed corpus has no length
        self._tasks[stage] = self._progress.add_task(_STAGES[stage].format(*of), total=total_or_none, metrics="")
        self._draw(stage, 0)

    def _draw(self, stage: str, completed: int) -> None:
        if self._progress is not None and stage in self._tasks:
            metrics = self._metrics if stage == "train" else ""
            self._progress.update(self._tasks[stage], completed=completed, metrics=metrics, refresh=True)
            self._drawn = time.monotonic()

    def _is_time(self) -> bool:
        return self.enabled and time.monotonic() - self._drawn >= self.seconds

    def _end(self, stage: str) -> None:
        if self._progress is not None and stage in self._tasks:
            self._progress.remove_task(self._tasks.pop(stage))

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress, self._tasks = None, {}


def _number(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
