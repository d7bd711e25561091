"""``lstm-readout evaluate``: a checkpoint and optionally other data go in; a table of metrics comes out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from lstm_readout.commands.measure import measure
from lstm_readout.config.arguments import with_task_of_checkpoint
from lstm_readout.config.build import load
from lstm_readout.config.build_trainer import bare_trainer
from lstm_readout.config.hydra_main import hydra_main
from lstm_readout.data.batches import WrittenBatch
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError
from lstm_readout.inference.classify import ClassifierEnsemble, DocumentClassifier
from lstm_readout.inference.decoding import with_int8
from lstm_readout.inference.pipeline import listed
from lstm_readout.inference.translate import with_others
from lstm_readout.models.checkpoint import Checkpoint
from lstm_readout.report.card import card_of
from lstm_readout.report.console import print_table
from lstm_readout.report.data_report import print_report
from lstm_readout.report.json_writer import write_json
from lstm_readout.tasks.base import Task
from lstm_readout.tasks.classify import ClassifyTask
from lstm_readout.training.trainer import quiet_lightning


def evaluate(config: dict[str, Any], checkpoint: Checkpoint | None = None) -> None:
    """Measure a trained model on a split of its own data, or of other data with the same labels.

    Args:
        config: the configuration.
        checkpoint: the content of ``config["checkpoint"]``, if already read.
    """
    quiet_lightning()
    task, data = load(config, checkpoint)
    split, int8, paths, output = (config[key] for key in ("split", "int8", "ensemble", "output"))
    if split not in data.columns:
        raise UserError(f"split: there is no '{split}' here. Valid: {', '.join(data.columns)}.")
    if paths and int8:
        raise UserError("int8=true: an ensemble works in float. Set int8=false, or ensemble=[].")
    print_report(data.report)
    measured = _description(config, task)
    if paths:
        _join(task, data, paths)
    if int8:
        task.model = with_int8(task.model)
    trainer = bare_trainer(
        config,
        **({"accelerator": "cpu"} if int8 else {}),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=sys.stdout.isatty(),
        enable_model_summary=False,
    )
    metrics = measure(trainer, task, data, (split,))
    print_table(metrics)
    if output is not None:
        write_json(Path(output), metrics)
        overrides = list(HydraConfig.get().overrides.task)
        card = card_of(task, data, trainer, metrics, config=measured, overrides=overrides)
        write_json(Path(output).with_suffix(".card.json"), card)


def _description(config: dict[str, Any], task: Task) -> dict[str, Any]:
    """Return what was measured, and on what: the recipe for the comparability card."""
    recipe = task.config | {"model": task.model.arguments, "data": config.get("data") or task.config.get("data")}
    recipe |= {key: config[key] for key in ("task", "split", "int8", "ensemble")}
    if config["ensemble"]:  # a path means nothing on another machine
        recipe["ensemble"] = [sha256(Path(path).read_bytes()).hexdigest() for path in listed(config["ensemble"])]
    return recipe


def _join(task: Task, data: TextDataModule, paths: Sequence[str]) -> None:
    """Add the models of further checkpoints to the task's as an ensemble; classifiers may have different tokenizers."""
    if isinstance(task, ClassifyTask):
        others = [DocumentClassifier.load(path) for path in listed(paths)]
        task.model = ClassifierEnsemble(DocumentClassifier(task.model, task.vocabulary, others))
        data.batch_type = WrittenBatch
    else:
        task.model = with_others(task.model, task.vocabulary, paths)


def main(arguments: list[str] | None = None) -> None:
    """Compose the configuration from the command line and evaluate."""
    arguments, checkpoint = with_task_of_checkpoint(sys.argv[1:] if arguments is None else arguments, "task")
    hydra_main(evaluate, config_name="evaluate", arguments=arguments, checkpoint=checkpoint)


if __name__ == "__main__":
    main()
