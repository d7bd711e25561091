"""Token ids go in, scores of the next token at every step come out: the language model reads ``output``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from typing_extensions import Unpack

from lstm_readout.errors import UserError
from lstm_readout.models.next_token_loss import LossOptions, next_token_loss
from lstm_readout.models.outputs import HeadInput, LanguageModelOutput
from lstm_readout.nn.decoder_state import DecoderOutput, DecoderState
from lstm_readout.nn.dropout import SequenceDropout
from lstm_readout.nn.encoder import Encoder, EncoderArguments
from lstm_readout.nn.head import Softmax, build_head
from lstm_readout.nn.packed import as_packed, each_token


class LanguageModel(nn.Module):
    """An LSTM, and a head that reads its ``output`` at every step: a linear layer or an adaptive softmax.

    Args:
        vocab_size: V, number of token ids.
        output_dropout: probability for each feature that the head reads, see ``SequenceDropout``.
        tied_embeddings, softmax, cutoffs: see ``build_head``.
        encoder: the arguments of ``Encoder``; ``locked_dropout`` also applies to ``output_dropout``.

    Raises:
        UserError: if ``bidirectional``: the future would leak; or for a head that cannot be built.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        output_dropout: float = 0.0,
        tied_embeddings: bool = False,
        softmax: Softmax = "full",
        cutoffs: Sequence[int] | None = None,
        **encoder: Unpack[EncoderArguments],
    ) -> None:
        super().__init__()
        if encoder.get("bidirectional"):
            raise UserError(
                "bidirectional=true cannot generate: at every step the backward direction has already read the next "
                "token, so the future would leak into the prediction. Set bidirectional=false."
            )
        self.arguments: dict[str, Any] = {"vocab_size": vocab_size, "output_dropout": output_dropout, **encoder}
        self.arguments |= {"tied_embeddings": tied_embeddings, "softmax": softmax, "cutoffs": cutoffs and list(cutoffs)}
        self.encoder = Encoder(vocab_size=vocab_size, **encoder)
        lstm, table = self.encoder.lstm, self.encoder.embedding
        self.dropout = SequenceDropout(output_dropout, locked=lstm.locked_dropout, batch_first=lstm.rnn.batch_first)
        self.head = build_head(table, lstm.output_size, tied=tied_embeddings, softmax=softmax, cutoffs=cutoffs)

    def forward(self, token_ids: Tensor | PackedSequence, state: DecoderState | None = None) -> LanguageModelOutput:
        """Score the next token at every step; ``state`` continues an earlier text instead of starting from zeros."""
        lstm = self.read(token_ids, state)
        lstm = HeadInput(self.dropout(lstm.output), lstm.state)
        return LanguageModelOutput(each_token(self.head, lstm.output), lstm.state)

    def read(self, token_ids: Tensor | PackedSequence, state: DecoderState | None = None) -> DecoderOutput:
        """Return the ``output`` that the head reads at every step, and the state after the last: the LSTM's own."""
        return self.encoder(token_ids, state)

    def loss(
        self, inputs: PackedSequence, targets: Tensor, state: DecoderState | None = None, **options: Unpack[LossOptions]
    ) -> tuple[Tensor, DecoderState]:
        """Return the mean cross-entropy of the next tokens, in nats, and the state to continue from."""
        lstm = self.read(inputs, state)
        return next_token_loss(self.head, self.dropout, as_packed(lstm.output), targets, **options), lstm.state

    def step(self, token_ids: Tensor, state: DecoderState | None = None) -> tuple[Tensor, DecoderState]:
        """Score what follows one more token per row: ids (B,) -> logits (B, V)."""
        time = 1 if self.encoder.lstm.rnn.batch_first else 0
        logits, new_state = self(token_ids.unsqueeze(time), state)
        return logits.squeeze(time), new_state
