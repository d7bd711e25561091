"""The size of a training split goes in; the settings that suit it come out.

One set of rules for all corpora: docs/do/defaults.md explains them, and says on which rows they were chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from lstm_readout.data.encoding import lengths_of
from lstm_readout.data.module import TextDataModule

KEYS = frozenset(
    """
    tokenizer.lowercase tokenizer.min_frequency
    model.embedding_size model.embedding_std model.hidden_size model.word_dropout model.input_dropout
    model.output_dropout model.chrono_init model.tied_embeddings model.feed_state model.reverse_source
    init_from_counts task.label_smoothing optimizer.lr optimizer.weight_decay data.batch_size trainer.max_epochs
    callbacks.early_stopping.patience
    """.split()
)  # what may be auto


class Size(NamedTuple):
    """What the rules know about a training split."""

    rows: int
    tokens: int  # of the last text role: what a classifier reads, and what the other models predict
    length: int  # 95 % of the rows have at most this many tokens
    vocab_size: int  # of the same role
    classes: int  # 0 without labels

    @classmethod
    def of(cls, data: TextDataModule) -> Size:
        """Measure the training split; of a streamed corpus, its head."""
        role = [role for role, kind in data.roles.items() if kind == "text"][-1]
        lengths = lengths_of({role: data.columns["train"][role]}, data.roles)
        length = int(np.percentile(lengths, 95, method="inverted_cdf"))
        sizes = len(data.vocabulary.tokenizers[role]), len(data.vocabulary.labels)
        return cls(len(lengths), int(lengths.sum()), length, *sizes)

    def __str__(self) -> str:
        """Describe the split in a few words."""
        classes = f", {self.classes} classes" if self.classes else ""
        return f"{self.rows:,} rows, {self.tokens:,} tokens, {self.vocab_size:,} ids{classes}"


def suited_tokenizer(roles: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of a tokenizer, which depend on the task alone.

    A document is classified by its words, whatever their case, and a word seen once says little about its label.
    """
    classifies = "label" in roles.values()
    return {"tokenizer.lowercase": classifies, "tokenizer.min_frequency": 2 if classifies else 1}


def suited(size: Size, config: Mapping[str, Any], roles: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that suit a training split: key -> value.

    Args:
        size: of the split.
        config: the configuration, for what the user has set.
        roles: of the task: labels make it a classifier, two texts a translator.
    """
    texts = sum(kind == "text" for kind in roles.values())
    rules = _translation if texts == 2 else _language if texts == len(roles) else _documents
    values = rules(size, config)
    epochs = values["trainer.max_epochs"]
    if config.get("trainer", {}).get("max_steps", -1) > 0:
        values["trainer.max_epochs"] = -1  # the user has set the length of the run
    return values | {"init_from_counts": True, "callbacks.early_stopping.patience": max(3, epochs // 2)}


def _documents(size: Size, config: Mapping[str, Any]) -> dict[str, Any]:
    """Much dropout and few steps: a classifier memorises its rows within a few epochs."""
    return {
        "model.embedding_size": 128,
        "model.embedding_std": 0.1,
        "model.hidden_size": 128,
        "model.word_dropout": 0.5,
        "model.input_dropout": 0.5,
        "model.output_dropout": 0.5,
        "model.chrono_init": float(max(size.length, 3)),
        "task.label_smoothing": 0.0,
        "optimizer.lr": 2e-3,
        "optimizer.weight_decay": 0.0,
        "data.batch_size": 32,
        "trainer.max_epochs": _epochs(size.rows / 32, steps=600, least=6, most=20),
    }


def _language(size: Size, config: Mapping[str, Any]) -> dict[str, Any]:
    """A large vocabulary shares one matrix between embedding and softmax; characters need none, and more units."""
    words = size.vocab_size > 1000
    hidden_size = 256
    return {
        "model.embedding_size": hidden_size if words else 64,
        "model.embedding_std": 0.1,
        "model.hidden_size": hidden_size,
        "model.tied_embeddings": words,
        "model.word_dropout": 0.1 if words else 0.0,
        "model.input_dropout": 0.5 if words else 0.0,
        "model.output_dropout": 0.5,
        "model.chrono_init": 0.0,
        "task.label_smoothing": 0.0,
        "optimizer.lr": 3e-3,
        "optimizer.weight_decay": 0.1,
        "data.batch_size": 16,
        "trainer.max_epochs": _epochs(size.rows / 16, steps=600, least=6, most=20),
    }


def _translation(size: Size, config: Mapping[str, Any]) -> dict[str, Any]:
    """The softmax reads the encoder's state at every step, and the source is read from its end, unless it attends."""
    attends = config["model"].get("attention", "none") != "none"
    return {
        "model.embedding_size": 128,
        "model.embedding_std": 0.1,
        "model.hidden_size": 256,
        "model.tied_embeddings": False,
        "model.feed_state": not attends,
        "model.reverse_source": not attends,
        "model.word_dropout": 0.0,
        "model.input_dropout": 0.3,
        "model.output_dropout": 0.4,
        "model.chrono_init": 0.0,
        "task.label_smoothing": 0.1,
        "optimizer.lr": 3e-3,
        "optimizer.weight_decay": 0.0,
        "data.batch_size": 32,
        "trainer.max_epochs": _epochs(size.rows / 32, steps=3000, least=6, most=20),
    }


def _epochs(batches: float, *, steps: int, least: int, most: int) -> int:
    """Return a budget of steps in whole epochs."""
    return int(np.clip(round(steps / batches), least, most))
