"""A recipe and some seconds go in; out comes the score on validation that a run of that length reaches.

The run is that of ``python train.py``: Lightning's Trainer, the recipe's precision, its schedule and its averaged
weights. The schedule needs its number of steps, so a few are timed first; ``trainer.max_time`` ends a run that is
slower than that. Validation happens once, at the end.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from functools import partial
from itertools import cycle, islice
from typing import Any

from benchmarks.composed import run_configuration
from lightning import Callback, LightningModule, Trainer, seed_everything

from gpu_checks.device import Device, HostWaits, whole_seconds
from gpu_checks.setting import Setting
from gpu_checks.steps import Side, train_loss
from lstm_readout.config.build import build_data, build_task
from lstm_readout.config.build_trainer import bare_trainer, build_trainer
from lstm_readout.data.batches import moved
from lstm_readout.data.module import TextDataModule
from lstm_readout.tasks.base import Task
from lstm_readout.training.trainer import has_bfloat16, quiet_lightning

_ONLY_TRAIN = (  # no files, and validation at the end
    *(f"callbacks.{name}=null" for name in ("best", "last", "graceful_stop", "model_summary", "learning_rate")),
    *(f"logger.{name}=null" for name in ("csv", "tensorboard")),
    "trainer.limit_val_batches=0",
    "trainer.max_epochs=-1",
)
_PLANNED = 0.8  # share of the seconds that the planned steps would take alone: the Trainer needs the rest


class CountWaits(Callback):
    """Count the host's waits in some whole cycles of the Trainer, from batch to batch.

    Args:
        device: where.
        skipped: steps before.
        watched: steps in which waits are counted.
    """

    def __init__(self, device: Device, skipped: int, watched: int) -> None:
        self.skipped, self.watched = skipped, watched
        self.found: dict[str, Any] | None = None  # None: the run was too short
        self._device, self._counting = device, contextlib.ExitStack()
        self._waits = HostWaits(device)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Begin or end counting."""
        if trainer.global_step == self.skipped:
            self._counting.enter_context(self._waits)
        elif trainer.global_step == self.skipped + self.watched:
            self._counting.close()
            self.found = self._waits.per(self.watched)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop counting in a run that was too short."""
        self._counting.close()


def first_minutes(recipe: str, setting: Setting, seconds: float) -> dict[str, Any]:
    """Train a recipe for some seconds and return its score on validation, as plain values."""
    words = [*setting.overrides(recipe), *_ONLY_TRAIN, f"trainer.max_time={{seconds: {math.ceil(seconds)}}}"]
    with tempfile.TemporaryDirectory() as folder, run_configuration(folder, *words) as config:
        quiet_lightning()
        data = build_data(config)
        planned = max(1, int(_PLANNED * seconds / seconds_per_step(config, data, setting)))
        planned = min(planned, setting.most_steps)
        config["trainer"] |= {"max_steps": planned, "enable_checkpointing": False}
        seed_everything(config["seed"], workers=True, verbose=False)
        task, watched = build_task(config, data), CountWaits(setting.device, setting.untimed, setting.timed)
        trainer = build_trainer(config, data, progress_bar=False)
        trainer.callbacks.append(watched)  # pyright: ignore[reportAttributeAccessIssue]  # Lightning sets it late
        with whole_seconds(setting.device) as taken:
            trainer.fit(task, datamodule=data)
        score = final_score(config, task, data)
    return {
        "training_seconds": taken[0],
        "steps": trainer.global_step,
        "planned_steps": planned,
        "epochs": trainer.global_step / len(data.train_dataloader()),
        "precision": str(trainer.precision),
        "metric": task.monitor,
        "score": score,
        "host_waits": watched.found,
    }


def seconds_per_step(config: dict[str, Any], data: TextDataModule, setting: Setting) -> float:
    """Return the seconds of a step of a model that is then thrown away: loading, moving and learning from a batch."""
    task = build_task(config, data).to(setting.device.device)
    precision = "bf16" if has_bfloat16(setting.device.device.type) else "float32"
    side = Side(setting.device, precision, task, partial(train_loss, task), [], task.optimizer)
    batches = cycle(data.train_dataloader())

    def learn(number: int) -> float:
        with whole_seconds(setting.device) as taken:
            for batch in islice(batches, number):
                side.step(moved(batch, setting.device.device))
        return taken[0]

    learn(setting.untimed)
    return learn(setting.timed) / setting.timed


def final_score(config: dict[str, Any], task: Task, data: TextDataModule) -> float:
    """Return the monitored metric on the whole validation split; ``fit`` has left the averaged weights in the task."""
    trainer = bare_trainer(
        {"trainer": config["trainer"] | {"limit_val_batches": None}}, logger=False, enable_progress_bar=False
    )
    (metrics,) = trainer.validate(task, datamodule=data, verbose=False)
    return metrics[task.monitor]
