"""The arguments of a tokenizer go in; a mistake in them comes out as one message."""

from __future__ import annotations

from typing import get_args

from lstm_readout.errors import UserError, did_you_mean
from lstm_readout.tokenizer.kinds import Kind

SMALLEST = {"byte": 259, "bpe": 260, "unigram": 260}  # the special tokens, all bytes, and one to learn
UNLIMITED = ("word", "basic_english", "char", "byte")  # a vocabulary that the texts themselves bound


def check_training(
    kind: str, vocab_size: int | None, min_frequency: int, dropout: float, byte_fallback: bool | None
) -> None:
    """Raise ``UserError`` for an argument of ``train`` that is out of range or means nothing to the kind."""
    if kind not in get_args(Kind):
        raise UserError(f"tokenizer.kind: there is no '{kind}'. {did_you_mean(kind, get_args(Kind))}")
    if byte_fallback and kind != "char":
        raise UserError(f"tokenizer.byte_fallback: only tokenizer=char has it, not {kind}. Leave it away.")
    smallest = 260 if kind == "char" and byte_fallback is not False else SMALLEST.get(kind, 4)
    if vocab_size is None and kind not in UNLIMITED:
        raise UserError(f"tokenizer.vocab_size: wanted a number for {kind}, got null.")
    if vocab_size is not None and vocab_size < smallest:
        raise UserError(f"tokenizer.vocab_size: wanted {smallest} or more for {kind}, got {vocab_size}.")
    if min_frequency < 0:
        raise UserError(f"tokenizer.min_frequency: wanted 0 or more, got {min_frequency}.")
    if min_frequency > 1 and kind in ("byte", "unigram"):
        raise UserError(f"tokenizer.min_frequency: {kind} has none, got {min_frequency}. Leave it away.")
    if not 0 <= dropout <= 1:
        raise UserError(f"tokenizer.dropout: wanted a share between 0 and 1, got {dropout}.")
    if dropout and kind != "bpe":
        raise UserError(f"tokenizer.dropout: only tokenizer=bpe has merges to drop, not {kind}. Leave it away.")


def check_limit(max_length: int | None, keep: str) -> None:
    """Raise ``UserError`` for a length that leaves nothing, or an unknown part to keep."""
    if keep not in ("start", "end"):
        raise UserError(f"tokenizer.keep: there is no '{keep}'. {did_you_mean(keep, ('start', 'end'))}")
    if max_length is not None and max_length < 1:
        raise UserError(f"tokenizer.max_length: wanted 1 or more, or null for no limit, got {max_length}.")
