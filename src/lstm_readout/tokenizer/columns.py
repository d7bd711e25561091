"""Ids as a backend gives them go in; columns whose rows are cut at a limit and end in ``<eos>`` come out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from lstm_readout.errors import UserError
from lstm_readout.ragged import Ragged
from lstm_readout.tokenizer.special import EOS

_HALF_CHARACTER = re.compile(".{0,20}[\ud800-\udfff].{0,20}", re.DOTALL)
BLOCK_TEXTS, BLOCK_CHARACTERS = 1000, 4_000_000  # encoded together: encodings are far larger than the ids in them


def blocks(texts: Sequence[str]) -> Iterator[list[str]]:
    """Give the texts in lists of a bounded size.

    Raises:
        UserError: one is no string, or holds half a character.
    """
    block: list[str] = []
    characters = 0
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise UserError(
                f"text {number + 1} of {len(texts)}: wanted a string, got {text!r} ({type(text).__name__})."
            )
        try:
            text.encode()  # at a hundredth of the price of what follows; not every version of the backend refuses it
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
    """Return what to tell of texts that the backend cannot read."""
    shown = "".join(found[0] for found in map(_HALF_CHARACTER.search, texts) if found)
    return UserError(
        f"a text holds half a character (a lone surrogate), and cannot be read: {shown[:60]!a}. "
        "Was its encoding guessed wrong? Save it as UTF-8."
    )


def ended(column: Ragged, max_length: int | None, keep: str, reverse: bool) -> tuple[Ragged, int]:
    """Return the column with ``<eos>`` behind each row, and how many rows were cut.

    Args:
        column: the ids.
        max_length: most ids of a row, ``<eos>`` not counted; None for no limit.
        keep: the part of a longer row that stays, ``start`` or ``end``.
        reverse: turn around what stays.
    """
    lengths = column.lengths
    kept = lengths if max_length is None else np.minimum(lengths, max_length)
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(kept + 1, out=offsets[1:])
    values = np.empty(offsets[-1], dtype=np.int32)
    is_end = np.zeros(len(values), dtype=bool)
    is_end[offsets[1:] - 1] = True
    values[is_end] = EOS
    stays = column.values
    if len(stays) > offsets[-1] - len(lengths):
        first = column.offsets[:-1] + (lengths - kept if keep == "end" else 0)
        stays = stays[np.repeat(first - offsets[:-1] + np.arange(len(kept)), kept) + np.arange(int(kept.sum()))]
    if reverse:
        end = np.cumsum(kept)
        first, last = end - kept, end - 1
        stays = stays[np.repeat(first + last, kept) - np.arange(len(stays))]
    values[~is_end] = stays
    return Ragged(values, offsets), int(np.count_nonzero(kept < lengths))


def joined(columns: Sequence[Ragged]) -> Ragged:
    """Return the rows of all columns, one after the other."""
    begins = np.cumsum([0, *(len(column.values) for column in columns)])
    offsets = [column.offsets[1:] + begin for column, begin in zip(columns, begins, strict=False)]
    values = [column.values for column in columns]
    return Ragged(
        np.concatenate([np.zeros(0, dtype=np.int32), *values]), np.concatenate([np.zeros(1, dtype=np.int64), *offsets])
    )
