"""A folder goes in; corpora of the shape of IMDB, Multi30k and tinyshakespeare are in it, generated.

For a machine without copies of the real ones. Lengths and vocabularies are like theirs, and there is something to
learn: a review has more words of its own label, a translation has one word for each word in another order, lines of
the play repeat. Their scores compare with nothing.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

_LETTERS = np.array(list("etaoinshrdlucmfwygpbvkqjxz"))


def write_corpora(folder: Path, *, tiny: bool) -> None:
    """Write ``imdb/``, ``multi30k/`` and ``tinyshakespeare/``, as ``LSTM_READOUT_DATA`` wants them."""
    drawn = np.random.default_rng(0)
    write_reviews(folder / "imdb", drawn, rows=300 if tiny else 6000, length=30 if tiny else 230, words=30000)
    write_captions(folder / "multi30k", drawn, rows=300 if tiny else 12000, words=8000)
    write_play(folder / "tinyshakespeare", drawn, lines=500 if tiny else 26000, words=9000)


def write_reviews(folder: Path, drawn: np.random.Generator, rows: int, length: int, words: int) -> None:
    """Write reviews with their labels; a tenth of a review's words are those of its label."""
    vocabulary = _words(drawn, words)
    folder.mkdir(parents=True)
    for split, number in (("train", rows), ("test", rows // 4)):
        labels, texts = drawn.integers(0, 2, number), []
        for label in labels.tolist():
            chosen = _common(drawn, max(5, int(length * drawn.lognormal(-0.2, 0.6))), words)
            told = drawn.random(len(chosen)) < 0.1
            chosen[told] = 200 + 2 * drawn.integers(0, 100, told.sum()) + label
            texts.append(" ".join(vocabulary[chosen]))
        pyarrow.parquet.write_table(pyarrow.table({"text": texts, "label": labels}), folder / f"{split}.parquet")


def write_captions(folder: Path, drawn: np.random.Generator, rows: int, words: int) -> None:
    """Write German and English captions: each word has one translation, and English begins with the last word."""
    german, english = _words(drawn, words), _words(drawn, words)
    folder.mkdir(parents=True)
    for split, number in (("train", rows), ("val", max(64, rows // 30)), ("test_2016_flickr", max(64, rows // 30))):
        chosen = [_common(drawn, length, words) for length in drawn.integers(6, 19, number)]
        _write_lines(folder / f"{split}.de.gz", [" ".join(german[row]) + " ." for row in chosen])
        _write_lines(folder / f"{split}.en.gz", [" ".join(english[np.roll(row, 1)]) + " ." for row in chosen])
        _write_lines(folder / f"{split}.fr.gz", ["." for _ in chosen])  # read, but not translated


def write_play(folder: Path, drawn: np.random.Generator, lines: int, words: int) -> None:
    """Write one text of short lines."""
    vocabulary = _words(drawn, words)
    folder.mkdir(parents=True)
    text = [" ".join(vocabulary[_common(drawn, length, words)]) for length in drawn.integers(4, 11, lines)]
    (folder / "input.txt").write_text("\n".join(text) + "\n", encoding="utf-8")


def _common(drawn: np.random.Generator, number: int, words: int) -> np.ndarray:
    """Draw words whose frequency falls with their rank, as in text (Zipf 1935)."""
    return np.minimum(drawn.zipf(1.2, number) - 1, words - 1)


def _words(drawn: np.random.Generator, number: int) -> np.ndarray:
    """Return words of 2 to 9 letters."""
    lengths = drawn.integers(2, 10, number)
    letters = _LETTERS[np.minimum(drawn.geometric(0.12, lengths.sum()) - 1, len(_LETTERS) - 1)]
    return np.array(["".join(part) for part in np.split(letters, lengths.cumsum()[:-1])])


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
