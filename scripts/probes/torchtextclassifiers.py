"""torchTextClassifiers: its model with the default ``aggregation_method="mean"``; there is no LSTM in it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchTextClassifiers.model import TextClassificationModel
from torchTextClassifiers.model.components import (
    ClassificationHead,
    SentenceEmbedder,
    SentenceEmbedderConfig,
    TokenEmbedder,
    TokenEmbedderConfig,
)

from probes.base import VOCABULARY, Reader, main

_PADDING = 0


def build() -> Reader:
    model = TextClassificationModel(
        classification_head=ClassificationHead(12, 3),
        token_embedder=TokenEmbedder(TokenEmbedderConfig(VOCABULARY, 12, _PADDING)),
        sentence_embedder=SentenceEmbedder(SentenceEmbedderConfig()),
    )
    return Reader(model, _call, _PADDING)


def _call(model: nn.Module, token_ids: Tensor, lengths: Tensor) -> Tensor:
    mask = (torch.arange(token_ids.shape[1]) < lengths.unsqueeze(1)).long()
    return model(token_ids, mask, torch.empty(len(token_ids), 0))


if __name__ == "__main__":
    main({"mean, no LSTM": build})
