"""Text to ids and back: a thin face on Hugging Face ``tokenizers``.

Ids 0, 1 and 2 are ``<unk>``, ``<bos>`` and ``<eos>`` in every vocabulary. There is no padding id: ragged rows travel
packed. Every encoded text ends in ``<eos>``, so that an empty text still has one token to read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from lstm_readout.errors import UserError, did_you_mean
from lstm_readout.ragged import Ragged

Kind = Literal["word", "char", "bpe"]
UNK, BOS, EOS = 0, 1, 2
SPECIAL_TOKENS = ["<unk>", "<bos>", "<eos>"]


class TextTokenizer:
    """A trained tokenizer with the length limit that its model was trained with.

    Args:
        backend: the ``tokenizers.Tokenizer``; its first three ids are ``SPECIAL_TOKENS``.
        max_length: longest text in tokens, ``<eos>`` not counted; longer ones are cut. None: no limit.
        keep: which part of a longer text stays, its ``start`` or its ``end``.
    """

    def __init__(self, backend: Tokenizer, max_length: int | None = None, keep: str = "start") -> None:
        self.backend = backend
        self.max_length = max_length
        self.keep = keep

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        kind: Kind = "word",
        vocab_size: int = 30_000,
        min_frequency: int = 1,
        lowercase: bool = False,
        max_length: int | None = None,
        keep: Literal["start", "end"] = "start",
    ) -> TextTokenizer:
        """Fit a vocabulary on ``texts``.

        Args:
            texts: the training split, and nothing else.
            kind: ``word`` (runs of letters and digits, runs of punctuation), ``char`` (code points), or ``bpe``
                (byte-level byte-pair encoding: knows every text, and gives it back unchanged).
            vocab_size: most ids, the special ones counted.
            min_frequency: a token seen less often is unknown (``bpe``: a pair seen less often is not merged).
            lowercase: fold case first.
            max_length, keep: see the class.

        Raises:
            UserError: for an unknown ``kind`` or ``keep``, a size that leaves no room for a token, or no token at all.
        """
        for name, value, valid in (("kind", kind, get_args(Kind)), ("keep", keep, ("start", "end"))):
            if value not in valid:
                raise UserError(f"tokenizer.{name}: there is no '{value}'. {did_you_mean(value, valid)}")
        smallest = 260 if kind == "bpe" else 4
        if vocab_size < smallest:
            raise UserError(f"tokenizer.vocab_size: wanted {smallest} or more for {kind}, got {vocab_size}.")
        if min_frequency < 0:
            raise UserError(f"tokenizer.min_frequency: wanted 0 or more, got {min_frequency}.")
        if max_length is not None and max_length < 1:
            raise UserError(f"tokenizer.max_length: wanted 1 or more, or null for no limit, got {max_length}.")
        backend, trainer = _build(kind, vocab_size, min_frequency, lowercase)
        backend.train_from_iterator(texts, trainer)
        if backend.get_vocab_size() == len(SPECIAL_TOKENS):
            raise UserError(
                f"tokenizer: the training texts hold no {kind} token {max(min_frequency, 1)} time(s) or more. "
                "Give more text, or lower tokenizer.min_frequency."
            )
        return cls(backend, max_length, keep)

    def __len__(self) -> int:
        return self.backend.get_vocab_size()

    def encode(self, texts: Sequence[str]) -> tuple[Ragged, int]:
        """Return the ids of each text, ``<eos>`` at its end, and how many texts were cut at ``max_length``."""
        # "<bos>" and "<eos>" in somebody's text are words, no commands. Set here, for a copied backend forgets it
        self.backend.encode_special_tokens = True
        rows, cut = [], 0
        for start in range(0, len(texts), 1000):  # chunks: encodings hold offsets and strings, far more than ids
            for encoding in self.backend.encode_batch_fast(texts[start : start + 1000], add_special_tokens=False):
                ids = encoding.ids
                if self.max_length is not None and len(ids) > self.max_length:
                    ids = ids[: self.max_length] if self.keep == "start" else ids[-self.max_length :]
                    cut += 1
                ids.append(EOS)
                rows.append(ids)
        return Ragged.from_lists(rows), cut

    def decode(self, token_ids: Iterable[int]) -> str:
        """Return the text of the ids up to the first ``<eos>``."""
        ids: list[int] = []
        for token_id in token_ids:
            if token_id == EOS:
                break
            ids.append(int(token_id))
        return self.backend.decode(ids, skip_special_tokens=False)

    def to_dict(self) -> dict[str, str | int | None]:
        """Return plain values for a checkpoint; ``from_dict`` is the way back."""
        return {"json": self.backend.to_str(), "max_length": self.max_length, "keep": self.keep}

    @classmethod
    def from_dict(cls, values: dict) -> TextTokenizer:
        """Rebuild what ``to_dict`` gave."""
        return cls(Tokenizer.from_str(values["json"]), values["max_length"], values["keep"])


class Vocabulary(NamedTuple):
    """What was learned from the training split and must travel with the model: it is all that a checkpoint needs."""

    tokenizers: dict[str, TextTokenizer]  # text role -> tokenizer
    labels: list[str]  # class names in the order of the logits; empty for a task without labels

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; ``from_dict`` is the way back."""
        return {
            "tokenizers": {role: t.to_dict() for role, t in self.tokenizers.items()},
            "labels": self.labels,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Vocabulary:
        """Rebuild what ``to_dict`` gave."""
        tokenizers = {role: TextTokenizer.from_dict(given) for role, given in values["tokenizers"].items()}
        return cls(tokenizers, list(values["labels"]))


def unknown_rate(column: Ragged) -> float:
    """Return the share of tokens that the vocabulary does not know, ``<eos>`` not counted."""
    words = len(column.values) - len(column.lengths)
    return float(np.count_nonzero(column.values == UNK)) / max(words, 1)


def _build(kind: Kind, vocab_size: int, min_frequency: int, lowercase: bool) -> tuple[Tokenizer, trainers.Trainer]:
    if kind == "bpe":
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=min_frequency,
            special_tokens=SPECIAL_TOKENS,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    else:
        backend = Tokenizer(models.WordLevel(unk_token=SPECIAL_TOKENS[UNK]))
        if kind == "word":
            backend.pre_tokenizer = pre_tokenizers.Whitespace()
        else:
            backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
            backend.decoder = decoders.Fuse()
        trainer = trainers.WordLevelTrainer(
            vocab_size=vocab_size,
            min_frequency=min_frequency,
            special_tokens=SPECIAL_TOKENS,
            show_progress=False,
        )
    if lowercase:
        backend.normalizer = normalizers.Lowercase()
    return backend, trainer
