"""A source goes in, the decoder's first state comes out: a translator's encoder, whose state fits its decoder."""

from __future__ import annotations

from typing import Any

from torch.nn.utils.rnn import PackedSequence

from lstm_readout.models.attentive_decoder import DecoderWithMemory
from lstm_readout.models.generate import LanguageModel
from lstm_readout.models.outputs import SourceOutput
from lstm_readout.nn.bridge import Bridge
from lstm_readout.nn.decoder_state import DecoderState
from lstm_readout.nn.encoder import Encoder
from lstm_readout.nn.lstm import LSTMOutput
from lstm_readout.nn.packed import as_packed, reversed_rows


class SourceEncoder(Encoder):
    """An ``Encoder`` whose ``state`` is ready to be its decoder's first.

    Args:
        reverse: read each source from its end.
        encoder: the arguments of ``Encoder``.
    """

    def __init__(self, *, reverse: bool = False, **encoder: Any) -> None:
        super().__init__(**encoder)
        self.reverse = reverse

    def fit_to(self, decoder: LanguageModel) -> Bridge:
        """Build the bridge that ``state`` passes through from now on, and return it."""
        bridge = Bridge(self.lstm, decoder.encoder.lstm)
        self._fitted_to = (decoder, bridge)  # in a tuple: they are modules of the translator, and saved as such
        return bridge

    def forward(self, source_ids: PackedSequence) -> SourceOutput:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Read whole sources."""
        lstm = self.read(source_ids)
        return SourceOutput(lstm.output, self.first_state(lstm))

    def read(self, source_ids: PackedSequence) -> LSTMOutput:
        """Return the LSTM's own ``output`` and ``(h_n, c_n)``."""
        return super().forward(reversed_rows(source_ids) if self.reverse else source_ids)

    def first_state(self, lstm: LSTMOutput) -> DecoderState:
        """Return the decoder's first state: ``(h_n, c_n)`` through the bridge, and what each step reads beside it."""
        decoder, bridge = self._fitted_to
        state = bridge(lstm.state)
        return decoder.begin(state, as_packed(lstm.output)) if isinstance(decoder, DecoderWithMemory) else state
