"""Counts of the training split go in, first values of a model's weights come out: it starts from what counting knows.

Shapes: V vocabulary size, C classes.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from lstm_readout.data.describe import token_counts
from lstm_readout.nn.head import AdaptiveHead
from lstm_readout.tokenizer.ragged import Ragged


def log_count_ratios(text: Ragged, labels: np.ndarray, vocab_size: int, classes: int) -> Tensor:
    """Return for each token how much its presence speaks for each class: (V, C), (V, 1) for two classes.

    ``log(p(token | class) / p(token | other classes))``, with one added to each count of documents (Wang and Manning
    2012, "Baselines and Bigrams", equation 2; here p is the share of the documents that have the token).
    """
    rows = np.repeat(np.arange(len(text.lengths)), text.lengths)
    cells = np.unique(rows * vocab_size + text.values)  # each token counts once per document
    documents = np.zeros((vocab_size, classes))
    np.add.at(documents, (cells % vocab_size, labels[cells // vocab_size]), 1)
    sizes = np.bincount(labels, minlength=classes)
    others = documents.sum(1, keepdims=True) - documents
    inside, outside = (documents + 1) / (sizes + 2), (others + 1) / (sizes.sum() - sizes + 2)
    ratios = np.log(inside / outside)
    return torch.from_numpy(ratios[:, 1:] if classes == 2 else ratios).float()


@torch.no_grad()
def fill_features(embedding: nn.Embedding, values: Tensor) -> None:
    """Write (V, k) values into the first features of an embedding; more than it has are projected at random."""
    width = embedding.embedding_dim
    if values.shape[1] > width:
        values = values @ torch.randn(values.shape[1], width) / values.shape[1] ** 0.5
    embedding.weight[:, : values.shape[1]] = values


@torch.no_grad()
def fill_bias(head: nn.Module, text: Ragged) -> None:
    """Let a softmax start from the frequencies of the tokens, one half added to each count.

    The bias becomes their logarithm, less its mean. An adaptive softmax has no such bias, and stays as it is.
    """
    if isinstance(head, AdaptiveHead):
        return
    bias = cast(Tensor, head.bias)
    logarithms = np.log(token_counts(text, len(bias)) + 0.5)
    bias.copy_(torch.from_numpy(logarithms - logarithms.mean()))
