"""A configuration goes in; a run with its folder, log, seed and the checkpoint it resumes comes out."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning import seed_everything

from lstm_readout.commands.measure import effort_of
from lstm_readout.config.build import task_class_of
from lstm_readout.errors import UserError
from lstm_readout.models.checkpoint import Checkpoint, read_checkpoint
from lstm_readout.training.allocator import keep_freed_memory
from lstm_readout.training.trainer import quiet_lightning


class TrainingRun(NamedTuple):
    """What every step of a run needs to know."""

    config: dict[str, Any]
    folder: Path
    last: Path | None  # the checkpoint to continue from; None for a new run
    resumed: Checkpoint | None  # its content
    started: float  # time.perf_counter()


def begin(config: dict[str, Any]) -> TrainingRun:
    """Set up folder, log and seed, and read the checkpoint of a resumed run."""
    started = time.perf_counter()
    _check(config)
    keep_freed_memory()
    quiet_lightning()
    logging.captureWarnings(True)  # the run's log gets the warnings as well
    seed_everything(config["seed"], workers=True, verbose=False)
    folder = Path(HydraConfig.get().runtime.output_dir)
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    if config["resume"] is None:
        return TrainingRun(config, folder, None, None, started)
    last = folder / "checkpoints" / "last.ckpt"
    return TrainingRun(config, folder, last, read_checkpoint(last, task_class_of(config).name), started)


def _check(config: dict[str, Any]) -> None:
    """Refuse settings that exclude each other, or that would fail only after the training."""
    effort_of(config)
    if config.get("find_lr") and config["resume"] is not None:
        raise UserError("find_lr=true needs a new run: leave out resume=.")
    devices, strategy = config["trainer"]["devices"], config["trainer"]["strategy"]
    if HydraConfig.get().mode == RunMode.MULTIRUN and devices not in (1, "1") and strategy in ("auto", "ddp"):
        raise UserError(
            f"trainer.devices={devices} with --multirun: each process would run the whole sweep. "
            "Set trainer.strategy=ddp_spawn, or run the jobs one by one."
        )
