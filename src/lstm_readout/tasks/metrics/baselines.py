"""The simplest baselines, and the clock of all: splits go in, the score of a method without an LSTM comes out.

A trained model's score means little without them. Stronger ones: ``ngram_classifier.py``, ``kneser_ney.py``,
``nearest_source.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sacrebleu.metrics.bleu import BLEU

from lstm_readout.tasks.metrics.predictions import ScoredRows


def timed(method: str, measure: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a method measured, and ``<method>_seconds``: what it took."""
    began = time.perf_counter()
    return {**measure(), f"{method}_seconds": time.perf_counter() - began}


def majority_accuracy(train_labels: np.ndarray, labels: np.ndarray) -> float:
    """Return the accuracy of always predicting the training split's most frequent label."""
    return float(np.mean(labels == np.bincount(train_labels).argmax()))


def unigram_loss(train: ScoredRows, held_out: ScoredRows, vocab_size: int) -> float:
    """Return the mean loss, nats per token, of training frequencies with one added to each count."""
    counts = np.bincount(train.targets, minlength=vocab_size) + 1.0
    return float(-np.log(counts / counts.sum())[held_out.targets].mean())


def bleu_of(translations: Sequence[str], references: Sequence[str]) -> float:
    """Return the corpus BLEU of sacreBLEU's defaults: cased, detokenised."""
    return BLEU().corpus_score(list(translations), [list(references)]).score
