"""A source goes in, scores of each target token come out: the decoder starts from the encoder's ``(h_n, c_n)``.

The decoder *is* a language model that starts from a given state (Sutskever, Vinyals and Le 2014, "Sequence to
Sequence Learning with Neural Networks"). With attention, an option, that state holds the encoder's ``output`` as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from typing_extensions import Unpack

from lstm_readout.models.decoder import build_decoder
from lstm_readout.models.next_token_loss import LossOptions
from lstm_readout.models.outputs import LanguageModelOutput
from lstm_readout.models.source_encoder import SourceEncoder
from lstm_readout.nn.attention import AttentionName
from lstm_readout.nn.decoder_state import DecoderState
from lstm_readout.nn.encoder import EncoderArguments
from lstm_readout.nn.head import Softmax


class Seq2Seq(nn.Module):
    """An LSTM encoder and an LSTM decoder with nothing between them but ``(h_n, c_n)``.

    Args:
        source_vocab_size, target_vocab_size: number of token ids on each side.
        output_dropout, tied_embeddings, softmax, cutoffs: of the decoder, see ``LanguageModel``.
        reverse_source: read each source from its end: brings the first words closer (Sutskever et al., section 3.3).
        attention, input_feeding, feed_state: what else each step of the decoder reads, see ``build_decoder``.
        encoder, decoder, shared: arguments of ``Encoder`` for one side or both; no decoder is ever bidirectional.
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
        feed_state: bool = False,
        attention: AttentionName = "none",
        input_feeding: bool = False,
        encoder: dict[str, Any] | None = None,
        decoder: dict[str, Any] | None = None,
        **shared: Unpack[EncoderArguments],
    ) -> None:
        super().__init__()
        own: dict[str, Any] = {"source_vocab_size": source_vocab_size, "target_vocab_size": target_vocab_size}
        own |= {"reverse_source": reverse_source, "encoder": encoder, "decoder": decoder}
        head: dict[str, Any] = {"output_dropout": output_dropout, "tied_embeddings": tied_embeddings}
        head |= {"softmax": softmax, "cutoffs": None if cutoffs is None else list(cutoffs)}
        reads: dict[str, Any] = {"attention": attention, "input_feeding": input_feeding, "feed_state": feed_state}
        self.arguments: dict[str, Any] = {**own, **head, **reads, **shared}
        self.attends, self.looks_back = attention != "none", attention != "none" or feed_state
        source, target = {**shared, **(encoder or {})}, {**shared, "bidirectional": False, **(decoder or {}), **head}
        self.encoder = SourceEncoder(vocab_size=source_vocab_size, reverse=reverse_source, **source)
        self.decoder = build_decoder(self.encoder.lstm.output_size, vocab_size=target_vocab_size, **reads, **target)
        self.bridge = self.encoder.fit_to(self.decoder)

    def forward(self, source_ids: PackedSequence, target_ids: PackedSequence) -> LanguageModelOutput:
        """Score each next target token given the source and the target so far (teacher forcing)."""
        return self.decoder(target_ids, self.encoder(source_ids).state)

    def loss(
        self, source_ids: PackedSequence, inputs: PackedSequence, targets: Tensor, **options: Unpack[LossOptions]
    ) -> Tensor:
        """Return the mean cross-entropy of the target tokens, in nats: see ``LanguageModel.loss``."""
        return self.decoder.loss(inputs, targets, self.encoder(source_ids).state, **options)[0]

    def encode(self, source_ids: PackedSequence) -> DecoderState:
        """Read whole sources and return the decoder's first state."""
        return self.encoder(source_ids).state
