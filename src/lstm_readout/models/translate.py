"""A source goes in, scores of each target token come out: the decoder starts from the encoder's ``(h_n, c_n)``.

The decoder *is* a language model that starts from a given state (Sutskever, Vinyals and Le 2014, "Sequence to
Sequence Learning with Neural Networks").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from typing_extensions import Unpack

from lstm_readout.errors import UserError
from lstm_readout.lstm import LSTM, LSTMState
from lstm_readout.models.encoder import Encoder, EncoderArguments, reversed_rows
from lstm_readout.models.generate import LanguageModel, LanguageModelOutput
from lstm_readout.models.head import Softmax


class Seq2Seq(nn.Module):
    """An LSTM encoder and an LSTM decoder with nothing between them but ``(h_n, c_n)``.

    Args:
        source_vocab_size, target_vocab_size: number of token ids on each side.
        output_dropout: probability for each feature that the decoder's softmax reads.
        tied_embeddings, softmax, cutoffs: of the decoder, see ``LanguageModel``.
        reverse_source: read each source from its end, which brings its first words near the first target words
            (Sutskever et al. 2014, section 3.3).
        encoder, decoder: arguments of ``Encoder`` in which one side differs from the shared ones.
        shared: the arguments of ``Encoder`` for both sides; the decoder is never bidirectional.

    Raises:
        UserError: if ``decoder`` asks for two directions, or as from ``LanguageModel``.
    """

    def __init__(
        self,
        *,
        source_vocab_size: int,
        target_vocab_size: int,
        output_dropout: float = 0.0,
        tied_embeddings: bool = False,
        softmax: Softmax = "full",
        cutoffs: Sequence[int] | None = None,
        reverse_source: bool = False,
        encoder: dict[str, Any] | None = None,
        decoder: dict[str, Any] | None = None,
        **shared: Unpack[EncoderArguments],
    ) -> None:
        super().__init__()
        self.arguments = {
            "source_vocab_size": source_vocab_size,
            "target_vocab_size": target_vocab_size,
            "output_dropout": output_dropout,
            "tied_embeddings": tied_embeddings,
            "softmax": softmax,
            "cutoffs": None if cutoffs is None else list(cutoffs),
            "reverse_source": reverse_source,
            "encoder": encoder,
            "decoder": decoder,
            **shared,
        }
        if (decoder or {}).get("bidirectional"):
            raise UserError(
                "model.decoder.bidirectional=true cannot translate: the decoder would have read the words it is to "
                "write. Set model.encoder.bidirectional=true instead."
            )
        self.reverse_source = reverse_source
        source: dict[str, Any] = {**shared, **(encoder or {})}
        target: dict[str, Any] = {**shared, "bidirectional": False, **(decoder or {})}
        self.encoder = Encoder(vocab_size=source_vocab_size, **source)
        self.decoder = LanguageModel(
            vocab_size=target_vocab_size,
            output_dropout=output_dropout,
            tied_embeddings=tied_embeddings,
            softmax=softmax,
            cutoffs=cutoffs,
            **target,
        )
        self.bridge = Bridge(self.encoder.lstm, self.decoder.encoder.lstm)

    def forward(self, source_ids: PackedSequence, target_ids: PackedSequence) -> LanguageModelOutput:
        """Score each next target token given the source and the target so far (teacher forcing)."""
        return self.decoder(target_ids, self.encode(source_ids))

    def loss(
        self, source_ids: PackedSequence, inputs: PackedSequence, targets: Tensor, *, label_smoothing: float = 0.0
    ) -> Tensor:
        """Return the mean cross-entropy of the target tokens, in nats: see ``LanguageModel.loss``."""
        return self.decoder.loss(inputs, targets, self.encode(source_ids), label_smoothing=label_smoothing)[0]

    def encode(self, source_ids: PackedSequence) -> LSTMState:
        """Read whole sources and return the decoder's first state."""
        return self.bridge(self.read(source_ids))

    def read(self, source_ids: PackedSequence) -> LSTMState:
        """Read whole sources and return the encoder's ``(h_n, c_n)``."""
        return self.encoder(reversed_rows(source_ids) if self.reverse_source else source_ids).state


class Bridge(nn.Module):
    """Fit an encoder's ``(h_n, c_n)`` to a decoder: nothing where the shapes agree, else one linear map a layer.

    Decoder layer k reads encoder layer k counted from the top (the lowest one again where the encoder has fewer),
    both directions side by side; h passes through tanh, as every h of an LSTM does, c does not. A gru or rnn
    encoder has no c_n: an LSTM decoder's c_0 is then mapped from h_n.
    """

    def __init__(self, source: LSTM, target: LSTM) -> None:
        super().__init__()
        self.directions = 2 if source.rnn.bidirectional else 1
        source_layers, target_layers = source.rnn.num_layers, target.rnn.num_layers
        self.layers = [max(0, k + source_layers - target_layers) for k in range(target_layers)]
        (h_in, c_in), (h_out, c_out) = state_sizes(source), state_sizes(target)
        same = (source_layers, h_in, c_in) == (target_layers, h_out, c_out) and self.directions == 1
        self.h, self.c = nn.ModuleList(), nn.ModuleList()
        if not same:
            self.h.extend(nn.Linear(h_in * self.directions, h_out) for _ in self.layers)
            if c_out is not None:
                c_in = h_in if c_in is None else c_in
                self.c.extend(nn.Linear(c_in * self.directions, c_out) for _ in self.layers)

    def forward(self, state: LSTMState) -> LSTMState:
        """Map (L * D, B, size) of the encoder to (L', B, size') of the decoder."""
        if not self.h:
            return state
        h = torch.stack([torch.tanh(linear(x)) for linear, x in zip(self.h, self._by_layer(state.h), strict=True)])
        if not self.c:
            return LSTMState(h)
        cells = self._by_layer(state.h if state.c is None else state.c)
        return LSTMState(h, torch.stack([linear(x) for linear, x in zip(self.c, cells, strict=True)]))

    def _by_layer(self, part: Tensor) -> list[Tensor]:
        layers = part.unflatten(0, (-1, self.directions))  # (L, D, B, size)
        return [torch.cat(tuple(layers[k]), dim=-1) for k in self.layers]  # each (B, D * size)


def state_sizes(lstm: LSTM) -> tuple[int, int | None]:
    """Return the widths of one layer's h and c; None where the cell has no c."""
    rnn = lstm.rnn
    return rnn.proj_size or rnn.hidden_size, rnn.hidden_size if lstm.cell == "lstm" else None
