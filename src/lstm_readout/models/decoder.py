"""What a translator's decoder reads and its arguments go in, the decoder comes out: a language model."""

from __future__ import annotations

from typing import Any

from lstm_readout.errors import UserError
from lstm_readout.models.attentive_decoder import AttentiveDecoder, StateFedDecoder
from lstm_readout.models.generate import LanguageModel
from lstm_readout.nn.attention import AttentionName, check_attention


def build_decoder(
    memory_size: int, *, attention: AttentionName, input_feeding: bool, feed_state: bool, **language_model: Any
) -> LanguageModel:
    """Return a language model that starts from a given state, and reads nothing else unless asked to.

    Args:
        memory_size: width of the encoder's ``output``.
        attention: ``none``: the state alone. ``dot``, ``general`` or ``additive``: at each step the decoder reads the
            encoder's ``output`` as well, see ``Attention``.
        input_feeding: see ``AttentiveDecoder``.
        feed_state: let the head read the first state again at every step, see ``StateReadout``.
        language_model: the arguments of ``LanguageModel``.

    Raises:
        UserError: for two directions, for ``input_feeding`` without attention, for ``feed_state`` with it, or as
            ``LanguageModel`` and ``AttentiveDecoder``.
    """
    if language_model.get("bidirectional"):
        raise UserError(
            "model.decoder.bidirectional=true cannot translate: the decoder would already have read the words that "
            "it predicts. Set model.encoder.bidirectional=true instead."
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
    if attention == "none" and not feed_state:
        return LanguageModel(**language_model)
    if feed_state:
        return StateFedDecoder(**language_model)
    return AttentiveDecoder(attention=attention, memory_size=memory_size, input_feeding=input_feeding, **language_model)
