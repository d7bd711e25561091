"""Data and a number go in; one small batch of rows of mixed lengths comes out, always the same."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.data.module import TextDataModule
from lstm_readout.data.windows import StreamDataset, join_stream
from lstm_readout.tokenizer import TextTokenizer
from lstm_readout.tokenizer.ragged import Ragged

LEGIBLE = 12  # steps that a picture shows in full
JOINER = "\u200d"  # makes one emoji of several
MOST_STEPS = 400  # longer rows are cut: a document of a million tokens explains no more


def small_batch(data: TextDataModule, number: int) -> Any:
    """Return a batch of ``number`` training rows, or of all where there are fewer; no row twice.

    The rows are short ones of evenly spread lengths, the shortest first: a picture can show them, and most are padded.
    A stream gives the first window of its columns.
    """
    columns = data.columns.get("train", next(iter(data.columns.values())))  # other data may be a test split alone
    if data.carry_state:
        return StreamDataset(
            join_stream(columns["text"]), columns=number, window=min(data.batching.window, MOST_STEPS)
        )[0]
    texts = {role: column for role, column in columns.items() if isinstance(column, Ragged)}
    rows = choose(next(iter(texts.values())).lengths, number)
    cut = {
        role: Ragged.from_lists([column.row(i)[:MOST_STEPS].tolist() for i in rows]) for role, column in texts.items()
    }
    few = {role: cut[role] if role in cut else column[rows] for role, column in columns.items()}  # pyright: ignore
    return data.batch_type.collate(few, np.arange(len(rows)))  # pyright: ignore[reportAttributeAccessIssue]


def choose(lengths: np.ndarray, number: int) -> np.ndarray:
    """Return the numbers of rows whose lengths are spread from the shortest to a legible one, in that order."""
    number = min(number, len(lengths))
    distance = lengths.astype(float)
    shortest = distance.min()
    short = distance[distance <= max(LEGIBLE, 2 * shortest)]
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
    """Return what each token is called in a picture or a table: its text, with nothing in it that cannot be seen."""
    return [visible(tokenizer.tokens[number]) for number in ids]


def visible(text: str) -> str:
    """Write spaces as ␣, line ends as ⏎, and other characters that are not printed as their code point."""
    return "U+200D" if text == JOINER else "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    signs = {" ": "␣", "\n": "⏎", "\t": "⇥", JOINER: JOINER}
    if character in signs:
        return signs[character]
    return character if character.isprintable() else f"U+{ord(character):04X}"


def columns_of(text: str) -> int:
    """Return the width of a text in a terminal: wide characters take two columns."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
