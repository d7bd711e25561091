"""A trained run goes in; its measured score, its files and its last log lines come out."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from lightning import Trainer

from lstm_readout.commands.begin import TrainingRun
from lstm_readout.commands.hints import print_hints
from lstm_readout.commands.measure import effort_of, measure
from lstm_readout.commands.verdict import verdict_on
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError
from lstm_readout.report.console import print_table
from lstm_readout.report.run_files import write_evidence
from lstm_readout.tasks.base import Task
from lstm_readout.training.callbacks.throughput import Throughput

log = logging.getLogger(__name__)


def conclude(run: TrainingRun, trainer: Trainer, task: Task, data: TextDataModule, seconds: float) -> float | None:
    """Measure the best checkpoint, write the files of the run, and print table, hints and, last, the verdict.

    Args:
        run: the run.
        trainer, task, data: trained.
        seconds: of training.

    Returns:
        The monitored metric; None where nothing was measured.

    Raises:
        UserError: the monitored metric is undefined.
    """
    if run.config["trainer"]["fast_dev_run"]:
        return None
    best = _load_best(run, trainer, task)
    metrics = measure(trainer, task, data, ("validation", "test"), effort=effort_of(run.config))
    throughput = Throughput.of(trainer)
    metrics |= {"train/tokens_per_second": throughput.tokens_per_second} if throughput else {}
    metrics["train/seconds"] = seconds
    # Only the last part of a resumed run was timed
    total = time.perf_counter() - run.started if run.last is None else None
    overrides = list(HydraConfig.get().overrides.task)
    write_evidence(run.folder, task, data, trainer, metrics, config=run.config, overrides=overrides, seconds=total)
    print_table(metrics)
    print_hints(run.config, run.folder, best, task, data)
    score = metrics.get(task.monitor)
    if score is not None and not math.isfinite(score):  # a sweeper could not use it either
        raise UserError(f"{task.monitor} is {score}: no model can be chosen by it. Choose another task.monitor.")
    if (verdict := verdict_on(task, metrics)) is not None:
        log.log(logging.INFO if verdict.beats else logging.WARNING, "%s", verdict.line)
    return score


def _load_best(run: TrainingRun, trainer: Trainer, task: Task) -> Path:
    """Give the task the weights of the best checkpoint; return its path."""
    best = run.folder / "checkpoints" / "best.ckpt"
    if not best.is_file():
        log.warning("the run ended before its first validation, so the last weights count as the best")
        trainer.save_checkpoint(best)
    task.load_state_dict(torch.load(best, map_location=task.device, weights_only=True)["state_dict"])
    return best
