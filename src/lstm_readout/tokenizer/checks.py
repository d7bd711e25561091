"""The arguments of a tokenizer go in; a mistake in them comes out as one message."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import get_args

from lstm_readout.errors import UserError, did_you_mean
from lstm_readout.tokenizer.fit import Kind

SMALLEST = {"byte": 259, "bpe": 260, "unigram": 260}  # special tokens, all bytes, and one to learn
BLOCK_TEXTS, BLOCK_CHARACTERS = 1000, 4_000_000  # per call of the backend: its encodings are far larger than their ids
_UNLIMITED = ("word", "whitespace", "basic_english", "char", "byte")  # the texts bound the vocabulary


def check_training(
    kind: str, vocab_size: int | None, min_frequency: int, dropout: float, byte_fallback: bool | None
) -> None:
    """Raise ``UserError`` for an argument of ``train`` that is out of range or does not apply to the kind."""
    if kind not in get_args(Kind):
        raise UserError(f"tokenizer.kind: there is no '{kind}'. {did_you_mean(kind, get_args(Kind))}")
    if byte_fallback and kind != "char":
        raise UserError(f"tokenizer.byte_fallback: only tokenizer=char has it, not {kind}. Leave it out.")
    smallest = 260 if kind == "char" and byte_fallback is not False else SMALLEST.get(kind, 4)
    if vocab_size is None and kind not in _UNLIMITED:
        raise UserError(f"tokenizer.vocab_size: wanted a number for {kind}, got null.")
    if vocab_size is not None and vocab_size < smallest:
        raise UserError(f"tokenizer.vocab_size: wanted {smallest} or more for {kind}, got {vocab_size}.")
    if min_frequency < 0:
        raise UserError(f"tokenizer.min_frequency: wanted 0 or more, got {min_frequency}.")
    if min_frequency > 1 and kind in ("byte", "unigram"):
        raise UserError(f"tokenizer.min_frequency: {kind} has none, got {min_frequency}. Leave it out.")
    if not 0 <= dropout <= 1:
        raise UserError(f"tokenizer.dropout: wanted a share between 0 and 1, got {dropout}.")
    if dropout and kind != "bpe":
        raise UserError(f"tokenizer.dropout: only tokenizer=bpe has merges to drop, not {kind}. Leave it out.")


def check_limit(max_length: int | None, keep: str) -> None:
    """Raise ``UserError`` for a length below 1, or an unknown part to keep."""
    if keep not in ("start", "end"):
        raise UserError(f"tokenizer.keep: there is no '{keep}'. {did_you_mean(keep, ('start', 'end'))}")
    if max_length is not None and max_length < 1:
        raise UserError(f"tokenizer.max_length: wanted 1 or more, or null for no limit, got {max_length}.")


_HALF_CHARACTER = re.compile(".{0,20}[\ud800-\udfff].{0,20}", re.DOTALL)


def blocks(texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield the texts in lists of a bounded size.

    Raises:
        UserError: one is not a string, or has a lone surrogate.
    """
    block: list[str] = []
    characters = 0
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise UserError(
                f"text {number + 1} of {len(texts)}: wanted a string, got {text!r} ({type(text).__name__})."
            )
        try:
            text.encode()  # takes a hundredth of the time of what follows; not every version of the backend refuses it
        except UnicodeEncodeError as error:
            raise not_unicode([text]) from error
        if block and (len(block) == BLOCK_TEXTS or characters + len(text) > BLOCK_CHARACTERS):
            yield block
            block, characters = [], 0
        block.append(text)
        characters += len(text)
    if block:
        yield block


def not_unicode(texts: Sequence[str]) -> UserError:
    """Return the error for texts that the backend cannot read."""
    shown = "".join(found[0] for found in map(_HALF_CHARACTER.search, texts) if found)
    return UserError(
        f"a text contains half a character (a lone surrogate) and cannot be read: {shown[:60]!a}. "
        "Was its encoding guessed wrong? Save it as UTF-8."
    )
