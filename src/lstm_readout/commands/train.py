"""``lstm-readout train``: a configuration goes in, a trained model and its evidence come out.

Data first (tokenizers are fitted on it), then the model (its sizes follow from the data), then the task around it.
"""

from __future__ import annotations

import logging
import math
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_class, instantiate
from lightning import Trainer, seed_everything
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

from lstm_readout.commands.hints import command_line, comparison_of, example_text
from lstm_readout.commands.measure import measure
from lstm_readout.config.arguments import of_run
from lstm_readout.config.build import build_data, build_task
from lstm_readout.config.hydra_main import hydra_main
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError
from lstm_readout.models.checkpoint import read_checkpoint
from lstm_readout.report.card import card_of
from lstm_readout.report.console import print_table
from lstm_readout.report.data_report import print_report, write_report
from lstm_readout.report.json_writer import write_json
from lstm_readout.report.plots import plot_confusion, plot_learning_curve, plot_lr_finder
from lstm_readout.tasks.base import Task
from lstm_readout.training.allocator import keep_freed_memory
from lstm_readout.training.callbacks.lr_finder import STEPS, LearningRateFinder
from lstm_readout.training.callbacks.resume import Stopped
from lstm_readout.training.callbacks.throughput import Throughput
from lstm_readout.training.trainer import quiet_lightning

log = logging.getLogger(__name__)


def train(config: DictConfig) -> float | None:
    """Run one configuration from data to evidence.

    Returns:
        The monitored metric of the best checkpoint, for a sweep to optimise.
    """
    started = time.perf_counter()
    if config.get("find_lr") and config.resume is not None:
        raise UserError("find_lr=true is for a run that begins: leave out resume=.")
    _check_processes(config)
    keep_freed_memory()
    folder = Path(HydraConfig.get().runtime.output_dir)
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    quiet_lightning()
    logging.captureWarnings(True)  # what is warned of stands in the run's log as well
    seed_everything(config.seed, workers=True, verbose=False)

    task_class: type[Task] = get_class(config.task._target_)
    checkpoint = None if config.resume is None else folder / "checkpoints" / "last.ckpt"
    resumed = None if checkpoint is None else read_checkpoint(checkpoint, task_class.name)  # tells, if it is broken
    # Not fitted again: training a unigram or wordpiece tokenizer twice gives other ids
    data = build_data(config, resumed and resumed.vocabulary)
    print_report(data.report)
    write_report(data.report, folder)
    task = build_task(config, data, resumed and resumed.config)
    log.info("%s", _answer(task, data))
    if config.get("find_lr"):
        _find_lr(config, task, data, folder)
        return None

    if config.resume is not None:
        _keep_metrics(folder / "metrics.csv")
    trainer = build_trainer(config, data, progress_bar=sys.stdout.isatty())
    began = time.perf_counter()
    try:
        trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except MisconfigurationException as error:  # of what depends on the data, as its length
        raise UserError(f"trainer: {error}") from error
    except Stopped as stop:
        log.warning("%s; saved. To go on: %s", stop, command_line("train", f"resume={folder}"))
        sys.exit(stop.exit_code)
    seconds = time.perf_counter() - began
    if config.trainer.fast_dev_run:
        return None

    best = folder / "checkpoints" / "best.ckpt"
    if not best.is_file():
        log.warning("the run ended before its first validation, so the last weights are taken for the best")
        trainer.save_checkpoint(best)
    task.load_state_dict(torch.load(best, map_location=task.device, weights_only=True)["state_dict"])
    metrics = measure(trainer, task, data, ("validation", "test"))
    throughput = next(c for c in trainer.callbacks if isinstance(c, Throughput))  # pyright: ignore
    metrics["train/tokens_per_second"] = throughput.tokens_per_second
    metrics["train/seconds"] = seconds
    write_json(folder / "metrics.json", metrics)
    write_json(folder / "card.json", _card(task, data, trainer, metrics, config, time.perf_counter() - started))
    if task.confusion is not None:
        plot_confusion(task.confusion.tolist(), task.vocabulary.labels, folder)
    plot_learning_curve(folder, task.monitor)
    print_table(metrics)
    log.info("run folder: %s", folder)
    log.info("use it:     %s", command_line("predict", f"checkpoint={best}", f"text={example_text(data)}"))
    if config.get("init_from"):
        log.info("its gain:   %s", command_line("compare", *comparison_of(config)))
    score = metrics.get(task.monitor)
    if score is not None and not math.isfinite(score):  # a sweeper could not use it either
        raise UserError(f"{task.monitor} is {score}: the training diverged. Try a smaller optimizer.lr.")
    return score


def build_trainer(config: DictConfig, data: TextDataModule, *, progress_bar: bool) -> Trainer:
    """Return the Trainer of a run, with its callbacks and loggers."""
    callbacks = {name: node for name, node in config.callbacks.items() if node is not None}
    if not progress_bar:
        callbacks.pop("progress_bar", None)
    if "validation" not in data.columns and "best" in callbacks:  # nothing to choose by: the best is the last
        callbacks.pop("early_stopping", None)
        callbacks["best"] = OmegaConf.merge(callbacks["best"], {"monitor": None})
    loggers = [instantiate(node) for node in config.logger.values() if node is not None]
    build = instantiate(config.trainer, _partial_=True, _convert_="all")
    try:
        return build(
            callbacks=[instantiate(node) for node in callbacks.values()],
            logger=loggers or False,
            enable_progress_bar=progress_bar,
            use_distributed_sampler=False,  # the batches know their process
        )
    except UserError:
        raise
    except (MisconfigurationException, ValueError) as error:
        raise UserError(f"trainer: {error}") from error


def _card(
    task: Task, data: TextDataModule, trainer: Trainer, metrics: dict[str, Any], config: DictConfig, seconds: float
) -> dict[str, Any]:
    """Return the comparability card of the run; of one that was resumed only the last part was timed."""
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # pyright: ignore[reportAssignmentType]
    overrides = HydraConfig.get().overrides.task
    timed = seconds if config.resume is None else None
    return card_of(task, data, trainer, metrics, config=plain, overrides=overrides, seconds=timed)


def _find_lr(config: DictConfig, task: Task, data: TextDataModule, folder: Path) -> None:
    """Suggest a learning rate; nothing is kept of what was trained meanwhile."""
    alone = {"devices": 1, "strategy": "auto", "max_epochs": -1, "max_steps": STEPS, "max_time": None}
    quiet = {"fast_dev_run": False, "limit_val_batches": 0, "num_sanity_val_steps": 0, "log_every_n_steps": STEPS}
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # pyright: ignore[reportAssignmentType]
    plain["trainer"] |= alone | quiet | {"enable_checkpointing": False, "enable_model_summary": False}
    plain |= {
        "callbacks": {"finder": {"_target_": "lstm_readout.training.callbacks.lr_finder.LearningRateFinder"}},
        "logger": {},
    }
    warnings.filterwarnings("ignore", ".*(`val_dataloader`|validation loop).*")  # there is none here
    log.info("find_lr: up to %d steps, each with a larger learning rate", STEPS)
    task.scheduler = None  # the finder sets the rate
    trainer = build_trainer(OmegaConf.create(plain), data, progress_bar=False)
    trainer.fit(task, datamodule=data)
    (finder,) = (c for c in trainer.callbacks if isinstance(c, LearningRateFinder))  # pyright: ignore
    found = finder.found()
    write_json(folder / "lr_finder.json", found._asdict())
    marks = {"steepest fall": found.suggestion, "least": found.lowest}
    plot_lr_finder(found.lr, found.loss, found.smoothed, marks, folder)
    log.info("the loss falls steepest at a learning rate of %.2g, and is least at %.2g", found.suggestion, found.lowest)
    log.info("drawn:  %s", folder / "lr_finder.png")
    log.info("use it: optimizer.lr=%.2g", found.suggestion)


def _check_processes(config: DictConfig) -> None:
    """Refuse a sweep whose jobs start processes of their own: each of those would run the whole sweep again."""
    sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
    if sweeping and config.trainer.devices not in (1, "1") and config.trainer.strategy in ("auto", "ddp"):
        raise UserError(
            f"trainer.devices={config.trainer.devices} with --multirun: each process would run the whole sweep. "
            "Set trainer.strategy=ddp_spawn, or run the jobs one by one."
        )


def _keep_metrics(path: Path) -> None:
    """Put the metrics of the earlier part aside as metrics.1.csv, ...: Lightning's logger starts its file anew."""
    if path.is_file():
        number = len(list(path.parent.glob("metrics.*.csv"))) + 1
        path.rename(path.with_name(f"metrics.{number}.csv"))


def _answer(task: Task, data: TextDataModule) -> str:
    batch = next(iter(data.train_dataloader()))
    task.eval()
    with torch.no_grad():
        told = task.answer(batch)
    task.train()
    return told


def main(arguments: list[str] | None = None) -> None:
    """Compose the configuration from the command line and train."""
    arguments = sys.argv[1:] if arguments is None else arguments
    hydra_main(train, config_name="train", arguments=of_run(arguments, "checkpoints/last.ckpt"))
