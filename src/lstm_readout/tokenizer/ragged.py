"""Rows of different lengths as one flat array: lists of ids go in, a ``PackedSequence`` comes out.

There is no padding, and no Python loop over tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.tokenizer.special_tokens import EOS


class Ragged(NamedTuple):
    """Row i is ``values[offsets[i]:offsets[i + 1]]``."""

    values: np.ndarray  # (tokens,) int32
    offsets: np.ndarray  # (rows + 1,) int64

    @classmethod
    def from_lists(cls, rows: Sequence[Sequence[int]]) -> Ragged:
        """Join lists of ids into one flat array."""
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return cls(np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(offsets[-1])), offsets)

    @property
    def lengths(self) -> np.ndarray:
        """Number of tokens of each row: (rows,)."""
        return np.diff(self.offsets)

    def row(self, index: int) -> np.ndarray:
        """Return the ids of one row."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]


def pack(column: Ragged, rows: np.ndarray, first: int | None = None) -> PackedSequence:
    """Pack the given rows, in the given order (``sorted_indices`` remembers it).

    Args:
        column: the ids of all rows; each row must have at least one token.
        rows: (B,) which rows.
        first: if given, every row is shifted one step to the right, begins with this id and loses its last token: the
            inputs of a model whose targets are the row itself (teacher forcing).

    Returns:
        PackedSequence of int64 ids, data (tokens,).
    """
    starts, lengths = column.offsets[rows], column.offsets[rows + 1] - column.offsets[rows]
    order = np.argsort(-lengths, kind="stable")
    starts, lengths = starts[order], lengths[order]
    steps = np.arange(lengths[0])[:, None]  # (T, 1)
    alive = steps < lengths  # (T, B): a prefix of each step's rows, because the longest come first
    index = (starts + steps)[alive]  # (tokens,) step by step, as PackedSequence requires
    if first is None:
        data = column.values[index]
    else:
        data = column.values[index - 1]  # at step 0 a neighbour's token, replaced in the next line
        data[: len(rows)] = first
    unsorted = np.empty_like(order)
    unsorted[order] = np.arange(len(order))
    arrays = (data.astype(np.int64), alive.sum(1), order, unsorted)
    return PackedSequence(*map(torch.from_numpy, arrays))


def ended(column: Ragged, max_length: int | None, keep: str, reverse: bool) -> tuple[Ragged, int]:
    """Return the column with ``<eos>`` after each row, and how many rows were truncated.

    Args:
        column: the ids.
        max_length: maximum ids per row, without ``<eos>``; None for no limit.
        keep: the part of a longer row that is kept, ``start`` or ``end``.
        reverse: reverse what is kept.
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
