"""Pairs of sentences go in; the BLEU of copying the translation of the nearest training source comes out.

It shows what looking up the training pairs achieves, without translating.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from lstm_readout.tasks.metrics.baselines import bleu_of
from lstm_readout.tasks.metrics.word_ngrams import WORD

_BLOCK = 256  # sources compared with all known ones at a time
_MOST = 500_000_000  # baselines=fast: known sources times sources to translate


class Pairs(NamedTuple):
    """Sources and their translations."""

    sources: Sequence[str]
    targets: Sequence[str]


def nearest_source_bleu(train: Pairs, held_out: Pairs, *, full: bool) -> dict[str, float | str]:
    """Return the BLEU of answering each source with the translation of the nearest training source.

    The nearest has the highest cosine of TF-IDF vectors of words and word pairs.

    Args:
        train: where to look.
        held_out: to score.
        full: compare with all training sources, however many they are.
    """
    rows, most = len(train.sources), max(1, _MOST // max(len(held_out.sources), 1))
    used = np.linspace(0, rows - 1, rows if full else min(rows, most), dtype=np.int64)
    nearest = used[nearest_places([train.sources[row] for row in map(int, used)], held_out.sources)]
    bleu = bleu_of([train.targets[row] for row in map(int, nearest)], held_out.targets)
    if len(used) == rows:
        return {"nearest_source_bleu": bleu}
    note = f"looked up in {len(used):,} of {rows:,} training rows; baselines=full uses all"
    return {"nearest_source_bleu": bleu, "nearest_source_note": note}


def nearest_places(known: Sequence[str], sources: Sequence[str]) -> np.ndarray:
    """Return the place of the nearest known source of each source, (sources,): the first of equally near ones."""
    vectors = TfidfVectorizer(token_pattern=WORD, ngram_range=(1, 2), sublinear_tf=True)
    transposed = vectors.fit_transform(known).T.tocsr()
    wanted = vectors.transform(sources)
    blocks = [wanted[start : start + _BLOCK] @ transposed for start in range(0, len(sources), _BLOCK)]
    return np.concatenate([block.toarray().argmax(axis=1) for block in blocks])
