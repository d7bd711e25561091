"""The plain values of a configuration go in; its data and its task come out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from hydra.utils import get_class, get_object
from lightning import seed_everything

from lstm_readout.config.data_of_run import data_of_checkpoint
from lstm_readout.config.initialize import initialize
from lstm_readout.config.settings import choose_settings, choose_tokenizer, without_open
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError
from lstm_readout.models.checkpoint import Checkpoint
from lstm_readout.models.pretrained.language_model import language_model_file, tokenizer_of
from lstm_readout.tasks.base import Task

_HYDRAS_KEYS = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")


def instantiate(node: Any, **arguments: Any) -> Any:
    """Call the ``_target_`` of a plain node, and of the nodes in it, as ``hydra.utils.instantiate`` does.

    Hydra's own would read ``${`` in a resolved path as an interpolation, and wrap each ``UserError``.

    Args:
        node: as ``plain_values`` returns it.
        arguments: replace the node's own.
    """
    if isinstance(node, list):
        return [instantiate(child) for child in node]
    if not isinstance(node, dict):
        return node
    recursive = node.get("_recursive_", True)
    values = {key: instantiate(child) if recursive else child for key, child in node.items() if key not in _HYDRAS_KEYS}
    if node.get("_target_") is None:
        return values | arguments
    call = partial(get_object(node["_target_"]), *node.get("_args_", []), **(values | arguments))
    return call if node.get("_partial_") else call()


def task_class_of(config: Mapping[str, Any]) -> type[Task]:
    """Return the class that ``task`` names."""
    return get_class(config["task"]["_target_"])


def build(config: dict[str, Any], checkpoint: Checkpoint | None = None) -> tuple[Task, TextDataModule]:
    """Return the task and its data: a new model from the configuration, or that of ``config["checkpoint"]``.

    Args:
        config: the configuration.
        checkpoint: the content of ``config["checkpoint"]``, if already read.
    """
    if not isinstance(config.get("checkpoint"), dict | None):  # a training run has a group of that name
        return load(config, checkpoint)
    seed_everything(config["seed"], workers=True, verbose=False)
    data = build_data(config)
    return build_task(config, data), data


def build_data(config: dict[str, Any], resumed: Checkpoint | None = None) -> TextDataModule:
    """Read and encode the data, and choose the settings that suit it.

    Args:
        config: the configuration, whose ``auto`` values are replaced.
        resumed: of a resumed run: its vocabulary is kept, since training some tokenizers twice gives different ids.
    """
    task_class, vocabulary = task_class_of(config), resumed and resumed.vocabulary
    choose_tokenizer(config, task_class.roles)
    data: TextDataModule = instantiate(
        without_open(config["data"]),
        roles=task_class.roles,
        batch_type=task_class.batch_type,
        tokenizer=_tokenizer(config, task_class),
        vocabulary=vocabulary,
        seen=vocabulary is not None,
        seed=config["seed"],
    )
    data.setup()
    choose_settings(config, data, resumed and resumed.config)
    return data


def build_task(config: Mapping[str, Any], data: TextDataModule, resumed: Mapping[str, Any] | None = None) -> Task:
    """Return a new model, whose sizes follow from the data, in its task.

    Args:
        config: the configuration.
        data: what it is trained on.
        resumed: the configuration in the checkpoint of a resumed run: its weights are loaded later.
    """
    task_class = task_class_of(config)
    model = instantiate(config["model"], **task_class.sizes(data.vocabulary))
    saved = {key: config[key] for key in ("data", "tokenizer", "seed", "task", "settings") if key in config}
    saved |= initialize(config, instantiate(config.get("vectors")), task_class, model, data, resumed)
    return instantiate(
        config["task"],
        model=model,
        vocabulary=data.vocabulary,
        optimizer=instantiate(config["optimizer"]),
        scheduler=instantiate(config.get("scheduler")),
        config=saved,
    )


def load(config: Mapping[str, Any], checkpoint: Checkpoint | None = None) -> tuple[Task, TextDataModule]:
    """Return the task of a checkpoint and its training data, or the data of ``config["data"]``: see ``build``."""
    task_class, options = task_class_of(config), {k: v for k, v in config["task"].items() if k != "_target_"}
    task = task_class.load_from_checkpoint(checkpoint or config["checkpoint"], **options)
    arguments = config.get("data") or data_of_checkpoint(task.config)
    data = TextDataModule(
        roles=task_class.roles,
        batch_type=task_class.batch_type,
        vocabulary=task.vocabulary,
        seen=not config.get("data"),
        seed=task.config.get("seed", 0),
        **{key: value for key, value in arguments.items() if key != "_target_"},  # the class is chosen here
    )
    data.setup()
    return task, data


def _tokenizer(config: Mapping[str, Any], task_class: type[Task]) -> Any:
    """Return a function from training texts to a tokenizer; with ``init_tokenizer`` it returns the language model's."""
    if not config.get("init_tokenizer"):
        return instantiate(config["tokenizer"])
    if not config.get("init_from"):
        raise UserError("init_tokenizer=true: no language model to take it from. Name one: init_from=runs/generate/...")
    roles = [role for role, kind in task_class.roles.items() if kind == "text"]
    if len(roles) > 1 and not config["data"]["joint_tokenizer"]:
        raise UserError(
            f"init_tokenizer=true: a language model has one tokenizer, but {task_class.name} reads "
            f"{' and '.join(roles)}. Set init_tokenizer=false, or data.joint_tokenizer=true."
        )
    limit = {key: config["tokenizer"][key] for key in ("max_length", "keep") if key in config["tokenizer"]}
    return partial(tokenizer_of, path=str(language_model_file(config["init_from"])), **limit)
