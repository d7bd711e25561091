"""A configuration and a new model go in; counts, word vectors or a language model initialise it, and the shares of the
vocabulary that these cover come out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from lstm_readout.data.describe import token_counts
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError, did_you_mean
from lstm_readout.models.generate import LanguageModel
from lstm_readout.models.pretrained.language_model import Part, language_model_file, move
from lstm_readout.models.pretrained.vectors import Place, PretrainedVectors
from lstm_readout.nn.encoder import Encoder
from lstm_readout.tasks.base import Task
from lstm_readout.tokenizer.ragged import Ragged


def initialize(
    config: Mapping[str, Any],
    vectors: PretrainedVectors | None,
    task_class: type[Task],
    model: nn.Module,
    data: TextDataModule,
    resumed: Mapping[str, Any] | None,
) -> dict[str, dict[str, Any]]:
    """Initialise the model as ``init_from_counts``, ``vectors`` and ``init_from`` say.

    Args:
        config: the configuration.
        vectors: the word vectors that its ``vectors`` describes.
        task_class: knows where the model holds its embeddings.
        model: with its random weights.
        data: what it is trained on.
        resumed: the configuration in the checkpoint of a resumed run: then nothing is read.

    Returns:
        ``vectors`` and ``init_from``, where requested -> the share of each role's vocabulary that they cover.
    """
    coverage: dict[str, dict[str, Any]] = {}
    if config.get("init_from_counts") and resumed is None:
        task_class.init_from_counts(model, data)  # first: vectors and init_from know more
    if vectors is not None:
        coverage["vectors"] = _take_vectors(vectors, task_class, model, data, resumed)
    if config.get("init_from"):
        roles = _sides(config, task_class)
        twice = {key.partition("/")[0] for key in coverage.get("vectors", {})} & set(roles)
        if twice:
            raise UserError(
                f"vectors and init_from both fill the embedding of {', '.join(sorted(twice))}. Leave one out, "
                "or name different roles in vectors.roles or init_into."
            )
        if resumed is None:
            coverage["init_from"] = _take_language_model(config["init_from"], roles, task_class, model, data)
        else:
            coverage["init_from"] = resumed.get("init_from", {})
    return coverage


def _take_vectors(
    vectors: PretrainedVectors,
    task_class: type[Task],
    model: nn.Module,
    data: TextDataModule,
    resumed: Mapping[str, Any] | None,
) -> dict[str, float]:
    """Fill the embeddings; return the shares of each role's words and training tokens that have a vector."""
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
    if not isinstance(embedding, nn.Embedding):
        raise UserError(f"vectors, init_from: the model's '{path}' is not a torch.nn.Embedding. Leave them out.")
    arguments: dict[str, Any] = getattr(model, "arguments", {})
    of_one_side = by_role or arguments.get("embedding_size") != embedding.embedding_dim
    key = f"model.{side}" if of_one_side and isinstance(arguments.get(side), dict) else "model"
    tokenizer, train = data.vocabulary.tokenizers[role], data.columns.get("train", {}).get(role)
    counts = token_counts(train, len(tokenizer)) if isinstance(train, Ragged) else None
    return Place(embedding, tokenizer.tokens, counts, f"{key}.embedding_size")


def _take_language_model(
    path: str, roles: Mapping[str, str], task_class: type[Task], model: nn.Module, data: TextDataModule
) -> dict[str, Any]:
    by_role = len(roles) < len(task_class.embeddings)
    parts = {role: _part(role, where, model, data, by_role) for role, where in roles.items()}
    file = str(language_model_file(path))
    known: dict[str, Any] = {"file": file}
    for role, coverage in move(file, parts).items():
        known |= {f"{role}/tokens_known": coverage.words}
        known |= {} if coverage.tokens is None else {f"{role}/training_tokens_known": coverage.tokens}
    return known


def _sides(config: Mapping[str, Any], task_class: type[Task]) -> dict[str, str]:
    """Return the text roles of the sides in ``init_into``, and where the model holds their embeddings.

    The default is the last: for a translator the decoder, which is itself a language model.
    """
    sides = {path.partition(".")[0]: role for role, path in task_class.embeddings.items()}
    if not sides:
        name = task_class.__name__
        raise UserError(f"init_from: {name}.embeddings does not say where the model holds them. Set init_from=null.")
    into = config.get("init_into")
    chosen = [*sides][-1:] if into is None else [into] if isinstance(into, str) else into
    if not isinstance(chosen, list):
        raise UserError(f"init_into: wanted a list, for example [{', '.join(sides)}], got {into!r}.")
    for side in chosen:
        if side not in sides:
            raise UserError(f"init_into: {task_class.name} has no '{side}'. {did_you_mean(str(side), sides)}")
    return {role: task_class.embeddings[role] for side, role in sides.items() if side in chosen}


def _part(role: str, path: str, model: nn.Module, data: TextDataModule, by_role: bool) -> Part:
    place, where = _place(role, path, model, data, by_role), path.rpartition(".")[0]
    encoder, owner = model.get_submodule(where), model.get_submodule(where.rpartition(".")[0])
    if not isinstance(encoder, Encoder):
        raise UserError(
            f"init_from: '{where}' of the model is not an lstm_readout.nn.encoder.Encoder. Set init_from=null."
        )
    head = owner.head if type(owner) is LanguageModel else None  # with attention the head reads something else
    key = place.key.removesuffix(".embedding_size")
    reverse = data.vocabulary.tokenizers[role].reverse
    return Part(encoder, place, key, head if isinstance(head, nn.Linear) else None, reverse)
