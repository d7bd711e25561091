"""Texts go in; which word n-grams each of them has comes out, as sparse matrices."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from scipy.sparse import csr_matrix

from lstm_readout.tokenizer.ragged import Ragged

_FEW_WORDS = 1_000_000  # in more, an n-gram of only one text adds nothing, and most n-grams are such
# Scripts that put no space between words (Thai, Lao, Burmese, Khmer, kana, Han): each character is a word
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
WORD = rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]"  # a run of letters and digits, or one punctuation mark

_find_words = re.compile(WORD).findall


def split_words(text: str) -> list[str]:
    """Return the lower-cased runs of letters and digits, and each punctuation mark by itself."""
    return _find_words(text.lower())


def numbered(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct keys, ascending, and the place of each key among them; four times as fast as numpy's."""
    distinct, place = torch.unique(torch.from_numpy(keys), return_inverse=True)
    return distinct.numpy(), place.numpy()


def ngram_presence(texts: Sequence[str], training: int, longest: int) -> Iterator[csr_matrix]:
    """Yield a matrix of which n-grams each text has, (texts, n-grams) of ones, for n = 1, 2, ... in turn.

    N-grams of no training text are left out; with more than a million words also those of only one. The beginning and
    the end of a text count as words.

    Args:
        texts: those to train on, then others.
        training: number of texts to train on.
        longest: the last n.
    """
    words = _word_numbers(texts)
    of_text = np.repeat(np.arange(len(texts)), words.lengths)
    size = int(words.values.max()) + 1
    least = 1 if len(of_text) <= _FEW_WORDS else 2
    first = np.arange(len(of_text))  # place of the first word of each n-gram
    shorter = np.zeros(len(of_text), dtype=np.int64)  # number of the n-gram without its last word
    for more in range(longest):
        inside = first + more < words.offsets[of_text[first] + 1]
        first, shorter = first[inside], shorter[inside]
        _, found = numbered(shorter * size + words.values[first + more])
        cells = _distinct_cells(of_text[first], found)
        number = _frequent(cells, training, least)
        yield _ones(cells, number, len(texts))
        kept = number[found] >= 0  # a longer n-gram is at most as frequent
        first, shorter = first[kept], number[found[kept]]


def _word_numbers(texts: Sequence[str]) -> Ragged:
    numbers: dict[str, int] = {}
    rows = (["<s>", *split_words(text), "</s>"] for text in texts)
    return Ragged.from_lists([[numbers.setdefault(word, len(numbers)) for word in row] for row in rows])


def _distinct_cells(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each pair of row and column once, row by row."""
    width = int(columns.max(initial=0)) + 1
    cells = torch.unique(torch.from_numpy(rows * width + columns)).numpy()
    return cells // width, cells % width


def _frequent(cells: tuple[np.ndarray, np.ndarray], training: int, least: int) -> np.ndarray:
    """Return the new number of each column that enough training rows have; -1 for the others."""
    rows, columns = cells
    texts = np.bincount(columns[rows < training], minlength=int(columns.max(initial=-1)) + 1)
    frequent = texts >= least
    return np.where(frequent, np.cumsum(frequent) - 1, -1)


def _ones(cells: tuple[np.ndarray, np.ndarray], number: np.ndarray, height: int) -> csr_matrix:
    kept = number[cells[1]] >= 0
    rows, columns = cells[0][kept], number[cells[1][kept]]
    borders = np.searchsorted(rows, np.arange(height + 1))
    return csr_matrix(
        (np.ones(len(rows), dtype=np.float32), columns, borders), shape=(height, int(number.max(initial=-1)) + 1)
    )
