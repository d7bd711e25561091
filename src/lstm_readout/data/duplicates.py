"""Rows that occur more than once: texts go in; duplicates, leaks between splits and contradicting labels come out.

Texts are compared after ``str.strip``; case, inner spaces and Unicode forms are not folded. Blank rows are left out:
they are counted as empty. Rows are compared by 64-bit keys, so that no text is copied; the probability that any two of
a million different texts share a key is about 3e-8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

_EXAMPLES = 3
_SHORT = 90  # characters of an example


class Rows(NamedTuple):
    """The inputs of one split: what a model reads, without the labels."""

    texts: Mapping[str, Sequence[str]]  # text role -> the text of each row
    keys: Mapping[str, np.ndarray]  # text role -> (rows,) uint64
    labels: np.ndarray | None  # (rows,) int64

    @classmethod
    def of(cls, texts: Mapping[str, Sequence[str]], labels: np.ndarray | None = None) -> Rows:
        """Make the keys."""
        return cls(texts, {role: _keys(column) for role, column in texts.items()}, labels)

    @property
    def inputs(self) -> np.ndarray:
        """Key of all text roles together: (rows,) uint64."""
        together = np.zeros(len(next(iter(self.keys.values()))), dtype=np.uint64)
        for keys in self.keys.values():
            together = together * np.uint64(0x9E3779B97F4A7C15) + keys  # wraps around
        return together

    @property
    def blank(self) -> np.ndarray:
        """Whether every text of the row is blank: (rows,)."""
        return np.logical_and.reduce([keys == _BLANK for keys in self.keys.values()])


_BLANK = np.uint64(hash("") & 0xFFFFFFFFFFFFFFFF)


def duplicates(keys: np.ndarray, blank: np.ndarray | None = None) -> int:
    """Count the rows that repeat an earlier one, without blank ones."""
    keys = keys[keys != _BLANK] if blank is None else keys[~blank]
    return len(keys) - len(np.unique(keys))


def contradictions(rows: Rows) -> int | None:
    """Count the rows whose input also occurs in the same split with another label; None without labels."""
    if rows.labels is None:
        return None
    inputs = rows.inputs
    return int((_with_another_label(inputs, rows.labels, inputs, rows.labels) & ~rows.blank).sum())


def leak(later: Rows, earlier: Rows, names: Sequence[str] = ()) -> dict[str, Any]:
    """Find the rows of one split whose inputs occur in an earlier split.

    Returns:
        ``rows``; ``other_label``: how many of them have a different label there (None without labels);
        ``examples``: up to three, shortened, with their row numbers, which count from 0.
    """
    inputs, before = later.inputs, earlier.inputs
    found = np.isin(inputs, before) & ~later.blank
    other = None
    if later.labels is not None and earlier.labels is not None:
        other = int((_with_another_label(inputs, later.labels, before, earlier.labels) & found).sum())
    places = np.flatnonzero(found)
    _, first = np.unique(inputs[places], return_index=True)
    examples = []
    for place in places[np.sort(first)[:_EXAMPLES]]:
        row, earlier_row = int(place), int(np.flatnonzero(before == inputs[place])[0])
        example: dict[str, Any] = {"row": row, "earlier_row": earlier_row}
        example |= {role: shortened(column[row]) for role, column in later.texts.items()}
        if later.labels is not None and earlier.labels is not None:
            example["label"] = names[int(later.labels[row])]
            example["earlier_label"] = names[int(earlier.labels[earlier_row])]
        examples.append(example)
    return {"rows": len(places), "other_label": other, "examples": examples}


def shortened(text: str) -> str:
    """Return the beginning of a text on one line."""
    line = " ".join(text[: 4 * _SHORT].split())
    return line if len(line) <= _SHORT and len(text) <= 4 * _SHORT else line[: _SHORT - 3] + "..."


def _keys(texts: Sequence[str]) -> np.ndarray:
    # Python's own hash: a new key in each process, and a gigabyte per second without a copy of the text
    keys = np.fromiter(map(hash, map(str.strip, texts)), dtype=np.int64, count=len(texts))
    return keys.view(np.uint64)


def _with_another_label(
    keys: np.ndarray, labels: np.ndarray, others: np.ndarray, other_labels: np.ndarray
) -> np.ndarray:
    """Return for each key whether ``others`` has it with a different label: (rows,)."""
    known, group = np.unique(others, return_inverse=True)
    lowest = np.full(len(known), np.iinfo(np.int64).max)
    highest = np.full(len(known), -1)
    np.minimum.at(lowest, group, other_labels)
    np.maximum.at(highest, group, other_labels)
    place = np.searchsorted(known, keys).clip(max=len(known) - 1)
    return (known[place] == keys) & ((lowest[place] != labels) | (highest[place] != labels))
