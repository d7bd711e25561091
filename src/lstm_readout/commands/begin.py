"""A configuration goes in; a run with its folder, log, seed and the checkpoint it resumes comes out."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning import seed_everything
from lightning.fabric.utilities.rank_zero import rank_zero_only

from lstm_readout.commands.measure import effort_of
from lstm_readout.config.build import task_class_of
from lstm_readout.config.resumable import newest_checkpoint
from lstm_readout.config.run_lock import hold
from lstm_readout.config.run_record import comparable, differences, read_record, record_of, write_record
from lstm_readout.config.settings import save_settings, write_yaml
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError
from lstm_readout.models.checkpoint import Checkpoint
from lstm_readout.report.run_files import keep_earlier_metrics
from lstm_readout.training.allocator import keep_freed_memory
from lstm_readout.training.trainer import quiet_lightning

log = logging.getLogger(__name__)


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
    logging.raiseExceptions = False  # on a full disk the run says so once, not each line of its log
    seed_everything(config["seed"], workers=True, verbose=False)
    folder = Path(HydraConfig.get().runtime.output_dir)
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    hold(folder)
    if config["resume"] is None:
        return TrainingRun(config, folder, None, None, started)
    last, checkpoint = newest_checkpoint(folder, task_class_of(config).name)
    log.info("resuming %s from %s", folder, last.name)
    record = read_record(folder)
    for difference in differences(comparable(config, folder), record, HydraConfig.get().overrides.task):
        log.info("resume: %s", difference)
    if not record.data:
        log.warning("resume: the run is of an earlier version, so its rows could not be compared with those here")
    return TrainingRun(config, folder, last, checkpoint, started)


def write_configuration(run: TrainingRun, data: TextDataModule) -> None:
    """Write what the run is made of; of a resumed run, once there is nothing left to refuse."""
    if getattr(rank_zero_only, "rank", 0):
        return
    if run.last is None:
        save_settings(run.config, run.folder)
    else:
        keep_earlier_metrics(run.folder)
        words = [word for word in HydraConfig.get().overrides.task if not word.startswith("resume=")]
        write_yaml(
            {key: value for key, value in run.config.items() if key != "resume"} | {"resume": None},
            run.folder / ".hydra" / "config.yaml",
        )
        write_yaml(words, run.folder / ".hydra" / "overrides.yaml")
    write_record(record_of(run.config, run.folder, data), run.folder)


def _check(config: dict[str, Any]) -> None:
    """Refuse settings that exclude each other, or that would fail only after the training."""
    effort_of(config)
    if config.get("init_into") is not None and not config.get("init_from"):
        raise UserError("init_into: no language model to take from. Name one: init_from=runs/generate/...")
    devices, strategy = config["trainer"]["devices"], config["trainer"]["strategy"]
    if HydraConfig.get().mode == RunMode.MULTIRUN and devices not in (1, "1") and strategy in ("auto", "ddp"):
        raise UserError(
            f"trainer.devices={devices} with --multirun: each process would run the whole sweep. "
            "Set trainer.strategy=ddp_spawn, or run the jobs one by one."
        )
