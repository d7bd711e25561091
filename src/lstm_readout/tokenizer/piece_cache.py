"""Texts go in, ids come out, in time proportional to their distinct words.

A text is split at spaces that no token of its kind can cross. The backend encodes each distinct piece once; after that
it is looked up. There is no Python loop over ids.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import chain

import numpy as np
from tokenizers import AddedToken, Tokenizer

from lstm_readout.tokenizer.ragged import Ragged

Cut = Callable[[str], list[str]]
MOST = 500_000  # cached pieces, about 100 MB
_BORDER = "\ufdd0"  # a noncharacter code point; a piece that contains it is encoded alone
TOGETHER = 500  # pieces encoded as one text
FEW = 100  # fewer pieces than this are not worth a second backend


def _at_spaces(text: str) -> list[str]:
    return text.split(" ")


def _at_spaces_but_breaks(text: str) -> list[str]:
    """``<br />`` is one space; do not split what becomes one when quotes are removed: ``<br "/>``."""
    pieces = []
    for part in text.split("<br />"):
        pieces += _OUTSIDE_BREAKS.split(part) if " /" in part or '"/' in part else part.split(" ")
    return pieces


def _before_spaces(text: str) -> list[str]:
    """The space belongs to the word after it. Runs of whitespace are not split: GPT-2's rule looks further there."""
    if "  " in text or not text.isprintable():
        return _BEFORE_LONE_SPACES.split(text)
    return text.replace(" ", "\n ").split("\n")  # the same result in half the time


_OUTSIDE_BREAKS = re.compile(r'(?<![rR"]) | (?!["/])')
_BEFORE_LONE_SPACES = re.compile(r"(?<=\S)(?= \S)")
CUTS: dict[str, Cut] = {
    "word": _at_spaces,
    "split": _at_spaces,
    "whitespace": _at_spaces,
    "wordpiece": _at_spaces,
    "basic_english": _at_spaces_but_breaks,
    "bpe": _before_spaces,
    "unigram": _before_spaces,
}


class PieceEncoder:
    """Encodes as ``backend.encode_batch`` does, and caches the ids of each piece.

    Args:
        backend: the tokenizer.
        cut: a text -> pieces whose ids, joined, are the ids of the text.
    """

    def __init__(self, backend: Tokenizer, cut: Cut) -> None:
        self.backend, self.cut = backend, cut
        self._forget()

    def __call__(self, texts: Sequence[str]) -> Ragged:
        """Return the ids of each text."""
        if len(self.numbers) > MOST:
            self._forget()
        pieces = [self.cut(text) for text in texts]
        ends = np.cumsum([0, *(len(one) for one in pieces)])
        every = chain.from_iterable(pieces)
        numbers = np.fromiter(map(self.numbers.__getitem__, every), dtype=np.int64, count=int(ends[-1]))
        self._learn()
        lengths = self.known.lengths[numbers]
        starts = np.concatenate(([0], np.cumsum(lengths)))  # where each piece begins in the result
        index = np.arange(starts[-1]) + np.repeat(self.known.offsets[numbers] - starts[:-1], lengths)
        return Ragged(self.known.values[index], starts[ends])

    @cached_property
    def _bordered(self) -> Tokenizer:
        backend = Tokenizer.from_str(self.backend.to_str())
        backend.add_tokens([AddedToken(_BORDER, normalized=False)])
        return backend

    def _forget(self) -> None:
        self.numbers = _Numbers()
        self.known = Ragged.from_lists([])  # number -> ids

    def _learn(self) -> None:
        new, self.numbers.new = self.numbers.new, []
        if not new:
            return
        if len(new) < FEW or any(_BORDER in piece for piece in new):
            added = encode_whole(self.backend, new)
        else:  # many at once, because a call of the backend costs more than a piece
            parts = (new[i : i + TOGETHER] for i in range(0, len(new), TOGETHER))
            ids = encode_whole(self._bordered, [_BORDER.join([*part, ""]) for part in parts]).values
            is_border = ids == self._bordered.token_to_id(_BORDER)
            borders = np.flatnonzero(is_border)
            added = Ragged(ids[~is_border], np.concatenate(([0], borders - np.arange(len(borders)))))
        self.known = Ragged(
            np.concatenate((self.known.values, added.values)),
            np.concatenate((self.known.offsets, added.offsets[1:] + self.known.offsets[-1])),
        )


class _Numbers(dict[str, int]):
    """Piece -> its number, in order of appearance; ``new`` are those that the backend has not encoded yet."""

    def __init__(self) -> None:
        super().__init__()
        self.new: list[str] = []

    def __missing__(self, piece: str) -> int:
        number = self[piece] = len(self)
        self.new.append(piece)
        return number


def encode_whole(backend: Tokenizer, texts: Sequence[str]) -> Ragged:
    """Return the ids that the backend gives to each text."""
    # "<bos>" and "<eos>" in a text are words, not control tokens. Set here, because a copied backend forgets it
    backend.encode_special_tokens = True
    return Ragged.from_lists([one.ids for one in backend.encode_batch_fast(list(texts), add_special_tokens=False)])
