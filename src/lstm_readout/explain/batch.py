"""Data and a number go in; one small batch of rows with mixed lengths comes out, always the same."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.data.module import TextDataModule
from lstm_readout.data.windows import StreamDataset, join_stream
from lstm_readout.tokenizer import TextTokenizer
from lstm_readout.tokenizer.ragged import Ragged

_LEGIBLE = 12  # steps that a picture shows in full
_JOINER = "\u200d"  # joins several emoji into one
MOST_STEPS = 400  # longer rows are truncated: a document of a million tokens explains no more


def small_batch(data: TextDataModule, number: int) -> Any:
    """Return a batch of ``number`` training rows, or all rows if there are fewer; no row twice.

    The rows are short, with evenly spread lengths, the shortest first: a picture can show them, and most are padded.
    A stream gives the first window of its columns.
    """
    columns = data.columns.get("train", next(iter(data.columns.values())))  # other data may have only a test split
    if data.carry_state:
        return StreamDataset(
            join_stream(columns["text"]), columns=number, window=min(data.batching.window, MOST_STEPS)
        )[0]
    first = next(column for column in columns.values() if isinstance(column, Ragged))
    rows = choose(first.lengths, number)
    few = {
        role: _shortened(column, rows) if isinstance(column, Ragged) else column[rows]
        for role, column in columns.items()
    }
    batch_type: Any = data.batch_type
    return batch_type.collate(few, np.arange(len(rows)))


def _shortened(column: Ragged, rows: np.ndarray) -> Ragged:
    return Ragged.from_lists([column.row(row)[:MOST_STEPS].tolist() for row in rows])


def choose(lengths: np.ndarray, number: int) -> np.ndarray:
    """Return row numbers with lengths spread from the shortest to a legible one, in that order."""
    number = min(number, len(lengths))
    distance = lengths.astype(float)
    shortest = distance.min()
    short = distance[distance <= max(_LEGIBLE, 2 * shortest)]
    chosen = []
    for wanted in np.linspace(shortest, short.max(), number):
        chosen.append(int(np.argmin(np.abs(distance - wanted))))
        distance[chosen[-1]] = np.inf
    return np.array(sorted(chosen, key=lambda row: lengths[row]))


def lengths_of(packed: PackedSequence) -> list[int]:
    """Return the real steps of each row, in the order of the batch: (B,)."""
    sizes = packed.batch_sizes
    lengths = [int((sizes > row).sum()) for row in range(int(sizes[0]))]
    return lengths if packed.unsorted_indices is None else [lengths[i] for i in packed.unsorted_indices.tolist()]


def names_of(tokenizer: TextTokenizer, ids: list[int]) -> list[str]:
    """Return the name of each token in a picture or a table: its text, with invisible characters made visible."""
    return [visible(tokenizer.tokens[number]) for number in ids]


def visible(text: str) -> str:
    """Write spaces as ␣, line ends as ⏎, and other unprintable characters as their code point."""
    return "U+200D" if text == _JOINER else "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    signs = {" ": "␣", "\n": "⏎", "\t": "⇥", _JOINER: _JOINER}
    if character in signs:
        return signs[character]
    return character if character.isprintable() else f"U+{ord(character):04X}"


def columns_of(text: str) -> int:
    """Return the width of a text in a terminal: wide characters take two columns."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
