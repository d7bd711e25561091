"""A trained task and splits go in; its metrics, baselines and the ceiling come out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from lightning import Trainer

from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError, did_you_mean
from lstm_readout.tasks.base import Task

log = logging.getLogger(__name__)

_EFFORTS = ("fast", "full", "off")
_STAGES = {"validation": "val", "test": "test"}


def effort_of(config: Mapping[str, Any]) -> str:
    """Return how much to spend on baselines: ``fast``, ``full`` or ``off``.

    Raises:
        UserError: ``config["baselines"]`` is something else.
    """
    effort = config.get("baselines", "fast")  # a configuration of an earlier version has none
    effort = "off" if effort is False else str(effort)  # YAML reads off as false
    if effort not in _EFFORTS:
        raise UserError(f"baselines: got '{effort}'. {did_you_mean(effort, _EFFORTS)}")
    return effort


def measure(
    trainer: Trainer, task: Task, data: TextDataModule, splits: Sequence[str], *, effort: str = "fast"
) -> dict[str, Any]:
    """Measure a task on splits, with baselines and the ceiling.

    Args:
        trainer: measures.
        task: what is measured.
        data: has the splits; baselines need its training split as well.
        splits: of ``validation`` and ``test``.
        effort: what ``effort_of`` returns.

    Returns:
        One flat object: ``val/...``, ``test/...``, ``baseline/...``, ``ceiling`` and ``parameters``.
    """
    metrics: dict[str, Any] = {}
    for split in splits:
        if split not in data.columns:
            continue
        if split not in _STAGES:
            raise UserError(f"split: {split} is not measured. Valid: {', '.join(_STAGES)}.")
        stage = _STAGES[split]
        results = (trainer.validate if stage == "val" else trainer.test)(task, datamodule=data, verbose=False)
        measured = results[0] if results else {}
        if not measured:  # limit_test_batches=0
            continue
        part = {key.split("/", 1)[1]: value for key, value in measured.items() if key.startswith(f"{stage}/")}
        part |= task.split_metrics(data, split, part)
        metrics |= {f"{stage}/{key}": value for key, value in part.items()}
    if "train" in data.columns and effort != "off":
        metrics |= _baselines(task, data, full=effort == "full")
    name = task.monitor.split("/", 1)[1]
    if name in data.ceiling:
        metrics["ceiling"] = data.ceiling[name]
    metrics |= {f"vectors/{name}": share for name, share in task.config.get("vectors", {}).items()}
    initial = task.config.get("init_from", {})
    metrics |= {f"init_from/{name}": share for name, share in initial.items() if name != "file"}
    metrics["parameters"] = sum(parameter.numel() for parameter in task.model.parameters())
    return metrics


def _baselines(task: Task, data: TextDataModule, *, full: bool) -> dict[str, Any]:
    log.info("measuring baselines without an LSTM; baselines=off leaves them out")
    scores = {f"baseline/{key}": value for key, value in task.baselines(data, full=full).items()}
    for key, note in scores.items():
        if key.endswith("_note"):
            log.info("%s: %s", key.removesuffix("_note"), note)
    return scores
