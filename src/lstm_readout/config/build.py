"""A composed configuration goes in; its data and its task come out, ready to train or to look at."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from hydra.utils import get_class, instantiate
from lightning import seed_everything
from omegaconf import DictConfig, OmegaConf

from lstm_readout.config.initialize import begin_with
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError
from lstm_readout.models.pretrained.language_model import language_model_file, tokenizer_of
from lstm_readout.tasks.base import Task
from lstm_readout.tokenizer import Vocabulary


def build(config: DictConfig) -> tuple[Task, TextDataModule]:
    """Return the task and its data: a new model from the configuration, or that of ``config.checkpoint``."""
    if config.get("checkpoint") is not None:
        return load(config)
    seed_everything(config.seed, workers=True, verbose=False)
    data = build_data(config)
    return build_task(config, data), data


def build_data(config: DictConfig, vocabulary: Vocabulary | None = None) -> TextDataModule:
    """Read and encode the data.

    Args:
        config: the configuration.
        vocabulary: that of a run that goes on; else tokenizers and labels are fitted on the data.
    """
    task_class: type[Task] = get_class(config.task._target_)
    data: TextDataModule = instantiate(config.data, _partial_=True, _convert_="all")(
        roles=task_class.roles,
        batch_type=task_class.batch_type,
        tokenizer=_tokenizer(config, task_class),
        vocabulary=vocabulary,
        seen=vocabulary is not None,
        seed=config.seed,
    )
    data.setup()
    return data


def build_task(config: DictConfig, data: TextDataModule, resumed: Mapping[str, Any] | None = None) -> Task:
    """Return a new model, whose sizes follow from the data, in its task.

    Args:
        config: the configuration.
        data: what it is trained on.
        resumed: what the checkpoint of a run that goes on says of its configuration. Its weights are loaded later, so
            that no word vectors and no language model are read.
    """
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # pyright: ignore[reportAssignmentType]
    task_class: type[Task] = get_class(config.task._target_)
    # _partial_, then the call: inside instantiate a UserError would be wrapped
    model = instantiate(config.model, _partial_=True, _convert_="all")(**task_class.sizes(data.vocabulary))
    about = {key: plain[key] for key in ("data", "tokenizer", "seed")}
    about |= begin_with(config, task_class, model, data, resumed)
    return instantiate(config.task, _partial_=True)(
        model=model,
        vocabulary=data.vocabulary,
        optimizer=instantiate(config.optimizer),
        scheduler=instantiate(config.scheduler) if config.get("scheduler") else None,
        config=about,
    )


def _tokenizer(config: DictConfig, task_class: type[Task]) -> Any:
    """Return what makes a tokenizer of training texts; with ``init_tokenizer`` it is that of the language model."""
    if not config.get("init_tokenizer"):
        return instantiate(config.tokenizer)
    if not config.get("init_from"):
        raise UserError("init_tokenizer=true: whose? Name the language model: init_from=runs/generate/...")
    roles = [role for role, kind in task_class.roles.items() if kind == "text"]
    if len(roles) > 1 and not config.data.joint_tokenizer:
        raise UserError(
            f"init_tokenizer=true: a language model has one tokenizer, {task_class.name} reads {' and '.join(roles)}. "
            "Set init_tokenizer=false, or data.joint_tokenizer=true."
        )
    limit = {key: config.tokenizer[key] for key in ("max_length", "keep") if key in config.tokenizer}
    return partial(tokenizer_of, path=str(language_model_file(config.init_from)), **limit)


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
