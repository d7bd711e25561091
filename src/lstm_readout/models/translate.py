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

from lstm_readout.errors import UserError
from lstm_readout.models.attentive_decoder import AttentiveDecoder, StateFedDecoder
from lstm_readout.models.generate import LanguageModel, LanguageModelOutput
from lstm_readout.nn.attention import AttentionName, check_attention
from lstm_readout.nn.bridge import Bridge
from lstm_readout.nn.decoder_state import DecoderState
from lstm_readout.nn.encoder import Encoder, EncoderArguments
from lstm_readout.nn.head import Softmax
from lstm_readout.nn.lstm import LSTMOutput
from lstm_readout.nn.packed import reversed_rows


class Seq2Seq(nn.Module):
    """An LSTM encoder and an LSTM decoder with nothing between them but ``(h_n, c_n)``.

    Args:
        source_vocab_size, target_vocab_size: number of token ids on each side.
        output_dropout: probability for each feature that the decoder's softmax reads.
        tied_embeddings, softmax, cutoffs: of the decoder, see ``LanguageModel``.
        reverse_source: read each source from its end, which brings its first words near the first target words
            (Sutskever et al. 2014, section 3.3).
        feed_state: let the decoder's softmax read that first state again at every step, see ``StateReadout``.
        attention: ``none``: the state alone. ``dot``, ``general`` or ``additive``: at each step the decoder reads the
            encoder's ``output`` as well, see ``Attention``.
        input_feeding: see ``AttentiveDecoder``.
        encoder, decoder: arguments of ``Encoder`` in which one side differs from the shared ones.
        shared: the arguments of ``Encoder`` for both sides; the decoder is never bidirectional.

    Raises:
        UserError: if ``decoder`` asks for two directions, for ``input_feeding`` without attention, for ``feed_state``
            with it, or as from ``LanguageModel`` and ``AttentiveDecoder``.
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
        self.arguments = {
            "source_vocab_size": source_vocab_size,
            "target_vocab_size": target_vocab_size,
            "output_dropout": output_dropout,
            "tied_embeddings": tied_embeddings,
            "softmax": softmax,
            "cutoffs": None if cutoffs is None else list(cutoffs),
            "reverse_source": reverse_source,
            "feed_state": feed_state,
            "attention": attention,
            "input_feeding": input_feeding,
            "encoder": encoder,
            "decoder": decoder,
            **shared,
        }
        if (decoder or {}).get("bidirectional"):
            raise UserError(
                "model.decoder.bidirectional=true cannot translate: the decoder would have read the words it is to "
                "write. Set model.encoder.bidirectional=true instead."
            )
        check_attention(attention)
        if input_feeding and attention == "none":
            raise UserError(
                "model.input_feeding=true feeds back what attention has read, but model.attention=none reads nothing. "
                "Set model.attention=general, or model.input_feeding=false."
            )
        if feed_state and attention != "none":
            raise UserError(
                f"model.feed_state=true gives each step the state, and model.attention={attention} gives it more: the "
                "encoder's output. Set one of the two: model.feed_state=false, or model.attention=none."
            )
        self.reverse_source, self.attends = reverse_source, attention != "none"
        self.looks_back = self.attends or feed_state
        source: dict[str, Any] = {**shared, **(encoder or {})}
        target: dict[str, Any] = {**shared, "bidirectional": False, **(decoder or {})}
        self.encoder = Encoder(vocab_size=source_vocab_size, **source)
        target |= {"vocab_size": target_vocab_size, "output_dropout": output_dropout}
        target |= {"tied_embeddings": tied_embeddings, "softmax": softmax, "cutoffs": cutoffs}
        self.decoder: LanguageModel
        if self.attends:
            memory_size = self.encoder.lstm.output_size
            self.decoder = AttentiveDecoder(
                attention=attention, memory_size=memory_size, input_feeding=input_feeding, **target
            )
        else:
            self.decoder = StateFedDecoder(**target) if feed_state else LanguageModel(**target)
        self.bridge = Bridge(self.encoder.lstm, self.decoder.encoder.lstm)

    def forward(self, source_ids: PackedSequence, target_ids: PackedSequence) -> LanguageModelOutput:
        """Score each next target token given the source and the target so far (teacher forcing)."""
        return self.decoder(target_ids, self.encode(source_ids))

    def loss(
        self, source_ids: PackedSequence, inputs: PackedSequence, targets: Tensor, *, label_smoothing: float = 0.0
    ) -> Tensor:
        """Return the mean cross-entropy of the target tokens, in nats: see ``LanguageModel.loss``."""
        return self.decoder.loss(inputs, targets, self.encode(source_ids), label_smoothing=label_smoothing)[0]

    def encode(self, source_ids: PackedSequence) -> DecoderState:
        """Read whole sources and return the decoder's first state."""
        return self.begin(self.read(source_ids))

    def read(self, source_ids: PackedSequence) -> LSTMOutput:
        """Read whole sources and return the encoder's ``output`` and ``(h_n, c_n)``."""
        return self.encoder(reversed_rows(source_ids) if self.reverse_source else source_ids)

    def begin(self, lstm: LSTMOutput) -> DecoderState:
        """Return the decoder's first state: the encoder's last, through the bridge, and what each step reads beside."""
        state = self.bridge(lstm.state)
        return self.decoder.begin(state, lstm.output) if self.looks_back else state  # pyright: ignore
