"""A trained task and splits go in; its metrics, baselines and the ceiling come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning import Trainer

from lstm_readout.data.module import TextDataModule
from lstm_readout.tasks.base import Task

_STAGES = {"validation": "val", "test": "test"}


def measure(trainer: Trainer, task: Task, data: TextDataModule, splits: Sequence[str]) -> dict[str, Any]:
    """Measure a task on splits, with baselines and the ceiling.

    Returns:
        One flat object: ``val/...``, ``test/...``, ``baseline/...``, ``ceiling`` and ``parameters``.
    """
    metrics: dict[str, Any] = {}
    for split in splits:
        if split not in data.columns:
            continue
        stage = _STAGES[split]
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
    initial = task.config.get("init_from", {})
    metrics |= {f"init_from/{name}": share for name, share in initial.items() if name != "file"}
    metrics["parameters"] = sum(parameter.numel() for parameter in task.model.parameters())
    return metrics
