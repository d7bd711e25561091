"""``lstm-readout evaluate``: a checkpoint and, if wanted, other data go in; a table of metrics comes out."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from lightning import Trainer
from omegaconf import DictConfig, OmegaConf

from lstm_readout.arguments import with_task_of_checkpoint
from lstm_readout.build import load
from lstm_readout.card import card_of
from lstm_readout.config import hydra_main
from lstm_readout.data.batches import WrittenBatch
from lstm_readout.data.module import TextDataModule
from lstm_readout.data.report import print_report
from lstm_readout.decoding import with_int8
from lstm_readout.errors import UserError
from lstm_readout.pipelines.base import listed
from lstm_readout.pipelines.classify import ClassifierEnsemble, DocumentClassifier
from lstm_readout.pipelines.translate import with_others
from lstm_readout.report import print_table, write_json
from lstm_readout.tasks.base import Task
from lstm_readout.tasks.classify import ClassifyTask

STAGES = {"validation": "val", "test": "test"}


def evaluate(config: DictConfig) -> None:
    """Measure a trained model on a split of the data it was trained with, or of other data with the same labels."""
    quiet_lightning()
    task, data = load(config)
    if config.split not in data.columns:
        raise UserError(f"split: there is no '{config.split}' here; there is: {', '.join(data.columns)}.")
    print_report(data.report)
    told: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # pyright: ignore[reportAssignmentType]
    about = (
        task.config
        | {"model": task.model.arguments}
        | {key: told[key] for key in ("task", "split", "int8", "ensemble")}
    )
    about["data"] = told.get("data") or task.config.get("data")
    options = {}
    if config.ensemble:
        if config.int8:
            raise UserError("int8=true: an ensemble works in float. Set int8=false, or ensemble=[].")
        join(task, data, config.ensemble)
        about["ensemble"] = [sha256(Path(path).read_bytes()).hexdigest() for path in config.ensemble]
    if config.int8:
        task.model, options["accelerator"] = with_int8(task.model), "cpu"
    trainer = instantiate(config.trainer, _partial_=True, _convert_="all")(  # then the call: see build.build_task
        **options,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=sys.stdout.isatty(),
        enable_model_summary=False,
    )
    metrics = measure(trainer, task, data, (config.split,))
    print_table(metrics)
    if config.output is not None:
        write_json(Path(config.output), metrics)
        card = card_of(task, data, trainer, metrics, config=about, overrides=HydraConfig.get().overrides.task)
        write_json(Path(config.output).with_suffix(".card.json"), card)


def join(task: Task, data: TextDataModule, paths: Sequence[str]) -> None:
    """Put the models of further checkpoints beside that of the task; classifiers may have different tokenizers."""
    if isinstance(task, ClassifyTask):
        others = [DocumentClassifier.load(path) for path in listed(paths)]
        task.model = ClassifierEnsemble(DocumentClassifier(task.model, task.vocabulary, others))
        data.batch_type = WrittenBatch
    else:
        task.model = with_others(task.model, task.vocabulary, paths)


def measure(trainer: Trainer, task: Task, data: TextDataModule, splits: Sequence[str]) -> dict[str, Any]:
    """Measure a task on splits, beside baselines and the ceiling.

    Returns:
        One flat object: ``val/...``, ``test/...``, ``baseline/...``, ``ceiling`` and ``parameters``.
    """
    metrics: dict[str, Any] = {}
    for split in splits:
        if split not in data.columns:
            continue
        stage = STAGES[split]
        (measured,) = (trainer.validate if stage == "val" else trainer.test)(task, datamodule=data, verbose=False)
        part = {key.split("/", 1)[1]: value for key, value in measured.items() if key.startswith(f"{stage}/")}
        part |= task.split_metrics(data, split, part)
        metrics |= {f"{stage}/{key}": value for key, value in part.items()}
    if "train" in data.columns:
        metrics |= {f"baseline/{key}": value for key, value in task.baselines(data).items()}
    name = task.monitor.split("/", 1)[1]
    if name in data.ceiling:
        metrics["ceiling"] = data.ceiling[name]
    metrics |= {f"vectors/{name}": share for name, share in task.config.get("vectors", {}).items()}
    begun = task.config.get("init_from", {})
    metrics |= {f"init_from/{name}": share for name, share in begun.items() if name != "file"}
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
        ".*is not supported by the model summary.*",  # of bf16-mixed, whose weights are float32: the size is right
        ".*isinstance.treespec, LeafSpec.*",
        ".*your dataloader is not resumable.*",  # it is: the data module keeps the position
    )
    for message in advice:
        warnings.filterwarnings("ignore", message)


def main(arguments: list[str] | None = None) -> None:
    """Compose the configuration from the command line and evaluate."""
    given = sys.argv[1:] if arguments is None else arguments
    hydra_main(evaluate, config_name="evaluate", arguments=with_task_of_checkpoint(given, "task"))
