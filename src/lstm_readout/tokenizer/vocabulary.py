"""Tokenizers and labels, learned from the training split, to plain values for a checkpoint and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from lstm_readout.tokenizer.ragged import Ragged
from lstm_readout.tokenizer.special_tokens import UNK
from lstm_readout.tokenizer.text_tokenizer import TextTokenizer


class Vocabulary(NamedTuple):
    """What was learned from the training split: all that a checkpoint needs besides the weights."""

    tokenizers: dict[str, TextTokenizer]  # text role -> tokenizer
    labels: list[str]  # class names in the order of the logits; empty for a task without labels

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; ``from_dict`` is the inverse."""
        return {
            "tokenizers": {role: t.to_dict() for role, t in self.tokenizers.items()},
            "labels": self.labels,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Vocabulary:
        """Rebuild a vocabulary from the values of ``to_dict``."""
        tokenizers = {role: TextTokenizer.from_dict(given) for role, given in values["tokenizers"].items()}
        return cls(tokenizers, list(values["labels"]))


def unknown_rate(column: Ragged) -> float:
    """Return the share of tokens that the vocabulary does not know, without ``<eos>``."""
    words = len(column.values) - len(column.lengths)
    return float(np.count_nonzero(column.values == UNK)) / max(words, 1)
