"""Baselines without an LSTM: encoded columns go in, the score of a trivial model comes out.

A trained model's score means little without them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sacrebleu.metrics.bleu import BLEU
from torch import Tensor
from torch.nn.functional import cross_entropy

from lstm_readout.tokenizer.ragged import Ragged


def majority_accuracy(train_labels: Any, labels: Any) -> float:
    """Return the accuracy of always predicting the training split's most frequent label."""
    return float(np.mean(np.asarray(labels) == np.bincount(train_labels).argmax()))


def bag_of_words_accuracy(
    train_text: Any, train_labels: Any, text: Any, labels: Any, vocab_size: int, *, penalty: float = 1e-4
) -> float:
    """Return the accuracy of a linear model on the set of words in a text, in any order.

    Multinomial logistic regression on binary features scaled to unit length, L2 penalty, fitted by L-BFGS.
    """
    features, held_out = _features(train_text, vocab_size), _features(text, vocab_size)
    classes = int(np.max(train_labels)) + 1
    targets = torch.tensor(np.asarray(train_labels))  # a copy: labels may be memory-mapped
    weight = torch.zeros(vocab_size, classes, requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        loss = cross_entropy(features @ weight + bias, targets) + penalty * weight.square().sum()
        loss.backward()
        return float(loss.detach())

    optimizer.step(closure)
    with torch.no_grad():
        predicted = (held_out @ weight + bias).argmax(-1).numpy()
    return float(np.mean(predicted == np.asarray(labels)))


def unigram_loss(train_text: Any, text: Any, vocab_size: int) -> float:
    """Return the mean loss, nats per token, of training frequencies with one added to each count."""
    counts = np.bincount(train_text.values, minlength=vocab_size) + 1.0
    return float(-np.log(counts / counts.sum())[text.values].mean())


def copy_source_bleu(sources: list[str], targets: list[str]) -> float:
    """Return the BLEU of returning the source untranslated."""
    return BLEU().corpus_score(list(sources), [list(targets)]).score


def _features(column: Ragged, vocab_size: int) -> Tensor:
    """Return a sparse (rows, vocab_size) matrix of the tokens in each row, scaled to unit length."""
    rows = np.repeat(np.arange(len(column.lengths)), column.lengths)
    cells = np.unique(rows * vocab_size + column.values)
    rows, tokens = cells // vocab_size, cells % vocab_size
    counts = np.bincount(rows, minlength=len(column.lengths))
    values = 1 / np.sqrt(counts[rows])
    shape = (len(column.lengths), vocab_size)
    return torch.sparse_coo_tensor(
        torch.from_numpy(np.stack([rows, tokens])),
        torch.from_numpy(values.astype(np.float32)),
        shape,
        check_invariants=False,
    ).coalesce()
