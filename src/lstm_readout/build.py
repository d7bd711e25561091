"""A composed configuration goes in; its data and its task come out, ready to train or to look at."""

from __future__ import annotations

from typing import Any

from hydra.utils import get_class, instantiate
from lightning import seed_everything
from omegaconf import DictConfig, OmegaConf

from lstm_readout.data.module import TextDataModule
from lstm_readout.tasks.base import Task


def build(config: DictConfig) -> tuple[Task, TextDataModule]:
    """Return the task and its data: a new model from the configuration, or that of ``config.checkpoint``."""
    if config.get("checkpoint") is not None:
        return load(config)
    seed_everything(config.seed, workers=True, verbose=False)
    data = build_data(config)
    return build_task(config, data), data


def build_data(config: DictConfig) -> TextDataModule:
    """Read and encode the data; tokenizers are fitted on it."""
    task_class: type[Task] = get_class(config.task._target_)
    data: TextDataModule = instantiate(config.data, _partial_=True, _convert_="all")(
        roles=task_class.roles,
        batch_type=task_class.batch_type,
        tokenizer=instantiate(config.tokenizer),
        seed=config.seed,
    )
    data.setup()
    return data


def build_task(config: DictConfig, data: TextDataModule) -> Task:
    """Return a new model, whose sizes follow from the data, in its task."""
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # pyright: ignore[reportAssignmentType]
    task_class: type[Task] = get_class(config.task._target_)
    # _partial_, then the call: inside instantiate a UserError would be wrapped
    model = instantiate(config.model, _partial_=True, _convert_="all")(**task_class.sizes(data.vocabulary))
    return instantiate(config.task, _partial_=True)(
        model=model,
        vocabulary=data.vocabulary,
        optimizer=instantiate(config.optimizer),
        scheduler=instantiate(config.scheduler) if config.get("scheduler") else None,
        config={key: plain[key] for key in ("data", "tokenizer", "seed")},
    )


def load(config: DictConfig) -> tuple[Task, TextDataModule]:
    """Return the task of ``config.checkpoint`` and the data it was trained with, or that of ``config.data``."""
    task_class: type[Task] = get_class(config.task._target_)
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # pyright: ignore[reportAssignmentType]
    options = {key: value for key, value in plain["task"].items() if key != "_target_"}
    task = task_class.load_from_checkpoint(config.checkpoint, **options)
    arguments = plain.get("data") or task.config["data"]
    arguments.pop("_target_", None)  # the class is chosen here
    data = TextDataModule(
        roles=task_class.roles,
        batch_type=task_class.batch_type,
        vocabulary=task.vocabulary,
        seen=not plain.get("data"),
        seed=task.config.get("seed", 0),
        **arguments,
    )
    data.setup()
    return task, data
