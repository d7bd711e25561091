"""``lstm-readout evaluate``: a checkpoint and, if wanted, other data go in; a table of metrics comes out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from lstm_readout.commands.measure import measure
from lstm_readout.config.arguments import with_task_of_checkpoint
from lstm_readout.config.build import load
from lstm_readout.config.hydra_main import hydra_main
from lstm_readout.data.batches import WrittenBatch
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError
from lstm_readout.inference.classify import ClassifierEnsemble, DocumentClassifier
from lstm_readout.inference.decoding import with_int8
from lstm_readout.inference.pipeline import listed
from lstm_readout.inference.translate import with_others
from lstm_readout.report.card import card_of
from lstm_readout.report.console import print_table
from lstm_readout.report.data_report import print_report
from lstm_readout.report.json_writer import write_json
from lstm_readout.tasks.base import Task
from lstm_readout.tasks.classify import ClassifyTask
from lstm_readout.training.trainer import quiet_lightning


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


def main(arguments: list[str] | None = None) -> None:
    """Compose the configuration from the command line and evaluate."""
    given = sys.argv[1:] if arguments is None else arguments
    hydra_main(evaluate, config_name="evaluate", arguments=with_task_of_checkpoint(given, "task"))
