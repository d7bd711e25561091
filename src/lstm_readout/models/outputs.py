"""What the models return: named results, and the state to continue from."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.nn.decoder_state import DecoderState


class HeadInput(NamedTuple):
    """What a language model's head reads, and the state to continue from."""

    output: Tensor | PackedSequence  # the LSTM's own, or what attention made of it; some features dropped in training
    state: DecoderState  # (h_n, c_n) after the last real step


class LanguageModelOutput(NamedTuple):
    """Scores for the softmax, and the state to continue from."""

    logits: Tensor | PackedSequence  # (T, B, V), (B, T, V) with batch_first, or packed (tokens, V)
    state: DecoderState  # (h_n, c_n) after the last real step


class SourceOutput(NamedTuple):
    """What a translator's encoder hands to its decoder."""

    output: Tensor | PackedSequence  # the top layer at every step of the source: packed (tokens, D * O)
    state: DecoderState  # the decoder's first: the encoder's last, through the bridge
