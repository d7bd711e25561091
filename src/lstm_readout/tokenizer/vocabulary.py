"""Tokenizers and labels, learned from the training split, to plain values for a checkpoint and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lstm_readout.errors import UserError
from lstm_readout.tokenizer.plain import check_kinds, shown
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
    def from_dict(cls, values: Any) -> Vocabulary:
        """Rebuild a vocabulary from the values of ``to_dict``.

        Raises:
            UserError: they are something else.
        """
        values = check_kinds(values, {"tokenizers": (dict,), "labels": (list,)}, "the vocabulary")
        tokenizers, labels = {}, values["labels"]
        if not all(type(one) is str and _is_unicode(one) for one in labels) or len(set(labels)) < len(labels):
            raise UserError(f"the labels: wanted different texts, got {shown(labels)}, not all of which are.")
        for role, given in values["tokenizers"].items():
            try:
                tokenizers[role] = TextTokenizer.from_dict(given)
            except UserError as error:
                raise UserError(f"{role}: {error}") from error
        return cls(tokenizers, list(labels))


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)  # no half of a pair


def unknown_rate(column: Ragged) -> float:
    """Return the share of tokens that the vocabulary does not know, without ``<eos>``."""
    words = len(column.values) - len(column.lengths)
    return float(np.count_nonzero(column.values == UNK)) / max(words, 1)
