"""Token ids go in, scores of the next token at every step come out: the language model reads ``output``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from typing_extensions import Unpack

from lstm_readout.errors import UserError
from lstm_readout.nn.decoder_state import DecoderOutput, DecoderState
from lstm_readout.nn.dropout import SequenceDropout
from lstm_readout.nn.encoder import Encoder, EncoderArguments
from lstm_readout.nn.head import Softmax, build_head, head_loss
from lstm_readout.nn.packed import each_token, step_before


class LanguageModelOutput(NamedTuple):
    """Scores for the softmax, and the state to go on from."""

    logits: Tensor | PackedSequence  # (T, B, V), (B, T, V) with batch_first, or packed (tokens, V)
    state: DecoderState  # (h_n, c_n) after the last real step


class LanguageModel(nn.Module):
    """An LSTM and a head, a linear layer or an adaptive softmax, on its ``output`` at every step.

    Args:
        vocab_size: V, number of token ids.
        output_dropout: probability for each feature of what is read from the LSTM; with ``locked_dropout`` one mask a
            row for all of its steps.
        tied_embeddings: let one matrix be embedding and head (Press and Wolf 2017, "Using the Output Embedding to
            Improve Language Models"; Inan et al. 2017); their widths must agree.
        softmax: ``full``, or ``adaptive`` for large vocabularies: see ``AdaptiveHead``.
        cutoffs: of the adaptive softmax; None: chosen from the vocabulary's size.
        encoder: the arguments of ``Encoder``.

    Raises:
        UserError: if ``bidirectional``: the backward half would have read the token that is to be predicted; for
            widths that cannot be tied, or an adaptive softmax that cannot be: see ``build_head``.
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
        self.arguments = {
            "vocab_size": vocab_size,
            "output_dropout": output_dropout,
            "tied_embeddings": tied_embeddings,
            "softmax": softmax,
            "cutoffs": None if cutoffs is None else list(cutoffs),
            **encoder,
        }
        self.encoder = Encoder(vocab_size=vocab_size, **encoder)
        self.dropout = SequenceDropout(
            output_dropout,
            locked=encoder.get("locked_dropout", False),
            batch_first=encoder.get("batch_first", False),
        )
        self.head = build_head(
            self.encoder.embedding,
            self.encoder.lstm.output_size,
            tied=tied_embeddings,
            softmax=softmax,
            cutoffs=cutoffs,
        )

    def forward(self, token_ids: Tensor | PackedSequence, state: DecoderState | None = None) -> LanguageModelOutput:
        """Score the next token at every step; ``state`` continues an earlier text instead of starting from zeros."""
        lstm = self.read(token_ids, state)
        logits = each_token(self.head, self.dropout(lstm.output))
        return LanguageModelOutput(logits, lstm.state)

    def read(self, token_ids: Tensor | PackedSequence, state: DecoderState | None = None) -> DecoderOutput:
        """Return what the head reads at every step, as ``output``, and the state after the last: the LSTM's own."""
        return self.encoder(token_ids, state)

    def loss(
        self,
        inputs: PackedSequence,
        targets: Tensor,
        state: DecoderState | None = None,
        *,
        label_smoothing: float = 0.0,
        scored: Tensor | None = None,
        activation: float = 0.0,
        temporal_activation: float = 0.0,
    ) -> tuple[Tensor, DecoderState]:
        """Return the mean cross-entropy of the next tokens, in nats, and the state to go on from.

        The same number as from ``forward``, but logits exist for a block of tokens at a time: see
        ``linear_cross_entropy``.

        Args:
            inputs: packed ids (tokens,).
            targets: the token that stands next at every scored step, (predictions,), in the packed order.
            state: continues an earlier text instead of starting from zeros.
            label_smoothing: share of the target probability spread over the vocabulary.
            scored: (predictions,) which of the packed inputs the targets follow; None: all. The others only move the
                state.
            activation, temporal_activation: added to the loss while training, so many times the mean square of what
                the head reads, and of the change of ``output`` from one step to the next (Merity, McCann and Socher
                2017, "Revisiting Activation Regularization for Language RNNs").
        """
        lstm = self.read(inputs, state)
        dropped = self.dropout(lstm.output)
        vectors = dropped.data if scored is None else dropped.data[scored]  # (predictions, O)
        loss = head_loss(self.head, vectors, targets, label_smoothing)
        if self.training and (activation or temporal_activation):
            change = lstm.output.data[int(inputs.batch_sizes[0]) :] - lstm.output.data[step_before(inputs)]
            changed = change.square().sum() / max(change.numel(), 1)
            loss = loss + activation * vectors.square().mean() + temporal_activation * changed
        return loss, lstm.state

    def step(self, token_ids: Tensor, state: DecoderState | None = None) -> tuple[Tensor, DecoderState]:
        """Score what follows one more token a row: ids (B,) -> logits (B, V)."""
        time = 1 if self.encoder.lstm.rnn.batch_first else 0
        logits, new_state = self(token_ids.unsqueeze(time), state)
        return logits.squeeze(time), new_state
