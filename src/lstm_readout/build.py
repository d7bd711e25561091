"""A composed configuration goes in; its data and its task come out, ready to train or to look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.utils import get_class, instantiate
from lightning import seed_everything
from omegaconf import DictConfig, OmegaConf
from torch import nn

from lstm_readout.data.describe import token_counts
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError
from lstm_readout.ragged import Ragged
from lstm_readout.tasks.base import Task
from lstm_readout.tokenizer import Vocabulary
from lstm_readout.vectors import Place, PretrainedVectors


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
        tokenizer=instantiate(config.tokenizer),
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
            that no word vectors are read.
    """
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # pyright: ignore[reportAssignmentType]
    task_class: type[Task] = get_class(config.task._target_)
    # _partial_, then the call: inside instantiate a UserError would be wrapped
    model = instantiate(config.model, _partial_=True, _convert_="all")(**task_class.sizes(data.vocabulary))
    about = {key: plain[key] for key in ("data", "tokenizer", "seed")}
    if plain.get("vectors"):
        about["vectors"] = _take_vectors(config, task_class, model, data, resumed)
    return instantiate(config.task, _partial_=True)(
        model=model,
        vocabulary=data.vocabulary,
        optimizer=instantiate(config.optimizer),
        scheduler=instantiate(config.scheduler) if config.get("scheduler") else None,
        config=about,
    )


def _take_vectors(
    config: DictConfig,
    task_class: type[Task],
    model: nn.Module,
    data: TextDataModule,
    resumed: Mapping[str, Any] | None,
) -> dict[str, float]:
    """Fill the embeddings of the model; return what share of each role's words and training tokens has a vector."""
    vectors: PretrainedVectors = instantiate(config.vectors, _partial_=True, _convert_="all")()
    if not task_class.embeddings:
        name = task_class.__name__
        raise UserError(f"vectors: {name}.embeddings does not say where the model holds them. Set it, or vectors=none.")
    by_role = isinstance(vectors.source, Mapping)
    places = {role: _place(role, path, model, data, by_role) for role, path in task_class.embeddings.items()}
    if resumed is not None:
        vectors.freeze_embeddings(places)
        return resumed.get("vectors", {})
    shares = {}
    for role, coverage in vectors.initialise(places).items():
        shares |= {f"{role}/words": coverage.words}
        shares |= {} if coverage.tokens is None else {f"{role}/tokens": coverage.tokens}
    return shares


def _place(role: str, path: str, model: nn.Module, data: TextDataModule, by_role: bool) -> Place:
    embedding, side = model.get_submodule(path), path.partition(".")[0]
    assert isinstance(embedding, nn.Embedding)
    arguments: dict[str, Any] = getattr(model, "arguments", {})
    of_one_side = by_role or arguments.get("embedding_size") != embedding.embedding_dim
    key = f"model.{side}" if of_one_side and isinstance(arguments.get(side), dict) else "model"
    tokenizer, train = data.vocabulary.tokenizers[role], data.columns.get("train", {}).get(role)
    counts = token_counts(train, len(tokenizer)) if isinstance(train, Ragged) else None
    return Place(embedding, tokenizer.tokens, counts, f"{key}.embedding_size")


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
