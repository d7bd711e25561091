"""The size of a training split goes in; the settings that suit it come out.

One set of rules for all corpora: docs/do/defaults.md explains them, and says on which rows they were chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from lstm_readout.data.encoding import lengths_of
from lstm_readout.data.module import TextDataModule

_OF_MODEL = (
    "embedding_size",
    "embedding_std",
    "hidden_size",
    "word_dropout",
    "input_dropout",
    "output_dropout",
    "locked_dropout",
    "chrono_init",
    "tied_embeddings",
    "feed_state",
    "reverse_source",
)
KEYS = {
    "tokenizer.lowercase",
    "tokenizer.min_frequency",
    *(f"model.{name}" for name in _OF_MODEL),
    "init_from_counts",
    "task.label_smoothing",
    "optimizer.lr",
    "optimizer.weight_decay",
    "data.batch_size",
    "trainer.max_epochs",
    "callbacks.best.standard_errors",
    "callbacks.early_stopping.patience",
}  # what may be auto
_FEW_TOKENS, _MANY_TOKENS = 100_000, 500_000


class Size(NamedTuple):
    """What the rules know about a training split."""

    rows: int
    tokens: int  # of the last text role: what a classifier reads, and what the other models predict
    length: int  # of the median row, in tokens
    vocab_size: int  # of the same role
    classes: int  # 0 without labels

    @classmethod
    def of(cls, data: TextDataModule) -> Size:
        """Measure the training split; of a streamed corpus, its head."""
        role = [role for role, kind in data.roles.items() if kind == "text"][-1]
        lengths = lengths_of({role: data.columns["train"][role]}, data.roles)
        sizes = len(data.vocabulary.tokenizers[role]), len(data.vocabulary.labels)
        return cls(len(lengths), int(lengths.sum()), int(np.median(lengths)), *sizes)

    def __str__(self) -> str:
        """Describe the split in a few words."""
        classes = f", {self.classes} classes" if self.classes else ""
        return f"{self.rows:,} rows, {self.tokens:,} tokens, {self.vocab_size:,} ids{classes}"


def suited_tokenizer(roles: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of a tokenizer, which depend on the task alone.

    A document is classified by its words, whatever their case. A word seen once teaches little, but if it is unknown,
    then the model learns to read unknown words; a language model has to predict it.
    """
    classifies, translates = "label" in roles.values(), list(roles.values()).count("text") == 2
    return {"tokenizer.lowercase": classifies, "tokenizer.min_frequency": 2 if classifies or translates else 1}


def suited(size: Size, config: Mapping[str, Any], roles: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that suit a training split: key -> value.

    Args:
        size: of the split.
        config: the configuration, for what the user has set.
        roles: of the task: labels make it a classifier, two texts a translator.
    """
    texts = sum(kind == "text" for kind in roles.values())
    language = _words if size.vocab_size > 1000 else _characters
    rules = _translation if texts == 2 else language if texts == len(roles) else _documents
    values = rules(size, config)
    epochs = values["trainer.max_epochs"]
    if config.get("trainer", {}).get("max_steps", -1) > 0:
        values["trainer.max_epochs"] = -1  # the user has set the length of the run
    return values | {
        "init_from_counts": True,
        "callbacks.best.standard_errors": 1.0,
        "callbacks.early_stopping.patience": max(3, epochs // 2),
    }


def _documents(size: Size, config: Mapping[str, Any]) -> dict[str, Any]:
    """Much dropout and few steps: a classifier memorises its rows within a few epochs."""
    remembers = not config["model"].get("forget_bias")  # which chrono_init would replace
    return {
        "model.embedding_size": 128,
        "model.embedding_std": 0.1,
        "model.hidden_size": 128,
        "model.word_dropout": 0.4,
        "model.input_dropout": 0.5,
        "model.output_dropout": 0.5,
        "model.locked_dropout": False,
        "model.chrono_init": float(max(size.length, 3)) if remembers else 0.0,  # a unit remembers up to a usual row
        "task.label_smoothing": 0.0,
        "optimizer.lr": 5e-3,
        "optimizer.weight_decay": 0.0,
        "data.batch_size": 32,
        "trainer.max_epochs": _epochs(size.rows / 32, steps=1600, least=4, most=20),
    }


def _words(size: Size, config: Mapping[str, Any]) -> dict[str, Any]:
    """A large vocabulary shares one matrix between embedding and softmax."""
    small, large = size.tokens < _FEW_TOKENS, size.tokens > _MANY_TOKENS
    return {
        **_tied(config["model"], 384 if large else 256),
        "model.embedding_std": 0.1,
        "model.word_dropout": 0.3 if small else 0.1,
        "model.input_dropout": 0.4 if large else 0.5,
        "model.output_dropout": 0.4 if large else 0.5,
        "model.locked_dropout": True,
        "model.chrono_init": 0.0,
        "task.label_smoothing": 0.0,
        "optimizer.lr": 3e-3,
        "optimizer.weight_decay": 0.0,
        **_steps_of_language(size, config),
    }


def _characters(size: Size, config: Mapping[str, Any]) -> dict[str, Any]:
    """A small vocabulary needs no such matrix, and leaves room for more units."""
    large = size.tokens > _MANY_TOKENS
    return {
        "model.embedding_size": 64,
        "model.hidden_size": 512 if large else 256,
        "model.embedding_std": 0.1,
        "model.word_dropout": 0.0,
        "model.input_dropout": 0.0,
        "model.output_dropout": 0.25 if large else 0.4,
        "model.locked_dropout": False,
        "model.chrono_init": 0.0,
        "task.label_smoothing": 0.0,
        "optimizer.lr": 4e-3,
        "optimizer.weight_decay": 0.2,
        **_steps_of_language(size, config),
    }


def _steps_of_language(size: Size, config: Mapping[str, Any]) -> dict[str, Any]:
    rows = 16 if size.tokens < _FEW_TOKENS else 32
    batch_size = _columns(size, config) if config["data"].get("carry_state") else rows
    epochs = _epochs(_batches(size, config, batch_size), steps=6000, least=5, most=12)
    return {"data.batch_size": batch_size, "trainer.max_epochs": epochs}


def _translation(size: Size, config: Mapping[str, Any]) -> dict[str, Any]:
    """The softmax reads the encoder's state at every step, and the source is read from its end, unless it attends."""
    attends, small = config["model"].get("attention", "none") != "none", size.rows < 5000
    simple = size.vocab_size <= 1000 and size.tokens < 500_000  # a few words in fixed patterns
    return {
        **_tied(config["model"], 128 if simple else 256),
        "model.embedding_std": 0.1,
        "model.feed_state": not attends,
        "model.reverse_source": not attends and not config["model"].get("bidirectional"),
        "model.word_dropout": 0.0,
        "model.input_dropout": 0.0 if simple else 0.3,
        "model.output_dropout": 0.0 if simple else 0.4 if small else 0.3,
        "model.locked_dropout": False,
        "model.chrono_init": 0.0,
        "task.label_smoothing": 0.1 if config["model"].get("softmax") == "full" and not simple else 0.0,
        "optimizer.lr": 5e-3 if simple else 3e-3,
        "optimizer.weight_decay": 0.0,
        "data.batch_size": 32,
        "trainer.max_epochs": _epochs(size.rows / 32, steps=2600 if simple else 5000, least=5, most=20),
    }


def _tied(model: Mapping[str, Any], width: int) -> dict[str, Any]:
    """Share one matrix between embedding and softmax where sizes that the user has set allow it.

    Args:
        model: the configuration of the model; a size is a number where the user has set it.
        width: of the embedding and of what the softmax reads.
    """
    decoder = model.get("decoder") or model
    sizes = {name: decoder[name] for name in ("embedding_size", "hidden_size") if isinstance(decoder.get(name), int)}
    tied = len(set(sizes.values())) < 2 and not model.get("proj_size") and model.get("softmax") == "full"
    values = {"model.tied_embeddings": tied, "model.embedding_size": width, "model.hidden_size": width}
    if tied and sizes:
        values |= dict.fromkeys(("model.embedding_size", "model.hidden_size"), next(iter(sizes.values())))
    return values


def _columns(size: Size, config: Mapping[str, Any]) -> int:
    """Return how many parallel columns of a stream leave about 40 windows per epoch."""
    return int(np.clip(size.tokens // (40 * config["data"]["window"]), 4, 32))


def _batches(size: Size, config: Mapping[str, Any], batch_size: int) -> float:
    """Return the batches of an epoch; a stream is cut into windows."""
    data = config["data"]
    return size.tokens / (batch_size * data["window"]) if data.get("carry_state") else size.rows / batch_size


def _epochs(batches: float, *, steps: int, least: int, most: int) -> int:
    """Return a budget of steps in whole epochs."""
    return int(np.clip(round(steps / batches), least, most))
