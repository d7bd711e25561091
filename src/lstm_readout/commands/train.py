"""``lstm-readout train``: a configuration goes in, a trained model and its evidence come out.

Data first (tokenizers are fitted on it), then the model (its sizes follow from the data), then the task around it.
"""

from __future__ import annotations

import functools
import logging
import sys
import time
from typing import Any

import torch
from lightning import Trainer

from lstm_readout.commands.begin import TrainingRun, begin, write_configuration
from lstm_readout.commands.conclude import conclude
from lstm_readout.commands.hints import command_line
from lstm_readout.config.build import build_data, build_task
from lstm_readout.config.build_trainer import bare_trainer, build_trainer
from lstm_readout.config.hydra_main import hydra_main
from lstm_readout.config.resumable import check_resumable
from lstm_readout.config.run_folder import of_run
from lstm_readout.data.module import TextDataModule
from lstm_readout.report.data_report import print_report, write_report
from lstm_readout.report.run_files import write_loss_curve
from lstm_readout.tasks.base import Task
from lstm_readout.training.callbacks.lr_finder import range_test
from lstm_readout.training.callbacks.resume import Stopped, continuing
from lstm_readout.training.library_errors import told_as

log = logging.getLogger(__name__)


def train(config: dict[str, Any]) -> float | None:
    """Run one configuration, from data to measured scores.

    Returns:
        The monitored metric of the best checkpoint, for a sweep to optimise.
    """
    run = begin(config)
    task, data = _build(run)
    trainer = build_trainer(config, data, progress_bar=sys.stdout.isatty())
    seconds = _fit(run, trainer, task, data)
    return conclude(run, trainer, task, data, seconds)


def find_lr(config: dict[str, Any]) -> None:
    """Suggest a learning rate; discard what was trained meanwhile."""
    run = begin(config)
    task, data = _build(run)
    task.scheduler = None  # the test sets the rate
    curve = range_test(functools.partial(bare_trainer, config), task, data)
    log.info("the loss falls steepest at a learning rate of %.2g and is lowest at %.2g", curve.suggestion, curve.lowest)
    log.info("plot:   %s", write_loss_curve(curve, run.folder))
    log.info("use it: optimizer.lr=%.2g", curve.suggestion)


def _build(run: TrainingRun) -> tuple[Task, TextDataModule]:
    """Build the data and the task, and report what the data is and what the task reads."""
    data = build_data(run.config, run.resumed)
    print_report(data.report)
    write_report(data.report, run.folder)
    task = build_task(run.config, data, run.resumed and run.resumed.config)
    batch = next(iter(data.train_dataloader()))
    task.eval()
    with torch.no_grad():
        log.info("%s", task.describe_readout(batch))
    return task.train(), data


def _fit(run: TrainingRun, trainer: Trainer, task: Task, data: TextDataModule) -> float:
    """Train; return the seconds that it took."""
    write_configuration(run, data)
    began = time.perf_counter()
    try:
        with told_as("trainer", trainer), continuing(run.last):  # some settings depend on the data, such as its length
            trainer.fit(task, datamodule=data, ckpt_path=run.last, weights_only=True)
    except Stopped as stop:
        log.warning("%s. To resume: %s", stop, command_line("train", f"resume={run.folder}"))
        sys.exit(stop.exit_code)
    return time.perf_counter() - began


def train_or_find_lr(config: dict[str, Any]) -> float | None:
    """Do what the configuration asks for."""
    return find_lr(config) if config.get("find_lr") else train(config)


def main(arguments: list[str] | None = None) -> None:
    """Compose the configuration from the command line and train."""
    arguments = sys.argv[1:] if arguments is None else arguments
    check = functools.partial(check_resumable, given=arguments)
    hydra_main(train_or_find_lr, config_name="train", arguments=of_run(arguments, "checkpoints/last.ckpt"), check=check)


if __name__ == "__main__":
    main()
