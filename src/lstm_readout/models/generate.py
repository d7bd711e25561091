"""Token ids go in, scores of the next token at every step come out: the language model reads ``output``."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from typing_extensions import Unpack

from lstm_readout.errors import UserError
from lstm_readout.lstm import LSTMState, each_token
from lstm_readout.models.encoder import Encoder, EncoderArguments


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

    def step(self, token_ids: Tensor, state: LSTMState | None = None) -> tuple[Tensor, LSTMState]:
        """Score what follows one more token a row: ids (B,) -> logits (B, V)."""
        time = 1 if self.encoder.lstm.rnn.batch_first else 0
        logits, new_state = self(token_ids.unsqueeze(time), state)
        return logits.squeeze(time), new_state
