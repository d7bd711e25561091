"""``lstm-readout train``: a configuration goes in, a trained model and its evidence come out.

Data first (tokenizers are fitted on it), then the model (its sizes follow from the data), then the task around it.
"""

from __future__ import annotations

import logging
import shlex
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_class, instantiate
from lightning import LightningModule, Trainer, seed_everything
from omegaconf import DictConfig, OmegaConf

from lstm_readout.callbacks import Stopped, Throughput
from lstm_readout.config import hydra_main
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError
from lstm_readout.plots import plot_learning_curve
from lstm_readout.report import print_table, write_json
from lstm_readout.tasks.base import Task

log = logging.getLogger(__name__)


def train(config: DictConfig) -> float | None:
    """Run one configuration from data to evidence.

    Returns:
        The monitored metric of the best checkpoint, for a sweep to optimise.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    quiet_lightning()
    seed_everything(config.seed, workers=True, verbose=False)
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # pyright: ignore[reportAssignmentType]

    task_class: type[Task] = get_class(config.task._target_)
    data = TextDataModule(
        roles=task_class.roles,
        batch_type=task_class.batch_type,
        tokenizer=plain["tokenizer"],
        seed=config.seed,
        **plain["data"],
    )
    data.setup()
    model = instantiate(config.model, **task_class.sizes(data.vocabulary), _convert_="all")
    build_task = instantiate(config.task, _partial_=True)
    task: Task = build_task(
        model=model,
        vocabulary=data.vocabulary,
        optimizer=instantiate(config.optimizer),
        scheduler=instantiate(config.scheduler) if config.scheduler else None,
        config={key: plain[key] for key in ("data", "tokenizer", "seed")},
    )
    log.info("%s", _answer(task, data))

    trainer = _trainer(config, data)
    checkpoint = None if config.resume is None else str(Path(config.resume) / "checkpoints" / "last.ckpt")
    began = time.perf_counter()
    try:
        trainer.fit(task, datamodule=data, ckpt_path=checkpoint)
    except Stopped as stop:
        log.warning("%s; saved. To go on: %s", stop, _command("train", f"resume={folder}"))
        sys.exit(stop.exit_code)
    seconds = time.perf_counter() - began
    if trainer.fast_dev_run:
        return None

    best = Path(trainer.checkpoint_callback.best_model_path or folder / "checkpoints" / "last.ckpt")  # pyright: ignore
    metrics: dict[str, Any] = measure(trainer, task, data, best)
    throughput = next(c for c in trainer.callbacks if isinstance(c, Throughput))  # pyright: ignore
    metrics["train/tokens_per_second"] = throughput.tokens_per_second
    metrics["train/seconds"] = seconds
    write_json(folder / "metrics.json", metrics)
    task.write_figures(folder)
    if (folder / "metrics.csv").is_file():
        plot_learning_curve(folder / "metrics.csv", task.monitor, folder / "learning_curve.png")
    print_table(metrics)
    log.info("run folder: %s", folder)
    log.info("use it:     %s", _command("predict", f"checkpoint={best}", "text=..."))
    return metrics.get(task.monitor)


def measure(trainer: Trainer, task: Task, data: TextDataModule, checkpoint: Path) -> dict[str, Any]:
    """Measure the best weights on validation and test, beside baselines and the ceiling.

    Returns:
        One flat object: ``val/...``, ``test/...``, ``baseline/...``, ``ceiling`` and ``parameters``.
    """
    weights = torch.load(checkpoint, map_location=task.device, weights_only=True)["state_dict"]
    task.load_state_dict(weights)
    metrics: dict[str, Any] = {}
    for stage, split, run in (("val", "validation", trainer.validate), ("test", "test", trainer.test)):
        if split in data.columns:
            (measured,) = run(task, datamodule=data, verbose=False)
            part = {key.split("/", 1)[1]: value for key, value in measured.items() if key.startswith(f"{stage}/")}
            part |= task.split_metrics(data, stage, part)
            metrics |= {f"{stage}/{key}": value for key, value in part.items()}
    metrics |= {f"baseline/{key}": value for key, value in task.baselines(data).items()}
    name = task.monitor.split("/", 1)[1]
    if name in data.ceiling:
        metrics["ceiling"] = data.ceiling[name]
    metrics["parameters"] = sum(parameter.numel() for parameter in task.model.parameters())
    return metrics


def quiet_lightning() -> None:
    """Send Lightning's own messages through the run's log, without its tips and advice on settings chosen here."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
    advice = (
        ".*does not have many workers.*",  # none is fastest on small text
        ".*directory .* exists and is not empty.*",  # the run folder, which holds the log already
        ".*number of training batches .* is smaller than the logging interval.*",
        ".*You called `self.log.*",
        ".*not supported with oneDNN.*",  # proj_size: PyTorch says that it takes its own kernel
        ".*isinstance.treespec, LeafSpec.*",
    )
    for message in advice:
        warnings.filterwarnings("ignore", message)


def _trainer(config: DictConfig, data: TextDataModule) -> Trainer:
    callbacks = {name: node for name, node in config.callbacks.items() if node is not None}
    if "validation" not in data.columns:  # nothing to choose by: the best is the last
        callbacks.pop("early_stopping", None)
        callbacks["best"] = OmegaConf.merge(callbacks["best"], {"monitor": None})
    loggers = [instantiate(node) for node in config.logger.values() if node is not None]
    return instantiate(
        config.trainer,
        callbacks=[instantiate(node) for node in callbacks.values()],
        logger=loggers or False,
        enable_progress_bar=sys.stdout.isatty(),
        enable_model_summary=False,
        use_distributed_sampler=False,  # the batches know their process
        _convert_="all",
    )


def _answer(task: LightningModule, data: TextDataModule) -> str:
    assert isinstance(task, Task)
    batch = next(iter(data.train_dataloader()))
    task.eval()
    with torch.no_grad():
        told = task.answer(batch)
    task.train()
    return told


def _command(name: str, *arguments: str) -> str:
    return shlex.join(["lstm-readout", name, *arguments])


def main(arguments: list[str] | None = None) -> None:
    """Compose the configuration from the command line and train."""
    given = sys.argv[1:] if arguments is None else arguments
    hydra_main(train, config_name="train", arguments=_with_resumed(given))


def _with_resumed(arguments: list[str]) -> list[str]:
    """Put the overrides of the run that is resumed before those given now."""
    resumed = next((argument.split("=", 1)[1] for argument in arguments if argument.startswith("resume=")), None)
    if resumed is None:
        return arguments
    recorded = Path(resumed) / ".hydra" / "overrides.yaml"
    if not recorded.is_file() or not (Path(resumed) / "checkpoints" / "last.ckpt").is_file():
        print(f"error: resume: '{resumed}' is no run folder with a checkpoints/last.ckpt.", file=sys.stderr)
        sys.exit(2)
    earlier = [str(line) for line in OmegaConf.load(recorded) if not str(line).startswith("resume=")]
    return [*earlier, *arguments]
