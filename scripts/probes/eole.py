"""Eole: the encoder and decoder of ``architecture: rnn``, as its trainer builds and calls them."""

from __future__ import annotations

import torch
from eole.config.models import RnnModelConfig
from eole.models.model import EncoderDecoderModel
from torch import Tensor, nn

from probes.base import VOCABULARY, Translator, main

_PADDING = 1
_SIZE = 16


def build(bidirectional: bool) -> Translator:
    words = {"src_word_vec_size": _SIZE, "tgt_word_vec_size": _SIZE}
    common = {"layers": 1, "hidden_size": _SIZE}
    config = RnnModelConfig(
        embeddings={"word_vec_size": _SIZE, **words},
        encoder={**common, "src_word_vec_size": _SIZE},
        decoder={**common, "tgt_word_vec_size": _SIZE, "bidirectional_encoder": bidirectional},
    )
    config.encoder.encoder_type = "brnn" if bidirectional else "rnn"
    ids = {"<blank>" if number == _PADDING else str(number): number for number in range(VOCABULARY)}
    vocabularies = {"src": ids, "tgt": ids, "specials": {"pad_token": "<blank>"}}
    model = EncoderDecoderModel.build_blocks(config, vocabularies)
    model.generator = nn.Linear(_SIZE, VOCABULARY)
    for parameter in model.parameters():  # some are left uninitialised
        nn.init.uniform_(parameter, -0.3, 0.3)
    return Translator(model, _call, _PADDING)


def _call(model: nn.Module, source: Tensor, source_lengths: Tensor, target: Tensor, target_lengths: Tensor) -> Tensor:
    target = torch.cat((target, target[:, :1]), dim=1)  # the model drops the last token of the target
    return model.generator(model(source, target, source_lengths)[0])


if __name__ == "__main__":
    main({"one direction": lambda: build(False), "two directions": lambda: build(True)})
