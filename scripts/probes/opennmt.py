"""OpenNMT-py: ``NMTModel`` of its RNN encoder and decoder, as its trainer calls it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from probes.base import VOCABULARY, Translator, main, stand_in

stand_in("fasttext")  # identifies languages in a filter of the corpus

from onmt.decoders.decoder import StdRNNDecoder  # noqa: E402
from onmt.encoders.rnn_encoder import RNNEncoder  # noqa: E402
from onmt.models.model import NMTModel  # noqa: E402
from onmt.modules import Embeddings  # noqa: E402

_PADDING = 1
_SIZE = 16


def build(bidirectional: bool) -> Translator:
    encoder = RNNEncoder("LSTM", bidirectional, 1, _SIZE, embeddings=_embeddings())
    model = NMTModel(encoder, StdRNNDecoder("LSTM", bidirectional, 1, _SIZE, embeddings=_embeddings()))
    model.generator = nn.Linear(_SIZE, VOCABULARY)
    for parameter in model.parameters():  # some are left uninitialised
        nn.init.uniform_(parameter, -0.3, 0.3)
    return Translator(model, _call, _PADDING)


def _embeddings() -> nn.Module:
    return Embeddings(_SIZE, VOCABULARY, _PADDING)


def _call(model: nn.Module, source: Tensor, source_lengths: Tensor, target: Tensor, target_lengths: Tensor) -> Tensor:
    target = torch.cat((target, target[:, :1]), dim=1)  # the model drops the last token of the target
    return model.generator(model(source.unsqueeze(-1), target.unsqueeze(-1), source_lengths)[0])


if __name__ == "__main__":
    main({"one direction": lambda: build(False), "two directions": lambda: build(True)})
