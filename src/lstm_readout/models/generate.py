"""Token ids go in, scores of the next token at every step come out: the language model reads ``output``."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import PackedSequence
from torch.utils.checkpoint import checkpoint
from typing_extensions import Unpack

from lstm_readout.errors import UserError
from lstm_readout.lstm import LSTMState, each_token
from lstm_readout.models.encoder import Encoder, EncoderArguments

MOST_LOGITS = 2**27  # 512 MiB in float32


class LanguageModelOutput(NamedTuple):
    """Scores for the softmax, and the state to go on from."""

    logits: Tensor | PackedSequence  # (T, B, V), (B, T, V) with batch_first, or packed (tokens, V)
    state: LSTMState  # (h_n, c_n) after the last real step


class LanguageModel(nn.Module):
    """An LSTM and a linear layer on its ``output`` at every step.

    Args:
        vocab_size: V, number of token ids.
        output_dropout: probability for each feature of what is read from the LSTM.
        encoder: the arguments of ``Encoder``.

    Raises:
        UserError: if ``bidirectional``: the backward half would have read the token that is to be predicted.
    """

    def __init__(self, *, vocab_size: int, output_dropout: float = 0.0, **encoder: Unpack[EncoderArguments]) -> None:
        super().__init__()
        if encoder.get("bidirectional"):
            raise UserError(
                "bidirectional=true cannot generate: at every step the backward direction has already read the next "
                "token, so the future would leak into the prediction. Set bidirectional=false."
            )
        self.arguments = {"vocab_size": vocab_size, "output_dropout": output_dropout, **encoder}
        self.encoder = Encoder(vocab_size=vocab_size, **encoder)
        self.dropout = nn.Dropout(output_dropout)
        self.head = nn.Linear(self.encoder.lstm.output_size, vocab_size)

    def forward(self, token_ids: Tensor | PackedSequence, state: LSTMState | None = None) -> LanguageModelOutput:
        """Score the next token at every step; ``state`` continues an earlier text instead of starting from zeros."""
        lstm = self.encoder(token_ids, state)
        logits = each_token(self.head, each_token(self.dropout, lstm.output))
        return LanguageModelOutput(logits, lstm.state)

    def loss(
        self,
        inputs: PackedSequence,
        targets: Tensor,
        state: LSTMState | None = None,
        *,
        label_smoothing: float = 0.0,
        scored: Tensor | None = None,
    ) -> tuple[Tensor, LSTMState]:
        """Return the mean cross-entropy of the next tokens, in nats, and the state to go on from.

        The same number as from ``forward``, but at most ``MOST_LOGITS`` exist at a time: long documents with a large
        vocabulary would fill the memory. Blocks are computed again in the backward pass (Chen et al. 2016,
        "Training Deep Nets with Sublinear Memory Cost").

        Args:
            inputs: packed ids (tokens,).
            targets: the token that stands next at every scored step, (predictions,), in the packed order.
            state: continues an earlier text instead of starting from zeros.
            label_smoothing: share of the target probability spread over the vocabulary.
            scored: (predictions,) which of the packed inputs the targets follow; None: all. The others only move the
                state.
        """
        lstm = self.encoder(inputs, state)
        output = lstm.output.data if scored is None else lstm.output.data[scored]
        vectors = self.dropout(output)  # (predictions, O)

        def summed(block: Tensor, block_targets: Tensor) -> Tensor:
            return cross_entropy(self.head(block), block_targets, label_smoothing=label_smoothing, reduction="sum")

        size = max(1, MOST_LOGITS // self.head.out_features)
        if len(vectors) <= size:
            return summed(vectors, targets) / len(targets), lstm.state
        blocks = zip(vectors.split(size), targets.split(size), strict=True)
        total = torch.stack([checkpoint(summed, *block, use_reentrant=False) for block in blocks]).sum()
        return total / len(targets), lstm.state

    def step(self, token_ids: Tensor, state: LSTMState | None = None) -> tuple[Tensor, LSTMState]:
        """Score what follows one more token a row: ids (B,) -> logits (B, V)."""
        time = 1 if self.encoder.lstm.rnn.batch_first else 0
        logits, new_state = self(token_ids.unsqueeze(time), state)
        return logits.squeeze(time), new_state
