"""``lstm-readout evaluate``: a checkpoint and optionally other data go in; a table of metrics comes out."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from lightning import Trainer

from lstm_readout.commands.measure import effort_of, measure
from lstm_readout.config.arguments import with_task_of_checkpoint
from lstm_readout.config.as_in_run import as_in_run
from lstm_readout.config.build import load
from lstm_readout.config.build_trainer import bare_trainer
from lstm_readout.config.data_of_run import on_data_of_run
from lstm_readout.config.hydra_main import hydra_main
from lstm_readout.data.batches import WrittenBatch
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError
from lstm_readout.inference.classify import ClassifierEnsemble, DocumentClassifier
from lstm_readout.inference.decoding import with_int8
from lstm_readout.inference.generate import with_other_language_models
from lstm_readout.inference.pipeline import listed
from lstm_readout.inference.translate import with_others
from lstm_readout.models.checkpoint import Checkpoint, read_checkpoint
from lstm_readout.report.card import card_of
from lstm_readout.report.console import print_table
from lstm_readout.report.data_report import print_report
from lstm_readout.report.json_writer import write_json
from lstm_readout.report.output_file import checked_output
from lstm_readout.tasks.base import Task
from lstm_readout.tasks.classify import ClassifyTask
from lstm_readout.tasks.generate import GenerateTask
from lstm_readout.tasks.scored_as import machine_of
from lstm_readout.training.trainer import quiet_lightning

log = logging.getLogger(__name__)


def evaluate(config: dict[str, Any], checkpoint: Checkpoint | None = None) -> None:
    """Measure a trained model on a split of its own data, or of other data with the same labels.

    Args:
        config: the configuration.
        checkpoint: the content of ``config["checkpoint"]``, if already read.
    """
    quiet_lightning()
    effort, output = effort_of(config), _checked_output(config)
    checkpoint = read_checkpoint(config["checkpoint"] if checkpoint is None else checkpoint)
    overrides = list(HydraConfig.get().overrides.task)
    config, checkpoint = as_in_run(config, checkpoint, overrides)
    task, data = load(config, checkpoint)
    split, int8, paths = (config[key] for key in ("split", "int8", "ensemble"))
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
    if not config.get("data"):
        _tell_differences(task, data, trainer, split)
    metrics = measure(trainer, task, data, (split,), effort=effort)
    print_table(metrics)
    if output is not None:
        write_json(output, metrics)
        card = card_of(task, data, trainer, metrics, config=measured, overrides=overrides)
        write_json(output.with_suffix(".card.json"), card)


def _checked_output(config: dict[str, Any]) -> Path | None:
    """Return where the metrics go; the card beside them must be free as well."""
    if config["output"] is None:
        return None
    output = checked_output(config["output"], overwrite=config["overwrite"])
    checked_output(output.with_suffix(".card.json"), overwrite=config["overwrite"])
    return output


def _tell_differences(task: Task, data: TextDataModule, trainer: Trainer, split: str) -> None:
    """Log what besides settings makes this score another than the run's: other rows, another machine."""
    rows = task.config.get("rows", {})
    if split in rows and rows[split] != data.held_out_hashes[split]:
        log.warning("%s: not the rows that the run measured; the data has changed since", split)
    here, then = machine_of(trainer), task.config.get("machine", {})
    differences = [f"{key} {here[key]} (the run: {then[key]})" for key in here.keys() & then if here[key] != then[key]]
    if differences:
        log.info("the last digits may differ from the run's: %s", ", ".join(sorted(differences)))


def _description(config: dict[str, Any], task: Task) -> dict[str, Any]:
    """Return what was measured, and on what: the recipe for the comparability card."""
    recipe = {key: value for key, value in task.config.items() if key not in ("machine", "rows")}  # of the run
    recipe |= {"model": task.model.arguments, "data": config.get("data") or task.config.get("data")}
    recipe |= {key: config[key] for key in ("task", "trainer", "split", "int8", "ensemble")}
    if config["ensemble"]:  # a path means nothing on another machine
        recipe["ensemble"] = [_hash_of(path) for path in listed(config["ensemble"])]
    return recipe


def _hash_of(path: str | Path) -> str:
    try:
        return sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"ensemble: cannot read '{path}': {error.strerror}.") from error


def _join(task: Task, data: TextDataModule, paths: Sequence[str]) -> None:
    """Add the models of further checkpoints to the task's as an ensemble; classifiers may have different tokenizers."""
    if isinstance(task, ClassifyTask):
        others = [DocumentClassifier.load(path) for path in listed(paths)]
        task.model = ClassifierEnsemble(DocumentClassifier(task.model, task.vocabulary, others))
        data.batch_type = WrittenBatch
    elif isinstance(task, GenerateTask):
        task.model = with_other_language_models(task.model, task.vocabulary, paths)
    else:
        task.model = with_others(task.model, task.vocabulary, paths)


def main(arguments: list[str] | None = None) -> None:
    """Compose the configuration from the command line and evaluate."""
    arguments, checkpoint = with_task_of_checkpoint(sys.argv[1:] if arguments is None else arguments, "task")
    hydra_main(evaluate, config_name="evaluate", arguments=on_data_of_run(arguments), checkpoint=checkpoint)


if __name__ == "__main__":
    main()
